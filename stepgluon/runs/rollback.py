"""`rollback`: points the alias `live` at an earlier version of the machine.

Runs in progress keep their version; new runs use the earlier one until a deploy changes the machine. A version names
its images by digest and its config by hash, so it works as long as those are kept.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, instead_of
from stepgluon.deploy.definition_diff import Difference, difference
from stepgluon.errors import StepgluonError, UsageError
from stepgluon.names import Names
from stepgluon.runs.executions import deployed, read_json

_IMAGE = re.compile(r"\.dkr\.ecr\.[^/\"]+/([^@\"]+)@(sha256:[0-9a-f]{64})")


class NoWayBack(StepgluonError):
    """No earlier version would work."""


@dataclass(frozen=True)
class Version:
    number: int
    arn: str
    created: float


@dataclass(frozen=True)
class Rollback:
    before: Version
    after: Version
    workflow: Difference


def versions(door: Door, names: Names) -> list[Version]:
    """The machine's published versions, latest first."""
    client = door.client("stepfunctions")
    found: list[Version] = []
    token: dict[str, str] = {}
    with deployed(names):
        while True:
            page = client.list_state_machine_versions(stateMachineArn=names.machine_arn, maxResults=1000, **token)
            found += [_version(entry) for entry in page["stateMachineVersions"]]
            if not page.get("nextToken"):
                return sorted(found, key=lambda version: version.number, reverse=True)
            token = {"nextToken": page["nextToken"]}


def live(door: Door, names: Names) -> str:
    """The ARN of the version that new runs use."""
    with deployed(names):
        alias = door.client("stepfunctions").describe_state_machine_alias(stateMachineAliasArn=names.live)
    # While traffic is shifting there are two; use the one with more weight.
    routes = sorted(alias["routingConfiguration"], key=lambda route: route["weight"])
    return str(routes[-1]["stateMachineVersionArn"])


def planned(door: Door, names: Names, to: int | None) -> Rollback:
    """Plan the rollback; raise if no earlier version would work."""
    now, known = live(door, names), versions(door, names)
    current = next((version for version in known if version.arn == now), None)
    if current is None:
        raise NoWayBack(f"{now} is live and not among the machine's versions (run `{pipeline_py('deploy')}`)")
    target = _target(known, current, to)
    definitions = [_definition(door, version) for version in (current, target)]
    _check_images(door, definitions[1], target)
    _check_config(door, names, definitions[1], target)
    return Rollback(current, target, difference(*(json.loads(text) for text in definitions)))


def roll_back(door: Door, names: Names, plan: Rollback) -> None:
    routes = [{"stateMachineVersionArn": plan.after.arn, "weight": 100}]
    door.client("stepfunctions").update_state_machine_alias(
        stateMachineAliasArn=names.live, routingConfiguration=routes
    )


def _version(entry: dict[str, Any]) -> Version:
    arn = entry["stateMachineVersionArn"]
    return Version(int(arn.rpartition(":")[2]), arn, entry["creationDate"].timestamp())


def _target(known: list[Version], current: Version, to: int | None) -> Version:
    numbers = ", ".join(str(version.number) for version in known[:20])
    if to is None:
        earlier = [version for version in known if version.number < current.number]
        if not earlier:
            raise NoWayBack(
                f"the live version, {current.number}, is the earliest version ({_forward(known[0], current)})"
            )
        return earlier[0]
    target = next((version for version in known if version.number == to), None)
    if target is None:
        raise UsageError(f"--to {to}: unknown version (known: {numbers})")
    if target == current:
        raise UsageError(f"--to {to}: this version is live already (known: {numbers})")
    return target


def _forward(newest: Version, current: Version) -> str:
    if newest == current:
        return f"a deploy that changes the workflow makes the next: `{pipeline_py('deploy')}`"
    return f"`{pipeline_py(f'rollback --to {newest.number}')}` goes forward to the newest"


def _definition(door: Door, version: Version) -> str:
    return str(door.client("stepfunctions").describe_state_machine(stateMachineArn=version.arn)["definition"])


def _check_images(door: Door, definition: str, version: Version) -> None:
    for repository, digest in sorted(set(_IMAGE.findall(definition))):
        problem = NoWayBack(
            f"version {version.number} needs the image {repository}@{digest[:19]}, which is gone from ECR "
            f"(choose a later version with --to, or deploy the commit that it was made from)"
        )
        with instead_of(("ImageNotFoundException", "RepositoryNotFoundException"), problem):
            door.client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])


def _check_config(door: Door, names: Names, definition: str, version: Version) -> None:
    for key in sorted(
        set(re.findall(rf"s3://{re.escape(names.work_bucket)}/(config/[0-9a-f]+/config\.json)", definition))
    ):
        if read_json(door.client("s3"), names.work_bucket, key) is None:
            raise NoWayBack(
                f"version {version.number} needs s3://{names.work_bucket}/{key}, which is gone "
                f"(deploy the commit that it was made from)"
            )
