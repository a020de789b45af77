"""The commands that need no account: run and local up."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.advice import CONFIG, WORK, pipeline_py
from stepgluon.cli.common import Command, a_path, config_of, json_option, json_text
from stepgluon.errors import UsageError

if TYPE_CHECKING:
    from stepgluon.cli.terminal import Terminal
    from stepgluon.workflow.compile import Workflow


def add(command: Callable[..., Any]) -> None:
    """Adds the commands to the parser; `command` makes one from its name and what it tells."""
    run = command("run", "Run the pipeline on this computer: start a local AWS, upload the data, follow the run.")
    run.add_argument("--local", action="store_true", help="on this computer; needs no account")
    run.add_argument(
        "--data", type=a_path, nargs="+", metavar="FILE", required=True, help="tables: CSV, Parquet, JSON lines"
    )
    run.add_argument("--threshold", type=threshold, metavar="N", help="replaces every model's threshold in this run")
    run.add_argument("--note", default="", metavar="TEXT", help="stands in the first mail")
    run.add_argument("--fresh", action="store_true", help="run every job: reuse no model and no prediction")
    _folder(run)
    json_option(run)
    local = command("local", "Serve the local AWS with the pipeline in it, for the aws command line, until Ctrl-C.")
    local.add_argument("action", choices=["up"])
    local.add_argument("--port", type=_port, default=0, metavar="N", help="default: any free one")
    _folder(local)


def _folder(parser: Any) -> None:
    parser.add_argument("--work", type=a_path, default=Path(WORK), metavar="DIR", help=f"default: {WORK}/")


def threshold(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e300:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no threshold (expected: a number above 0 and below 1e300, like 400)"
        )
    return int(number) if number == int(number) else number


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port (expected: a number from 1 to 65535)")
    return int(text)


def _run(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> int:
    if not options.local:
        raise UsageError(f"run needs --local (in an account: {pipeline_py('start --data FILE')})")

    from stepgluon.local.run import Order, check_files, run
    from stepgluon.runs.view import panel

    check_files(tuple(options.data))
    loaded = config_of(options, variables)
    order = Order(tuple(options.data), options.work, options.threshold, options.note, options.fresh)
    told = run(
        loaded,
        workflow,
        order,
        terminal.progress(),
        lambda told: terminal.result(json_text(told) if options.json else f"\n{panel(told, again(options))}"),
    )
    return 0 if told["status"] == "SUCCEEDED" else 1


def again(options: argparse.Namespace) -> str:
    """The command as the user wrote it, without --fresh."""
    words = ["python", "pipeline.py", "run", "--local", "--data", *map(str, options.data)]
    given = {"--config": options.config, "--env": options.env, "--work": options.work, "--threshold": options.threshold}
    usual = {"--config": Path(CONFIG), "--work": Path(WORK)}
    for flag, value in {**given, "--note": options.note or None}.items():
        if value is not None and value != usual.get(flag):
            words += [flag, str(value)]
    return shlex.join(words)


def _local(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> int:
    from stepgluon.local.serve import serve

    serve(config_of(options, variables), workflow, options.work, options.port, terminal.progress(), terminal.result)
    return 0


COMMANDS: dict[str, Command] = {"run": _run, "local": _local}
