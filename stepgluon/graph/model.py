"""A definition in Amazon States Language as the states and edges of a picture.

Each state occurs once, in reading order, and each transition is an edge. If branches differ only in names and values,
one can represent all of them: a stack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from stepgluon.errors import UsageError
from stepgluon.graph import words

ALIKE = 8  # the full picture draws up to this many branches of one shape
EdgeKind = Literal["start", "next", "choice", "default", "catch", "end", "fail"]
Lists = Mapping[str, Collection[str]]  # by variable, the names of the items in its list


@dataclass(frozen=True)
class State:
    """A state, or a symbol for the start, the end or a stack of branches."""

    id: str  # the JSON pointer of the state in the definition
    name: str
    type: str  # as in the definition, or Start, End, Stack
    caption: str = ""
    branches: tuple[Scope, ...] = ()
    items: tuple[str, ...] = ()  # of a stack: what each branch is for
    cards: int = 0  # of a stack: how many are visible behind the first one
    kind: str = ""  # the console's name, which the caption may rephrase


@dataclass(frozen=True)
class Edge:
    source: str
    target: str
    kind: EdgeKind
    label: str = ""  # the condition of a Choice, or the errors of a Catch


@dataclass(frozen=True)
class Scope:
    """The machine itself, a branch of a Parallel, or the processor of a Map."""

    states: tuple[State, ...]
    edges: tuple[Edge, ...]
    across: bool = False  # drawn from left to right, in small boxes


class Way(NamedTuple):
    """One transition in the definition."""

    kind: EdgeKind
    target: str | None  # None for the end
    label: str = ""


def read(definition: Mapping[str, Any], alike: int = ALIKE) -> Scope:
    """The picture of a definition; more than `alike` branches of one shape are represented by the first."""
    return _Reader(alike, _lists(definition)).scope(definition, "")


@dataclass(frozen=True)
class _Reader:
    alike: int
    lists: Lists

    def scope(self, definition: Mapping[str, Any], pointer: str) -> Scope:
        states, start = definition.get("States"), str(definition.get("StartAt"))
        if not isinstance(states, Mapping) or start not in states:
            raise UsageError(f"{pointer or 'the definition'}: StartAt names no state of States (name the first state)")
        ways = {name: list(_ways(state)) for name, state in states.items()}
        ids = {name: f"{pointer}/States/{_escaped(name)}" for name in states}
        for name, way in [(source, way) for source in states for way in ways[source]]:
            if way.target is not None and way.target not in states:
                raise UsageError(
                    f"{ids[name]}: leads to {way.target!r}, which is no state beside it (correct the name)"
                )
        order = _reading_order(ways, start)
        first, last = f"{pointer}#start", f"{pointer}#end"
        labels: dict[tuple[str, str, EdgeKind], list[str]] = {(first, ids[start], "start"): [""]}
        for name, way in [(source, way) for source in order for way in ways[source]]:
            if way.kind != "fail" or not pointer:  # a Fail in a branch ends all branches
                target = last if way.target is None else ids[way.target]
                labels.setdefault((ids[name], target, way.kind), []).append(way.label)
        edges = tuple(Edge(*ends, " or ".join(label)) for ends, label in labels.items())
        drawn = [State(first, "Start", "Start"), *(self._state(name, states[name], ids[name]) for name in order)]
        if any(edge.target == last for edge in edges):
            drawn.append(State(last, "End", "End"))
        return Scope(tuple(drawn), edges)

    def _state(self, name: str, state: Mapping[str, Any], pointer: str) -> State:
        scopes = list(_inside(state, pointer))
        kind = words.caption(state, len(scopes))
        whole = State(pointer, name, state.get("Type", "?"), kind, kind=kind)
        if whole.type != "Parallel":
            inside = tuple(self.scope(*scope) for scope in scopes)
            return replace(whole, branches=inside, cards=2 if inside else 0)
        shapes: dict[str, list[tuple[Mapping[str, Any], str]]] = {}
        for scope in scopes:
            shapes.setdefault(_shape(scope[0]), []).append(scope)
        groups = list(shapes.values())
        if len(groups) == 1 and len(scopes) > self.alike:
            return replace(self._stack(groups[0], pointer), name=name, id=pointer, type=whole.type)
        branches: list[Scope] = []
        for group in groups:
            if len(group) > max(self.alike, 1):
                branches.append(Scope((self._stack(group, pointer),), ()))
            else:
                branches += [self.scope(*scope) for scope in group]
        items = tuple(words.item_of(branch) for branch, _ in groups[0]) if len(groups) == 1 else ()
        return replace(whole, branches=tuple(branches), items=items)

    def _stack(self, group: list[tuple[Mapping[str, Any], str]], pointer: str) -> State:
        items = tuple(words.item_of(branch) for branch, _ in group)
        number, names = words.counted(items, self.lists)
        inside, cards = self.scope(*group[0]), min(2, len(group) - 1)
        return State(f"{pointer}#{group[0][1]}", number, "Stack", f"{number}: {names}", (inside,), items, cards)


def _reading_order(ways: Mapping[str, list[Way]], start: str) -> list[str]:
    """Each state after its predecessors, except for ways that lead back.

    A Catch is followed first, so a Choice at the end of several attempts comes after them and leads back.
    """
    seen: set[str] = set()
    order: list[str] = []
    for root in [start, *ways]:
        left: list[str] = []
        waiting = [] if root in seen else [(root, iter(_targets(ways[root])))]
        seen.add(root)
        while waiting:
            name, ahead = waiting[-1]
            if target := next((target for target in ahead if target not in seen), None):
                seen.add(target)
                waiting.append((target, iter(_targets(ways[target]))))
            else:
                left.append(name)
                waiting.pop()
        order += reversed(left)
    return order


def _targets(ways: list[Way]) -> list[str]:
    last = [way.target for way in reversed(ways) if way.target and way.kind != "catch"]
    return [way.target for way in ways if way.target and way.kind == "catch"] + last


def _ways(state: Mapping[str, Any]) -> Iterator[Way]:
    for rule in state.get("Choices", ()):
        yield Way("choice", rule["Next"], words.condition(rule))
    if "Default" in state:
        yield Way("default", state["Default"], "otherwise")
    if "Next" in state:
        yield Way("next", state["Next"])
    for catcher in state.get("Catch", ()):
        yield Way("catch", catcher["Next"], ", ".join(catcher.get("ErrorEquals", ())))
    if state.get("End") or state.get("Type") == "Succeed":
        yield Way("end", None)
    if state.get("Type") == "Fail":
        yield Way("fail", None)


def _inside(state: Mapping[str, Any], pointer: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The machines inside a Parallel or Map, with their JSON pointers."""
    for number, branch in enumerate(state.get("Branches", ())):
        yield branch, f"{pointer}/Branches/{number}"
    for key in ("ItemProcessor", "Iterator"):
        if key in state:
            yield state[key], f"{pointer}/{key}"


def _shape(branch: Mapping[str, Any]) -> str:
    """Equal for branches that differ only in names and values."""
    states = branch.get("States", {})
    number = {name: index for index, name in enumerate(states)}
    shapes: list[Any] = [number.get(branch.get("StartAt"))]
    for state in states.values():
        ways = [(way.kind, number.get(way.target or "")) for way in _ways(state)]
        inner = [_shape(scope) for scope, _ in _inside(state, "")]
        shapes.append((state.get("Type"), state.get("Resource"), ways, inner))
    return repr(shapes)


def _lists(definition: Mapping[str, Any]) -> Lists:
    """The variables that list named items, like `models`."""
    found: dict[str, Collection[str]] = {}
    for state in (definition.get("States") or {}).values():
        for variable, value in (state.get("Assign") or {}).items():
            if isinstance(value, list) and value and all(isinstance(one, Mapping) and "name" in one for one in value):
                found.setdefault(variable, [str(one["name"]) for one in value])
    return found


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
