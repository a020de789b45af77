"""Counts the maximum number of an execution's events: the worst case of each visit, with every retry used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepgluon.selfcheck.scopes import Scope

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
_EXECUTION = 2  # ExecutionStarted, and how it ended
_STATE = 2  # entered, exited
_CALL = 3  # TaskScheduled, TaskStarted, TaskSucceeded or TaskFailed
_JOB = 4  # the same, plus TaskSubmitted once the call is accepted
_PARALLEL = 2  # ParallelStateStarted, ParallelStateSucceeded or ParallelStateFailed; the same for Map
_ITERATION = 2  # MapIterationStarted, MapIterationSucceeded
Visits = Mapping[Scope, set[frozenset[tuple[str, int]]]]


class Events:
    def __init__(self, root: Scope, visits: Visits, stands_for: Mapping[Scope, int]) -> None:
        self._root, self._visits, self._stands_for = root, visits, stands_for

    def most(self, tries: Mapping[str, int] | None = None) -> int:
        """`tries` overrides MaxAttempts, by a retrier's error."""
        return _EXECUTION + self._scope(self._root, tries or {})

    def _scope(self, scope: Scope, tries: Mapping[str, int]) -> int:
        costs: dict[str, int] = {}
        most = 0
        for run in self._visits.get(scope, ()):
            total = 0
            for name, times in run:
                if name not in costs:
                    costs[name] = self._state(scope, name, tries)
                total += times * costs[name]
            most = max(most, total)
        return most

    def _state(self, scope: Scope, name: str, tries: Mapping[str, int]) -> int:
        state = scope.states[name]
        if state["Type"] == "Task":
            return _STATE + _task(state, tries)
        if state["Type"] not in ("Parallel", "Map"):
            return _STATE
        inside = 0
        for inner in scope.inner[name]:
            if inner.distributed:  # its items have separate histories
                continue
            each = self._scope(inner, tries) + (_ITERATION if state["Type"] == "Map" else 0)
            inside += self._stands_for.get(inner, 1) * each
        return _STATE + (_PARALLEL + inside) * (1 + sum(_attempts(one, tries) for one in state.get("Retry", ())))


def _attempts(retrier: Mapping[str, Any], tries: Mapping[str, int]) -> int:
    most: int = retrier.get("MaxAttempts", 3)
    return max((tries[error] for error in retrier["ErrorEquals"] if error in tries), default=most)


def _task(state: Mapping[str, Any], tries: Mapping[str, int]) -> int:
    """All attempts of a Task. A service's own exceptions refuse the call; later failures are States.… errors."""
    accepted = _JOB if state["Resource"].endswith((".sync", ".sync:2", ".waitForTaskToken")) else _CALL
    total = accepted
    for retrier in state.get("Retry", ()):
        refused = not any(name.startswith("States.") for name in retrier["ErrorEquals"])
        total += _attempts(retrier, tries) * (_CALL if refused else accepted)
    return total
