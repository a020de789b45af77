"""How long the jobs of earlier runs were billed for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stepgluon.aws import Door
from stepgluon.names import Names
from stepgluon.runs.executions import NotDeployed, listed, tell
from stepgluon.runs.watch import story_of

RUNS = 5  # latest ones of an account that are read


@dataclass(frozen=True)
class Known:
    """The last job of a state."""

    seconds: float
    instances: int
    run: str


def durations(runs: Iterable[dict[str, Any]]) -> dict[str, Known]:
    """Of each state, from the latest run in which its job ran to its end; `runs` are like run.json, latest first."""
    found: dict[str, Known] = {}
    for run in runs:
        for job in run["jobs"]:
            if job["status"] == "Completed" and job.get("billed") is not None:
                found.setdefault(job["state"], Known(job["billed"], job["instances"], run["run"]))
    return found


def in_account(door: Door, names: Names) -> dict[str, Known]:
    try:
        return durations(tell(door, names, one, story_of(door, one.arn)) for one in listed(door, names, RUNS))
    except NotDeployed:
        return {}
