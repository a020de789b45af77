"""A layout as one self-contained SVG: works offline, in light and dark mode, and with screen readers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from stepgluon.graph.boxes import Box, Layout, Node, Point, Route
from stepgluon.graph.layout import CARD, ICON, PADDING, SMALL_LEFT, TEXT_LEFT
from stepgluon.graph.text import clean

MARGIN = 20
LEGEND = 26

STYLE = "\n" + (Path(__file__).parent / "picture.css").read_text("utf-8")

# Colour and icon, on a square of 24, by the kind's prefix; our own drawings, not AWS's icons.
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
    "Stack": ("#3b5bdb", "M6 5V19M12 5V19M18 5V19"),
}
_OTHER = ("#b8540a", "M8.5 6L4 12L8.5 18M15.5 6L20 12L15.5 18")


def draw(layout: Layout, title: str, prefix: str = "sg", interactive: bool = False) -> str:
    """The SVG's text; interactive: states can be reached by keyboard. The prefix keeps ids apart on one page."""
    legend = [
        *["Dashed red: after an error."] * any(route.edge.kind == "catch" for route in layout.routes),
        *["A stack: all its branches run these steps at once."]
        * any(node.state.items and node.state.cards and not node.small for node in layout.nodes),
    ]
    wide = max(layout.width + 2 * MARGIN, 190 * len(legend))
    high = layout.height + 2 * MARGIN + (LEGEND if legend else 0)
    role = "group" if interactive else "img"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="sg" id="{prefix}" viewBox="0 0 {_n(wide)} {_n(high)}" '
            f'width="{_n(wide)}" height="{_n(high)}" role="{role}" aria-labelledby="{prefix}-title {prefix}-desc">'
        ),
        f'<title id="{prefix}-title">{text(title)}</title>',
        f'<desc id="{prefix}-desc">{text(_described(layout))}</desc>',
        f"<style>{STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<g transform="translate({_n((wide - layout.width) / 2)} {MARGIN})">',
        *(line for node in layout.nodes if node.state.branches for line in _frame(node, interactive)),
        *_edges(layout.routes),
        *(line for node in layout.nodes if not node.state.branches for line in _node(node, interactive)),
        *(line for route in layout.routes for line in _label(route)),
        "</g>",
        *[f'<text class="legend" x="{MARGIN}" y="{_n(high - 14)}">{" ".join(legend)}</text>'] * bool(legend),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _described(layout: Layout) -> str:
    names = [
        node.state.name for node in layout.nodes if node.parent is None and node.state.type not in ("Start", "End")
    ]
    return f"State machine with these states, from top to bottom: {', '.join(names)}."


def text(raw: str) -> str:
    """Any text as the content of an XML or HTML element."""
    return escape(clean(raw))


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _open(node: Node, interactive: bool) -> str:
    state = node.state
    more = ' tabindex="0" role="button"' if interactive else ""
    if interactive and state.items:
        more += f" data-items={quoteattr(json.dumps(state.items))}"
    pointer = json.dumps(state.id)[1:-1]  # names may have characters that XML does not allow
    title = text(f"{state.name} ({state.caption})" if state.caption else state.name)
    return f'<g class="state" data-state={quoteattr(pointer)}{more}><title>{title}</title>'


def _frame(node: Node, interactive: bool) -> Iterator[str]:
    box, cards = node.box, node.state.cards
    yield _open(node, interactive)
    wide, high = box.width - CARD * cards, box.height - CARD * cards
    for card in range(cards, -1, -1):
        yield _rect(
            "frame card" if card else "frame", Box(box.left + CARD * card, box.top + CARD * card, wide, high), 8
        )
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
    yield _open(node, interactive)
    yield _rect("box", box, 8)
    if node.small:
        yield f'<rect x="{_n(box.left)}" y="{_n(box.top + 6)}" width="4" height="20" rx="2" fill="{_look(node)[0]}"/>'
        yield f'<text class="name" x="{_n(box.left + SMALL_LEFT)}" y="{_n(y + 4.5)}">{text(node.lines[0])}</text>'
    else:
        yield from _icon_and_text(node)
    yield "</g>"


def _rect(kind: str, box: Box, radius: float) -> str:
    return (
        f'<rect class="{kind}" x="{_n(box.left)}" y="{_n(box.top)}" '
        f'width="{_n(box.width)}" height="{_n(box.height)}" rx="{_n(radius)}"/>'
    )


def _look(node: Node) -> tuple[str, str]:
    state = node.state
    kind = state.kind if state.type == "Task" else state.type
    return next((drawing for start, drawing in _GLYPHS.items() if kind.startswith(start)), _OTHER)


def _icon_and_text(node: Node) -> Iterator[str]:
    box, state = node.box, node.state
    color, glyph = _look(node)
    top = box.top + (10 if state.branches else (box.height - ICON) / 2)
    left = box.left + PADDING
    yield f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(ICON)}" height="{_n(ICON)}" rx="5" fill="{color}"/>'
    yield f'<path class="glyph" transform="translate({_n(left + 2)} {_n(top + 2)})" d="{glyph}"/>'
    y = top + ICON / 2 - 7 * len(node.lines) + (8 if state.caption else 12)
    for line in node.lines:
        yield f'<text class="name" x="{_n(box.left + TEXT_LEFT)}" y="{_n(y)}">{text(line)}</text>'
        y += 15
    if state.caption:
        yield f'<text class="caption" x="{_n(box.left + TEXT_LEFT)}" y="{_n(y)}">{text(state.caption)}</text>'


def _edges(routes: tuple[Route, ...]) -> Iterator[str]:
    """Edges to one state are drawn once where they have merged, so dashes stay dashes."""
    drawn: set[tuple[str, str, Point, Point]] = set()
    for route in routes:
        edge, points = route.edge, list(route.points)
        pieces = [(edge.target, edge.kind, a, b) for a, b in itertools.pairwise(points)]
        new = next((number for number, piece in enumerate(pieces) if piece in drawn), len(pieces))
        drawn.update(pieces)
        title = f"<title>{text(edge.label)}</title>" if edge.label else ""
        yield f'<path class="edge {edge.kind}" d="{_path(points[: new + 1], route.across)}">{title}</path>'
        if new == len(pieces):
            yield f'<path class="tip {edge.kind}" d="{_tip(points[-2], points[-1], route.across)}"/>'


def _path(points: list[Point], across: bool) -> str:
    """Horizontal and vertical pieces; a curve between points that differ in both directions."""
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        x, y = _n((x1 + x2) / 2), _n((y1 + y2) / 2)
        if x1 == x2 or y1 == y2:
            parts.append(f"L{_n(x2)} {_n(y2)}")
        elif across:
            parts.append(f"C{x} {_n(y1)} {x} {_n(y2)} {_n(x2)} {_n(y2)}")
        else:
            parts.append(f"C{_n(x1)} {y} {_n(x2)} {y} {_n(x2)} {_n(y2)}")
    return "".join(parts)


def _tip(before: Point, end: Point, across: bool) -> str:
    """An arrowhead; edges arrive horizontally or vertically."""
    x, y = end
    if across or before[1] == y:
        return f"M{_n(x)} {_n(y)}l{7 if before[0] > x else -7} -4v8z"
    return f"M{_n(x)} {_n(y)}l-4 {7 if before[1] > y else -7}h8z"


def _label(route: Route) -> Iterator[str]:
    if route.label:
        box = route.label.box
        yield _rect("plate", box, 9)
        yield f'<text class="label" x="{_n(box.middle)}" y="{_n(box.top + 13)}">{text(route.label.text)}</text>'
