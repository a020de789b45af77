"""The picture as a value: boxes for states, points for edges."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepgluon.graph.model import Edge, State

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> float:
        return self.left + self.width / 2

    def moved(self, right: float, down: float) -> Box:
        return replace(self, left=self.left + right, top=self.top + down)


@dataclass(frozen=True)
class Node:
    state: State
    box: Box
    lines: tuple[str, ...]  # the name, as displayed
    parent: str | None = None
    small: bool = False


@dataclass(frozen=True)
class Label:
    text: str
    box: Box


@dataclass(frozen=True)
class Route:
    edge: Edge
    points: tuple[Point, ...]  # from the source to the target
    label: Label | None = None
    across: bool = False


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    nodes: tuple[Node, ...] = ()  # a state comes before the states inside it
    routes: tuple[Route, ...] = ()

    def moved(self, right: float, down: float, parent: str) -> Layout:
        """The same layout, moved; nodes without a parent get this one."""
        return replace(
            self,
            nodes=tuple(replace(n, box=n.box.moved(right, down), parent=n.parent or parent) for n in self.nodes),
            routes=tuple(
                replace(
                    route,
                    points=tuple((x + right, y + down) for x, y in route.points),
                    label=route.label and replace(route.label, box=route.label.box.moved(right, down)),
                )
                for route in self.routes
            ),
        )

    def turned(self) -> Layout:
        """The layout from left to right instead of from top to bottom."""
        return Layout(
            self.height,
            self.width,
            tuple(replace(n, box=Box(n.box.top, n.box.left, n.box.height, n.box.width)) for n in self.nodes),
            tuple(replace(r, points=tuple((y, x) for x, y in r.points), across=True) for r in self.routes),
        )
