"""`redrive` and `watch` of a run in the work folder: by the local AWS that serves it, else by one for the moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from stepgluon.config import LoadedConfig
from stepgluon.definition import Workflow
from stepgluon.hints import pipeline_py
from stepgluon.local import run as a_run
from stepgluon.local.deployed import deployed
from stepgluon.local.run import Change, Order, terminated_as_interrupted, unchanged, whatever_this_computer_does
from stepgluon.local.run_folder import collect
from stepgluon.local.stored import all_runs, is_served, one_run, served, told_where
from stepgluon.local.watcher import watched
from stepgluon.names import Names
from stepgluon.progress import Progress
from stepgluon.runs import redrive
from stepgluon.runs.executions import one
from stepgluon.runs.follow import follow
from stepgluon.runs.history import History

KEPT_SECONDS = 30  # until the server has brought the run's folder up to date


def redriven(
    loaded: LoadedConfig, workflow: Workflow, work: Path, run: str, progress: Progress, change: Change = unchanged
) -> dict[str, Any]:
    """Takes up the run and follows it to its end; returns what run.json says of it."""
    names, known = Names(loaded.config), one_run(work, run)
    if known["status"] == "CUT OFF":
        raise redrive.NotRedriven(
            f"{known['run']} was cut off and did not fail (the same command, or `local up`, goes on with it)"
        )
    if is_served(work):
        with served(work, loaded.config.region) as door:
            plan = redrive.planned(door, names, one(door, names, known["run"]))
            progress.say(plan.words())
            redrive.redrive(door, names, plan)
        return _followed(work, names.execution_arn(plan.name), progress)
    with whatever_this_computer_does(work), terminated_as_interrupted():
        definition = a_run.definition_of(loaded, workflow, work)
        settings = change(a_run.settings_of(loaded, Order((), work)))
        with deployed(loaded, definition, settings) as place, told_where(work, place.aws.endpoint):
            with watched(place):
                plan = redrive.planned(place.aws, names, one(place.aws, names, known["run"]))
                progress.say(plan.words())
                redrive.redrive(place.aws, names, plan)
                arn = names.execution_arn(plan.name)
                follow(lambda: place.aws.history(arn), progress.tell, place.journal.wait)
                place.journal.wait_for_end(arn, 10)
                progress.done()
            return collect(place, next(begun for begun in place.journal.begun() if begun.arn == arn))


def watched_here(work: Path, run: str, progress: Progress) -> dict[str, Any]:
    """Follows a run that a server is at work on; of one that has ended, what run.json says."""
    known = one_run(work, run)
    if known["status"] != "RUNNING":
        for line in known["lines"]:
            progress.say(line)
        return known
    try:
        return _followed(work, known["arn"], progress)
    except KeyboardInterrupt:
        progress.done()
        progress.say(f"The run goes on. Follow it again: {pipeline_py('watch ' + known['run'])}")
        raise


def _followed(work: Path, arn: str, progress: Progress) -> dict[str, Any]:
    """Follows a run that another process's server is at work on, until that has brought its folder up to date."""
    run = arn.rpartition(":")[2]
    with served(work, arn.split(":")[3]) as door:
        follow(History(door.client("stepfunctions"), arn).look, progress.tell, time.sleep)
        progress.done()
        end = time.monotonic() + KEPT_SECONDS
        while not _is_kept(work, run) and time.monotonic() < end:
            time.sleep(0.1)
    return one_run(work, run)


def _is_kept(work: Path, run: str) -> bool:
    return any(told["run"] == run and told["status"] != "RUNNING" for told in all_runs(work))
