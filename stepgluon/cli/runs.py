"""The commands for past and present runs: runs, show, watch, redrive and promote.

A command goes to the place of its run: the work folder if it has the run, otherwise the account. `--work DIR` and
`--aws` force one; see docs/decisions/0061. What follows a local run loads the local AWS, so only two commands do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from stepgluon.advice import WORK, pipeline_py
from stepgluon.aws import Aws, there_are_credentials
from stepgluon.cli.common import Call
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import UsageError
from stepgluon.local.work_folder import all_runs, buckets_of, knows, local_story, one_run
from stepgluon.names import Names
from stepgluon.runs.executions import LATEST, Execution, find, last_words, listed, one, tell
from stepgluon.runs.history import number
from stepgluon.runs.promote import promote
from stepgluon.runs.redrive import planned, redrive
from stepgluon.runs.view import details, panel, runs_table
from stepgluon.runs.watch import story_of, watch

LISTED = 20  # runs of an account


def _is_local(call: Call) -> bool:
    options = call.options
    if options.aws or options.work:
        return bool(options.work)
    options.work = Path(WORK)
    run = getattr(options, "run", None)
    if run is None or knows(options.work, run):
        return True
    return not there_are_credentials()


def do_runs(call: Call) -> None:
    if _is_local(call):
        runs, start = all_runs(call.options.work), "run --data FILE"
    else:
        with call.account() as (door, names):
            runs, start = [one.row() for one in listed(door, names, LISTED)], "start --data FILE"
    call.result(runs_table(runs, start), runs)


def do_show(call: Call) -> None:
    if _is_local(call):
        run = one_run(call.options.work, call.options.run)
    else:
        with call.account() as (door, names):
            run = _told(door, names, one(door, names, call.options.run))
    call.result(details(run), run)


def _told(door: Aws, names: Names, execution: Execution) -> dict[str, Any]:
    told = tell(door, names, execution, story_of(door, execution.arn))
    return {**told, "said": last_words(door, told)}


def do_watch(call: Call) -> int:
    if _is_local(call):
        from stepgluon.local.redrive import watched_here

        return _ended(call, watched_here(call.options.work, call.options.run, call.terminal.progress()))

    with call.account() as (door, names):
        execution = one(door, names, call.options.run)
        with call.terminal.progress().leaving(execution.run) as progress:
            watch(door, execution.arn, progress.tell, progress.say, time.sleep)
        return _ended(call, _told(door, names, execution))


def _ended(call: Call, told: dict[str, Any]) -> int:
    call.result(f"\n{panel(told, pipeline_py('redrive', told['run']))}", told)
    return 0 if told["status"] == "SUCCEEDED" else 1


def do_redrive(call: Call) -> int:
    if _is_local(call):
        from stepgluon.local.redrive import redriven

        options, loaded = call.options, call.config()
        _of_this_pipeline(call, loaded)
        return _ended(call, redriven(loaded, call.workflow, options.work, options.run, call.terminal.progress()))

    with call.account() as (door, names):
        plan = planned(door, names, one(door, names, call.options.run))
        run = redrive(door, names, plan)
    call.result(f"{plan.words()}\nFollow it: {pipeline_py('watch', run)}\n", {"run": run, "of": plan.of})
    return 0


def _of_this_pipeline(call: Call, loaded: LoadedConfig) -> str:
    """The run's name; a work folder may also have runs of other pipelines and environments."""
    known, names = one_run(call.options.work, call.options.run), Names(loaded.config)
    if known["arn"] != names.execution_arn(known["run"]):
        _, _, _, region, account, _, machine, run = known["arn"].split(":")
        raise UsageError(
            f"{run} is a run of {machine} in {account}, {region}, but the config is of {names.machine} in "
            f"{names.config.account}, {names.config.region} (choose its config with --config and --env)"
        )
    return str(known["run"])


def do_promote(call: Call) -> None:
    if _is_local(call):
        loaded, work = call.config(), call.options.work
        run = _of_this_pipeline(call, loaded)
        with buckets_of(loaded, work) as s3:
            promoted = promote(s3, Names(loaded.config), run, lambda: local_story(work, run).models)
    else:
        with call.account() as (door, names):
            run = call.options.run
            # Step Functions deletes an execution after 90 days; its folder may still exist.
            found = one(door, names, LATEST) if run == LATEST else find(door, names, run)
            run = found.run if found else run
            promoted = promote(door.client("s3"), names, run, lambda: story_of(door, found.arn).models if found else [])
    models = ", ".join(f"{name} (MAE {number(error)})" for name, error in promoted.items())
    call.result(f"Promoted from run {run}: {models}.\n", {"run": run, "promoted": promoted})
