"""The machine as a graph: where each state leads, what can be reached, and whether everything comes to an end.

A scope is the machine itself, one branch of a Parallel, or the processor of a Map: no transition leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck.report import Report, did_you_mean

State = Mapping[str, Any]


@dataclass
class Scope:
    states: Mapping[str, State]
    start: str
    owner: str  # the Parallel or Map that this is a part of; empty for the machine
    in_map: bool = False
    inner: dict[str, list[Scope]] = field(default_factory=dict)  # by Parallel or Map
    successors: dict[str, list[str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # every reachable state, before those that it leads to
    loops: set[str] = field(default_factory=set)  # states that are also reached from later ones


def scopes(machine: Mapping[str, Any]) -> Scope:
    """The machine's scope, with those of its branches inside. Its structure must be sound."""
    root = Scope(machine["States"], machine["StartAt"], "")
    waiting = [root]
    while waiting:
        scope = waiting.pop()
        for name, state in scope.states.items():
            if state["Type"] == "Parallel":
                scope.inner[name] = [Scope(b["States"], b["StartAt"], name, scope.in_map) for b in state["Branches"]]
            elif state["Type"] == "Map":
                processor = state.get("ItemProcessor") or state["Iterator"]
                scope.inner[name] = [Scope(processor["States"], processor["StartAt"], name, True)]
            else:
                continue
            waiting.extend(scope.inner[name])
    return root


def every(root: Scope) -> Iterator[Scope]:
    waiting = [root]
    while waiting:
        scope = waiting.pop()
        yield scope
        for inner in scope.inner.values():
            waiting.extend(inner)


def targets(state: State) -> Iterator[tuple[str, str]]:
    """Each transition out of a state: its field, and the state it leads to."""
    if "Next" in state:
        yield "Next", state["Next"]
    if "Choices" in state:
        for number, rule in enumerate(state["Choices"]):
            yield f"Choices[{number}].Next", rule["Next"]
        if "Default" in state:
            yield "Default", state["Default"]
    for number, catcher in enumerate(state.get("Catch", ())):
        yield f"Catch[{number}].Next", catcher["Next"]


def check(root: Scope, report: Report) -> bool:
    """Report what is wrong with names, targets, reachability and ends; True where every target exists."""
    before = len(report.findings)
    owners: dict[str, str] = {}
    for scope in every(root):
        for name in scope.states:
            _name(name, scope, owners, report)
    for scope in every(root):
        _targets(scope, owners, report)
    sound = not any(finding.code == "target" for finding in report.findings[before:])
    if sound:
        for scope in every(root):
            _arrange(scope)
            _reachable(scope, report)
            _ends(scope, report)
    return sound


def _name(name: str, scope: Scope, owners: dict[str, str], report: Report) -> None:
    if not name or len(name) > limits.STATE_NAME:
        report.add("state-name", name, f"a state's name has 1 to {limits.STATE_NAME} characters, this one {len(name)}")
    if name in owners:
        places = " and ".join(f"in {place}" if place else "in the machine" for place in (owners[name], scope.owner))
        report.add(
            "duplicate-name", name, f"two states have this name, {places}; names are unique in the whole machine"
        )
    owners[name] = scope.owner


def _targets(scope: Scope, owners: Mapping[str, str], report: Report) -> None:
    if scope.start not in scope.states:
        where = f"a branch of {scope.owner}" if scope.owner else "the machine"
        hint = did_you_mean(scope.start, scope.states)
        report.add("target", scope.owner, f"StartAt of {where} names {scope.start!r}, which is no state there{hint}")
    for name, state in scope.states.items():
        found = []
        for place, target in targets(state):
            if target in scope.states:
                found.append(target)
            elif target in owners:
                inside = f"inside of {owners[target]}" if owners[target] else "outside of this branch"
                report.add(
                    "target", name, f"{place} leads to {target!r}, which is {inside}; no transition crosses that"
                )
            else:
                hint = did_you_mean(target, scope.states)
                report.add("target", name, f"{place} leads to {target!r}, which does not exist{hint}")
        scope.successors[name] = found


def _arrange(scope: Scope) -> None:
    """Depth first, without recursion: a chain may be thousands of states long."""
    finished: list[str] = []
    state_of: dict[str, int] = {scope.start: 1}  # 1 while on the way, 2 when done
    stack = [(scope.start, iter(scope.successors[scope.start]))]
    while stack:
        name, rest = stack[-1]
        for target in rest:
            seen = state_of.get(target)
            if seen is None:
                state_of[target] = 1
                stack.append((target, iter(scope.successors[target])))
                break
            if seen == 1:
                scope.loops.add(target)
        else:
            state_of[name] = 2
            finished.append(name)
            stack.pop()
    scope.order = finished[::-1]


def _reachable(scope: Scope, report: Report) -> None:
    if len(scope.order) < len(scope.states):
        reached = set(scope.order)
        for name in scope.states:
            if name not in reached:
                report.add("unreachable", name, "nothing leads to this state")


def _ends(scope: Scope, report: Report) -> None:
    """Each reachable state can come to an end; without loops that is so by itself."""
    ending = {name for name in scope.order if _is_end(scope.states[name])}
    if scope.loops:
        sources: dict[str, list[str]] = {}
        for name in scope.order:
            for target in scope.successors[name]:
                sources.setdefault(target, []).append(name)
        waiting = list(ending)
        while waiting:
            for source in sources.get(waiting.pop(), ()):
                if source not in ending:
                    ending.add(source)
                    waiting.append(source)
        for name in scope.order:
            if name not in ending:
                report.add(
                    "endless", name, "no way from this state comes to an end: the states only lead to each other"
                )


def _is_end(state: State) -> bool:
    return state.get("End") is True or state["Type"] in ("Succeed", "Fail")
