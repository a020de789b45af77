"""The commands that bring a pipeline into an account and out of it again: plan, deploy and destroy."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stepgluon.advice import pipeline_py
from stepgluon.cli.common import Command, config_of, definition_of, json_option, json_text
from stepgluon.errors import StepgluonError, UsageError

if TYPE_CHECKING:
    from stepgluon.cli.terminal import Terminal
    from stepgluon.deploy.apply import Deployed
    from stepgluon.deploy.changes import Change
    from stepgluon.deploy.release import Release
    from stepgluon.names import Names
    from stepgluon.workflow.compile import Workflow

PARTS = ("base", "pipeline", "cicd")


class NotAgreed(StepgluonError):
    """The user was asked, and did not agree."""


def add(command: Callable[..., Any]) -> None:
    """Adds the commands to the parser; `command` makes one from its name and what it tells."""
    planning = command("plan", "Tell what deploy would change in the account, and change nothing.")
    deploying = command("deploy", "Make the account as the config says; safe to repeat and to interrupt.")
    destroying = command("destroy", "Remove the pipeline from the account; its buckets and images are kept.")
    for parser in (planning, deploying, destroying):
        parser.add_argument(
            "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="some of: base pipeline cicd"
        )
        json_option(parser)
    for parser in (deploying, destroying):
        parser.add_argument("--yes", action="store_true", help="do not ask")
    destroying.add_argument(
        "--delete-data", action="store_true", help="delete the buckets and images too, with all that is in them"
    )
    destroying.add_argument("--stop-runs", action="store_true", help="stop the runs that are going on")


def _plan(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.aws import Aws, one_sentence
    from stepgluon.deploy.account_checks import check_identity, check_key
    from stepgluon.deploy.plan import plan

    release = _release(options, workflow, variables)
    door = Aws(release.names.config.region)
    with one_sentence():
        check_identity(release.names, door)
        check_key(release.names, door)
        planned = plan(release, door, time.sleep, options.only)
    terminal.result(json_text(planned.as_json()) if options.json else planned.words())


def _deploy(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.aws import Aws, one_sentence
    from stepgluon.deploy.account_checks import check_identity, check_key
    from stepgluon.deploy.apply import deploy
    from stepgluon.deploy.images import Docker

    release = _release(options, workflow, variables)
    names = release.names

    def agree(stack: str, changes: tuple[Change, ...]) -> None:
        losing = [change for change in changes if change.loses]
        if losing and not options.yes:
            lost = [f"{change.resource} is {change.action}: {change.loses}" for change in losing]
            _ask(terminal, [f"This change of {stack} loses something", *lost], names.prefix)

    door = Aws(names.config.region)
    with one_sentence():
        check_identity(names, door)
        check_key(names, door)  # not in deploy: the local AWS takes any
        deployed = deploy(
            release,
            door,
            Docker(names, terminal.say),
            terminal.say,
            time.sleep,
            options.only,
            agree,
        )
    terminal.result(json_text(asdict(deployed)) if options.json else _next_steps(names, deployed, options.only))


def _next_steps(names: Names, deployed: Deployed, only: tuple[str, ...]) -> str:
    """What is left to do after a deploy, and how a run is started."""
    done = f"changed: {', '.join(deployed.changed)}" if deployed.changed else "nothing had to be changed"
    lines = [f"{names.prefix} is deployed in account {names.config.account}, {names.config.region}; {done}."]
    if "pipeline" in only:
        if deployed.unconfirmed:
            addresses = ", ".join(deployed.unconfirmed)
            lines.append(f"Not confirmed yet: {addresses}. Each gets mails when the link in AWS's mail was followed.")
        lines += [f"Note: {remark}." for remark in deployed.remarks]
        folder = f"s3://{names.raw_bucket}/june/"
        lines += [
            "To start a run, upload tables to a folder, and then a file that ends in .run:",
            f"  aws s3 cp my.csv {folder}",
            f"  echo | aws s3 cp - {folder}go.run",
        ]
    return "\n".join(lines) + "\n"


def _destroy(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.aws import Aws, one_sentence
    from stepgluon.deploy.destroy import Order, destroy, found
    from stepgluon.names import Names

    names = Names(config_of(options, variables).config)
    config = names.config
    order = Order(tuple(options.only), options.stop_runs, options.delete_data)
    door = Aws(config.region)
    with one_sentence():
        there = found(names, door, order)
        if there and not options.yes:
            _ask(terminal, [f"This deletes, in account {config.account}, {config.region}", *there], names.prefix)
        done = destroy(names, door, order, terminal.say, time.sleep)
    if options.json:
        terminal.result(json_text(asdict(done)))
        return
    lines = [f"Deleted: {', '.join([*done.stacks, *done.deleted]) or 'nothing, nothing was there'}."]
    if done.kept:
        lines.append(f"Kept: {', '.join(done.kept)} (`{pipeline_py('destroy --delete-data')}` deletes them too).")
    terminal.result("\n".join(lines) + "\n")


def _ask(terminal: Terminal, what: list[str], name: str) -> None:
    """Returns when the user has typed the pipeline's name; `what` is a sentence's beginning, and its list."""
    head, *items = what
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(f"nobody can be asked here. {head}: {'; '.join(items)} (add --yes to do it)")
    terminal.say("\n".join([f"{head}:", *(f"  {item}" for item in items), f"Type {name} to go on:"]))
    if sys.stdin.readline().strip() != name:
        raise NotAgreed("not done, as the name was not typed (run it again, or add --yes)")


def _release(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str]) -> Release:
    """All that can be wrong with the config is found before the account hears of it."""
    from stepgluon.deploy.release import release

    loaded = config_of(options, variables)
    if tuple(options.only) == ("cicd",) and loaded.config.cicd is None:
        raise UsageError("--only cicd: the config has no cicd (add it, or leave --only out)")
    return release(loaded, definition_of(loaded, workflow).text)


COMMANDS: dict[str, Command] = {"plan": _plan, "deploy": _deploy, "destroy": _destroy}
