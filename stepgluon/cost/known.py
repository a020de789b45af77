"""How long the jobs of earlier runs were billed for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from stepgluon.aws import Door
from stepgluon.names import Names
from stepgluon.runs.child_jobs import MOST, whole_run
from stepgluon.runs.executions import NotDeployed, listed

_GROUP = re.compile(r"(?<= group) g\d{4}$")  # ends the state of a job for a group of models
_PARTIAL = ("RUNNING", "CUT OFF", "ABORTED", "TIMED_OUT")
RUNS = 5  # latest ones of an account that are read


@dataclass(frozen=True)
class Known:
    """The last job of a state, or the sum of its jobs for all groups of models."""

    seconds: float
    instances: int
    run: str
    jobs: int = 1


def durations(runs: Iterable[dict[str, Any]]) -> dict[str, Known]:
    """Of each state, from the latest run in which its job ran to its end; `runs` are like run.json, latest first.

    The groups of a run that are not cached have a job each: the run with the most jobs counts. A run that has not
    ended, or was stopped, may lack the jobs of some groups.
    """
    found: dict[str, Known] = {}
    for run in runs:
        sums: dict[str, Known] = {}
        for job in run["jobs"]:
            if job["status"] == "Completed" and job.get("billed") is not None:
                state = _GROUP.sub("", job["state"])
                if state != job["state"] and run.get("status") in _PARTIAL:
                    continue
                sofar = sums.get(state, Known(0, job["instances"], run["run"], 0))
                sums[state] = replace(sofar, seconds=sofar.seconds + job["billed"], jobs=sofar.jobs + 1)
        found |= {state: one for state, one in sums.items() if state not in found or one.jobs > found[state].jobs}
    return found


def in_account(door: Door, names: Names) -> dict[str, Known]:
    try:
        return durations(_runs(door, names))
    except NotDeployed:
        return {}


def _runs(door: Door, names: Names) -> Iterator[dict[str, Any]]:
    """The latest runs; with the jobs of groups until a run had one for each group, or MOST children were read."""
    left = MOST
    for execution in listed(door, names, RUNS):
        run, children = whole_run(door, names, execution, left)
        grouped = [job for job in run["jobs"] if _GROUP.search(job["state"])]
        left = 0 if grouped and len(grouped) >= children else left - children
        if "unread" in run:  # their sum would be too small
            run["jobs"] = [job for job in run["jobs"] if job not in grouped]
        yield run
