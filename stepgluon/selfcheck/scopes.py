"""The machine as scopes: itself, each branch of a Parallel, each Map's processor. No transition leaves a scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck.report import Report, did_you_mean

State = dict[str, Any]


@dataclass(eq=False)
class Scope:
    states: Mapping[str, State]
    start: str
    owner: str  # the Parallel or Map that contains it; empty for the machine
    outer: Scope | None = None
    branch: int = 0  # the id of its source object
    in_map: bool = False
    distributed: bool = False  # the items of a Distributed Map are separate executions
    inner: dict[str, list[Scope]] = field(default_factory=dict)  # by Parallel or Map
    targets: dict[str, list[str]] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)

    def every(self) -> Iterator[Scope]:
        yield self
        for inner in self.inner.values():
            for scope in inner:
                yield from scope.every()


def scopes(machine: Mapping[str, Any], owner: str = "", outer: Scope | None = None) -> Scope:
    """The scopes of a machine with a sound form."""
    scope = Scope(machine["States"], machine["StartAt"], owner, outer, id(machine))
    scope.in_map = outer is not None and (outer.in_map or outer.states[owner]["Type"] == "Map")
    scope.distributed = machine.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
    for name, state in scope.states.items():
        if state["Type"] == "Parallel":
            scope.inner[name] = [scopes(branch, name, scope) for branch in state["Branches"]]
        elif state["Type"] == "Map":
            scope.inner[name] = [scopes(state["ItemProcessor"], name, scope)]
    return scope


def targets(state: State) -> Iterator[tuple[str, str]]:
    """Each transition out of a state: its field, and the state it leads to."""
    if "Next" in state:
        yield "Next", state["Next"]
    for number, rule in enumerate(state.get("Choices", ())):
        yield f"Choices[{number}].Next", rule["Next"]
    if "Default" in state:
        yield "Default", state["Default"]
    for number, catcher in enumerate(state.get("Catch", ())):
        yield f"Catch[{number}].Next", catcher["Next"]


def names(machine: Any, report: Report) -> None:
    """Report names that are too long or not unique; works with any form of the machine."""
    owners: dict[str, str] = {}
    waiting: list[tuple[Any, str]] = [(machine, "")]
    while waiting:
        scope, owner = waiting.pop()
        states = scope.get("States") if isinstance(scope, dict) else None
        for name, state in states.items() if isinstance(states, dict) else ():
            if not 1 <= len(name) <= limits.STATE_NAME:
                most = limits.STATE_NAME
                report.add("state-name", name, f"the name of a state has 1 to {most} characters, this one {len(name)}")
            if name in owners:
                places = " and ".join(f"in {place or 'the machine'}" for place in (owners[name], owner))
                report.add("duplicate-name", name, f"two states have this name, {places}; names are unique everywhere")
            owners[name] = owner
            if isinstance(state, dict) and state.get("Type") in ("Parallel", "Map"):
                branches = state.get("Branches")
                inner = branches if isinstance(branches, list) else []
                waiting += [(branch, name) for branch in (*inner, state.get("ItemProcessor"))]


def check(root: Scope, report: Report) -> bool:
    """Report problems of targets, reachability and ends; return True if every target exists."""
    owners = {name: scope.owner for scope in root.every() for name in scope.states}
    sound = True
    for scope in root.every():
        sound &= _targets(scope, owners, report)
    for scope in root.every() if sound else ():
        _reach(scope, report)
    return sound


def _targets(scope: Scope, owners: Mapping[str, str], report: Report) -> bool:
    sound = scope.start in scope.states
    if not sound:
        where = f"a branch of {scope.owner}" if scope.owner else "the machine"
        hint = did_you_mean(scope.start, scope.states)
        report.add("target", scope.owner, f"StartAt of {where} names {scope.start!r}, which is not a state there{hint}")
    for name, state in scope.states.items():
        scope.targets[name] = []
        for place, target in targets(state):
            scope.targets[name].append(target)
            if target in scope.states:
                continue
            sound = False
            if target in owners:
                inside = f"inside {owners[target]}" if owners[target] else "outside this branch"
                message = f"{place} leads to {target!r}, which is {inside}; no transition crosses that border"
            else:
                message = f"{place} leads to {target!r}, which does not exist{did_you_mean(target, scope.states)}"
            report.add("target", name, message)
    return sound


def _reach(scope: Scope, report: Report) -> None:
    """Check that every state can be reached from the start and reaches an end."""
    sources: dict[str, list[str]] = {}
    reached, waiting = {scope.start: True}, [scope.start]
    while waiting:
        name = waiting.pop()
        for target in scope.targets[name]:
            sources.setdefault(target, []).append(name)
            if target not in reached:
                reached[target] = True
                waiting.append(target)
    scope.reached = list(reached)
    for name in scope.states:
        if name not in reached:
            report.add("unreachable", name, "no state leads here")
    ending = {name for name in reached if not scope.targets[name] or scope.states[name].get("End") is True}
    waiting = list(ending)
    while waiting:
        for source in sources.get(waiting.pop(), ()):
            if source not in ending:
                ending.add(source)
                waiting.append(source)
    for name in reached:
        if name not in ending:
            report.add("endless", name, "no way from this state comes to an end: the states only lead to each other")
