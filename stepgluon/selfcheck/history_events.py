"""How many events a state writes to an execution's history when each of its retries is used up.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXECUTION = 2  # ExecutionStarted, and how it ended
STATE = 2  # entered, exited
CALL = 3  # TaskScheduled, TaskStarted, TaskSucceeded or TaskFailed
JOB = 4  # the same, plus TaskSubmitted once the call is accepted
PARALLEL = 2  # ParallelStateStarted, ParallelStateSucceeded or ParallelStateFailed; the same for Map
ITERATION = 2  # MapIterationStarted, MapIterationSucceeded


def retries_of(state: Mapping[str, Any]) -> int:
    return sum(retrier.get("MaxAttempts", 3) for retrier in state.get("Retry", ()))


def events_of(state: Mapping[str, Any]) -> int:
    """A service's own exceptions refuse the call; later failures are States.… errors."""
    if state["Type"] != "Task":
        return STATE + (PARALLEL * (1 + retries_of(state)) if state["Type"] in ("Parallel", "Map") else 0)
    accepted = JOB if state["Resource"].endswith((".sync", ".sync:2", ".waitForTaskToken")) else CALL
    events = STATE + accepted
    for retrier in state.get("Retry", ()):
        refused = not any(error.startswith("States.") for error in retrier["ErrorEquals"])
        events += retrier.get("MaxAttempts", 3) * (CALL if refused else accepted)
    return events
