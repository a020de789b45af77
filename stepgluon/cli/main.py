"""The command line: runs one command, and turns errors into sentences and exit codes.

Results go to stdout or to a file, progress and errors to stderr. Only the command's own module is imported, so
`--help` does not wait for the SDKs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from stepgluon.advice import as_given
from stepgluon.cli.common import Call
from stepgluon.cli.parser import parser
from stepgluon.cli.terminal import Terminal, forget
from stepgluon.errors import StepgluonError, SurroundingsError
from stepgluon.gc_control import left_at_exit

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

INSTALLED = ("yaml", "boto3", "botocore", "stepfunctions", "shtab", "rich")


def main(workflow: Workflow, arguments: Sequence[str] | None = None, variables: Mapping[str, str] | None = None) -> int:
    """Run one command; return the exit code."""
    variables = os.environ if variables is None else variables
    terminal = Terminal(sys.stdout, sys.stderr, "NO_COLOR" not in variables)
    left_at_exit()
    arguments = sys.argv[1:] if arguments is None else arguments
    options = argparse.Namespace(json="--json" in arguments)  # used until they are parsed
    try:
        words = parser()
        options = words.parse_args(arguments or ["--help"])
        with as_given(options.config, options.env, getattr(options, "work", None)):
            do = getattr(import_module(f"stepgluon.cli.{options.module}"), f"do_{options.command}")
            code: int | None = do(Call(options, workflow, variables, terminal))
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
