"""How large the definition is, and how many events its longest execution writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck import errors
from stepgluon.selfcheck.graph import Scope, every
from stepgluon.selfcheck.report import Report

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
_EXECUTION = 2  # ExecutionStarted, and how it ended
_STATE = 2  # entered, exited
_CALL = 3  # TaskScheduled, TaskStarted, TaskSucceeded or TaskFailed
_JOB = 4  # the same, and TaskSubmitted once the call was accepted
_PARALLEL = 2  # ParallelStateStarted, ParallelStateSucceeded or ParallelStateFailed; the same for Map
_ITERATION = 2  # MapIterationStarted, MapIterationSucceeded
_IMAGES = {"ImageUri", "TrainingImage"}
_IMAGE = re.compile(r"[^${}]+@\$\{(Data|Autogluon)Digest\}")
_BEFORE = re.compile(r'"(?:ImageUri|TrainingImage)": ?"[^"${}]+@\Z')
_ALLOWED = re.compile(r'\$\{(?:Data|Autogluon)Digest\}"')


def worst_case_events(root: Scope) -> int:
    """The most events that one execution writes when each retry is used up; a loop counts once."""
    return _EXECUTION + _scope(root)


def _scope(scope: Scope) -> int:
    longest: dict[str, int] = {}
    for name in reversed(scope.order):  # what a state leads to is known before it
        after = max((longest.get(target, 0) for target in scope.successors[name]), default=0)
        longest[name] = after + _state(scope, name)
    return longest[scope.start]


def _state(scope: Scope, name: str) -> int:
    state = scope.states[name]
    if state["Type"] == "Task":
        return _STATE + _task(state)
    if state["Type"] in ("Parallel", "Map"):
        inside = sum(_scope(inner) for inner in scope.inner[name])
        if state["Type"] == "Map":
            inside = (inside + _ITERATION) * _items(scope, state)
        return _STATE + (_PARALLEL + inside) * (1 + errors.attempts(state))
    return _STATE


def _items(scope: Scope, state: Mapping[str, Any]) -> int:
    """How often a Map runs: once for each branch of the Parallel that made its list; where none did, once."""
    path = state.get("ItemsPath", "$")
    makers = (s for s in scope.states.values() if s["Type"] == "Parallel" and s.get("ResultPath", "$") == path)
    return max((len(maker["Branches"]) for maker in makers), default=1)


def _task(state: Mapping[str, Any]) -> int:
    """All attempts of a Task. A service's own exceptions refuse the call; what fails later has States.… as its name."""
    accepted = _JOB if state["Resource"].endswith((".sync", ".sync:2", ".waitForTaskToken")) else _CALL
    total = accepted
    for retrier in state.get("Retry", ()):
        refused = not any(name.startswith("States.") for name in retrier["ErrorEquals"])
        total += errors.attempts({"Retry": [retrier]}) * (_CALL if refused else accepted)
    return total


def check(definition: Mapping[str, Any], root: Scope, text: str | None, report: Report) -> None:
    """Report a definition or a history over its limit, and `${...}` where nothing fills it in."""
    text = json.dumps(definition) if text is None else text
    size = len(text.encode())
    if size > limits.DEFINITION_BYTES:
        message = f"the definition has {size:,} bytes, and {limits.DEFINITION_BYTES:,} is the limit; have fewer models"
        report.add("definition-size", "", message)
    events = worst_case_events(root)
    if events > limits.EVENTS:
        message = f"with each retry used up, an execution writes {events:,} events, and {limits.EVENTS:,} is the limit"
        report.add("events", "", f"{message}; retry less or have fewer models")
    # In most definitions such texts stand only where they may: then the states need not be searched.
    for found in re.finditer(r"\$\{", text):
        place = found.start()
        if not (_ALLOWED.match(text, place) and _BEFORE.search(text[max(0, place - 400) : place])):
            _placeholders(root, report)
            return


def _placeholders(root: Scope, report: Report) -> None:
    for scope in every(root):
        for name, state in scope.states.items():
            own = {key: value for key, value in state.items() if key not in ("Branches", "ItemProcessor", "Iterator")}
            if "${" not in repr(own):
                continue
            for key, value in _texts("", own):
                if "${" in value and not (key in _IMAGES and _IMAGE.fullmatch(value)):
                    message = f"{value[:80]!r} in {key} holds ${{…}}, which only an image's digest may be"
                    report.add("placeholder", name, message)


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if "${" in name:
                yield name, name
            yield from _texts(name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(key, inner)
