"""CloudFormation's actions: stacks and change sets by name, with AWS's refusals.

An action has finished when its call returns; statuses and events are still the same as AWS's.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from localaws.cloudformation.resource_types import Place
from localaws.cloudformation.stack import Stack
from localaws.cloudformation.template import InvalidRequest, Template, parse

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_FAILED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
_NAME_OF = {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName"}

Request = dict[str, Any]
Response = dict[str, Any]


class Refusal(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class ChangeSet:
    id: str
    name: str
    stack: Stack
    template: Template
    parameters: dict[str, str]
    request: Request
    changes: list[dict[str, Any]] = field(default_factory=list)
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    execution: str = "AVAILABLE"
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


class CloudFormation:
    """One account; each region has its own stacks."""

    def __init__(self, account: str, partition: str, client: Callable[[str, str], Any]) -> None:
        self._account, self._partition, self._client = account, partition, client
        self._regions: dict[str, Region] = {}
        self._lock = threading.RLock()

    def call(self, action: str, request: Request, region: str) -> Response:
        if action not in _ACTIONS:
            raise Refusal("InvalidAction", f"The local AWS does not know the action {action} of CloudFormation.")
        with self._lock:
            if region not in self._regions:
                place = Place(self._account, region, self._partition, "", lambda service: self._client(service, region))
                self._regions[region] = Region(place)
            try:
                return _ACTIONS[action](self._regions[region], request)
            except InvalidRequest as problem:
                raise Refusal("ValidationError", str(problem)) from None


class Region:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._stacks: list[Stack] = []
        self._sets: list[ChangeSet] = []

    # Change sets

    def create_change_set(self, request: Request) -> Response:
        name, stack_name = request["ChangeSetName"], request["StackName"]
        stack = self._find(stack_name)
        empty = stack is not None and stack.status == "REVIEW_IN_PROGRESS"
        if any(one.name == name and one.stack is stack for one in self._sets):
            raise Refusal("AlreadyExistsException", f"ChangeSet {name} cannot be created: it already exists")
        if request.get("ChangeSetType", "UPDATE") == "CREATE":
            if stack and not empty:
                raise InvalidRequest(
                    f"Stack [{stack.name}] already exists and cannot be created again with the changeSet [{name}]."
                )
        elif stack is None or empty:
            raise InvalidRequest(f"Stack [{stack_name}] does not exist")
        elif stack.status in _FAILED:
            raise InvalidRequest(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        template = _template(request)
        parameters = _parameters(template, request)
        stack = stack or self._new_stack(stack_name)
        arn = stack.place.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}")
        made = ChangeSet(arn, name, stack, template, parameters, request)
        made.changes = stack.changes(template, parameters, _imports(request))
        if not made.changes and template.outputs == stack.template.outputs:
            made.status, made.reason, made.execution = "FAILED", NO_CHANGES, "UNAVAILABLE"
        self._sets.append(made)
        return {"Id": made.id, "StackId": stack.id}

    def describe_change_set(self, request: Request) -> Response:
        found = self._set(request)
        return _known(
            ChangeSetName=found.name,
            ChangeSetId=found.id,
            StackId=found.stack.id,
            StackName=found.stack.name,
            Parameters=_as_list(found.parameters),
            CreationTime=found.created,
            ExecutionStatus=found.execution,
            Status=found.status,
            StatusReason=found.reason,
            Capabilities=found.request.get("Capabilities", []),
            Tags=found.request.get("Tags", []),
            Changes=found.changes,
        )

    def execute_change_set(self, request: Request) -> Response:
        found = self._set(request)
        if found.execution != "AVAILABLE":
            raise Refusal(
                "InvalidChangeSetStatus",
                f"ChangeSet [{found.id}] cannot be executed in its current status of [{found.status}]",
            )
        stack = found.stack
        self._sets = [one for one in self._sets if one.stack is not stack]  # [cfn] all change sets of the stack
        stack.tags, stack.capabilities = found.request.get("Tags", stack.tags), found.request.get("Capabilities", [])
        stack.apply(found.template, found.parameters, _imports(found.request))
        return {}

    def delete_change_set(self, request: Request) -> Response:
        """[cfn] Deleting what does not exist succeeds."""
        self._sets = [one for one in self._sets if one not in self._named(request)]
        return {}

    # Stacks

    def delete_stack(self, request: Request) -> Response:
        """[cfn] Deleting what does not exist succeeds."""
        stack = self._find(request["StackName"])
        if stack:
            self._sets = [one for one in self._sets if one.stack is not stack]
            stack.delete()
        return {}

    def describe_stacks(self, request: Request) -> Response:
        stacks = [self._stack(request)] if "StackName" in request else [one for one in self._stacks if not one.deleted]
        return {"Stacks": [_described(stack) for stack in stacks]}

    def describe_stack_events(self, request: Request) -> Response:
        return {"StackEvents": list(reversed(self._stack(request).events))}

    def describe_stack_resource(self, request: Request) -> Response:
        stack, name = self._stack(request), request["LogicalResourceId"]
        if name not in stack.resources:
            raise InvalidRequest(f"Resource {name} does not exist for stack {stack.name}")
        resource = stack.resources[name]
        detail = {
            "StackId": stack.id,
            "StackName": stack.name,
            "LogicalResourceId": name,
            "PhysicalResourceId": resource.physical,
            "ResourceType": resource.type_name,
            "LastUpdatedTimestamp": resource.changed,
            "ResourceStatus": resource.status,
        }
        return {"StackResourceDetail": detail}

    def get_template(self, request: Request) -> Response:
        return {"TemplateBody": self._stack(request).template.text, "StagesAvailable": ["Original", "Processed"]}

    # Lookup

    def _new_stack(self, name: str) -> Stack:
        place = replace(self._place, stack=name)
        stack = Stack(place, place.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"), name)
        self._stacks.append(stack)
        return stack

    def _find(self, name: str) -> Stack | None:
        """Find a stack by name, unless it is deleted, or by ARN."""
        found = (one for one in self._stacks if one.id == name or (one.name == name and not one.deleted))
        return next(found, None)

    def _stack(self, request: Request) -> Stack:
        stack = self._find(request["StackName"])
        if stack is None:
            raise InvalidRequest(f"Stack with id {request['StackName']} does not exist")
        return stack

    def _named(self, request: Request) -> list[ChangeSet]:
        name, stack = request["ChangeSetName"], request.get("StackName")
        return [
            one
            for one in self._sets
            if one.id == name or (one.name == name and stack in (one.stack.name, one.stack.id))
        ]

    def _set(self, request: Request) -> ChangeSet:
        found = self._named(request)
        if not found:
            raise Refusal("ChangeSetNotFound", f"ChangeSet [{request['ChangeSetName']}] does not exist")
        return found[0]


def _template(request: Request) -> Template:
    if "TemplateBody" not in request:
        raise InvalidRequest("The local AWS takes templates as TemplateBody.")
    template = parse(request["TemplateBody"])
    iam = [entry for entry in template.resources.values() if entry["Type"] in _NAME_OF]
    named = any(_NAME_OF[entry["Type"]] in entry.get("Properties", {}) for entry in iam)
    accepted = ["CAPABILITY_NAMED_IAM"] if named else ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
    if iam and not set(accepted) & set(request.get("Capabilities", [])):
        raise Refusal("InsufficientCapabilitiesException", f"Requires capabilities : [{accepted[0]}]")
    return template


def _imports(request: Request) -> bool:
    return bool(request.get("ImportExistingResources"))


def _parameters(template: Template, request: Request) -> dict[str, str]:
    given = {one["ParameterKey"]: one["ParameterValue"] for one in request.get("Parameters", [])}
    unknown = sorted(given.keys() - template.parameters.keys())
    if unknown:
        raise InvalidRequest(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    defaults = {key: str(entry["Default"]) for key, entry in template.parameters.items() if "Default" in entry}
    missing = sorted(template.parameters.keys() - defaults.keys() - given.keys())
    if missing:
        raise InvalidRequest(f"Parameters: [{', '.join(missing)}] must have values")
    return {key: given[key] if key in given else defaults[key] for key in template.parameters}


def _as_list(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def _known(**answer: Any) -> Response:
    return {key: value for key, value in answer.items() if value is not None}


def _described(stack: Stack) -> Response:
    return _known(
        StackId=stack.id,
        StackName=stack.name,
        Description=stack.template.description or None,
        Parameters=_as_list(stack.parameters),
        CreationTime=stack.created,
        LastUpdatedTime=stack.updated,
        DeletionTime=stack.deleted,
        StackStatus=stack.status,
        StackStatusReason=stack.reason or None,
        Capabilities=stack.capabilities,
        Outputs=stack.outputs,
        Tags=stack.tags,
    )


_ACTIONS: dict[str, Callable[[Region, Request], Response]] = {
    "CreateChangeSet": Region.create_change_set,
    "DeleteChangeSet": Region.delete_change_set,
    "DeleteStack": Region.delete_stack,
    "DescribeChangeSet": Region.describe_change_set,
    "DescribeStackEvents": Region.describe_stack_events,
    "DescribeStackResource": Region.describe_stack_resource,
    "DescribeStacks": Region.describe_stacks,
    "ExecuteChangeSet": Region.execute_change_set,
    "GetTemplate": Region.get_template,
}
