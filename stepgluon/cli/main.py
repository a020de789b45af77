"""The command line: words in, one sentence and an exit code out.

Results go to stdout or to the file that is asked for; progress and errors go to stderr. What only some commands need is
imported by those: `--help` must not wait for the SDKs.
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
from stepgluon.cli import account, deploy, local, runs, template
from stepgluon.cli.common import a_path, config_of, definition_of
from stepgluon.cli.terminal import Terminal, forget, write_file
from stepgluon.errors import StepgluonError, SurroundingsError, UsageError
from stepgluon.gc_control import left_at_exit

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

INSTALLED = ("pydantic", "yaml", "boto3", "botocore", "stepfunctions")
Picture = Literal["text", "mermaid", "svg", "html"]
Detail = Literal["story", "full"]
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
    """Run one command; returns the exit code. `variables` are the environment's, for `${VAR}` in the config."""
    variables = os.environ if variables is None else variables
    terminal = Terminal(sys.stdout, sys.stderr, "NO_COLOR" not in variables)
    left_at_exit()
    arguments = sys.argv[1:] if arguments is None else arguments
    options = argparse.Namespace(json="--json" in arguments)  # whatever else is wrong with them
    try:
        options = _parser().parse_args(arguments)
        commands = {
            "validate": _validate,
            "compile": _compile,
            "graph": _graph,
            "schema": _schema,
            **local.COMMANDS,
            **account.COMMANDS,
            **runs.COMMANDS,
            **deploy.COMMANDS,
            **template.COMMANDS,
        }
        with as_given(options.config, options.env, getattr(options, "work", None)):
            code = commands[options.command](options, workflow, variables, terminal)
    except StepgluonError as error:
        terminal.error(error)
        if getattr(options, "json", False):
            _tell_script(error, terminal)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in INSTALLED:
            raise
        terminal.error(
            SurroundingsError(f"{error.name} is not installed (run `make setup`, then use .venv/bin/python)")
        )
        return SurroundingsError.exit_code
    except BrokenPipeError:
        forget(terminal.results)  # whoever read the output has seen enough
        return 0
    except KeyboardInterrupt:
        return 130
    return code or 0


def _tell_script(error: StepgluonError, terminal: Terminal) -> None:
    """Whoever asked for JSON gets JSON, whatever happens."""
    import json

    with suppress(StepgluonError, BrokenPipeError):  # where the output itself is what fails
        terminal.result(json.dumps({"error": str(error), "exit_code": error.exit_code}, ensure_ascii=False) + "\n")


class _Parser(argparse.ArgumentParser):
    """argparse, but a wrong call is one sentence that ends like every other error."""

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

    def command(name: str, tells: str, parents: tuple[_Parser, ...] = (config,)) -> _Parser:
        return commands.add_parser(name, help=tells, description=tells, parents=[*parents], allow_abbrev=False)

    command("validate", "Name every mistake in the config, with its file, line and column.")
    compiling = command("compile", "Write the state machine's definition.")
    where = compiling.add_mutually_exclusive_group()
    where.add_argument("--out", type=a_path, default=Path("build"), metavar="DIR", help="default: build/")
    where.add_argument("--stdout", action="store_true", help="print the definition instead")
    graph = command("graph", "Draw the workflow.")
    graph.add_argument(
        "--detail", choices=get_args(Detail), default="story", help="story: the stages; full: every state"
    )
    graph.add_argument("--format", choices=get_args(Picture), help="default: by the file's name, else text")
    graph.add_argument(
        "-o", "--output", type=a_path, metavar="FILE", help="write the picture here instead of printing it"
    )
    command("schema", "Print the config's JSON Schema, which editors complete and check the file with.")
    local.add(command)
    account.add(command)
    runs.add(command)
    template.add(command)
    deploy.add(command)
    return parser


def _validate(
    options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal
) -> None:
    from stepgluon.workflow.size_estimate import surely_fits

    loaded = config_of(options, variables)
    count = len(loaded.config.models)
    if not surely_fits(loaded.config):
        definition_of(loaded, workflow)  # takes seconds, and names what is over a limit
    terminal.say(f"{options.config}: no mistakes; {count} model{'s' if count > 1 else ''}")


def _compile(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    definition = definition_of(config_of(options, variables), workflow)
    if options.stdout:
        terminal.result(definition.text)
    else:
        file = options.out / "definition.asl.json"
        write_file(file, definition.text, options.config)
        terminal.say(f"{file}: {len(definition.text.encode()):,} bytes")


def _graph(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    suffix = options.output.suffix.lower() if options.output else ".txt"
    if options.format is None and suffix not in SUFFIXES:
        raise UsageError(
            f"{options.output}: no picture has this ending (use .svg, .html, .mmd or .txt, or add --format)"
        )
    loaded = config_of(options, variables)
    definition = definition_of(loaded, workflow)

    from stepgluon.graph import render
    from stepgluon.names import Names

    kind: Picture = options.format or SUFFIXES[suffix]
    picture = render(definition.asl, kind, Names(loaded.config).prefix, options.detail)
    if options.output:
        write_file(options.output, picture, options.config)
        terminal.say(f"{options.output}: {len(picture.encode()):,} bytes")
    else:
        terminal.result(picture)


def _schema(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    import json

    from stepgluon.config.json_schema import json_schema

    terminal.result(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
