"""`redrive RUN`: the input of a run that failed or is incomplete, started again as a new run.

What was trained and predicted before is found again by its fingerprints, so only the rest is repeated.
docs/decisions/0062 tells why this is not Step Functions' own redrive.
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
from stepgluon.workflow.decisions import UNUSABLE


class NotRedriven(StepgluonError):
    """The run cannot be redriven."""


@dataclass(frozen=True)
class Redrive:
    """What a redrive would start."""

    of: str  # the last attempt at the run
    name: str
    given: dict[str, Any]

    def words(self) -> str:
        fresh = self.given.get("fresh") is True
        reused = "fresh: every job runs again" if fresh else "models and predictions that are there are reused"
        return f"Run {self.name} repeats {self.of} ({reused})."


def planned(door: Door, names: Names, execution: Execution) -> Redrive:
    """What redriving the last attempt at this run means; raises NotRedriven where it makes no sense."""
    last, number = _last_attempt(door, names, execution)
    if last.status in ("RUNNING", "PENDING_REDRIVE"):
        raise NotRedriven(f"{last.run} is still running (follow it: {pipeline_py('watch', last.run)})")
    if last.status == "SUCCEEDED":
        raise NotRedriven(f"{last.run} has finished, and there is nothing left to do (start a new run)")
    if UNUSABLE in last.cause:
        raise NotRedriven(f"the input of {last.run} was not usable, and would not be again (start a new run)")
    return Redrive(last.run, _name(execution.run, number), last.given)


def redrive(door: Door, names: Names, plan: Redrive) -> str:
    """Starts it; the same plan twice starts one run."""
    return execute(door, names, plan.name, plan.given)


def _last_attempt(door: Door, names: Names, execution: Execution) -> tuple[Execution, int]:
    """The last run that was made by redriving this one, and the number that the next one gets."""
    last, number = execution, 2
    while found := find(door, names, _name(execution.run, number)):
        last, number = found, number + 1
    return last, number


def is_again(run: str) -> bool:
    """Whether a run of this name repeats another."""
    return re.search(r"-again-\d+$", run) is not None


def _name(run: str, number: int) -> str:
    base, told = re.fullmatch(r"(.*?)(?:-again-(\d+))?", run).groups()  # type: ignore[union-attr] # matches any name
    suffix = f"-again-{int(told) + number - 1 if told else number}"
    if len(base) + len(suffix) > EXECUTION_NAME:
        digest = hashlib.sha256(base.encode()).hexdigest()[:8]
        base = f"{base[: EXECUTION_NAME - len(suffix) - 9]}-{digest}"
    return base + suffix
