"""Lets CloudFormation compute each stack's changes, with a change set that is read and dropped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from stepgluon.aws import Door
from stepgluon.deploy.apply import desired
from stepgluon.deploy.plan import UNKNOWN
from stepgluon.deploy.stacks import Stacks
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.deploy.release import Release, Template


def stack(
    release: Release, template: Template, door: Door, wait: Callable[[float], None], digests: Mapping[str, str]
) -> Iterator[Check]:
    given = {name: digests.get(name, UNKNOWN) for name in json.loads(template.text).get("Parameters", {})}
    stacks = Stacks(door, lambda text: None, wait)
    changes, warnings = stacks.tried(desired(release.names, template, given))
    name = f"stack {template.stack}"
    yield from (Check(f"{name}, warning", "passed", warning) for warning in warnings)
    said = ", ".join(f"{count} {action}" for action, count in Counter(change.action for change in changes).items())
    yield Check(name, "passed", f"the change set is accepted and dropped: {said or 'nothing would change'}")
