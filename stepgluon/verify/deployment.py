"""Lets Step Functions validate the definition, and CloudFormation compute each stack's changes, which are dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from stepgluon.aws import Door
from stepgluon.deploy.apply import desired
from stepgluon.deploy.stacks import Stacks
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.deploy.release import Release, Template


def definition(release: Release, door: Door, digests: Mapping[str, str]) -> Iterator[Check]:
    text = release.filled(digests)
    answer = door.client("stepfunctions").validate_state_machine_definition(
        definition=text, type="STANDARD", severity="WARNING"
    )
    for one in answer["diagnostics"]:
        said = f"{one.get('location') or 'the machine'}: {one['message']} [{one['code']}]"
        if one["severity"] == "ERROR":
            yield Check("definition", "failed", said)
        else:
            yield Check("definition, warning", "passed", said)
    if answer["result"] == "OK":
        yield Check("definition", "passed", f"Step Functions accepts its {len(text.encode()):,} bytes")
    elif not any(one["severity"] == "ERROR" for one in answer["diagnostics"]):
        yield Check("definition", "failed", "Step Functions refuses it, and says no reason")


def stack(
    release: Release, template: Template, door: Door, wait: Callable[[float], None], digests: Mapping[str, str]
) -> Iterator[Check]:
    stacks = Stacks(door, lambda text: None, wait)
    changes, warnings = stacks.tried(desired(release.names, template, template.given(digests)))
    name = f"stack {template.stack}"
    yield from (Check(f"{name}, warning", "passed", warning) for warning in warnings)
    said = ", ".join(f"{count} {action}" for action, count in Counter(change.action for change in changes).items())
    yield Check(name, "passed", f"the change set is accepted and dropped: {said or 'nothing would change'}")
