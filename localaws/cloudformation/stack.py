"""A stack: applies a template resource by resource, and rolls everything back when one of them fails.

Resources that the stack no longer needs are deleted last, when nothing else can fail, so a rollback still has them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from localaws.base.requests import show
from localaws.cloudformation.changes import Preview, Resource
from localaws.cloudformation.handlers import HandlerError
from localaws.cloudformation.resource_types import Place, resource_type
from localaws.cloudformation.template import Refusal, Template, resolve


@dataclass
class Stack:
    place: Place
    id: str
    status: str = "REVIEW_IN_PROGRESS"
    template: Template = field(default_factory=Template)
    parameters: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def changes(self, template: Template, parameters: dict[str, str]) -> list[dict[str, Any]]:
        for name, entry in template.resources.items():
            resource_type(entry["Type"]).check(name, entry.get("Properties", {}))
        return Preview(self.resources, template, self.look_up(parameters)).changes(self.importable)

    def apply(self, template: Template, parameters: dict[str, str]) -> None:
        """Apply the template, or restore the previous state; `status` says which happened."""
        kind = "CREATE" if self.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.set_status(f"{kind}_IN_PROGRESS", "User Initiated")
        look_up = self.look_up(parameters)
        deployment, before = _Deployment(self, look_up), self.resources.copy()
        for name in template.order():
            try:
                deployment.deploy(name, template.resources[name])
            except Exception as problem:  # bugs too: a half-applied stack could never be changed again
                deployment.roll_back(kind, name, reason(problem))
                self.resources = before if kind == "UPDATE" else {}
                return
        self.template, self.parameters = template, parameters
        self.outputs = [
            {"OutputKey": key, "OutputValue": str(resolve(entry["Value"], look_up))}
            for key, entry in template.outputs.items()
        ]
        gone = [old for name, old in reversed(before.items()) if name not in template.resources]
        if deployment.replaced or gone:
            self.set_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for old in reversed(deployment.replaced):
            self.remove(old, "UpdateReplacePolicy")
        for old in gone:
            self.remove(old, "DeletionPolicy")
            del self.resources[old.logical]
        self.set_status(f"{kind}_COMPLETE")

    def delete(self) -> None:
        self.set_status("DELETE_IN_PROGRESS", "User Initiated")
        for name in reversed(self.template.order()):
            if name in self.resources and self.remove(self.resources[name], "DeletionPolicy"):
                del self.resources[name]
        if self.resources:
            failed = ", ".join(reversed(self.resources))
            self.set_status("DELETE_FAILED", f"The following resource(s) failed to delete: [{failed}]. ")
        else:
            self.set_status("DELETE_COMPLETE")

    def importable(self, entry: dict[str, Any], given: dict[str, Any]) -> str:
        """The name of an existing resource that the stack may import: one that it would not delete."""
        kind, name = resource_type(entry["Type"]), given.get(resource_type(entry["Type"]).name, "")
        retained = Resource("", entry, given).retained("DeletionPolicy")
        return str(name) if name and retained and kind.exists(self.place.client, name) else ""

    def look_up(self, parameters: dict[str, str]) -> Callable[[str], Any]:
        """Return a function that resolves references."""
        place = self.place
        values = {
            "AWS::AccountId": place.account,
            "AWS::Partition": place.partition,
            "AWS::Region": place.region,
            "AWS::StackId": self.id,
            "AWS::StackName": place.stack,
            "AWS::URLSuffix": "amazonaws.com.cn" if place.partition == "aws-cn" else "amazonaws.com",
            **parameters,
        }

        def value(reference: str) -> Any:
            name, _, attribute = reference.partition(".")
            if reference in values:
                return values[reference]
            if name not in self.resources:
                raise Refusal(f"Template error: unresolved reference {reference}")
            resource = self.resources[name]
            if attribute and attribute not in resource.attributes:
                raise Refusal(
                    f"Requested attribute {attribute} of {name}: the local AWS does not know it of {resource.type_name}"
                )
            return resource.attributes[attribute] if attribute else resource.physical

        return value

    def remove(self, old: Resource, policy: str) -> bool:
        """Delete a resource unless its policy retains it; False if that failed."""
        if old.retained(policy):
            self.report(old, "DELETE_SKIPPED")
            return True
        self.report(old, "DELETE_IN_PROGRESS")
        try:
            old.type.delete(self.place.client, old.physical, old.given)
        except Exception as problem:  # bugs too: delete the other resources, and report the reason as an event
            self.report(old, "DELETE_FAILED", reason(problem))
            return False
        self.report(old, "DELETE_COMPLETE")
        return True

    def set_status(self, status: str, why: str = "") -> None:
        self.status = status
        self.report(Resource(self.place.stack, {"Type": "AWS::CloudFormation::Stack"}, {}, self.id), status, why)

    def report(self, resource: Resource, status: str, why: str = "") -> None:
        event = {
            "StackId": self.id,
            "StackName": self.place.stack,
            "EventId": str(uuid.uuid4()),
            "LogicalResourceId": resource.logical,
            "PhysicalResourceId": resource.physical,
            "ResourceType": resource.type_name,
            "ResourceStatus": status,
            "Timestamp": datetime.now(timezone.utc),
        }
        self.events.append({**event, "ResourceStatusReason": why} if why else event)


class _Deployment:
    """A template being applied to a stack: the steps so far, and how to undo each."""

    def __init__(self, stack: Stack, look_up: Callable[[str], Any]) -> None:
        self._stack, self._look_up = stack, look_up
        self._undo: list[Callable[[], bool]] = []
        self.replaced: list[Resource] = []
        self._current: tuple[Resource, str]  # the resource being deployed, and CREATE, IMPORT or UPDATE

    def deploy(self, name: str, entry: dict[str, Any]) -> None:
        """Create or change a resource, unless it is already up to date."""
        stack, old = self._stack, self._stack.resources.get(name)
        resource = Resource(name, entry, {}, old.physical if old else "")
        self._current = (resource, "UPDATE" if old else "CREATE")
        resource.given = resolve(entry.get("Properties", {}), self._look_up)
        if old is None:
            resource.physical = stack.importable(entry, resource.given)
            self._create(resource, "IMPORT" if resource.physical else "CREATE")
        elif old.type_name != resource.type_name or old.type.replacing(old.given, resource.given):
            self._replace(old, resource)
        elif old.given != resource.given:
            self._change(old, resource)
        else:
            stack.resources[name] = replace(old, entry=entry)

    def _create(self, resource: Resource, word: str, why: str = "") -> None:
        stack, kind, given = self._stack, resource.type, resource.given
        self._current = (resource, word)
        stack.report(resource, f"{word}_IN_PROGRESS", why)
        if not resource.physical:
            name = kind.name_of(stack.place, resource.logical, given)
            resource.physical = kind.create(stack.place.client, name, given) or name
            # [cfn] A resource with the policy Retain stays when its creation is rolled back.
            self._undo.append(lambda: stack.remove(resource, "DeletionPolicy"))
        self._configure(resource, {}, word)

    def _configure(self, resource: Resource, before: dict[str, Any], word: str) -> None:
        stack, kind = self._stack, resource.type
        kind.configure(stack.place.client, resource.physical, before, resource.given)
        resource.attributes = kind.attributes(stack.place, resource.physical)
        stack.resources[resource.logical] = resource
        stack.report(resource, f"{word}_COMPLETE")

    def _replace(self, old: Resource, resource: Resource) -> None:
        name = resource.given.get(resource.type.name)
        if name is not None and name == old.given.get(resource.type.name):
            raise HandlerError(
                f"CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{name} and update the stack again."
            )
        resource.physical = ""
        why = "Requested update requires the creation of a new physical resource; hence creating one."
        self._create(resource, "UPDATE", why)
        self.replaced.append(old)

    def _change(self, old: Resource, resource: Resource) -> None:
        self._stack.report(resource, "UPDATE_IN_PROGRESS")

        def undo() -> bool:
            self._stack.report(old, "UPDATE_IN_PROGRESS")
            try:
                self._configure(old, resource.given, "UPDATE")
            except Exception as problem:  # bugs too: [cfn] the other steps are still undone
                self._stack.report(old, "UPDATE_FAILED", reason(problem))
                return False
            return True

        self._undo.append(undo)
        self._configure(resource, old.given, "UPDATE")

    def roll_back(self, kind: str, name: str, why: str) -> None:
        """Undo everything in reverse order."""
        stack, (resource, word) = self._stack, self._current
        stack.report(resource, f"{word}_FAILED", why)
        rollback = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
        failed = f"The following resource(s) failed to {'create' if word == 'CREATE' else 'update'}: [{name}]. "
        stack.set_status(f"{rollback}_IN_PROGRESS", failed)
        undone = [undo() for undo in reversed(self._undo)]  # all of them, even if some fail
        if all(undone):
            stack.set_status(f"{rollback}_COMPLETE")
        else:
            stack.set_status(f"{rollback}_FAILED", failed)


def reason(error: Exception) -> str:
    """A service's refusal in CloudFormation's format. Anything else is a bug: also print its traceback."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, (HandlerError, Refusal, BotoCoreError)):
        return str(error)
    if not isinstance(error, ClientError):
        show(error)
        return f"a bug of the local AWS: {type(error).__name__}: {error}"
    refusal, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    operation = re.sub(r"^.*\.", "", error.operation_name)
    code = "AlreadyExists" if "AlreadyExist" in refusal["Code"] else "GeneralServiceException"
    return (
        f'Resource handler returned message: "{refusal["Message"]} (Operation: {operation}, Error: {refusal["Code"]}, '
        f'Status Code: {status})" (HandlerErrorCode: {code})'
    )
