"""The machine as scopes: itself, each branch of a Parallel, each Map's processor. No transition leaves a scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
    distributed: bool = False  # the items of a Distributed Map are separate executions
    inner: dict[str, list[Scope]] = field(default_factory=dict)  # by Parallel or Map
    stands_for: int = 1  # branches that differ only in their model
    like: Scope | None = None  # the branch that it is like

    def every(self) -> Iterator[Scope]:
        yield self
        for inner in self.inner.values():
            for scope in inner:
                yield from scope.every()

    @cached_property
    def reached(self) -> list[str]:
        """The states that can be reached from the start, in that order."""
        found, waiting = {self.start: True}, [self.start]
        while waiting:
            for _, target in targets(self.states[waiting.pop()]):
                if target not in found:
                    found[target] = True
                    waiting.append(target)
        return list(found)

    @cached_property
    def assigned(self) -> dict[str, str]:
        """The variables assigned in this scope, each with one of the assigning states."""
        found: dict[str, str] = {}
        for name, state in self.states.items():
            for entry in (state, *state.get("Catch", ()), *state.get("Choices", ())):
                found.update(dict.fromkeys(entry.get("Assign", {}), name))
        return found


def scopes(machine: Mapping[str, Any], owner: str = "", outer: Scope | None = None) -> Scope:
    """The scopes of a machine with a sound form."""
    scope = Scope(machine["States"], machine["StartAt"], owner, outer)
    scope.distributed = machine.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
    for name, state in scope.states.items():
        if state["Type"] in ("Parallel", "Map"):
            inner = state["Branches"] if state["Type"] == "Parallel" else [state["ItemProcessor"]]
            scope.inner[name] = [scopes(branch, name, scope) for branch in inner]
    return scope


def targets(state: State) -> Iterator[tuple[str, str]]:
    """Each transition out of a state: its field, and the state it leads to."""
    for field_name in ("Next", "Default"):
        if field_name in state:
            yield field_name, state[field_name]
    for field_name in ("Choices", "Catch"):
        for number, entry in enumerate(state.get(field_name, ())):
            yield f"{field_name}[{number}].Next", entry["Next"]


def check(machine: Mapping[str, Any], root: Scope, report: Report) -> None:
    """Report problems of names, of all the machine, and of targets, reachability and ends."""
    _names(machine, report)
    owners = {name: scope.owner for scope in root.every() for name in scope.states}
    for scope in root.every():
        _targets(scope, owners, report)
    for scope in root.every() if not report.findings else ():
        _ends(scope, report)


def _names(machine: Mapping[str, Any], report: Report) -> None:
    seen: set[str] = set()
    waiting = [machine]
    while waiting:
        for name, state in waiting.pop()["States"].items():
            if not 1 <= len(name) <= limits.STATE_NAME:
                message = f"the name of a state has 1 to {limits.STATE_NAME} characters, this one {len(name)}"
                report.add("state-name", name, message)
            if name in seen:
                report.add("duplicate-name", name, "two states have this name; names are unique in the whole machine")
            seen.add(name)
            waiting += [*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else ())]


def _targets(scope: Scope, owners: Mapping[str, str], report: Report) -> None:
    where = f"a branch of {scope.owner}" if scope.owner else "the machine"
    leading = [(scope.owner, f"StartAt of {where}", scope.start)]
    leading += [(name, place, target) for name, state in scope.states.items() for place, target in targets(state)]
    for name, place, target in leading:
        if target in scope.states:
            continue
        message = f"which does not exist{did_you_mean(target, scope.states)}"
        if target in owners:
            inside = f"inside {owners[target]}" if owners[target] else "outside this branch"
            message = f"which is {inside}; no transition crosses that border"
        report.add("target", name, f"{place} leads to {target!r}, {message}")


def _ends(scope: Scope, report: Report) -> None:
    """Check that every state can be reached from the start and reaches an end."""
    leads = {name: {target for _, target in targets(scope.states[name])} for name in scope.reached}
    ending: set[str] = set()
    before = -1
    while len(ending) > before:
        before = len(ending)
        for name in reversed(scope.reached):
            if not leads[name] or leads[name] & ending or scope.states[name].get("End"):
                ending.add(name)
    for name in scope.states:
        if name not in leads:
            report.add("unreachable", name, "no state leads here")
        elif name not in ending:
            report.add("endless", name, "no way from this state comes to an end: the states only lead to each other")
