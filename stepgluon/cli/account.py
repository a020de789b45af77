"""The commands for the account: start, status and rollback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.cli.common import Call, Command, json_option, run_options, whole_number
from stepgluon.errors import UsageError


def add(command: Callable[..., Any]) -> None:
    """Add the commands to the parser."""
    starting = command("start", "Start a run in the account, with local tables or a folder of the raw bucket.")
    data = starting.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", nargs="+", metavar="FILE", help="tables to upload, or one s3://RAW-BUCKET/FOLDER/")
    data.add_argument("--folder", metavar="FOLDER", help="a folder of the raw bucket, like june")
    run_options(starting)
    json_option(command("status", "Show the pipeline's state in the account, and what to do next."))
    back = command("rollback", "Make an earlier version of the workflow live.")
    version = whole_number("a version's number, like 3", 10**9)
    back.add_argument("--to", type=version, metavar="VERSION", help="default: the one before the live version")
    json_option(back)


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


COMMANDS: dict[str, Command] = {"start": _start, "status": _status, "rollback": _rollback}
