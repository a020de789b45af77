"""The commands that need no account: run and local up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepgluon.advice import WORK, pipeline_py
from stepgluon.cli.common import Call, a_path, run_options, whole_number


def add(command: Callable[..., Any]) -> None:
    """Add the commands to the parser."""
    run = command(
        "run", _run, "Run the pipeline on this computer: start a local AWS, upload the data, follow the run.", json=True
    )
    run.add_argument("--local", action="store_true", help="the default; `start` runs it in the account")
    run.add_argument(
        "--data", type=a_path, nargs="+", metavar="FILE", required=True, help="tables: CSV, Parquet, JSON lines"
    )
    run_options(run)
    _folder(run)
    local = command(
        "local", _local, "Serve the local AWS with the pipeline in it, for the aws command line, until Ctrl-C."
    )
    local.add_argument("action", choices=["up"])
    port = whole_number("a port from 1 to 65535", 65535)
    local.add_argument("--port", type=port, default=0, metavar="N", help="default: any free one")
    _folder(local)


def _folder(parser: Any) -> None:
    parser.add_argument("--work", type=a_path, default=Path(WORK), metavar="DIR", help=f"default: {WORK}/")


def _run(call: Call) -> int:
    from stepgluon.local.run import Order, run
    from stepgluon.runs.start import check_files
    from stepgluon.runs.view import panel

    options = call.options
    check_files(options.data)
    order = Order(tuple(options.data), options.work, options.threshold, options.note, options.fresh)

    again = [*map(str, options.data)]
    again += ["--threshold", str(options.threshold)] if options.threshold is not None else []
    again += ["--note", options.note] if options.note else []

    def show(told: dict[str, Any]) -> None:
        call.result(f"\n{panel(told, pipeline_py('run --local --data', *again))}", told)

    told = run(call.config(), call.workflow, order, call.terminal.progress(), show)
    return 0 if told["status"] == "SUCCEEDED" else 1


def _local(call: Call) -> None:
    from stepgluon.local.serve import serve

    options, terminal = call.options, call.terminal
    serve(call.config(), call.workflow, options.work, options.port, terminal.progress(), terminal.result)
