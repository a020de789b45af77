"""Draws one scope whose states have their sizes.

Edges never cross a state, because they run in only two ways: straight down from their own state or through a place
reserved for them, and as a curve across the gap between two layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from stepgluon.graph import layers
from stepgluon.graph.boxes import Box, Label, Layout, Node, Point, Route
from stepgluon.graph.layers import Item, Link
from stepgluon.graph.model import Edge, Scope
from stepgluon.graph.text import LABEL_SIZE, clean, width

LABEL_LIMIT = 230.0
LABEL_HEIGHT = 18.0
GAP = 26.0  # between two layers
LOOP = 26.0  # room for an edge from a state to itself
PORT = 32.0  # distance of a state's failure edges from its middle


@dataclass(frozen=True)
class Sized:
    """A state before it is placed; its content is placed relative to the state."""

    width: float
    height: float
    lines: tuple[str, ...]
    inside: tuple[Layout, ...] = ()
    small: bool = False


def label_of(edge: Edge) -> str:
    """The text beside the edge: a short condition of a Choice. Longer ones, and errors, are shown on hover."""
    text = clean(edge.label) if edge.kind in ("choice", "default") else ""
    return text if width(text, LABEL_SIZE) <= LABEL_LIMIT else ""


@dataclass
class Drawing:
    """The drawing of one scope, step by step in the order of layout()."""

    scope: Scope
    sized: dict[str, Sized]
    items: dict[str, Item] = field(default_factory=dict)
    paths: list[tuple[Edge, list[Item], bool]] = field(default_factory=list)  # downwards; True if it leads back
    tops: list[float] = field(default_factory=list)  # of each layer
    bottoms: list[float] = field(default_factory=list)

    def layout(self) -> Layout:
        rows = self._rows()
        links = self._links()
        layers.order(rows, links)
        layers.place(rows, links)
        self._stack(rows, links)
        return self._result(rows)

    def _rows(self) -> list[list[Item]]:
        """Layers with an item for each state, and a placeholder for each passing edge."""
        place = {state.id: number for number, state in enumerate(self.scope.states)}
        downward = []
        for edge in self.scope.edges:
            upper, lower = sorted((edge.source, edge.target), key=lambda id: place[id])
            if upper != lower:
                downward.append((edge, upper, lower))
        layer = dict.fromkeys(place, 0)
        for edge, upper, lower in sorted(downward, key=lambda arc: place[arc[1]]):
            layer[lower] = max(layer[lower], layer[upper] + (2 if edge.source == upper and label_of(edge) else 1))
        if self.scope.states[-1].type == "End":
            layer[self.scope.states[-1].id] = max(max(layer.values()), 1)
        rows: list[list[Item]] = [[] for _ in range(max(layer.values()) + 1)]
        for state in self.scope.states:
            size = self.sized[state.id]
            loops = any(edge.source == edge.target == state.id for edge in self.scope.edges)
            self._add(rows, Item(state.id, layer[state.id], size.width / 2 + (LOOP if loops else 0), size.height))
        for edge, upper, lower in downward:
            self._trace(rows, edge, upper, lower, edge.source == lower)
        return rows

    def _add(self, rows: list[list[Item]], item: Item) -> Item:
        if item.id not in self.items:
            self.items[item.id] = item
            rows[item.layer].append(item)
        return self.items[item.id]

    def _trace(self, rows: list[list[Item]], edge: Edge, upper: str, lower: str, back: bool) -> None:
        """The items that an edge passes; edges of one kind to the same state share their placeholders."""
        path = [self.items[upper]]
        first, last = self.items[upper].layer, self.items[lower].layer
        labelled = first + 1 if label_of(edge) and not back else None  # leading back needs another layer
        shared = f"{edge.source}>{edge.target}" if back else f"{edge.target}{'!' if edge.kind == 'catch' else ''}"
        for layer in range(first + 1, last):
            if layer == labelled:
                half = width(label_of(edge), LABEL_SIZE) / 2 + 4
                item = Item(_label_id(edge), layer, half, LABEL_HEIGHT)
            else:
                item = Item(f"{shared}|{layer}", layer, 2, 0, passing=True)
            path.append(self._add(rows, item))
        self.paths.append((edge, [*path, self.items[lower]], back))

    def _links(self) -> list[Link]:
        links: dict[tuple[str, str], Link] = {}
        for edge, path, back in self.paths:
            for upper, lower in itertools.pairwise(path):
                known = links.get((upper.id, lower.id))
                weak = (back or edge.kind == "catch") and (known is None or known.weak)
                links[upper.id, lower.id] = Link(upper, lower, weak)
        return list(links.values())

    def _stack(self, rows: list[list[Item]], links: list[Link]) -> None:
        """Set the height of each layer and each gap; gaps with long edges are higher."""
        y = 0.0
        for number, row in enumerate(rows):
            height = max((item.height for item in row), default=0)
            self.tops.append(y)
            self.bottoms.append(y + height)
            far = max((abs(link.upper.x - link.lower.x) for link in links if link.upper.layer == number), default=0)
            y = round(y + height + GAP + min(34.0, far * 0.14))

    def _result(self, rows: list[list[Item]]) -> Layout:
        shift = -min(item.x - item.half for row in rows for item in row)
        for row in rows:
            for item in row:
                item.x += shift
        nodes = {node.state.id: node for node in self._nodes()}
        routes = [self._route(edge, path, back, nodes) for edge, path, back in self.paths]
        loops = [_loop(edge, nodes[edge.source].box) for edge in self.scope.edges if edge.source == edge.target]
        inner = [
            layout.moved(nodes[state].box.left, nodes[state].box.top, state)
            for state in nodes
            for layout in self.sized[state].inside
        ]
        return Layout(
            max(item.x + item.half for row in rows for item in row),
            self.bottoms[-1],
            (*nodes.values(), *(node for layout in inner for node in layout.nodes)),
            (*routes, *loops, *(route for layout in inner for route in layout.routes)),
        )

    def _nodes(self) -> Iterator[Node]:
        for state in self.scope.states:
            size, item = self.sized[state.id], self.items[state.id]
            box = Box(item.x - size.width / 2, self.tops[item.layer], size.width, size.height)
            yield Node(state, box, size.lines, small=size.small)

    def _route(self, edge: Edge, path: list[Item], back: bool, nodes: dict[str, Node]) -> Route:
        upper, lower = (edge.target, edge.source) if back else (edge.source, edge.target)
        x = _port(edge, nodes[upper], back, path[1].x)
        points: list[Point] = [(x, nodes[upper].box.bottom), (x, self.bottoms[path[0].layer])]
        for item in path[1:-1]:
            points += [(item.x, self.tops[item.layer]), (item.x, self.bottoms[item.layer])]
        points.append((_port(edge, nodes[lower], back, path[-2].x), self.tops[path[-1].layer]))
        points = [point for point, before in zip(points, [None, *points], strict=False) if point != before]
        label = None
        if not back and (text := label_of(edge)):
            item = self.items[_label_id(edge)]
            label = Label(text, Box(item.x - item.half, self.tops[item.layer], 2 * item.half, LABEL_HEIGHT))
        return Route(edge, tuple(reversed(points) if back else points), label)


def _loop(edge: Edge, box: Box) -> Route:
    out, top, low = box.left - LOOP + 8, box.top + 14, box.top + 34
    return Route(edge, ((box.left, top), (out, top), (out, low), (box.left, low)))


def _port(edge: Edge, node: Node, back: bool, coming: float) -> float:
    """The point where an edge meets a state's top or bottom: the main line in the middle, others beside it."""
    aside = min(PORT, node.box.width / 4)
    if back:
        return node.box.middle + (aside / 2 if coming > node.box.middle else -aside / 2)
    return node.box.middle + (aside if edge.kind == "catch" else 0)


def _label_id(edge: Edge) -> str:
    return f"{edge.source}>{edge.target}?{edge.kind}"
