"""The commands that deploy a pipeline to an account and remove it: verify, plan, deploy, destroy and template."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door
from stepgluon.cli.common import Call
from stepgluon.cli.parser import PARTS
from stepgluon.cli.terminal import write_file
from stepgluon.config.cicd_schema import Cicd, CicdSource, CodeCommit
from stepgluon.cost.estimate import estimate, refusal, summary
from stepgluon.cost.known import in_account
from stepgluon.cost.prices import prices_of
from stepgluon.cost.serving import serving, serving_words
from stepgluon.deploy.account_checks import check_identity, check_key
from stepgluon.deploy.apply import Deployed, deploy
from stepgluon.deploy.changes import Change
from stepgluon.deploy.destroy import Order, destroy, found
from stepgluon.deploy.images import Docker
from stepgluon.deploy.plan import plan
from stepgluon.deploy.release import Release, release
from stepgluon.deploy.templates.cicd import cicd
from stepgluon.deploy.templates.parts import canonical
from stepgluon.deploy.templates.policies import policy
from stepgluon.errors import StepgluonError, UsageError
from stepgluon.names import Names


class NotAgreed(StepgluonError):
    """The user did not confirm."""


def do_verify(call: Call) -> int:
    from stepgluon.verify import verify
    from stepgluon.verify.check import Check, heading, last_words

    what = _release(call)
    made: list[Check] = []
    with call.account() as (door, names):
        for check in verify(what, door, time.sleep):
            if not call.options.json:
                call.terminal.result(("" if made else heading(names)) + check.line(names.config.account))
            made.append(check)
    call.result(last_words(made), [asdict(check) for check in made])
    return int(any(check.outcome == "failed" for check in made))


def do_plan(call: Call) -> None:
    release = _release(call)
    with call.account() as (door, names):
        _check(names, door)
        planned = plan(release, door, time.sleep, call.options.only)
        prices = prices_of(names.config.region)
        cost, served = estimate(names.config, prices, in_account(door, names)), list(serving(names.config, prices))
    refused = f"Runs are refused: {reason}.\n" if (reason := refusal(names.config)) else ""
    text = f"{planned.words()}{summary(cost)}.\n{serving_words(served)}{refused}"
    costs = {"cost": cost.as_json(), "endpoints": [asdict(one) for one in served]}
    call.result(text, {**planned.as_json(), **costs})


def do_deploy(call: Call) -> None:
    release, say, only = _release(call), call.terminal.say, call.options.only

    def agree(stack: str, changes: tuple[Change, ...]) -> None:
        losing = [f"{change.resource} is {change.action}: {change.loses}" for change in changes if change.loses]
        if losing and not call.options.yes:
            _ask(call, f"This change of {stack} loses something", losing, release.names.prefix)

    with call.account() as (door, names):
        _check(names, door)
        deployed = deploy(release, door, Docker(names, say), say, time.sleep, only, agree)
    call.result(_next_steps(names, deployed, only), asdict(deployed))


def _check(names: Names, door: Door) -> None:
    """Not part of deploy itself, because the local AWS accepts any account and key."""
    check_identity(names, door)
    check_key(names, door)


def _next_steps(names: Names, deployed: Deployed, only: tuple[str, ...]) -> str:
    """What is left to do after a deploy, and how to start a run."""
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


def do_destroy(call: Call) -> None:
    options = call.options
    order = Order(tuple(options.only), options.stop_runs, options.delete_data)
    with call.account() as (door, names):
        there = found(names, door, order)
        if there and not options.yes:
            where = f"in account {names.config.account}, {names.config.region}"
            _ask(call, f"This deletes, {where}", there, names.prefix)
        done = destroy(names, door, order, call.terminal.say, time.sleep)
    lines = [f"Deleted: {', '.join([*done.stacks, *done.deleted]) or 'nothing, nothing was there'}."]
    if done.kept:
        lines.append(f"Kept: {', '.join(done.kept)} (`{pipeline_py('destroy --delete-data')}` deletes them too).")
    call.result("\n".join(lines) + "\n", asdict(done))


def _ask(call: Call, what: str, items: list[str], name: str) -> None:
    """Return once the user has typed the pipeline's name."""
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(f"stdin is not a terminal, so pass --yes. {what}: {'; '.join(items)}")
    call.terminal.say("\n".join([f"{what}:", *(f"  {item}" for item in items), f"Type {name} to continue:"]))
    if sys.stdin.readline().strip() != name:
        raise NotAgreed("not done, as the name was not typed (run it again, or add --yes)")


def _release(call: Call) -> Release:
    """Find all mistakes in the config before anything is sent to the account."""
    loaded = call.config(to_deploy=True)
    if tuple(getattr(call.options, "only", PARTS)) == ("cicd",) and loaded.config.cicd is None:
        raise UsageError("--only cicd: the config has no cicd (add it, or leave --only out)")
    definition = call.definition(loaded)
    return release(loaded, definition.text, definition.texts)


def do_template(call: Call) -> None:
    made, folder, say = _release(call), call.options.out, call.terminal.say
    for name, content in _files(made).items():
        write_file(folder / name, content, call.options.config)
        say(f"{folder / name}: {len(content):,} bytes")
    if made.cicd is None:
        say(
            "The config has no cicd, so deploy leaves cicd.json out. This one is for a CodeCommit repository "
            f"{made.names.prefix}."
        )


def _files(made: Release) -> dict[str, bytes]:
    return {
        "deployer-policy.json": canonical(policy(made.names, "deployer")).encode(),
        "base.json": made.base.text.encode(),
        "pipeline.json": made.pipeline.text.encode(),
        "cicd.json": (made.cicd.text if made.cicd else _example(made.names)).encode(),
        **{stored.file: stored.body for stored in made.objects},
    }


def _example(names: Names) -> str:
    """An example of the third stack, for a reviewer who has not chosen a source for pushes yet."""
    pushes = Cicd(source=CicdSource(codecommit=CodeCommit(name=names.prefix)))
    return canonical(cicd(replace(names, config=names.config.changed(cicd=pushes))))
