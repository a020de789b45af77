"""`redrive RUN`: starts the input of a failed or incomplete run again, as a new run.

Trained models and predictions are found by their fingerprints, so only the rest is repeated.
docs/decisions/0062 explains the difference to Step Functions' own redrive.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door
from stepgluon.errors import StepgluonError
from stepgluon.limits import EXECUTION_NAME
from stepgluon.names import Names
from stepgluon.runs.executions import Execution, find
from stepgluon.runs.start import execute
from stepgluon.runs.view import AGAIN
from stepgluon.workflow.decisions import UNUSABLE


class NotRedriven(StepgluonError):
    """The run cannot be redriven."""


@dataclass(frozen=True)
class Redrive:
    """The run that a redrive starts."""

    of: str  # the last attempt at the run
    name: str
    given: dict[str, Any]

    def words(self) -> str:
        fresh = self.given.get("fresh") is True
        reused = "fresh: repeats every job" if fresh else "reuses its models and predictions"
        return f"Run {self.name} repeats {self.of} ({reused})."


def planned(door: Door, names: Names, execution: Execution) -> Redrive:
    """Plan the run that repeats the last attempt at this one; raise NotRedriven if that makes no sense."""
    last, number = _last_attempt(door, names, execution)
    if last.status in ("RUNNING", "PENDING_REDRIVE"):
        raise NotRedriven(f"{last.run} is still running (follow it: {pipeline_py('watch', last.run)})")
    if last.status == "SUCCEEDED":
        raise NotRedriven(f"{last.run} has finished, so there is nothing to repeat (start a new run)")
    if UNUSABLE in last.cause:
        raise NotRedriven(f"the input of {last.run} is unusable (start a new run)")
    return Redrive(last.run, _name(execution.run, number), last.given)


def redrive(door: Door, names: Names, plan: Redrive) -> str:
    """Start the run; repeating the same plan starts no other."""
    return execute(door, names, plan.name, plan.given)


def _last_attempt(door: Door, names: Names, execution: Execution) -> tuple[Execution, int]:
    """The last redrive of this run, and the number of the next one."""
    last, number = execution, 2
    while found := find(door, names, _name(execution.run, number)):
        last, number = found, number + 1
    return last, number


def is_again(run: str) -> bool:
    """Whether a run with this name repeats another."""
    return AGAIN.search(run) is not None


def _name(run: str, number: int) -> str:
    base, count = re.fullmatch(r"(.*?)(?:-again-(\d+))?", run).groups()  # type: ignore[union-attr] # matches any name
    suffix = f"-again-{int(count) + number - 1 if count else number}"
    if len(base) + len(suffix) > EXECUTION_NAME:
        digest = hashlib.sha256(base.encode()).hexdigest()[:8]
        base = f"{base[: EXECUTION_NAME - len(suffix) - 9]}-{digest}"
    return base + suffix
