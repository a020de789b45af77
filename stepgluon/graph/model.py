"""An Amazon States Language definition as the states and edges of a picture.

Every picture shows the same: each state once, each way to another state as one edge, the rule of a Choice in few
words, and of many branches that are alike only some.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from stepgluon.errors import UsageError

ALIKE = 8  # so many branches of one shape are all shown; of more, the first three and the last
SHOWN_FIRST = 3
EdgeKind = Literal["start", "next", "choice", "default", "catch", "end", "fail"]
_SERVICES = {"sagemaker": "SageMaker", "dynamodb": "DynamoDB", "lambda": "Lambda", "states": "Step Functions"}
_SIGNS = {
    "Equals": "=",
    "LessThan": "<",
    "GreaterThan": ">",
    "LessThanEquals": "<=",
    "GreaterThanEquals": ">=",
    "Matches": "like",
}
_COMPARISON = re.compile(r"(?:String|Numeric|Timestamp|Boolean)([A-Z]\w*?)(Path)?")


@dataclass(frozen=True)
class State:
    """A state, or what stands for the start, the end or the branches that are not shown."""

    id: str  # the JSON pointer of the state in the definition
    name: str
    type: str  # as in the definition, or Start, End, More
    caption: str = ""
    failure: bool = False  # only a failure leads here
    branches: tuple[Scope, ...] = ()


@dataclass(frozen=True)
class Edge:
    source: str
    target: str
    kind: EdgeKind
    label: str = ""  # what a Choice asks, or what errors a Catch is for
    failure: bool = False


@dataclass(frozen=True)
class Scope:
    """The machine itself, or one branch of a Parallel, or what a Map repeats."""

    states: tuple[State, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Way:
    """One transition as the definition has it."""

    kind: EdgeKind
    target: str | None  # None: the end
    label: str = ""


def read(definition: Mapping[str, Any], collapsed: bool = False) -> Scope:
    """The picture of a definition; collapsed: a Parallel or Map is one state."""
    return _scope(definition, "", collapsed)


def _scope(definition: Mapping[str, Any], pointer: str, collapsed: bool) -> Scope:
    states, start = definition.get("States"), str(definition.get("StartAt"))
    if not isinstance(states, Mapping) or start not in states:
        raise UsageError(f"{pointer or 'the definition'}: StartAt names no state of States (name the first state)")
    ways = {name: list(_ways(state)) for name, state in states.items()}
    ids = {name: f"{pointer}/States/{_escaped(name)}" for name in states}
    for name, way in [(source, way) for source in states for way in ways[source]]:
        if way.target is not None and way.target not in states:
            raise UsageError(f"{ids[name]}: leads to {way.target!r}, which is no state beside it (correct the name)")
    failing = _failing(ways, start)
    order = list(dict.fromkeys([*_reached(ways, start, catches=False), *_reached(ways, start, catches=True), *states]))
    first, last = f"{pointer}#start", f"{pointer}#end"
    edges = [Edge(first, ids[start], "start")]
    for name in order:
        for way in ways[name]:
            if way.kind == "fail" and pointer:
                continue  # a Fail in a branch ends all branches: it does not lead to the end of its own
            target = last if way.target is None else ids[way.target]
            failure = way.kind == "catch" or name in failing or way.target in failing
            edges.append(Edge(ids[name], target, way.kind, way.label, failure))
    drawn = [_state(name, states[name], ids[name], name in failing, collapsed) for name in order]
    if any(edge.target == last for edge in edges):
        drawn.append(State(last, "End", "End"))
    return Scope((State(first, "Start", "Start"), *drawn), _merged(edges))


def _merged(edges: list[Edge]) -> tuple[Edge, ...]:
    """One edge for all rules of a Choice, or all Catches of a state, that lead to the same state."""
    merged: dict[tuple[str, str, EdgeKind], Edge] = {}
    for edge in edges:
        key = (edge.source, edge.target, edge.kind)
        merged[key] = replace(edge, label=f"{merged[key].label} or {edge.label}") if key in merged else edge
    return tuple(merged.values())


def _reached(ways: Mapping[str, list[Way]], start: str, catches: bool) -> list[str]:
    """The states that the start leads to, depth first, so that a branch's states stay together."""
    reached: dict[str, None] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = None
            ahead = [way.target for way in ways[name] if way.target and (catches or way.kind != "catch")]
            waiting.extend(reversed(ahead))
    return list(reached)


def _failing(ways: Mapping[str, list[Way]], start: str) -> set[str]:
    """What only a Catch leads to, and what can only end in a Fail."""
    sources: dict[str, list[str]] = defaultdict(list)
    waiting = []
    for name in ways:
        for way in ways[name]:
            if way.kind == "end":
                waiting.append(name)
            elif way.kind != "catch" and way.target:
                sources[way.target].append(name)
    hopeful: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in hopeful:
            hopeful.add(name)
            waiting.extend(sources[name])
    main = set(_reached(ways, start, catches=False))
    if start in hopeful:  # a machine that can only fail, or never ends, has a main line too
        main &= hopeful
    return set(_reached(ways, start, catches=True)) - main


def _ways(state: Mapping[str, Any]) -> Iterator[Way]:
    for rule in state.get("Choices", ()):
        yield Way("choice", rule["Next"], describe(rule))
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


def _state(name: str, state: Mapping[str, Any], pointer: str, failure: bool, collapsed: bool) -> State:
    scopes = list(_inside(state, pointer))
    caption = _caption(state, len(scopes))
    if collapsed or not scopes:
        return State(pointer, name, state.get("Type", "?"), caption, failure)
    branches = (
        _elided(scopes, pointer) if len(scopes) > ALIKE else [_scope(*scope, collapsed=False) for scope in scopes]
    )
    return State(pointer, name, state["Type"], caption, failure, tuple(branches))


def _inside(state: Mapping[str, Any], pointer: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The machines inside a Parallel or Map, with their JSON pointers."""
    for number, branch in enumerate(state.get("Branches", ())):
        yield branch, f"{pointer}/Branches/{number}"
    for key in ("ItemProcessor", "Iterator"):
        if key in state:
            yield state[key], f"{pointer}/{key}"


def _elided(scopes: list[tuple[Mapping[str, Any], str]], pointer: str) -> Iterator[Scope]:
    """Branches of one shape stand together; of more than ALIKE, a box stands for all but the first and the last."""
    alike: dict[str, list[tuple[Mapping[str, Any], str]]] = {}
    for branch, inner in scopes:
        alike.setdefault(_shape(branch), []).append((branch, inner))
    for number, group in enumerate(alike.values()):
        shown = group if len(group) <= ALIKE else group[:SHOWN_FIRST]
        yield from (_scope(branch, inner, collapsed=False) for branch, inner in shown)
        if len(group) > ALIKE:
            text = f"… and {len(group) - SHOWN_FIRST - 1} more like these"
            more = State(f"{pointer}/Branches#more{number}", text, "More", f"{len(group)} in all, the last one follows")
            yield Scope((more,), ())
            yield _scope(*group[-1], collapsed=False)


def _shape(branch: Mapping[str, Any]) -> str:
    """Equal for branches that differ in names and values only."""
    states = branch.get("States", {})
    ways = {
        name: [way for way in _ways(state) if way.target is None or way.target in states]
        for name, state in states.items()
    }
    order = _reached(ways, branch["StartAt"], catches=True) if branch.get("StartAt") in states else list(states)
    number = {name: index for index, name in enumerate(order)}
    return repr(
        [
            (
                states[name].get("Type"),
                states[name].get("Resource"),
                [(way.kind, number.get(way.target or "")) for way in ways[name]],
                [_shape(inner) for inner, _ in _inside(states[name], "")],
            )
            for name in order
        ]
    )


def _caption(state: Mapping[str, Any], branches: int) -> str:
    """What kind of state it is, in the console's words: `SageMaker: CreateTrainingJob`."""
    kind = str(state.get("Type", "?"))
    if kind == "Parallel":
        return f"Parallel: {branches} branch{'' if branches == 1 else 'es'}"
    if kind == "Map":
        return "Map: for each item"
    if kind != "Task":
        return kind
    parts = str(state.get("Resource", "")).split(":")
    if len(parts) < 7 or parts[2] != "states" or "activity" in parts:
        return {"lambda": "Lambda function", "states": "Activity"}.get(parts[2] if len(parts) > 2 else "", "Task")
    service, action = parts[-2], parts[-1].split(".")[0]
    return f"{_SERVICES.get(service, service.upper())}: {action[:1].upper()}{action[1:]}"


def describe(rule: Mapping[str, Any]) -> str:
    """A Choice rule in few words, without the checks that only guard the comparison beside them."""
    if "Not" in rule:
        return f"not ({describe(rule['Not'])})"
    if "And" in rule:
        compared = [path for part in rule["And"] if not _is_check(part) for path in part.values()]
        told = [part for part in rule["And"] if not (_is_check(part) and part.get("Variable") in compared)]
        return _joined([f"({describe(part)})" if "Or" in part else describe(part) for part in told], "and", "every")
    if "Or" in rule:
        told = rule["Or"]
        return _joined([f"({describe(part)})" if "And" in part else describe(part) for part in told], "or", "any")
    if "Condition" in rule:
        return str(rule["Condition"]).removeprefix("{%").removesuffix("%}").strip()
    for key, value in rule.items():
        if match := _COMPARISON.fullmatch(key):
            right = _last(value) if match[2] else value if isinstance(value, str) and value else json.dumps(value)
            return f"{_last(rule.get('Variable'))} {_SIGNS.get(match[1], match[1])} {right}"
        if re.fullmatch("Is[A-Z][a-z]+", key):
            return f"{_last(rule.get('Variable'))} is {'' if value else 'not '}{key[2:].lower()}"
    return "?"


def _joined(parts: list[str], word: str, quantity: str) -> str:
    """The same question about many things is told once: `any verdict = rejected`."""
    if len(parts) > 1 and len(set(parts)) == 1:
        return f"{quantity} {parts[0]}"
    return f" {word} ".join(dict.fromkeys(parts))


def _is_check(rule: Mapping[str, Any]) -> bool:
    return any(re.fullmatch("Is[A-Z][a-z]+", key) and value is True for key, value in rule.items())


def _last(path: Any) -> str:
    """`$.score.mae` is told as `mae`."""
    return str(path).removeprefix("$").rsplit(".", 1)[-1] or "input"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
