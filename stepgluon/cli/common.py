"""A parsed command, and the options that commands share."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepgluon.aws import Aws
    from stepgluon.cli.terminal import Terminal
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names
    from stepgluon.workflow.compile import Definition, Workflow


@dataclass(frozen=True)
class Call:
    options: argparse.Namespace
    workflow: Workflow
    variables: Mapping[str, str]  # environment variables, for ${VAR} in the config
    terminal: Terminal

    def config(self) -> LoadedConfig:
        from stepgluon.config.load import load

        return load(self.options.config, self.options.env, self.variables)

    def definition(self, loaded: LoadedConfig) -> Definition:
        from stepgluon.workflow.compile import compile_definition

        return compile_definition(loaded, self.workflow)

    @contextmanager
    def account(self) -> Iterator[tuple[Aws, Names]]:
        """The account's clients and the pipeline's names; an AWS error in the block becomes one sentence."""
        from stepgluon.aws import Aws, one_sentence
        from stepgluon.names import Names

        names = Names(self.config().config)
        with one_sentence():
            yield Aws(names.config.region), names

    def result(self, text: str, value: Any) -> None:
        """Print the text, or with --json the value."""
        as_json = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n" if self.options.json else ""
        self.terminal.result(as_json or text)


Command = Callable[[Call], "int | None"]
JSON = 'print JSON for scripts; a failure is {"error": ..., "exit_code": ...}'


def a_path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a path is expected, not an empty text")
    if any("\ud800" <= character <= "\udfff" for character in text):  # Python's name for a byte that is not UTF-8
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8 (rename the file or folder)")
    return Path(text)


def run_options(parser: Any) -> None:
    """Add the options of a run, in the account or locally."""
    parser.add_argument("--threshold", type=_threshold, metavar="N", help="replaces every model's threshold")
    parser.add_argument("--note", default="", metavar="TEXT", help="appears in the first mail")
    parser.add_argument("--fresh", action="store_true", help="ignore cached results; start over")


def _threshold(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e300:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a threshold (expected: a number above 0 and below 1e300, like 400)"
        )
    return int(number) if number == int(number) else number


def whole_number(expected: str, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not valid (expected: {expected})")
        return int(text)

    return number
