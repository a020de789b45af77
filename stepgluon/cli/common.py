"""What the commands have in common: their shape, the config they stand on, and JSON for scripts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepgluon.aws import Aws
    from stepgluon.cli.terminal import Terminal
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names
    from stepgluon.workflow.compile import Definition, Workflow

Command = Callable[[argparse.Namespace, "Workflow", Mapping[str, str], "Terminal"], "int | None"]


def a_path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a path is expected, not an empty text")
    if any("\ud800" <= character <= "\udfff" for character in text):  # Python's name for a byte that is not UTF-8
        raise argparse.ArgumentTypeError(f"{text!r} is not UTF-8 (rename the file or folder)")
    return Path(text)


def json_option(parser: Any) -> None:
    parser.add_argument(
        "--json", action="store_true", help='print JSON for scripts; a failure is {"error": ..., "exit_code": ...}'
    )


def json_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def config_of(options: argparse.Namespace, variables: Mapping[str, str]) -> LoadedConfig:
    from stepgluon.config.load import load

    return load(options.config, options.env, variables)


def definition_of(loaded: LoadedConfig, workflow: Workflow) -> Definition:
    from stepgluon.workflow.compile import compile_definition

    return compile_definition(loaded, workflow)


def account_of(options: argparse.Namespace, variables: Mapping[str, str]) -> tuple[Aws, Names]:
    """The way into the account, and the names of what is there."""
    from stepgluon.aws import Aws
    from stepgluon.names import Names

    names = Names(config_of(options, variables).config)
    return Aws(names.config.region), names
