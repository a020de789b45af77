"""The command line: the parser, and the commands that need neither an account nor the local AWS.

Results go to stdout or to a file, progress and errors to stderr. Modules that only some commands need are imported by
those commands, so `--help` does not wait for the SDKs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

from stepgluon import __version__
from stepgluon.advice import CONFIG, as_given
from stepgluon.cli import deploy, local, runs
from stepgluon.cli.common import JSON, Call, Command, a_path
from stepgluon.cli.terminal import Terminal, forget, write_file
from stepgluon.errors import StepgluonError, SurroundingsError, UsageError
from stepgluon.gc_control import left_at_exit

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

INSTALLED = ("yaml", "boto3", "botocore", "stepfunctions")
Picture = Literal["text", "mermaid", "svg", "html"]
DETAILS = ("story", "full")
SUFFIXES: dict[str, Picture] = {
    ".txt": "text",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".md": "mermaid",
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
}


def main(workflow: Workflow, arguments: Sequence[str] | None = None, variables: Mapping[str, str] | None = None) -> int:
    """Run one command; return the exit code."""
    variables = os.environ if variables is None else variables
    terminal = Terminal(sys.stdout, sys.stderr, "NO_COLOR" not in variables)
    left_at_exit()
    arguments = sys.argv[1:] if arguments is None else arguments
    options = argparse.Namespace(json="--json" in arguments)  # used until they are parsed
    try:
        parser = _parser()
        if not arguments:
            terminal.say(parser.format_help().rstrip())
            return UsageError.exit_code
        options = parser.parse_args(arguments)
        with as_given(options.config, options.env, getattr(options, "work", None)):
            code = options.do(Call(options, workflow, variables, terminal))
    except StepgluonError as error:
        terminal.error(error)
        if getattr(options, "json", False):
            _print_error(error, terminal)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in INSTALLED:
            raise
        terminal.error(
            SurroundingsError(f"{error.name} is not installed (run `make setup`, then use .venv/bin/python)")
        )
        return SurroundingsError.exit_code
    except MemoryError:
        terminal.error(SurroundingsError("this computer has too little memory left (end other programs)"))
        return SurroundingsError.exit_code
    except BrokenPipeError:
        forget(terminal.results)  # the reader has closed the pipe
        return 0
    except KeyboardInterrupt:
        return 130
    return code or 0


def _print_error(error: StepgluonError, terminal: Terminal) -> None:
    """With --json, stdout is JSON even for errors."""
    import json

    with suppress(StepgluonError, BrokenPipeError):  # in case the output itself fails
        terminal.result(json.dumps({"error": str(error), "exit_code": error.exit_code}, ensure_ascii=False) + "\n")


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pipeline.py",
        description="Turn pipeline-config.yml into a batch AutoML pipeline on AWS Step Functions.",
        epilog="Exit codes: 0 done, 1 failed, 2 bad usage or config, 3 this computer is the problem, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stepgluon {__version__}")
    config = _Parser(add_help=False)
    config.add_argument("--config", type=a_path, default=Path(CONFIG), metavar="FILE", help=f"default: {CONFIG}")
    config.add_argument("--env", metavar="NAME", help="merge this entry of `environments` over the rest of the config")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, do: Command, tells: str, json: bool = False) -> _Parser:
        added = commands.add_parser(name, help=tells, description=tells, parents=[config], allow_abbrev=False)
        added.set_defaults(do=do)
        if json:
            added.add_argument("--json", action="store_true", help=JSON)
        return added

    command("validate", _validate, "Name every mistake in the config, with its file, line and column.")
    compiling = command("compile", _compile, "Write the state machine's definition.")
    where = compiling.add_mutually_exclusive_group()
    where.add_argument("--out", type=a_path, default=Path("build"), metavar="DIR", help="default: build/")
    where.add_argument("--stdout", action="store_true", help="print the definition instead")
    graph = command("graph", _graph, "Draw the workflow.")
    graph.add_argument("--detail", choices=DETAILS, default="story", help="story: the stages; full: every state")
    graph.add_argument("--format", choices=get_args(Picture), help="default: by the file's name, else text")
    graph.add_argument("-o", "--output", type=a_path, metavar="FILE", help="write the picture to this file")
    command("schema", _schema, "Print the config's JSON Schema, for editors that complete and check YAML.")
    for module in (local, runs, deploy):
        module.add(command)
    return parser


def _validate(call: Call) -> None:
    from stepgluon.workflow.size_estimate import surely_fits

    loaded = call.config()
    count = len(loaded.config.models)
    if not surely_fits(loaded.config):
        call.definition(loaded)  # takes seconds, and reports exceeded limits
    call.terminal.say(f"{call.options.config}: no mistakes; {count} model{'s' if count > 1 else ''}")


def _compile(call: Call) -> None:
    options, definition = call.options, call.definition(call.config())
    _write(call, definition.text, None if options.stdout else options.out / "definition.asl.json")


def _graph(call: Call) -> None:
    output = call.options.output
    kind: Picture | None = call.options.format or (SUFFIXES.get(output.suffix.lower()) if output else "text")
    if kind is None:
        raise UsageError(f"{output}: unknown ending (use .svg, .html, .mmd or .txt, or add --format)")
    loaded = call.config()
    definition = call.definition(loaded)

    from stepgluon.graph import render
    from stepgluon.names import Names

    _write(call, render(definition.asl, kind, Names(loaded.config).prefix, call.options.detail), output)


def _schema(call: Call) -> None:
    import json

    from stepgluon.config.json_schema import json_schema

    _write(call, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", None)


def _write(call: Call, text: str, file: Path | None) -> None:
    """Write to the file, or to stdout."""
    if file is None:
        call.terminal.result(text)
    else:
        write_file(file, text, call.options.config)
        call.terminal.say(f"{file}: {len(text.encode()):,} bytes")
