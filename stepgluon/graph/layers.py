"""The layered drawing of one scope: who stands in which layer, in what order, and where.

The method is Sugiyama's: turn edges that lead back, give each state a layer below all that lead to it, put a
placeholder into every layer that an edge passes, order each layer by the barycenters of its neighbours, then place
each layer as near to its neighbours as the widths allow. Two rules are ours. In every layer the main line (lane 0)
stands left of what only failures reach (lane 1), and that left of the edges passing to it (lane 2). And edges that
pass a layer on their way to the same state share one placeholder, so that many Catches become one line.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SEPARATION = 22.0
PASSING_SEPARATION = 14.0
SWEEPS = 16


@dataclass
class Item:
    """What takes room in a layer: a state, the label of an edge, or an edge that passes."""

    id: str
    layer: int
    left: float  # how far it reaches from x, which is where its edges begin and end
    right: float
    height: float
    lane: int = 0
    passing: bool = False
    x: float = 0.0


@dataclass(frozen=True)
class Link:
    """A piece of an edge between two neighbouring layers."""

    upper: Item
    lower: Item
    failure: bool


def turned(nodes: Sequence[str], arcs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arcs that lead back to a state being visited; without them there is no cycle."""
    ahead: dict[str, list[str]] = defaultdict(list)
    for source, target in arcs:
        ahead[source].append(target)
    back: set[tuple[str, str]] = set()
    seen: dict[str, str] = {}
    for root in nodes:
        path = [] if root in seen else [(root, iter(ahead[root]))]
        seen.setdefault(root, "open")
        while path:
            node, rest = path[-1]
            for target in rest:
                if seen.get(target) == "open":
                    back.add((node, target))
                elif target not in seen:
                    seen[target] = "open"
                    path.append((target, iter(ahead[target])))
                    break
            else:
                seen[node] = "done"
                path.pop()
    return back


def layered(nodes: Sequence[str], arcs: Sequence[tuple[str, str, int]]) -> dict[str, int]:
    """The layer of each node: the first one far enough below all that lead to it. The arcs have no cycle."""
    layer = dict.fromkeys(nodes, 0)
    missing = dict.fromkeys(nodes, 0)
    ahead: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for source, target, length in arcs:
        ahead[source].append((target, length))
        missing[target] += 1
    ready = [node for node in nodes if not missing[node]]
    for node in ready:
        for target, length in ahead[node]:
            layer[target] = max(layer[target], layer[node] + length)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    return layer


def order(layers: list[list[Item]], links: Sequence[Link]) -> None:
    """Sorts each layer so that few links cross; the lanes stay apart."""
    above, below = _neighbours(links)
    gaps: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        gaps[link.upper.layer].append(link)
    for layer in layers:
        layer.sort(key=lambda item: item.lane)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, gaps)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        beside = below if sweep % 2 else above
        for layer in reversed(layers) if sweep % 2 else layers:
            _sort(layer, beside, layers)
        crossings = _crossings(layers, gaps)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, found in zip(layers, best, strict=True):
        layer[:] = found


def _neighbours(links: Iterable[Link]) -> tuple[dict[str, list[Link]], dict[str, list[Link]]]:
    above: dict[str, list[Link]] = defaultdict(list)
    below: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        above[link.lower.id].append(link)
        below[link.upper.id].append(link)
    return above, below


def _sort(layer: list[Item], beside: dict[str, list[Link]], layers: list[list[Item]]) -> None:
    wish: dict[str, float] = {}
    for place, item in enumerate(layer):
        others = [link.upper if link.lower is item else link.lower for link in beside[item.id]]
        places = [layers[other.layer].index(other) for other in others]
        wish[item.id] = sum(places) / len(places) if places else float(place)
    # The lines that pass to failure states keep one order in all layers, so that they never cross each other.
    layer.sort(key=lambda item: (item.lane, wish[item.id] if item.lane < 2 else 0))


def _crossings(layers: list[list[Item]], gaps: dict[int, list[Link]]) -> int:
    place = {item.id: number for layer in layers for number, item in enumerate(layer)}
    count = 0
    for links in gaps.values():
        ends = [(place[link.upper.id], place[link.lower.id]) for link in links]
        for number, (upper, lower) in enumerate(ends):
            count += sum((upper - u) * (lower - v) < 0 for u, v in ends[number + 1 :])
    return count


def place(layers: list[list[Item]], links: Sequence[Link]) -> None:
    """Gives every item its x; items of one layer never touch."""
    main = [[item for item in layer if item.lane == 0] for layer in layers]
    above, below = _neighbours(link for link in links if link.upper.lane == link.lower.lane == 0 and not link.failure)
    for row in main:
        spread(row, [0.0] * len(row), [1.0] * len(row))
    for sweep in range(3 * SWEEPS):
        down = sweep % 2 == 0
        for row in main if down else reversed(main):
            _pull(row, above if down else below)
    for row in main:
        for item in row:
            item.x = float(round(item.x))
        _straighten(row, above)
    _place_failures(layers, links)


def _straighten(row: list[Item], above: dict[str, list[Link]]) -> None:
    """Removes steps of a few pixels, which look like mistakes."""
    for item in row:
        uppers = above[item.id]
        if len(uppers) == 1 and abs(uppers[0].upper.x - item.x) <= 6:
            item.x = uppers[0].upper.x


def _pull(row: list[Item], beside: dict[str, list[Link]]) -> None:
    """Moves each item of a layer to the middle of its neighbours on one side, as far as the others let it."""
    wishes, weights = [], []
    for item in row:
        links = beside[item.id]
        others = [link.upper if link.lower is item else link.lower for link in links]
        strength = [4.0 if item.passing and other.passing else 1.0 for other in others]
        total = sum(strength)
        wishes.append(sum(o.x * s for o, s in zip(others, strength, strict=True)) / total if others else item.x)
        weights.append(total or 0.25)
    spread(row, wishes, weights)


def distance(one: Item, other: Item) -> float:
    """How far apart the x of two neighbours in a layer must be."""
    gap = PASSING_SEPARATION if one.passing and other.passing else SEPARATION
    return one.right + gap + other.left


def spread(row: list[Item], wishes: list[float], weights: list[float]) -> None:
    """The x nearest to the wishes, in weighted squares, that keep order and distance (pool adjacent violators)."""
    offsets = [0.0]
    for one, other in itertools.pairwise(row):
        offsets.append(offsets[-1] + distance(one, other))
    pools: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=False):
        mean, total, count = wish - offset, weight, 1
        while pools and pools[-1][0] >= mean:
            before, heavy, many = pools.pop()
            mean, total, count = (before * heavy + mean * total) / (heavy + total), heavy + total, count + many
        pools.append((mean, total, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for item, mean, offset in zip(row, means, offsets, strict=False):
        item.x = mean + offset


def _place_failures(layers: list[list[Item]], links: Sequence[Link]) -> None:
    """Lanes 1 and 2, packed to the left; what forms one line gets one x wherever that leaves no contradiction."""
    block = {item.id: item.id for layer in layers for item in layer if item.lane}
    for link in links:
        upper, lower = link.upper, link.lower
        if upper.lane and lower.lane and block[upper.id] != block[lower.id]:
            merged = {i: block[upper.id] if b == block[lower.id] else b for i, b in block.items()}
            if _packed(layers, merged) is not None:
                block = merged
    at = _packed(layers, block) or {}
    for layer in layers:
        for item in layer:
            if item.lane:
                item.x = float(round(at[block[item.id]]))


def _packed(layers: list[list[Item]], block: dict[str, str]) -> dict[str, float] | None:
    """The leftmost x of each block, or None where the blocks' order contradicts itself."""
    edge = min((item.x - item.left for layer in layers for item in layer if not item.lane), default=0.0)
    at: dict[str, float] = defaultdict(lambda: edge)
    for _ in range(len(set(block.values())) + 1):
        changed = False
        for layer in layers:
            for one, other in itertools.pairwise(layer):
                if other.lane:
                    x = (at[block[one.id]] if one.lane else one.x) + distance(one, other)
                    if x > at[block[other.id]]:
                        at[block[other.id]], changed = x, True
            if layer and layer[0].lane:
                key = block[layer[0].id]
                at[key] = max(at[key], edge + layer[0].left)
        if not changed:
            return at
    return None
