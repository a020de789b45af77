"""CloudFormation's actions: stacks and change sets, with AWS's refusals.

An action has finished when its call returns; statuses and events are still the same as AWS's. All changes are made as
with ImportExistingResources.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.cloudformation.resource_types import Place
from localaws.cloudformation.stack import Stack
from localaws.cloudformation.template import Refusal, Template, parse

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_NEVER_COMPLETED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")

Request = dict[str, Any]
Response = dict[str, Any]


@dataclass(frozen=True)
class ChangeSet:
    stack: Stack
    template: Template
    parameters: dict[str, str]
    changes: list[dict[str, Any]]
    changes_nothing: bool


class CloudFormation:
    """One account; each region has its own stacks."""

    def __init__(self, account: str, partition: str, client: Callable[[str, str], Any]) -> None:
        self._account, self._partition, self._client = account, partition, client
        self._regions: dict[str, Region] = {}
        self._lock = threading.RLock()

    def call(self, action: str, request: Request, region: str) -> Response:
        with self._lock:
            if region not in self._regions:
                self._regions[region] = Region(self._place(region))
            return ACTIONS[action](self._regions[region], request)

    def _place(self, region: str) -> Callable[[str], Place]:
        return lambda stack: Place(
            self._account, region, self._partition, stack, lambda service: self._client(service, region)
        )


class Region:
    def __init__(self, place: Callable[[str], Place]) -> None:
        self._place = place  # of a stack with this name
        self._stacks: list[Stack] = []
        self._sets: dict[str, ChangeSet] = {}  # by ARN

    # Change sets

    def create_change_set(self, request: Request) -> Response:
        stack = self._find(request["StackName"])
        created = stack is not None and stack.status != "REVIEW_IN_PROGRESS"
        if request.get("ChangeSetType") == "CREATE" and created:
            raise Refusal(f"Stack [{request['StackName']}] already exists and cannot be created again.")
        if request.get("ChangeSetType") != "CREATE" and not created:
            raise Refusal(f"Stack [{request['StackName']}] does not exist")
        if stack and stack.status in _NEVER_COMPLETED:
            raise Refusal(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        template = parse(request.get("TemplateBody", ""))
        parameters = _parameters(template, request)
        stack = stack or self._new_stack(request["StackName"])
        changes = stack.changes(template, parameters)
        nothing = not changes and template.outputs == stack.template.outputs
        arn = stack.place.arn("cloudformation", f"changeSet/{request['ChangeSetName']}/{uuid.uuid4()}")
        self._sets[arn] = ChangeSet(stack, template, parameters, changes, nothing)
        return {"Id": arn, "StackId": stack.id}

    def describe_change_set(self, request: Request) -> Response:
        found = self._set(request)
        failed = {"Status": "FAILED", "StatusReason": NO_CHANGES, "ExecutionStatus": "UNAVAILABLE"}
        return {
            "ChangeSetId": request["ChangeSetName"],
            "StackId": found.stack.id,
            "StackName": found.stack.place.stack,
            "Changes": found.changes,
            **(failed if found.changes_nothing else {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}),
        }

    def execute_change_set(self, request: Request) -> Response:
        found = self._set(request)
        if found.changes_nothing:
            name = request["ChangeSetName"]
            message = f"ChangeSet [{name}] cannot be executed in its current status of [FAILED]"
            raise Refusal(message, "InvalidChangeSetStatus")
        self._drop_sets(found.stack)
        found.stack.apply(found.template, found.parameters)
        return {}

    def delete_change_set(self, request: Request) -> Response:
        """[cfn] Deleting what does not exist succeeds."""
        self._sets.pop(request["ChangeSetName"], None)
        return {}

    def _set(self, request: Request) -> ChangeSet:
        name = request["ChangeSetName"]
        if name not in self._sets:
            raise Refusal(f"ChangeSet [{name}] does not exist (the local AWS finds it by its ARN)", "ChangeSetNotFound")
        return self._sets[name]

    def _drop_sets(self, stack: Stack) -> None:
        """[cfn] Executing one, or deleting the stack, deletes all change sets of the stack."""
        self._sets = {arn: one for arn, one in self._sets.items() if one.stack is not stack}

    # Stacks

    def delete_stack(self, request: Request) -> Response:
        """[cfn] Deleting what does not exist succeeds."""
        stack = self._find(request["StackName"])
        if stack:
            self._drop_sets(stack)
            stack.delete()
        return {}

    def describe_stacks(self, request: Request) -> Response:
        there = [one for one in self._stacks if one.status != "DELETE_COMPLETE"]
        stacks = [self._stack(request)] if "StackName" in request else there
        return {"Stacks": [_described(stack) for stack in stacks]}

    def describe_stack_events(self, request: Request) -> Response:
        return {"StackEvents": list(reversed(self._stack(request).events))}

    def describe_stack_resource(self, request: Request) -> Response:
        stack, name = self._stack(request), request["LogicalResourceId"]
        if name not in stack.resources:
            raise Refusal(f"Resource {name} does not exist for stack {stack.place.stack}")
        resource = stack.resources[name]
        detail = {"PhysicalResourceId": resource.physical, "ResourceType": resource.type_name}
        return {"StackResourceDetail": {"StackId": stack.id, "LogicalResourceId": name, **detail}}

    def get_template(self, request: Request) -> Response:
        return {"TemplateBody": self._stack(request).template.text}

    def _new_stack(self, name: str) -> Stack:
        place = self._place(name)
        stack = Stack(place, place.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"))
        self._stacks.append(stack)
        return stack

    def _find(self, name: str) -> Stack | None:
        """Find a stack by name, unless it is deleted, or by ARN."""
        named = (one for one in self._stacks if one.place.stack == name and one.status != "DELETE_COMPLETE")
        return next((one for one in self._stacks if one.id == name), None) or next(named, None)

    def _stack(self, request: Request) -> Stack:
        stack = self._find(request["StackName"])
        if stack is None:
            raise Refusal(f"Stack with id {request['StackName']} does not exist")
        return stack


def _parameters(template: Template, request: Request) -> dict[str, str]:
    given = {one["ParameterKey"]: one["ParameterValue"] for one in request.get("Parameters", [])}
    unknown = sorted(given.keys() - template.parameters.keys())
    if unknown:
        raise Refusal(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {key: str(entry["Default"]) for key, entry in template.parameters.items() if "Default" in entry} | given
    missing = sorted(template.parameters.keys() - values.keys())
    if missing:
        raise Refusal(f"Parameters: [{', '.join(missing)}] must have values")
    return values


def _described(stack: Stack) -> Response:
    return {
        "StackId": stack.id,
        "StackName": stack.place.stack,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
        "CreationTime": stack.created,
        "StackStatus": stack.status,
        "Outputs": stack.outputs,
    }


ACTIONS: dict[str, Callable[[Region, Request], Response]] = {
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
