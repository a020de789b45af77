"""The commands that are about the account alone: start, status and rollback."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.advice import pipeline_py
from stepgluon.cli.common import Command, account_of, json_option, json_text
from stepgluon.cli.local import threshold
from stepgluon.errors import UsageError

if TYPE_CHECKING:
    from stepgluon.cli.terminal import Terminal
    from stepgluon.workflow.compile import Workflow


def add(command: Callable[..., Any]) -> None:
    """Adds the commands to the parser; `command` makes one from its name and what it tells."""
    starting = command(
        "start", "Start a run in the account, with tables of this computer or a folder of the raw bucket."
    )
    data = starting.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", nargs="+", metavar="FILE", help="tables to upload, or one s3://RAW-BUCKET/FOLDER/")
    data.add_argument("--folder", metavar="FOLDER", help="a folder of the raw bucket, like june")
    starting.add_argument("--threshold", type=threshold, metavar="N", help="replaces every model's threshold")
    starting.add_argument("--note", default="", metavar="TEXT", help="stands in the first mail")
    starting.add_argument("--fresh", action="store_true", help="reuse no model and no prediction")
    json_option(starting)
    json_option(command("status", "Tell how the pipeline in the account is, and what to do next."))
    back = command("rollback", "Make an earlier version of the workflow the one that is started.")
    back.add_argument("--to", type=_version, metavar="VERSION", help="default: the one before what is live")
    json_option(back)


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no version (expected: a number, like 3)")
    return int(text)


def _start(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.aws import one_sentence
    from stepgluon.runs.start import folder_of, start, upload

    files = [] if options.folder or options.data[0].startswith("s3://") else [Path(name) for name in options.data]
    if files:
        from stepgluon.local.run import check_files

        check_files(tuple(files))
    elif not options.folder and len(options.data) > 1:
        raise UsageError("--data takes one s3:// folder, or files of this computer")
    door, names = account_of(options, variables)
    with one_sentence():
        if files:
            folder = upload(door, names, files)
            terminal.say(f"The data are in {folder}")
        else:
            folder = folder_of(door, names, options.folder or options.data[0])
        run = start(door, names, folder, options.threshold, options.note, options.fresh)
    text = f"Run {run} has started.\nFollow it: {pipeline_py('watch', run)}\n"
    terminal.result(json_text({"run": run, "data": folder}) if options.json else text)


def _status(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.aws import one_sentence
    from stepgluon.runs.status import status, words
    from stepgluon.runs.view import runs_table

    door, names = account_of(options, variables)
    with one_sentence():
        found = status(door, names)
    text = words(found, runs_table(found.runs, "start --data FILE"))
    terminal.result(json_text(found.as_json()) if options.json else text)


def _rollback(
    options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal
) -> None:
    from dataclasses import asdict

    from stepgluon.aws import one_sentence
    from stepgluon.deploy.plan import workflow_words
    from stepgluon.runs.rollback import planned, roll_back

    door, names = account_of(options, variables)
    with one_sentence():
        plan = planned(door, names, options.to)
        roll_back(door, names, plan)
    changed = workflow_words(plan.workflow) if plan.workflow else "The workflow is the same in both.\n"
    text = (
        f"Version {plan.after.number} is live in place of version {plan.before.number}.\n{changed}"
        f"Runs that are going on are not affected. A deploy that changes the workflow makes a new version live;\n"
        f"back again: {pipeline_py(f'rollback --to {plan.before.number}')}\n"
    )
    terminal.result(json_text(asdict(plan)) if options.json else text)


COMMANDS: dict[str, Command] = {"start": _start, "status": _status, "rollback": _rollback}
