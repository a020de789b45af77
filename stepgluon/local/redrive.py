"""Redrives and watches a local run, through the local AWS that serves its folder, or else a temporary one."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.aws import Door
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import SurroundingsError
from stepgluon.local.run import at_work, followed
from stepgluon.local.surroundings import blame_the_disk
from stepgluon.local.work_folder import ServerGone, is_served, local_story, one_run, run_of, served
from stepgluon.names import Names
from stepgluon.runs import redrive
from stepgluon.runs.executions import find
from stepgluon.runs.progress import Progress

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

KEPT_SECONDS = 30  # to wait until the server has created the run's folder


def redriven(loaded: LoadedConfig, workflow: Workflow, work: Path, run: str, progress: Progress) -> dict[str, Any]:
    """Repeat the run and follow it to its end; return the run as in run.json."""
    names, known = Names(loaded.config), one_run(work, run)
    cut_off = known["status"] == "CUT OFF"
    if cut_off and not redrive.is_again(known["run"]):
        raise redrive.NotRedriven(
            f"{known['run']} was cut off and did not fail (the same command or `local up` continues it)"
        )
    if is_served(work):
        with served(work, loaded.config.region) as door:
            arn = _started(door, names, known["run"], progress)
        record = _followed(work, arn.rpartition(":")[2], progress)
    else:
        with at_work(loaded, workflow, work) as place:
            arn = known["arn"] if cut_off else _started(place.aws, names, known["run"], progress)
            begun = next(begun for begun in place.journal.begun() if begun.arn == arn)
            if cut_off:
                progress.say(f"Continuing run {begun.name}, which was cut off.")
                place.go_on(begun)
            record = followed(place, begun, progress)
    blame_the_disk(record, work)
    return record


def _started(door: Door, names: Names, run: str, progress: Progress) -> str:
    """Start the run that repeats this one; return its ARN."""
    execution = find(door, names, run)
    if execution is None:
        raise redrive.NotRedriven(f"the input of {run} is gone from the work folder (start a new run)")
    plan = redrive.planned(door, names, execution)
    progress.say(plan.words())
    return names.execution_arn(redrive.redrive(door, names, plan))


def watched_here(work: Path, run: str, progress: Progress) -> dict[str, Any]:
    """Print a run until it has ended."""
    return _followed(work, one_run(work, run)["run"], progress)


def _followed(work: Path, run: str, progress: Progress) -> dict[str, Any]:
    """Print the run until it has ended, from its folder, which another process's server keeps up to date."""
    deadline, ran = time.monotonic() + KEPT_SECONDS, False
    with progress.leaving(run):
        while True:
            record = run_of(work, run)
            if record:
                story = replace(local_story(work, run), lines=record["lines"])
                progress.tell(story, maps=record.get("progress", ()))
                if record["status"] == "CUT OFF" and ran:
                    raise ServerGone(work)
                if record["status"] != "RUNNING":
                    return record
                ran = True
            elif time.monotonic() > deadline:
                raise SurroundingsError(f"{work} has no folder of the run {run} yet (try again)")
            time.sleep(0.2)
