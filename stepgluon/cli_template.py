"""The command that shows all that deploy would send to an account, as files to review."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepgluon.definition import Workflow
    from stepgluon.release import Release
    from stepgluon.terminal import Terminal

Command = Callable[[argparse.Namespace, "Workflow", Mapping[str, str], "Terminal"], "int | None"]
OBJECTS = ("definition.asl.json", "start_pipeline.zip", "config.json")  # as release.py has them


def add(command: Callable[..., Any]) -> None:
    """Adds the command to the parser; `command` makes one from its name and what it tells."""
    template = command("template", "Write the CloudFormation templates, and what they refer to, for a review.")
    template.add_argument("--out", type=Path, default=Path("build"), metavar="DIR", help="default: build/")


def _template(
    options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal
) -> None:
    from stepgluon.config import load
    from stepgluon.definition import compile_definition
    from stepgluon.release import release
    from stepgluon.terminal import write_file

    loaded = load(options.config, options.env, variables)
    made = release(loaded, compile_definition(loaded, workflow).text)
    for name, content in _files(made).items():
        write_file(options.out / name, content, options.config)
        terminal.say(f"{options.out / name}: {len(content):,} bytes")
    if made.cicd is None:
        terminal.say("no cicd.json: the config has no cicd")


def _files(made: Release) -> dict[str, bytes]:
    templates = [template for template in (made.base, made.pipeline, made.cicd) if template]
    return {
        **{f"{template.part}.json": template.text.encode() for template in templates},
        **{name: stored.body for name, stored in zip(OBJECTS, made.objects, strict=True)},
    }


COMMANDS: dict[str, Command] = {"template": _template}
