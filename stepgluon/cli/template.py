"""The command that writes everything deploy would send to an account, as files to review."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.cli.common import Call, Command, a_path

if TYPE_CHECKING:
    from stepgluon.deploy.release import Release
    from stepgluon.names import Names

OBJECTS = ("definition.asl.json", "start_pipeline.zip", "config.json", "tell_failure.zip")  # same as in release.py


def add(command: Callable[..., Any]) -> None:
    """Add the command to the parser."""
    template = command("template", "Write the CloudFormation templates, and the files they use, for a review.")
    template.add_argument("--out", type=a_path, default=Path("build"), metavar="DIR", help="default: build/")


def _template(call: Call) -> None:
    from stepgluon.cli.terminal import write_file
    from stepgluon.deploy.release import release

    loaded, folder, say = call.config(), call.options.out, call.terminal.say
    made = release(loaded, call.definition(loaded).text)
    for name, content in _files(made).items():
        write_file(folder / name, content, call.options.config)
        say(f"{folder / name}: {len(content):,} bytes")
    if made.cicd is None:
        say(
            "The config has no cicd, so deploy leaves cicd.json out. This one is for a CodeCommit repository "
            f"{made.names.prefix}."
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
    """An example of the third stack, for a reviewer who has not chosen a source for pushes yet."""
    from stepgluon.config.schema import Cicd, CicdSource, CodeCommit
    from stepgluon.deploy.templates.cicd import cicd
    from stepgluon.deploy.templates.text import canonical

    pushes = Cicd(source=CicdSource(codecommit=CodeCommit(name=names.prefix)))
    return canonical(cicd(replace(names, config=names.config.changed(cicd=pushes))))


COMMANDS: dict[str, Command] = {"template": _template}
