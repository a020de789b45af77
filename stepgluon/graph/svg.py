"""A layout as one SVG that needs nothing else: readable by browsers offline, light and dark, and by screen readers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from stepgluon.graph.boxes import Box, Layout, Node, Point, Route
from stepgluon.graph.layout import ICON, PADDING, TEXT_LEFT
from stepgluon.graph.text import clean

MARGIN = 20
LEGEND = 26
CORNER = 7.0

STYLE = """
.sg{font-family:"Helvetica Neue",Helvetica,Arial,"Liberation Sans",system-ui,sans-serif}
.sg text{fill:#16191f}
.sg .name{font-size:13px;font-weight:500}
.sg .caption,.sg .label,.sg .legend{font-size:11px}
.sg .caption,.sg .legend{fill:#5b6675}
.sg .ground{fill:#fff}
.sg .box{fill:#fff;stroke:#8793a1}
.sg .frame{fill:#5b6b80;fill-opacity:.05;stroke:#8793a1;stroke-dasharray:5 4}
.sg .more .box{stroke-dasharray:2 3}
.sg .round{fill:#fff;stroke:#5b6675;stroke-width:1.5}
.sg .dot{fill:#5b6675}
.sg .edge{fill:none;stroke:#5b6675;stroke-width:1.4}
.sg .tip{fill:#5b6675}
.sg .label{text-anchor:middle}
.sg .plate{fill:#fff;stroke:#c9d0d8}
.sg .failure .box,.sg .fail .box{fill:#fff6f5;stroke:#d98880}
.sg .edge.failure{stroke:#cc3d33;stroke-width:1.2}
.sg .edge.catch{stroke-dasharray:5 4}
.sg .tip.failure{fill:#cc3d33}
.sg .glyph{fill:none;stroke:#fff;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
@media (prefers-color-scheme:dark){
.sg text{fill:#e6e9ed}
.sg .caption,.sg .legend{fill:#9fabba}
.sg .ground{fill:#101822}
.sg .box,.sg .round{fill:#1b2632;stroke:#66758a}
.sg .frame{fill:#9fb4d0;fill-opacity:.06;stroke:#66758a}
.sg .plate{fill:#101822;stroke:#3b4858}
.sg .edge{stroke:#9fabba}
.sg .tip,.sg .dot{fill:#9fabba}
.sg .failure .box,.sg .fail .box{fill:#2e1d21;stroke:#a8574f}
.sg .edge.failure{stroke:#ff8379}
.sg .tip.failure{fill:#ff8379}
}
"""

# Colour and drawing, on a square of 24, by how the caption begins; our own drawings, not AWS's icons.
_GLYPHS = {
    "SageMaker: CreateTraining": ("#01796b", "M4 18L10 11L14 14L20 6M15.5 6H20V10.5"),
    "SageMaker": ("#01796b", "M5 6H19L13.6 12.5V19L10.4 17V12.5Z"),
    "SNS": ("#c2185b", "M4 7H20V17.5H4ZM4 7L12 13L20 7"),
    "S3": ("#4f7a12", "M5 7.5L7 18.5H17L19 7.5M5 7.5C5 4.8 19 4.8 19 7.5C19 10.2 5 10.2 5 7.5"),
    "Lambda": ("#b8540a", "M7 5H10.5L17 19M11.2 11L6.5 19"),
    "Choice": ("#7a52c7", "M12 4L20 12L12 20L4 12Z"),
    "Wait": ("#7a52c7", "M12 4.5A7.5 7.5 0 1 1 11.99 4.5M12 8V12L15 14"),
    "Pass": ("#66758a", "M5 12H18M13 7L18 12L13 17"),
    "Succeed": ("#2e7d32", "M5 12.5L10 17L19 7"),
    "Fail": ("#c0392b", "M7 7L17 17M17 7L7 17"),
    "Parallel": ("#3b5bdb", "M6 5V19M12 5V19M18 5V19"),
    "Map": ("#3b5bdb", "M5 7H19M5 12H19M5 17H19"),
    "More": ("#66758a", "M5 12H5.01M12 12H12.01M19 12H19.01"),
}
_OTHER = ("#b8540a", "M8.5 6L4 12L8.5 18M15.5 6L20 12L15.5 18")


def draw(layout: Layout, title: str, prefix: str = "sg", interactive: bool = False) -> str:
    """The SVG's text; interactive: states can be reached by keyboard. The prefix keeps ids apart on one page."""
    elided = any(node.state.type == "More" for node in layout.nodes)
    wide, high = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN + LEGEND
    legend = "Dashed red: what happens on a failure."
    if elided:
        legend += " Of more than 8 branches alike, the first 3 and the last are shown."
    wide = max(wide, 360 if elided else 240)
    shift = (wide - layout.width) / 2
    role = "group" if interactive else "img"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="sg" id="{prefix}" viewBox="0 0 {_n(wide)} {_n(high)}" '
            f'width="{_n(wide)}" height="{_n(high)}" role="{role}" aria-labelledby="{prefix}-title {prefix}-desc">'
        ),
        f'<title id="{prefix}-title">{text(title)}</title>',
        f'<desc id="{prefix}-desc">{text(_told(layout))}</desc>',
        f"<style>{STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<g transform="translate({_n(shift)} {MARGIN})">',
        *(line for node in layout.nodes if node.state.branches for line in _frame(node, interactive)),
        *_edges(layout.routes),
        *(line for node in layout.nodes if not node.state.branches for line in _node(node, interactive)),
        *(line for route in layout.routes for line in _label(route)),
        "</g>",
        f'<text class="legend" x="{MARGIN}" y="{_n(high - 14)}">{legend}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _told(layout: Layout) -> str:
    names = [
        node.state.name for node in layout.nodes if node.parent is None and node.state.type not in ("Start", "End")
    ]
    return f"State machine with these states, from top to bottom: {', '.join(names)}."


def text(raw: str) -> str:
    """Any text as the content of an XML or HTML element."""
    return escape(clean(raw))


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _open(node: Node, kind: str, interactive: bool) -> str:
    reach = ' tabindex="0" role="button"' if interactive else ""
    pointer = json.dumps(node.state.id)[1:-1]  # names may have characters that XML cannot hold
    title = text(f"{node.state.name} ({node.state.caption})")
    return f"<g class={quoteattr(kind)} data-state={quoteattr(pointer)}{reach}><title>{title}</title>"


def _frame(node: Node, interactive: bool) -> Iterator[str]:
    yield _open(node, "state parallel" + (" failure" if node.state.failure else ""), interactive)
    yield _rect("frame", node.box, 8)
    yield from _icon_and_text(node)
    yield "</g>"


def _node(node: Node, interactive: bool) -> Iterator[str]:
    box, state = node.box, node.state
    y = box.top + box.height / 2
    if state.type in ("Start", "End"):
        if not node.lines:
            yield f'<circle class="dot" cx="{_n(box.middle)}" cy="{_n(y)}" r="4"/>'
            return
        yield f'<circle class="round" cx="{_n(box.middle)}" cy="{_n(y)}" r="23"/>'
        yield f'<text class="name" text-anchor="middle" x="{_n(box.middle)}" y="{_n(y + 4.5)}">{state.name}</text>'
        return
    kinds = ["state", *(kind for kind in ("fail", "more") if kind == state.type.lower())]
    yield _open(node, " ".join(kinds + ["failure"] * state.failure), interactive)
    yield _rect("box", node.box, 8)
    yield from _icon_and_text(node)
    yield "</g>"


def _rect(kind: str, box: Box, radius: float) -> str:
    return (
        f'<rect class="{kind}" x="{_n(box.left)}" y="{_n(box.top)}" '
        f'width="{_n(box.width)}" height="{_n(box.height)}" rx="{_n(radius)}"/>'
    )


def _icon_and_text(node: Node) -> Iterator[str]:
    box, state = node.box, node.state
    key = state.caption if state.type == "Task" else state.type
    color, glyph = next((drawing for start, drawing in _GLYPHS.items() if key.startswith(start)), _OTHER)
    top = box.top + (10 if state.branches else (box.height - ICON) / 2)
    left = box.left + PADDING
    yield f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(ICON)}" height="{_n(ICON)}" rx="5" fill="{color}"/>'
    yield f'<path class="glyph" transform="translate({_n(left + 2)} {_n(top + 2)})" d="{glyph}"/>'
    y = top + ICON / 2 - 7 * len(node.lines) + 8
    for line in node.lines:
        yield f'<text class="name" x="{_n(box.left + TEXT_LEFT)}" y="{_n(y)}">{text(line)}</text>'
        y += 15
    yield f'<text class="caption" x="{_n(box.left + TEXT_LEFT)}" y="{_n(y)}">{text(state.caption)}</text>'


def _edges(routes: tuple[Route, ...]) -> Iterator[str]:
    """Edges to one state that have run together are drawn once, so that dashes stay dashes."""
    drawn: set[tuple[str, bool, Point, Point]] = set()
    for route in routes:
        edge, points = route.edge, list(route.points)
        pieces = [(edge.target, edge.failure, a, b) for a, b in itertools.pairwise(points)]
        new = next((number for number, piece in enumerate(pieces) if piece in drawn), len(pieces))
        drawn.update(pieces)
        kind = f"{edge.kind}{' failure' if edge.failure else ''}"
        title = f"<title>{text(edge.label)}</title>" if edge.label else ""
        yield f'<path class="edge {kind}" d="{_path(points[: new + 1])}">{title}</path>'
        if new == len(pieces):
            yield f'<path class="tip {kind}" d="{_tip(*points[-2:])}"/>'


def _path(points: list[Point]) -> str:
    """Level and upright pieces with round corners; between places that differ both ways, a curve."""
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for number, ((x1, y1), (x2, y2)) in enumerate(itertools.pairwise(points)):
        if x1 != x2 and y1 != y2:
            middle = _n((y1 + y2) / 2)
            parts.append(f"C{_n(x1)} {middle} {_n(x2)} {middle} {_n(x2)} {_n(y2)}")
            continue
        after = points[number + 2] if number + 2 < len(points) else (x2, y2)
        if (x1 == x2) == (after[0] == x2) or (after[0] != x2 and after[1] != y2):
            parts.append(f"L{_n(x2)} {_n(y2)}")
            continue
        cut = min(CORNER, _length((x1, y1), (x2, y2)) / 2, _length((x2, y2), after) / 2)
        (ax, ay), (bx, by) = _toward((x2, y2), (x1, y1), cut), _toward((x2, y2), after, cut)
        parts.append(f"L{_n(ax)} {_n(ay)}Q{_n(x2)} {_n(y2)} {_n(bx)} {_n(by)}")
    return "".join(parts)


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _toward(start: Point, end: Point, far: float) -> Point:
    share = far / (_length(start, end) or 1)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _tip(before: Point, end: Point) -> str:
    """An arrow's head; edges arrive level or upright."""
    x, y = end
    if before[1] == y:
        back = 7 if before[0] > x else -7
        return f"M{_n(x)} {_n(y)}l{back} -4v8z"
    back = 7 if before[1] > y else -7
    return f"M{_n(x)} {_n(y)}l-4 {back}h8z"


def _label(route: Route) -> Iterator[str]:
    if route.label:
        box = route.label.box
        yield _rect("plate", box, 9)
        yield f'<text class="label" x="{_n(box.middle)}" y="{_n(box.top + 13)}">{text(route.label.text)}</text>'
