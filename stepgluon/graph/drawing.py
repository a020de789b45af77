"""The drawing of one scope whose states have their sizes.

Edges run in three ways only, and so never through a state: straight down below a state of their own or through a
place kept for them, across the gap between two layers, and level between a state and the one at its side.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stepgluon.graph import layers
from stepgluon.graph.boxes import Box, Label, Layout, Node, Point, Route
from stepgluon.graph.layers import Item, Link
from stepgluon.graph.model import Edge, Scope
from stepgluon.graph.text import LABEL_SIZE, clean, shorten, width

LABEL_LIMIT = 190.0
LABEL_HEIGHT = 18.0
SIDE_GAP = 34.0  # between a state and the one at its side
LOOP = 26.0  # room for an edge from a state to itself
PORT = 32.0  # how far from the middle of a state failures leave it and edges lead back


@dataclass(frozen=True)
class Sized:
    """A state before it has a place; what is inside has its place within the state."""

    width: float
    height: float
    lines: tuple[str, ...]
    inside: tuple[Layout, ...] = ()


def label_of(edge: Edge) -> str:
    """What is written beside the edge: the rule of a Choice. What a Catch is for shows when one points at it."""
    return shorten(clean(edge.label), LABEL_SIZE, LABEL_LIMIT) if edge.kind in ("choice", "default") else ""


@dataclass
class Drawing:
    """The work on one scope, step by step in the order of layout()."""

    scope: Scope
    sized: dict[str, Sized]
    beside: dict[str, str] = field(default_factory=dict)  # a state -> the one at its right side
    items: dict[str, Item] = field(default_factory=dict)
    paths: list[tuple[Edge, list[Item], bool]] = field(default_factory=list)  # from top to bottom; True: leads back
    tops: list[float] = field(default_factory=list)  # of each layer
    bottoms: list[float] = field(default_factory=list)
    tracks: dict[tuple[int, str], float] = field(default_factory=dict)  # heights of the level pieces of failure edges

    def layout(self) -> Layout:
        self._put_handlers_beside()
        rows = self._rows()
        links = self._links()
        layers.order(rows, links)
        layers.place(rows, links)
        self._stack(rows, links)
        return self._result(rows)

    def _put_handlers_beside(self) -> None:
        """A plain state that only the Catch of one state leads to stands at that state's right side."""
        states = {state.id: state for state in self.scope.states}
        into: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.scope.edges:
            into[edge.target].append(edge)
        for state in self.scope.states:
            plain = state.type not in ("Choice", "End") and not state.branches
            if not plain or [edge.kind for edge in into[state.id]] != ["catch"]:
                continue
            source = into[state.id][0].source
            free = {source, state.id}.isdisjoint({*self.beside, *self.beside.values()})
            if free and source != state.id and not states[source].failure:
                self.beside[source] = state.id

    def _rows(self) -> list[list[Item]]:
        """Layers with an item for each state and a placeholder wherever an edge passes."""
        owner = {side: state for state, side in self.beside.items()}
        nodes = [state.id for state in self.scope.states if state.id not in owner]
        between = [
            (edge, owner.get(edge.source, edge.source), owner.get(edge.target, edge.target))
            for edge in self.scope.edges
        ]
        between = [(edge, source, target) for edge, source, target in between if source != target]
        back = layers.turned(nodes, [(source, target) for _, source, target in between])
        arcs = []
        for edge, source, target in between:
            upper, lower = (target, source) if (source, target) in back else (source, target)
            arcs.append((upper, lower, 2 if label_of(edge) else 1))
        layer = layers.layered(nodes, arcs)
        if last := next((state.id for state in self.scope.states if state.type == "End"), None):
            layer[last] = max(layer[last], *(n + (node != last) for node, n in layer.items()))
        rows: list[list[Item]] = [[] for _ in range(max(layer.values()) + 1)]
        failing = {state.id for state in self.scope.states if state.failure}
        for node in nodes:
            self._add(rows, self._item(node, layer[node], 1 if node in failing else 0))
        for (edge, source, target), (upper, lower, _) in zip(between, arcs, strict=True):
            self._trace(rows, edge, upper, lower, (source, target) in back)
        # The lines that pass on the failure side: those that end sooner stand further left.
        ends = {item.id: path[-1].layer for _, path, _ in self.paths for item in path if item.lane == 2}
        for row in rows:
            row.sort(
                key=lambda item: (item.lane, ends.get(item.id, 0), item.id) if item.lane == 2 else (item.lane, 0, "")
            )
        return rows

    def _add(self, rows: list[list[Item]], item: Item) -> Item:
        if item.id not in self.items:
            self.items[item.id] = item
            rows[item.layer].append(item)
        return self.items[item.id]

    def _item(self, node: str, layer: int, lane: int) -> Item:
        size, side = self.sized[node], self.sized.get(self.beside.get(node, ""))
        loops = any(edge.source == edge.target == node for edge in self.scope.edges)
        right = size.width / 2 + (SIDE_GAP + side.width if side else 0)
        height = max(size.height, side.height if side else 0)
        return Item(node, layer, size.width / 2 + (LOOP if loops else 0), right, height, lane)

    def _trace(self, rows: list[list[Item]], edge: Edge, upper: str, lower: str, back: bool) -> None:
        """The items that an edge passes; edges to the same state share their placeholders."""
        path = [self.items[upper]]
        first, last = self.items[upper].layer, self.items[lower].layer
        labelled = (last - 1 if back else first + 1) if label_of(edge) else None
        shared = f"{edge.source}>{edge.target}" if back else f"{edge.target}{'!' if edge.failure else ''}"
        for layer in range(first + 1, last):
            if layer == labelled:
                half = width(label_of(edge), LABEL_SIZE) / 2 + 4
                item = Item(_label_id(edge), layer, half, half, LABEL_HEIGHT, 1 if edge.failure else 0)
            else:
                item = Item(f"{shared}|{layer}", layer, 2, 2, 0, 2 if edge.failure else 0, passing=True)
            path.append(self._add(rows, item))
        self.paths.append((edge, [*path, self.items[lower]], back))

    def _links(self) -> list[Link]:
        links: dict[tuple[str, str], Link] = {}
        for edge, path, _ in self.paths:
            for upper, lower in itertools.pairwise(path):
                known = links.get((upper.id, lower.id))
                links[upper.id, lower.id] = Link(upper, lower, edge.failure and (known is None or known.failure))
        return list(links.values())

    def _stack(self, rows: list[list[Item]], links: list[Link]) -> None:
        """The height of each layer and of each gap: higher where edges have far to go, or many go level."""
        level: dict[int, list[str]] = defaultdict(list)
        for edge, path, back in self.paths:
            for upper, lower in itertools.pairwise(path) if edge.failure and not back else ():
                straight = upper.passing and lower.passing and upper.x == lower.x
                if not straight and edge.target not in level[upper.layer]:
                    level[upper.layer].append(edge.target)
        y = 0.0
        for number, row in enumerate(rows):
            height = max((item.height for item in row), default=0)
            self.tops.append(y)
            self.bottoms.append(y + height)
            far = max(
                (abs(k.upper.x - k.lower.x) for k in links if k.upper.layer == number and not k.failure), default=0
            )
            targets = level[number]
            gap = max(26 + min(34.0, far * 0.14), 20 + 10 * len(targets))
            for place, target in enumerate(targets):
                self.tracks[number, target] = round(y + height + gap * (place + 1) / (len(targets) + 1))
            y = round(y + height + gap)

    def _result(self, rows: Sequence[Sequence[Item]]) -> Layout:
        shift = -min(item.x - item.left for row in rows for item in row)
        for row in rows:
            for item in row:
                item.x += shift
        nodes = {node.state.id: node for node in self._nodes()}
        routes = [self._route(edge, path, back, nodes) for edge, path, back in self.paths]
        inner = [
            layout.moved(nodes[state].box.left, nodes[state].box.top, state)
            for state in nodes
            for layout in self.sized[state].inside
        ]
        return Layout(
            max(item.x + item.right for row in rows for item in row),
            self.bottoms[-1],
            (*nodes.values(), *(node for layout in inner for node in layout.nodes)),
            (*routes, *self._level_routes(nodes), *(route for layout in inner for route in layout.routes)),
        )

    def _nodes(self) -> Iterator[Node]:
        for state in self.scope.states:
            size = self.sized[state.id]
            if state.id in self.items:
                item = self.items[state.id]
                left = item.x - size.width / 2
            else:
                owner = next(owner for owner, side in self.beside.items() if side == state.id)
                item = self.items[owner]
                left = item.x + self.sized[owner].width / 2 + SIDE_GAP
            yield Node(state, Box(left, self.tops[item.layer], size.width, size.height), size.lines)

    def _route(self, edge: Edge, path: list[Item], back: bool, nodes: dict[str, Node]) -> Route:
        upper, lower = (edge.target, edge.source) if back else (edge.source, edge.target)
        first, last = path[0].layer, path[-1].layer
        x = _port(edge, nodes[upper], back, path[1].x)
        points: list[Point] = [(x, nodes[upper].box.bottom), (x, self.bottoms[first])]
        for item in path[1:-1]:
            points += self._level(edge, item.layer - 1, points[-1][0], item.x, back)
            points += [(item.x, self.tops[item.layer]), (item.x, self.bottoms[item.layer])]
        x = _port(edge, nodes[lower], back, path[-2].x)
        points += [*self._level(edge, last - 1, points[-1][0], x, back), (x, self.tops[last])]
        points = [point for point, before in zip(points, [None, *points], strict=False) if point != before]
        label = None
        if text := label_of(edge):
            item = next(item for item in path if item.id == _label_id(edge))
            box = Box(item.x - item.left, self.tops[item.layer], item.left + item.right, LABEL_HEIGHT)
            label = Label(text, box)
        return Route(edge, tuple(reversed(points) if back else points), label)

    def _level(self, edge: Edge, layer: int, start: float, end: float, back: bool) -> list[Point]:
        """Failure edges go level in the gap below a layer, others curve."""
        if not edge.failure or back or start == end:
            return []
        y = self.tracks[layer, edge.target]
        return [(start, y), (end, y)]

    def _level_routes(self, nodes: dict[str, Node]) -> Iterator[Route]:
        """Edges between a state and the one at its side, and from a state to itself."""
        for edge in self.scope.edges:
            box, other = nodes[edge.source].box, nodes[edge.target].box
            if edge.source == edge.target:
                out, top, low = box.left - LOOP + 8, box.top + 14, box.top + 34
                yield Route(edge, ((box.left, top), (out, top), (out, low), (box.left, low)))
            elif self.beside.get(edge.source) == edge.target:
                yield Route(edge, ((box.right, other.top + 18), (other.left, other.top + 18)))
            elif self.beside.get(edge.target) == edge.source:
                yield Route(edge, ((box.left, box.top + 34), (other.right, box.top + 34)))


def _port(edge: Edge, node: Node, back: bool, coming: float) -> float:
    """Where an edge meets the top or bottom of a state: the main line in the middle, others beside it."""
    aside = min(PORT, node.box.width / 4)
    if back:
        return node.box.middle + (aside / 2 if coming > node.box.middle else -aside / 2)
    return node.box.middle + (aside if edge.failure and not node.state.failure else 0)


def _label_id(edge: Edge) -> str:
    return f"{edge.source}>{edge.target}?{edge.kind}"
