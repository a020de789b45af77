"""The command line: every command with its options, and the module with its function `do_<command>`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stepgluon import __version__
from stepgluon.advice import CONFIG, WORK
from stepgluon.config.table_formats import READ_AS
from stepgluon.errors import UsageError

PARTS = ("base", "pipeline", "cicd")


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")


_JSON = (
    "check",
    "doctor",
    "run",
    "cost",
    "prices",
    "advise",
    "verify",
    "plan",
    "deploy",
    "destroy",
)  # with --json, besides whole modules


def parser() -> argparse.ArgumentParser:
    """All commands; each sets `module`."""
    parser = _Parser(
        prog="pipeline.py",
        description="Fill the gaps in tables with AutoML, on this computer or on AWS Step Functions. "
        "Begin with: init my.csv",
        epilog="Exit codes: 0 done, 1 failed, 2 bad usage or config, 3 a problem with this computer, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stepgluon {__version__}")
    config = _Parser(add_help=False)
    config.add_argument("--config", type=a_path, default=Path(CONFIG), metavar="FILE", help=f"default: {CONFIG}")
    config.add_argument("--env", metavar="NAME", help="merge this entry of `environments` over the rest of the config")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(module: str, name: str, description: str) -> _Parser:
        added = commands.add_parser(
            name, help=description, description=description, parents=[config], allow_abbrev=False
        )
        added.set_defaults(module=module)
        if module in ("runs", "results", "account") or name in _JSON:
            failure = '{"error": ..., "exit_code": ...}'
            added.add_argument("--json", action="store_true", help=f"print JSON for scripts; a failure is {failure}")
        return added

    _definition(command)
    _runs(command)
    _cost(command)
    _deploy(command)
    return parser


_TABLES = "tables: CSV, Excel (.xlsx), Parquet, JSON lines"
Add = Callable[[str, str, str], _Parser]


def _definition(command: Add) -> None:
    init = command("init", "init", "Read tables and write a config for them.")
    init.add_argument("data", type=a_path, nargs="+", metavar="FILE", help=_TABLES)
    init.add_argument("--label", metavar="COLUMN", help="the column to predict; default: ask")
    for option, choices in READ_AS.items():
        init.add_argument(f"--{option}", choices=choices, default="auto", help=f"how to read the tables: data.{option}")
    init.add_argument("--out", type=a_path, metavar="FILE", help=f"default: {CONFIG}")
    init.add_argument("--force", action="store_true", help="overwrite the file")
    command("definition", "validate", "Check the config: report every mistake with file, line and column.")
    compiling = command("definition", "compile", "Write the state machine's definition.")
    where = compiling.add_mutually_exclusive_group()
    where.add_argument("--out", type=a_path, default=Path("build"), metavar="DIR", help="default: build/")
    where.add_argument("--stdout", action="store_true", help="print the definition instead")
    _machine_option(compiling)
    graph = command("definition", "graph", "Draw the workflow.")
    _machine_option(graph)
    graph.add_argument(
        "--detail", choices=("story", "full"), default="story", help="story: the stages; full: every state"
    )
    pictures = ("text", "mermaid", "svg", "html")
    graph.add_argument("--format", choices=pictures, help="default: by the file's name, else text")
    graph.add_argument("-o", "--output", type=a_path, metavar="FILE", help="write the picture to this file")
    command("definition", "schema", "Print the config's JSON Schema, for editors that complete and check YAML.")
    completion = command("completion", "completion", "Print a script that completes commands and options with Tab.")
    completion.add_argument(
        "shell", choices=("bash", "zsh"), help="use it like this: source <(python pipeline.py completion bash)"
    )


def _machine_option(command: argparse.ArgumentParser) -> None:
    others = ("release", "monitor")
    command.add_argument(
        "--machine", choices=others, help="the machine that releases or monitors, instead of the one of runs"
    )


def _runs(command: Add) -> None:
    check = command("local", "check", "Check tables: how they are read, each model's rows, gaps without a model.")
    command("local", "doctor", "Check what can run on this computer: jobs, serving, containers, builds of images.")
    run = command(
        "local", "run", "Run the pipeline on this computer: start a local AWS, upload the data, follow the run."
    )
    run.add_argument("--local", action="store_true", help="the default; `start` runs it in the account")
    for one in (check, run):
        one.add_argument("--data", type=a_path, nargs="+", metavar="FILE", required=True, help=_TABLES)
    _run_options(run)
    local = command(
        "local", "local", "Serve the local AWS with the pipeline in it, for the aws command line, until Ctrl-C or down."
    )
    local.add_argument("action", choices=["up", "down"])
    port = _whole_number("a port from 1 to 65535", 65535)
    local.add_argument("--port", type=port, default=0, metavar="N", help="default: any free one")
    for one in (run, local):
        one.add_argument("--work", type=a_path, default=Path(WORK), metavar="DIR", help=f"default: {WORK}/")
        _open_option(one)

    start = command("account", "start", "Start a run in the account, with local tables or a folder of the raw bucket.")
    data = start.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", nargs="+", metavar="FILE", help="tables to upload, or one s3://RAW-BUCKET/FOLDER/")
    data.add_argument("--folder", metavar="FOLDER", help="a folder of the raw bucket, like june")
    _run_options(start)
    command("account", "status", "Show the pipeline's state in the account, and what to do next.")
    back = command("account", "rollback", "Make an earlier version of the workflow live.")
    version = _whole_number("a version's number, like 3", 10**9)
    back.add_argument("--to", type=version, metavar="VERSION", help="default: the one before the live version")

    for name, description in (
        ("runs", "List the runs, the latest first."),
        ("show", "Show a run's states, jobs and models, and why it failed."),
        ("watch", "Follow a run until it ends; Ctrl-C leaves it running."),
        ("redrive", "Repeat a failed run: start a new run with the same input, reusing models and predictions."),
        ("promote", "Make a run's accepted models the defaults."),
        ("models", "List the models' versions in the registry, their approval, and which are the defaults."),
        ("logs", "Print the logs of a run's jobs, or of one model's."),
        ("fetch", "Copy a run's result, or a model, to this computer."),
        ("compare", "Compare two runs: config, errors, verdicts and rows."),
        ("advise", "Advise on instance types, spot and groups, from what a run's jobs used."),
    ):
        one = command(_MODULES.get(name, "runs"), name, description)
        if name not in ("runs", "models"):
            one.add_argument("run", metavar="A" if name == "compare" else "RUN", help=_RUN)
        _more(name, one)
        _place(one, "a local run", "a run in the account")

    monitoring = command(
        "results",
        "monitor",
        "Compare new rows with a model's training rows; if they have labels, compare its error, too.",
    )
    monitoring.add_argument("model", metavar="MODEL", help="a model of the config")
    monitoring.add_argument("--data", type=a_path, nargs="+", metavar="FILE", required=True, help=_TABLES)
    monitoring.add_argument(
        "--run", default="latest", metavar="RUN", help=f"the run that trained the model: {_RUN}; default: latest"
    )
    limit = "the highest accepted difference of a column; default: the model's monitor.drift, or 0.2"
    monitoring.add_argument("--drift", type=_above_0, metavar="N", help=limit)
    monitoring.add_argument("--to", type=a_path, metavar="DIR", help="folder for drift.html; default: drift-MODEL/")
    rehearsing = command(
        "results",
        "rehearse",
        "Predict the same rows with the model that serves and with a run's new one, and compare.",
    )
    rehearsing.add_argument("run", metavar="RUN", help=_RUN)
    rehearsing.add_argument("model", metavar="MODEL", help="a model of the config")
    what = "tables; default: captured rows, or else the run's held-out ones"
    rehearsing.add_argument("--data", type=a_path, nargs="+", metavar="FILE", help=what)
    rehearsing.add_argument(
        "--to", type=a_path, metavar="DIR", help="folder for rehearse.html; default: rehearse-MODEL/"
    )
    for one in (monitoring, rehearsing):
        place = one.add_mutually_exclusive_group()
        place.add_argument("--work", type=a_path, metavar="DIR", help=f"a local run, in this folder; default: {WORK}/")
        place.add_argument("--aws", action="store_true", help="a run in the account")

    cleaning = command("results", "clean", "Delete the files of old local runs; keep models and predictions.")
    count = _whole_number("a number of runs, like 10", 10**6)
    cleaning.add_argument("--keep", type=count, required=True, metavar="N", help="number of latest runs to keep")
    cleaning.add_argument("--yes", action="store_true", help="delete them; default: only list them")
    cleaning.add_argument("--work", type=a_path, default=Path(WORK), metavar="DIR", help=f"default: {WORK}/")


def _place(parser: _Parser, local: str, account: str) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--work", type=a_path, metavar="DIR", help=f"{local}, in this folder; default: {WORK}/")
    place.add_argument("--aws", action="store_true", help=account)


_RUN = "name of the run, the beginning of it, or latest"
_MODULES = {"logs": "results", "fetch": "results", "compare": "results", "advise": "cost"}


def _more(name: str, one: _Parser) -> None:
    """Add the arguments that only this command has."""
    if name == "logs":
        one.add_argument("model", nargs="?", metavar="MODEL", help="only the jobs of this model")
        one.add_argument("-f", "--follow", action="store_true", help="print new lines until the run ends")
    elif name == "fetch":
        what = one.add_mutually_exclusive_group()
        what.add_argument("--model", metavar="MODEL", help="copy the folder of this model instead of the result")
        what.add_argument("--only-predicted", action="store_true", help="also write predicted.csv: only predicted rows")
        one.add_argument("--to", type=a_path, metavar="DIR", help="default: a folder with the run's name")
    elif name == "watch":
        _open_option(one)
    elif name == "show":
        one.add_argument("--open", action="store_true", help="open its report in the browser")
    elif name == "compare":
        one.add_argument("other", metavar="B", help=_RUN)


def _cost(command: Add) -> None:
    cost = command("cost", "cost", "Estimate what a run costs on AWS, by state and model.")
    cost.add_argument(
        "--data", type=a_path, nargs="+", metavar="FILE", help=f"{_TABLES}; leave out models without rows to predict"
    )
    _place(cost, "durations of local runs", "durations of runs in the account")
    command("cost", "prices", "Read the prices of the config's region from AWS's public list.")


def _deploy(command: Add) -> None:
    command("deploy", "verify", "Ask AWS whether a deploy and its runs would work; create nothing that costs money.")
    for name, description in (
        ("plan", "Show what deploy would change in the account, and change nothing."),
        ("deploy", "Make the account match the config; safe to repeat and to interrupt."),
        ("destroy", "Remove the pipeline from the account; its buckets and images are kept."),
    ):
        one = command("deploy", name, description)
        only = "some of: base pipeline cicd"
        one.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=only)
        if name != "plan":
            one.add_argument("--yes", action="store_true", help="do not ask")
        if name == "destroy":
            one.add_argument(
                "--delete-data", action="store_true", help="also delete the buckets and images with all data"
            )
            one.add_argument("--stop-runs", action="store_true", help="stop the runs in progress")
    template = command("deploy", "template", "Write the CloudFormation templates, and the files they use, for review.")
    template.add_argument("--out", type=a_path, default=Path("build"), metavar="DIR", help="default: build/")


def a_path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a path is expected, not an empty text")
    if any("\ud800" <= character <= "\udfff" for character in text):  # Python's name for a byte that is not UTF-8
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8 (rename the file or folder)")
    return Path(text)


def _run_options(parser: _Parser) -> None:
    """Add the options of a run, in the account or locally."""
    parser.add_argument(
        "--threshold", type=_threshold, metavar="N", help="replaces the limit of every model judged by mae"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="appears in the first mail")
    parser.add_argument("--fresh", action="store_true", help="ignore cached results; start over")


def _open_option(parser: _Parser) -> None:
    parser.add_argument("--open", action="store_true", help="also show the runs live in the browser")


def _above_0(text: str, what: str = "valid", like: str = "0.2") -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e300:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not {what} (expected: a number above 0 and below 1e300, like {like})"
        )
    return number


def _threshold(text: str) -> float:
    number = _above_0(text, "a threshold", "400")
    return int(number) if number == int(number) else number


def _whole_number(expected: str, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not valid (expected: {expected})")
        return int(text)

    return number
