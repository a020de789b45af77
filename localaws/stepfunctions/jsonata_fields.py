"""Where expressions stand in a definition, and what they may use there.

`$states.input` and `$states.context` are everywhere. `$states.result` is in Assign and Output of a Task, a Parallel and
a Map; `$states.errorOutput` in those of a Catch. Step Functions refuses a definition that uses them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from localaws.stepfunctions.jsonata import QueryEvaluationError, check, expression_of
from localaws.stepfunctions.jsonata_scan import scan, survey

_WITH_RESULT = ("Task", "Parallel", "Map")
_NESTED = ("Branches", "ItemProcessor", "Iterator", "Catch", "Comment")
_SOMEWHERE = {"result", "errorOutput"}


def problems(definition: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the expressions of a state machine, each with its place."""
    for place, expression, members in expressions(definition):
        try:
            check(expression)
        except QueryEvaluationError as problem:
            yield f"{problem} at {place}"
        for member in sorted(_used(expression) - members):
            yield f"The JSONata expression '{expression}' uses $states.{member}, which is not available at {place}"


def _used(expression: str) -> frozenset[str]:
    found = survey(expression).members_of_states or frozenset()
    return (scan(expression).members_of_states or frozenset()) & _SOMEWHERE if found & _SOMEWHERE else frozenset()


def expressions(
    machine: Mapping[str, Any], at: str = "", outer: str = "JSONPath"
) -> Iterator[tuple[str, str, set[str]]]:
    """Each expression: its place, its text, and the members of `$states` that only some places have."""
    language = machine.get("QueryLanguage", outer)
    for name, state in machine.get("States", {}).items():
        place = f"{at}/States/{name}"
        if state.get("QueryLanguage", language) == "JSONata":
            yield from _of_state(state, place)
        for index, branch in enumerate(state.get("Branches", [])):
            yield from expressions(branch, f"{place}/Branches[{index}]", language)
        for key in ("ItemProcessor", "Iterator"):
            yield from expressions(state.get(key, {}), f"{place}/{key}", language)


def _of_state(state: Mapping[str, Any], place: str) -> Iterator[tuple[str, str, set[str]]]:
    for field, value in state.items():
        if field not in _NESTED:
            result = {"result"} if field in ("Assign", "Output") and state["Type"] in _WITH_RESULT else set()
            yield from _within(value, f"{place}/{field}", result)
    for index, catcher in enumerate(state.get("Catch", [])):
        yield from _within(catcher, f"{place}/Catch[{index}]", {"errorOutput"})


def _within(value: Any, place: str, members: set[str]) -> Iterator[tuple[str, str, set[str]]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _within(item, f"{place}/{key}", members)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _within(item, f"{place}[{index}]", members)
    elif expression := expression_of(value):
        yield place, expression, members
