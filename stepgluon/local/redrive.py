"""`redrive` and `watch` of a local run, by the local AWS at work on its folder, else by a temporary one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.aws import Door
from stepgluon.config.source import LoadedConfig
from stepgluon.local.run import at_work, followed
from stepgluon.local.surroundings import blame_the_disk
from stepgluon.local.work_folder import ServerGone, all_runs, is_served, one_run, served
from stepgluon.names import Names
from stepgluon.runs import redrive
from stepgluon.runs.executions import one
from stepgluon.runs.follow import follow
from stepgluon.runs.progress import Progress
from stepgluon.runs.watch import History

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

KEPT_SECONDS = 30  # until the server has brought the run's folder up to date


def redriven(loaded: LoadedConfig, workflow: Workflow, work: Path, run: str, progress: Progress) -> dict[str, Any]:
    """Repeats the run and follows it to its end; returns the run as in run.json."""
    names, known = Names(loaded.config), one_run(work, run)
    cut_off = known["status"] == "CUT OFF"
    if cut_off and not redrive.is_again(known["run"]):
        raise redrive.NotRedriven(
            f"{known['run']} was cut off and did not fail (the same command or `local up` continues it)"
        )
    if is_served(work):
        with served(work, loaded.config.region) as door:
            arn = _started(door, names, known["run"], progress)
        told = _followed(work, arn, progress)
    else:
        with at_work(loaded, workflow, work) as place:
            arn = known["arn"] if cut_off else _started(place.aws, names, known["run"], progress)
            begun = next(begun for begun in place.journal.begun() if begun.arn == arn)
            if cut_off:
                progress.say(f"Continuing run {begun.name}, which was cut off.")
                place.go_on(begun)
            told = followed(place, begun, progress)
    blame_the_disk(told, work)
    return told


def _started(door: Door, names: Names, run: str, progress: Progress) -> str:
    """The ARN of the run that repeats this one."""
    plan = redrive.planned(door, names, one(door, names, run))
    progress.say(plan.words())
    return names.execution_arn(redrive.redrive(door, names, plan))


def watched_here(work: Path, run: str, progress: Progress) -> dict[str, Any]:
    """Follows a run to its end; of one that has ended, prints the lines."""
    known = one_run(work, run)
    if known["status"] != "RUNNING":
        for line in known["lines"]:
            progress.say(line)
        return known
    return _followed(work, known["arn"], progress)


def _followed(work: Path, arn: str, progress: Progress) -> dict[str, Any]:
    """Follows a run in another process's server until its folder is up to date."""
    try:
        _follow(work, arn, progress)
    except ServerGone:
        progress.done()
        told = one_run(work, arn.rpartition(":")[2])
        if told["status"] in ("RUNNING", "CUT OFF"):
            raise
        return told  # the server was stopped, and its runs with it
    return one_run(work, arn.rpartition(":")[2])


def _follow(work: Path, arn: str, progress: Progress) -> None:
    run = arn.rpartition(":")[2]
    with served(work, arn.split(":")[3]) as door:
        with progress.leaving(run):
            follow(History(door.client("stepfunctions"), arn).look, progress.tell, time.sleep)
        end = time.monotonic() + KEPT_SECONDS
        while not _is_kept(work, run) and time.monotonic() < end:
            time.sleep(0.1)


def _is_kept(work: Path, run: str) -> bool:
    return any(told["run"] == run and told["status"] != "RUNNING" for told in all_runs(work))
