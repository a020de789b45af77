"""CloudFormation's calls: stacks and change sets by name, with AWS's refusals.

Whatever a call starts has ended when the call answers; statuses and events are those of AWS all the same.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from localaws.cloudformation.changes import Resource
from localaws.cloudformation.kinds import Place
from localaws.cloudformation.stack import Stack
from localaws.cloudformation.template import Invalid, Template, parsed

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_SETTLED = ("_COMPLETE", "_FAILED")
_NAMED = {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName"}


class Refused(Exception):
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
    request: dict[str, Any]
    changes: list[dict[str, Any]] = field(default_factory=list)
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    execution: str = "AVAILABLE"
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


class CloudFormation:
    """One account's; each region has its own stacks."""

    def __init__(self, account: str, partition: str, client: Callable[[str, str], Any]) -> None:
        self._account, self._partition, self._client = account, partition, client
        self._regions: dict[str, Region] = {}
        self._lock = threading.RLock()

    def call(self, action: str, request: dict[str, Any], region: str) -> dict[str, Any]:
        answer = _ACTIONS.get(action)
        if answer is None:
            raise Refused("InvalidAction", f"The local AWS does not know the action {action} of CloudFormation.")
        with self._lock:
            if region not in self._regions:
                self._regions[region] = Region(
                    self._account, region, self._partition, lambda service: self._client(service, region)
                )
            try:
                return answer(self._regions[region], request)
            except Invalid as problem:
                raise Refused("ValidationError", str(problem)) from None


class Region:
    """All stacks of one region."""

    def __init__(self, account: str, region: str, partition: str, client: Callable[[str], Any]) -> None:
        self._account, self._region, self._partition, self._client = account, region, partition, client
        self._stacks: list[Stack] = []
        self._sets: list[ChangeSet] = []

    # Change sets

    def create_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        kind, name = request.get("ChangeSetType", "UPDATE"), request["ChangeSetName"]
        stack = self._find(request["StackName"])
        if stack and any(one.name == name and one.stack is stack for one in self._sets):
            raise Refused("AlreadyExistsException", f"ChangeSet {name} cannot be created: it already exists")
        if kind == "CREATE":
            if stack and stack.status != "REVIEW_IN_PROGRESS":
                raise Invalid(
                    f"Stack [{stack.name}] already exists and cannot be created again with the changeSet [{name}]."
                )
            template = self._template(request, stack)
            stack = stack or self._new(request["StackName"])
        else:
            if stack is None or stack.status == "REVIEW_IN_PROGRESS":
                raise Invalid(f"Stack [{request['StackName']}] does not exist")
            _may_change(stack)
            template = self._template(request, stack)
        parameters = _parameters(template, request, stack)
        identifier = stack.place.arn("cloudformation", f"changeSet/{name}/{uuid.uuid4()}")
        made = ChangeSet(identifier, name, stack, template, parameters, request)
        made.changes = stack.changes(template, parameters, bool(request.get("ImportExistingResources")))
        if not made.changes and template.outputs == stack.template.outputs:
            made.status, made.reason, made.execution = "FAILED", NO_CHANGES, "UNAVAILABLE"
        self._sets.append(made)
        return {"Id": made.id, "StackId": stack.id}

    def describe_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self._set(request)
        told = {
            "ChangeSetName": found.name,
            "ChangeSetId": found.id,
            "StackId": found.stack.id,
            "StackName": found.stack.name,
            "Description": found.request.get("Description"),
            "Parameters": _as_list(found.parameters),
            "CreationTime": found.created,
            "ExecutionStatus": found.execution,
            "Status": found.status,
            "StatusReason": found.reason or None,
            "Capabilities": found.request.get("Capabilities", []),
            "Tags": found.request.get("Tags", []),
            "Changes": found.changes,
            "IncludeNestedStacks": False,
            "ImportExistingResources": bool(found.request.get("ImportExistingResources")),
        }
        return {key: value for key, value in told.items() if value is not None}

    def execute_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self._set(request)
        if found.execution != "AVAILABLE":
            raise Refused(
                "InvalidChangeSetStatus",
                f"ChangeSet [{found.id}] cannot be executed in its current status of [{found.status}]",
            )
        self._sets = [one for one in self._sets if one.stack is not found.stack]  # [cfn] all of a stack's others go too
        stack = found.stack
        stack.tags = found.request.get("Tags", stack.tags)
        stack.capabilities = found.request.get("Capabilities", [])
        stack.apply(found.template, found.parameters, bool(found.request.get("ImportExistingResources")))
        return {}

    def delete_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            self._sets.remove(self._set(request))
        except Refused:
            return {}  # [cfn] as if it had been there
        return {}

    def list_change_sets(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._stack(request)
        told = [
            {"ChangeSetId": one.id, "ChangeSetName": one.name, "Status": one.status, "ExecutionStatus": one.execution}
            for one in self._sets
            if one.stack is stack
        ]
        return {"Summaries": told}

    # Stacks

    def create_stack(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._find(request["StackName"])
        if stack:
            raise Refused("AlreadyExistsException", f"Stack [{stack.name}] already exists")
        template = self._template(request, None)
        return self._apply(self._new(request["StackName"]), template, request)

    def update_stack(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._stack(request)
        _may_change(stack)
        template = self._template(request, stack)
        if not stack.changes(template, _parameters(template, request, stack), adopt=False):
            raise Invalid("No updates are to be performed.")
        return self._apply(stack, template, request)

    def _apply(self, stack: Stack, template: Template, request: dict[str, Any]) -> dict[str, Any]:
        parameters = _parameters(template, request, stack)
        stack.tags, stack.capabilities = request.get("Tags", stack.tags), request.get("Capabilities", [])
        stack.changes(template, parameters, adopt=False)  # refuses what nobody here knows
        stack.apply(template, parameters, adopt=False)
        return {"StackId": stack.id}

    def delete_stack(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._find(request["StackName"])
        if stack is None:
            return {}  # [cfn] as if it had been there
        if stack.protected:
            raise Invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        self._sets = [one for one in self._sets if one.stack is not stack]
        stack.delete(request.get("RetainResources", []))
        return {}

    def describe_stacks(self, request: dict[str, Any]) -> dict[str, Any]:
        if "StackName" in request:
            return {"Stacks": [_described(self._stack(request))]}
        return {"Stacks": [_described(stack) for stack in self._stacks if not stack.deleted]}

    def list_stacks(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("StackStatusFilter")
        told = [_described(stack) for stack in self._stacks if not wanted or stack.status in wanted]
        return {"StackSummaries": told}

    def describe_stack_events(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"StackEvents": list(reversed(self._stack(request).events))}

    def describe_stack_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        stack, only = self._stack(request), request.get("LogicalResourceId")
        told = [_resource(stack, one) for name, one in stack.resources.items() if only in (None, name)]
        return {"StackResources": [{**one, "Timestamp": one.pop("LastUpdatedTimestamp")} for one in told]}

    def describe_stack_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        stack, name = self._stack(request), request["LogicalResourceId"]
        if name not in stack.resources:
            raise Invalid(f"Resource {name} does not exist for stack {stack.name}")
        return {"StackResourceDetail": _resource(stack, stack.resources[name])}

    def list_stack_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._stack(request)
        return {"StackResourceSummaries": [_resource(stack, one) for one in stack.resources.values()]}

    def get_template(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"TemplateBody": self._stack(request).template.text, "StagesAvailable": ["Original", "Processed"]}

    def update_termination_protection(self, request: dict[str, Any]) -> dict[str, Any]:
        stack = self._stack(request)
        stack.protected = bool(request["EnableTerminationProtection"])
        return {"StackId": stack.id}

    def validate_template(self, request: dict[str, Any]) -> dict[str, Any]:
        template = self._template(request, None)
        told = [{"ParameterKey": key, "NoEcho": False} for key in template.parameters]
        return {"Parameters": told, "Description": template.description}

    # Parts

    def _new(self, name: str) -> Stack:
        place = Place(self._account, self._region, self._partition, name, self._client)
        stack = Stack(place, place.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}"), name)
        self._stacks.append(stack)
        return stack

    def _find(self, name: str) -> Stack | None:
        """By its name, if it is not deleted, or by its id."""
        there = self._stacks
        return next((stack for stack in there if stack.id == name or (stack.name == name and not stack.deleted)), None)

    def _stack(self, request: dict[str, Any]) -> Stack:
        stack = self._find(request["StackName"])
        if stack is None:
            raise Invalid(f"Stack with id {request['StackName']} does not exist")
        return stack

    def _set(self, request: dict[str, Any]) -> ChangeSet:
        name, stack = request["ChangeSetName"], request.get("StackName")
        for found in self._sets:
            if found.id == name or (found.name == name and stack in (found.stack.name, found.stack.id)):
                return found
        raise Refused("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")

    def _template(self, request: dict[str, Any], stack: Stack | None) -> Template:
        if request.get("UsePreviousTemplate") and stack:
            return stack.template
        if "TemplateBody" not in request:
            raise Invalid("The local AWS takes templates as TemplateBody.")
        template = parsed(request["TemplateBody"])
        roles = [entry for entry in template.resources.values() if entry["Type"] in _NAMED]
        named = any(_NAMED[entry["Type"]] in entry.get("Properties", {}) for entry in roles)
        needed = {"CAPABILITY_NAMED_IAM"} if named else {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
        if roles and not needed & set(request.get("Capabilities", [])):
            asked = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
            raise Refused("InsufficientCapabilitiesException", f"Requires capabilities : [{asked}]")
        return template


def _may_change(stack: Stack) -> None:
    stuck = stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
    if stuck or not stack.status.endswith(_SETTLED):
        raise Invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")


def _parameters(template: Template, request: dict[str, Any], stack: Stack) -> dict[str, str]:
    given = {one["ParameterKey"]: one for one in request.get("Parameters", [])}
    unknown = sorted(given.keys() - template.parameters.keys())
    if unknown:
        raise Invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {}
    for key, entry in template.parameters.items():
        if key in given and given[key].get("UsePreviousValue") and key in stack.parameters:
            values[key] = stack.parameters[key]
        elif key in given and "ParameterValue" in given[key]:
            values[key] = given[key]["ParameterValue"]
        elif "Default" in entry:
            values[key] = str(entry["Default"])
    missing = sorted(template.parameters.keys() - values.keys())
    if missing:
        raise Invalid(f"Parameters: [{', '.join(missing)}] must have values")
    return values


def _as_list(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def _described(stack: Stack) -> dict[str, Any]:
    told = {
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": stack.template.description or None,
        "Parameters": _as_list(stack.parameters),
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "Capabilities": stack.capabilities,
        "Outputs": stack.outputs,
        "Tags": stack.tags,
        "EnableTerminationProtection": stack.protected,
        "NotificationARNs": [],
    }
    return {key: value for key, value in told.items() if value is not None}


def _resource(stack: Stack, one: Resource) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": one.logical,
        "PhysicalResourceId": one.physical,
        "ResourceType": one.type,
        "LastUpdatedTimestamp": one.changed,
        "ResourceStatus": one.status,
    }


_ACTIONS: dict[str, Callable[[Region, dict[str, Any]], dict[str, Any]]] = {
    "CreateChangeSet": Region.create_change_set,
    "CreateStack": Region.create_stack,
    "DeleteChangeSet": Region.delete_change_set,
    "DeleteStack": Region.delete_stack,
    "DescribeChangeSet": Region.describe_change_set,
    "DescribeStackEvents": Region.describe_stack_events,
    "DescribeStackResource": Region.describe_stack_resource,
    "DescribeStackResources": Region.describe_stack_resources,
    "DescribeStacks": Region.describe_stacks,
    "ExecuteChangeSet": Region.execute_change_set,
    "GetTemplate": Region.get_template,
    "ListChangeSets": Region.list_change_sets,
    "ListStackResources": Region.list_stack_resources,
    "ListStacks": Region.list_stacks,
    "UpdateStack": Region.update_stack,
    "UpdateTerminationProtection": Region.update_termination_protection,
    "ValidateTemplate": Region.validate_template,
}
