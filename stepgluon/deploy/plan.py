"""What a deploy would do, as a value. It reads the account and changes nothing.

The stacks' changes are computed by CloudFormation, with change sets that are deleted again.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer
from stepgluon.deploy.account_checks import check_identity
from stepgluon.deploy.apply import PARTS, Wait, alias_is_behind, desired, is_stored, left_cicd, outdated_base
from stepgluon.deploy.changes import Change
from stepgluon.deploy.definition_diff import Difference, Field, difference
from stepgluon.deploy.images import digest_in_ecr
from stepgluon.deploy.stacks import Stacks

if TYPE_CHECKING:
    from stepgluon.deploy.release import Image, Release, Template
    from stepgluon.names import Names

_SIGNS = {"created": "+", "found again": "+", "removed": "-", "let go": "-", "replaced": "!", "perhaps replaced": "!"}
_FIELDS_SHOWN = 8  # of one state


@dataclass(frozen=True)
class StackPlan:
    stack: str
    exists: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Plan:
    pipeline: str
    account: str
    region: str
    stacks: tuple[StackPlan, ...]
    workflow: Difference | None  # None if none is deployed yet
    images: tuple[str, ...]  # to be built
    objects: tuple[str, ...]  # to be uploaded
    remarks: tuple[str, ...] = ()  # what a person should know or do first

    @property
    def nothing(self) -> bool:
        return not (self.images or self.objects or any(stack.changes for stack in self.stacks))

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        for stack in found["stacks"]:
            for change in stack["changes"]:
                change["loses"] = Change(**change).loses
        return {**found, "nothing": self.nothing}

    def words(self) -> str:
        place = f"{self.pipeline} in account {self.account}, {self.region}"
        notes = "".join(f"Note: {remark}.\n" for remark in self.remarks)
        if self.nothing:
            return f"{place}: nothing to do.\n{notes}"
        blocks = [f"{place}:\n", *(_stack_words(stack) for stack in self.stacks)]
        if self.workflow:
            blocks.append(workflow_words(self.workflow))
        for title, names in (
            ("Images to build, which the machine then uses", self.images),
            ("Objects to upload", self.objects),
        ):
            if names:
                blocks.append("".join([f"{title}:\n", *(f"  + {name}\n" for name in names)]))
        blocks.append(f"{notes}Nothing has been changed: `{pipeline_py('deploy')}` does it.\n")
        return "\n".join(blocks)


def plan(release: Release, door: Door, wait: Wait, only: Collection[str] = PARTS) -> Plan:
    names, stacks = release.names, Stacks(door, lambda text: None, wait)
    check_identity(names, door)
    digests = {image.parameter: digest_in_ecr(door, image) for image in release.images}
    parameters = {**_present(stacks.find(release.pipeline.stack)), **{k: v for k, v in digests.items() if v}}
    wanted = [template for template in (release.base, release.pipeline, release.cicd) if template]
    main = "pipeline" in only
    return Plan(
        names.prefix,
        names.config.account,
        names.config.region,
        tuple(_stack(names, stacks, template, parameters) for template in wanted if template.part in only),
        _workflow(release, door, parameters) if main else Difference(),
        tuple(_address(image) for image in release.images if main and not digests[image.parameter]),
        tuple(stored.key for stored in release.objects if main and not is_stored(names, door, stored)),
        _remarks(release, door, stacks, only) if main else (),
    )


def _remarks(release: Release, door: Door, stacks: Stacks, only: Collection[str]) -> tuple[str, ...]:
    brought = "base" in only or stacks.find(release.base.stack) is None
    outdated = "" if brought else outdated_base(release, stacks)
    return (*filter(None, [outdated]), *alias_is_behind(release.names, door), *left_cicd(release, stacks))


def _stack(names: Names, stacks: Stacks, template: Template, parameters: dict[str, str]) -> StackPlan:
    changes = stacks.changes(desired(names, template, template.given(parameters)))
    return StackPlan(template.stack, stacks.find(template.stack) is not None, changes)


def _present(stack: dict[str, Any] | None) -> dict[str, str]:
    parameters = (stack or {}).get("Parameters", [])
    return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}


def _address(image: Image) -> str:
    return f"{image.repository}:{image.tag}"


def _workflow(release: Release, door: Door, parameters: dict[str, str]) -> Difference | None:
    live = _live_definition(release.names, door)
    if live is None:
        return None
    return difference(live, json.loads(release.filled(parameters)))


def _live_definition(names: Names, door: Door) -> dict[str, Any] | None:
    """The definition that an upload currently starts."""
    client = door.client("stepfunctions")

    def described() -> dict[str, Any]:
        alias = client.describe_state_machine_alias(stateMachineAliasArn=names.live)
        version = alias["routingConfiguration"][0]["stateMachineVersionArn"]
        definition: dict[str, Any] = json.loads(client.describe_state_machine(stateMachineArn=version)["definition"])
        return definition

    return answer(described, "ResourceNotFound", "StateMachineDoesNotExist")


# Words


def _stack_words(stack: StackPlan) -> str:
    if not stack.changes:
        return f"{stack.stack}: nothing to do\n"
    head = f"{stack.stack}:\n" if stack.exists else f"{stack.stack}, which is new:\n"
    width = max(len(change.resource) for change in stack.changes)
    action = max(len(change.action) for change in stack.changes)
    return head + "".join(_change_words(change, action, width) for change in stack.changes)


def _change_words(change: Change, action: int, width: int) -> str:
    properties = f" ({', '.join(change.properties)})" if change.properties else ""
    kind = change.kind.removeprefix("AWS::")
    line = (
        f"  {_SIGNS.get(change.action, '~')} {change.action:<{action}} {change.resource:<{width}}  {kind}{properties}\n"
    )
    if change.action == "let go":
        return f"{line}      it stays in the account, but is no longer the pipeline's\n"
    return f"{line}      WARNING: {change.loses}\n" if change.loses else line


def workflow_words(workflow: Difference) -> str:
    lines = ["The workflow:\n"]
    lines += [f"  + {name}\n" for name in workflow.added]
    for name, fields in workflow.changed:
        lines.append(f"  ~ {name}\n")
        lines += [f"      {_field_words(field)}\n" for field in fields[:_FIELDS_SHOWN]]
        if len(fields) > _FIELDS_SHOWN:
            lines.append(f"      and {len(fields) - _FIELDS_SHOWN} more fields\n")
    lines += [f"  - {name}\n" for name in workflow.removed]
    return "".join(lines)


def _field_words(field: Field) -> str:
    if not field.before:
        return f"{field.path}: {field.after} is new"
    if not field.after:
        return f"{field.path}: {field.before} goes"
    return f"{field.path}: {field.before} -> {field.after}"
