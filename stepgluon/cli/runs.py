"""The commands for runs and for the account: start, status, rollback; runs, show, watch, redrive and promote.

The last five go to the place of the run: the work folder if it has the run, otherwise the account. `--work DIR` and
`--aws` force one; see docs/decisions/0061.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.advice import WORK, pipeline_py
from stepgluon.cli.common import Call, a_path, run_options, whole_number
from stepgluon.errors import UsageError

if TYPE_CHECKING:
    from stepgluon.aws import Aws
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names
    from stepgluon.runs.executions import Execution

LISTED = 20  # runs of an account


def add(command: Callable[..., Any]) -> None:
    """Add the commands to the parser."""
    starting = command(
        "start", _start, "Start a run in the account, with local tables or a folder of the raw bucket.", json=True
    )
    data = starting.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", nargs="+", metavar="FILE", help="tables to upload, or one s3://RAW-BUCKET/FOLDER/")
    data.add_argument("--folder", metavar="FOLDER", help="a folder of the raw bucket, like june")
    run_options(starting)
    command("status", _status, "Show the pipeline's state in the account, and what to do next.", json=True)
    back = command("rollback", _rollback, "Make an earlier version of the workflow live.", json=True)
    version = whole_number("a version's number, like 3", 10**9)
    back.add_argument("--to", type=version, metavar="VERSION", help="default: the one before the live version")
    for name, do, tells in (
        ("runs", _runs, "List the runs, the latest first."),
        ("show", _show, "Show a run's states, jobs and models, and why it failed."),
        ("watch", _watch, "Follow a run until it ends; Ctrl-C leaves it running."),
        (
            "redrive",
            _redrive,
            "Repeat a failed run: a new run with the same input, which reuses models and predictions.",
        ),
        ("promote", _promote, "Make a run's accepted models the defaults."),
    ):
        parser = command(name, do, tells, json=True)
        if name != "runs":
            parser.add_argument("run", metavar="RUN", help="its name, or latest")
        place = parser.add_mutually_exclusive_group()
        place.add_argument("--work", type=a_path, metavar="DIR", help=f"a local run, in this folder; default: {WORK}/")
        place.add_argument("--aws", action="store_true", help="a run in the account")


def _is_local(call: Call) -> bool:
    from stepgluon.local.work_folder import knows

    options = call.options
    if options.aws or options.work:
        return bool(options.work)
    options.work = Path(WORK)
    run = getattr(options, "run", None)
    if run is None or knows(options.work, run):
        return True

    from stepgluon.aws import there_are_credentials

    return not there_are_credentials()


def _runs(call: Call) -> None:
    from stepgluon.runs.view import runs_table

    if _is_local(call):
        from stepgluon.local.work_folder import all_runs

        runs, start = all_runs(call.options.work), "run --local --data FILE"
    else:
        from stepgluon.runs.executions import listed

        with call.account() as (door, names):
            runs, start = [one.row() for one in listed(door, names, LISTED)], "start --data FILE"
    call.result(runs_table(runs, start), runs)


def _show(call: Call) -> None:
    from stepgluon.runs.view import details

    if _is_local(call):
        from stepgluon.local.work_folder import one_run

        run = one_run(call.options.work, call.options.run)
    else:
        from stepgluon.runs.executions import one

        with call.account() as (door, names):
            run = _told(door, names, one(door, names, call.options.run))
    call.result(details(run), run)


def _told(door: Aws, names: Names, execution: Execution) -> dict[str, Any]:
    from stepgluon.runs.executions import last_words, tell
    from stepgluon.runs.watch import story_of

    told = tell(door, names, execution, story_of(door, execution.arn))
    return {**told, "said": last_words(door, told)}


def _watch(call: Call) -> int:
    if _is_local(call):
        from stepgluon.local.redrive import watched_here

        return _ended(call, watched_here(call.options.work, call.options.run, call.terminal.progress()))

    from stepgluon.runs.executions import one
    from stepgluon.runs.watch import watch

    with call.account() as (door, names):
        execution = one(door, names, call.options.run)
        with call.terminal.progress().leaving(execution.run) as progress:
            watch(door, execution.arn, progress.tell, progress.say, time.sleep)
        return _ended(call, _told(door, names, execution))


def _ended(call: Call, told: dict[str, Any]) -> int:
    from stepgluon.runs.view import panel

    call.result(f"\n{panel(told, pipeline_py('redrive', told['run']))}", told)
    return 0 if told["status"] == "SUCCEEDED" else 1


def _redrive(call: Call) -> int:
    if _is_local(call):
        from stepgluon.local.redrive import redriven

        options, loaded = call.options, call.config()
        _of_this_pipeline(call, loaded)
        return _ended(call, redriven(loaded, call.workflow, options.work, options.run, call.terminal.progress()))

    from stepgluon.runs.executions import one
    from stepgluon.runs.redrive import planned, redrive

    with call.account() as (door, names):
        plan = planned(door, names, one(door, names, call.options.run))
        run = redrive(door, names, plan)
    call.result(f"{plan.words()}\nFollow it: {pipeline_py('watch', run)}\n", {"run": run, "of": plan.of})
    return 0


def _of_this_pipeline(call: Call, loaded: LoadedConfig) -> str:
    """The run's name; a work folder may also have runs of other pipelines and environments."""
    from stepgluon.local.work_folder import one_run
    from stepgluon.names import Names

    known, names = one_run(call.options.work, call.options.run), Names(loaded.config)
    if known["arn"] != names.execution_arn(known["run"]):
        _, _, _, region, account, _, machine, run = known["arn"].split(":")
        raise UsageError(
            f"{run} is a run of {machine} in {account}, {region}, but the config is of {names.machine} in "
            f"{names.config.account}, {names.config.region} (choose its config with --config and --env)"
        )
    return str(known["run"])


def _promote(call: Call) -> None:
    from stepgluon.runs.history import number
    from stepgluon.runs.promote import promote

    if _is_local(call):
        from stepgluon.local.work_folder import buckets_of, local_story
        from stepgluon.names import Names

        loaded, work = call.config(), call.options.work
        run = _of_this_pipeline(call, loaded)
        with buckets_of(loaded, work) as s3:
            promoted = promote(s3, Names(loaded.config), run, lambda: local_story(work, run).models)
    else:
        from stepgluon.runs.executions import LATEST, find, one
        from stepgluon.runs.watch import story_of

        with call.account() as (door, names):
            run = call.options.run
            # Step Functions deletes an execution after 90 days; its folder may still exist.
            found = one(door, names, LATEST) if run == LATEST else find(door, names, run)
            run = found.run if found else run
            promoted = promote(door.client("s3"), names, run, lambda: story_of(door, found.arn).models if found else [])
    models = ", ".join(f"{name} (MAE {number(error)})" for name, error in promoted.items())
    call.result(f"Promoted from run {run}: {models}.\n", {"run": run, "promoted": promoted})


def _start(call: Call) -> None:
    from stepgluon.runs.start import check_files, folder_of, start, upload

    options = call.options
    files = [] if options.folder or options.data[0].startswith("s3://") else [Path(name) for name in options.data]
    if files:
        check_files(files)
    elif not options.folder and len(options.data) > 1:
        raise UsageError("--data takes one s3:// folder, or local files")
    with call.account() as (door, names):
        if files:
            folder = upload(door, names, files)
            call.terminal.say(f"Uploaded the data to {folder}")
        else:
            folder = folder_of(door, names, options.folder or options.data[0])
        run = start(door, names, folder, options.threshold, options.note, options.fresh)
    text = f"Run {run} has started.\nFollow it: {pipeline_py('watch', run)}\n"
    call.result(text, {"run": run, "data": folder})


def _status(call: Call) -> None:
    from stepgluon.runs.status import status, words
    from stepgluon.runs.view import runs_table

    with call.account() as (door, names):
        found = status(door, names)
    call.result(words(found, runs_table(found.runs, "start --data FILE")), asdict(found))


def _rollback(call: Call) -> None:
    from stepgluon.deploy.plan import workflow_words
    from stepgluon.runs.rollback import planned, roll_back

    with call.account() as (door, names):
        plan = planned(door, names, call.options.to)
        roll_back(door, names, plan)
    changed = workflow_words(plan.workflow) if plan.workflow else "Both have the same workflow.\n"
    text = (
        f"Version {plan.after.number} is live in place of version {plan.before.number}.\n{changed}"
        f"Runs in progress are not affected. A deploy that changes the workflow makes a new version live.\n"
        f"To undo this: {pipeline_py(f'rollback --to {plan.before.number}')}\n"
    )
    call.result(text, asdict(plan))
