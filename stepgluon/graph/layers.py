"""The layered drawing of one scope: the order of each layer, and the position of each item.

The method is Sugiyama's: each state is in a layer below its predecessors, and edges have a placeholder in each layer
they pass. Each layer is ordered by the barycenters of its neighbours, then each item is placed as near to its
neighbours as the widths allow. Edges that pass a layer on their way to the same state share one placeholder.
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
    """An item in a layer: a state, the label of an edge, or a passing edge."""

    id: str
    layer: int
    half: float  # half its width, on both sides of x
    height: float
    passing: bool = False
    x: float = 0.0


@dataclass(frozen=True)
class Link:
    """A piece of an edge between two neighbouring layers; a weak one moves a state only if nothing else does."""

    upper: Item
    lower: Item
    weak: bool


Neighbours = dict[str, list[tuple[Item, bool]]]


def order(layers: list[list[Item]], links: Sequence[Link]) -> None:
    """Sort each layer so that few links cross."""
    above, below = _neighbours(links)
    gaps: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        gaps[link.upper.layer].append(link)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, gaps)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        for layer in reversed(layers) if sweep % 2 else layers:
            _sort(layer, below if sweep % 2 else above, layers)
        crossings = _crossings(layers, gaps)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, found in zip(layers, best, strict=True):
        layer[:] = found


def _neighbours(links: Iterable[Link]) -> tuple[Neighbours, Neighbours]:
    above: Neighbours = defaultdict(list)
    below: Neighbours = defaultdict(list)
    for link in links:
        above[link.lower.id].append((link.upper, link.weak))
        below[link.upper.id].append((link.lower, link.weak))
    return above, below


def _sort(layer: list[Item], beside: Neighbours, layers: list[list[Item]]) -> None:
    wish: dict[str, float] = {}
    for place, item in enumerate(layer):
        places = [layers[other.layer].index(other) for other, _ in beside[item.id]]
        wish[item.id] = sum(places) / len(places) if places else float(place)
    layer.sort(key=lambda item: wish[item.id])


def _crossings(layers: list[list[Item]], gaps: dict[int, list[Link]]) -> int:
    place = {item.id: number for layer in layers for number, item in enumerate(layer)}
    count = 0
    for links in gaps.values():
        ends = [(place[link.upper.id], place[link.lower.id]) for link in links]
        for number, (upper, lower) in enumerate(ends):
            count += sum((upper - u) * (lower - v) < 0 for u, v in ends[number + 1 :])
    return count


def place(layers: list[list[Item]], links: Sequence[Link]) -> None:
    """Set every item's x; items in one layer never touch."""
    above, below = _neighbours(links)
    for row in layers:
        spread(row, [0.0] * len(row), [1.0] * len(row))
    for sweep in range(3 * SWEEPS):
        down = sweep % 2 == 0
        for row in layers if down else reversed(layers):
            _pull(row, above if down else below)
    for row in layers:
        for item in row:
            item.x = float(round(item.x))
            uppers = [upper.x for upper, weak in above[item.id] if not weak]
            if len(uppers) == 1 and abs(uppers[0] - item.x) <= 6:  # a step of a few pixels looks like a mistake
                item.x = uppers[0]


def _pull(row: list[Item], beside: Neighbours) -> None:
    """Move each item of a layer towards the middle of its neighbours on one side, as far as the others allow."""
    wishes, weights = [], []
    for item in row:
        others = beside[item.id]
        strength = [0.01 if weak else 4.0 if item.passing and other.passing else 1.0 for other, weak in others]
        total = sum(strength)
        wishes.append(sum(o.x * s for (o, _), s in zip(others, strength, strict=True)) / total if others else item.x)
        weights.append(total or 0.25)
    spread(row, wishes, weights)


def distance(one: Item, other: Item) -> float:
    """The minimum distance between the x of two neighbours in a layer."""
    return one.half + (PASSING_SEPARATION if one.passing and other.passing else SEPARATION) + other.half


def spread(row: list[Item], wishes: list[float], weights: list[float]) -> None:
    """Set the x closest to the wishes, by weighted squares, keeping order and distance (pool adjacent violators)."""
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
