"""The command that shows all that deploy would send to an account, as files to review."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.cli.common import Command, a_path, config_of, definition_of

if TYPE_CHECKING:
    from stepgluon.cli.terminal import Terminal
    from stepgluon.deploy.release import Release
    from stepgluon.names import Names
    from stepgluon.workflow.compile import Workflow

OBJECTS = ("definition.asl.json", "start_pipeline.zip", "config.json", "tell_failure.zip")  # as release.py has them


def add(command: Callable[..., Any]) -> None:
    """Adds the command to the parser; `command` makes one from its name and what it tells."""
    template = command("template", "Write the CloudFormation templates, and what they refer to, for a review.")
    template.add_argument("--out", type=a_path, default=Path("build"), metavar="DIR", help="default: build/")


def _template(
    options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal
) -> None:
    from stepgluon.cli.terminal import write_file
    from stepgluon.deploy.release import release

    loaded = config_of(options, variables)
    made = release(loaded, definition_of(loaded, workflow).text)
    for name, content in _files(made).items():
        write_file(options.out / name, content, options.config)
        terminal.say(f"{options.out / name}: {len(content):,} bytes")
    if made.cicd is None:
        terminal.say(
            "the config has no cicd, so deploy leaves cicd.json out: it is as for pushes to a repository "
            f"{made.names.prefix} of CodeCommit"
        )


def _files(made: Release) -> dict[str, bytes]:
    from stepgluon.deploy.templates.policies import policy
    from stepgluon.deploy.templates.text import canonical

    return {
        "deployer-policy.json": canonical(policy(made.names, "deployer")).encode(),
        "base.json": made.base.text.encode(),
        "pipeline.json": made.pipeline.text.encode(),
        "cicd.json": (made.cicd.text if made.cicd else _example(made.names)).encode(),
        **{name: stored.body for name, stored in zip(OBJECTS, made.objects, strict=True)},
    }


def _example(names: Names) -> str:
    """What the third stack would be, for who reviews before deciding where pushes come from."""
    from stepgluon.config.schema import Cicd, CicdSource, CodeCommit
    from stepgluon.deploy.templates.cicd import cicd
    from stepgluon.deploy.templates.text import canonical

    pushes = Cicd(source=CicdSource(codecommit=CodeCommit(name=names.prefix)))
    return canonical(cicd(replace(names, config=names.config.model_copy(update={"cicd": pushes}))))


COMMANDS: dict[str, Command] = {"template": _template}
