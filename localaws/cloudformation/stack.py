"""A stack: applies a template resource by resource, and takes everything back when one of them fails.

What a stack no longer needs is removed last, when nothing can fail any more; so whatever is taken back is still there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from localaws.cloudformation.changes import Preview, Resource
from localaws.cloudformation.kinds import Failed, Kind, Place, reason
from localaws.cloudformation.known import check, kind_of
from localaws.cloudformation.template import NOTHING, Invalid, Template, resolved

STACK = "AWS::CloudFormation::Stack"


@dataclass
class Stack:
    place: Place
    id: str
    name: str
    status: str = "REVIEW_IN_PROGRESS"
    reason: str = ""
    template: Template = NOTHING
    parameters: dict[str, str] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    protected: bool = False
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    updated: datetime | None = None
    deleted: datetime | None = None

    def changes(self, template: Template, parameters: dict[str, str], adopt: bool) -> list[dict[str, Any]]:
        for name, entry in template.resources.items():
            check(name, entry)

        def adopted(name: str, given: dict[str, Any]) -> str | None:
            entry = template.resources[name]
            return self._adopted(entry, self._kind(name, entry), given) if adopt else None

        return Preview(self.resources, template, self._knows(parameters)).changes(adopted)

    def apply(self, template: Template, parameters: dict[str, str], adopt: bool) -> None:
        """Afterwards the stack is as the template says, or as it was; its status tells which."""
        doing = "CREATE" if self.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.turn(f"{doing}_IN_PROGRESS", "User Initiated")
        work = _Work(self, self._knows(parameters), adopt)
        before = self.resources.copy()
        for name in template.order():
            try:
                work.bring(name, template.resources[name])
            except Exception as problem:  # a bug's too: a stack that is left half-way could never be changed again
                work.take_back(doing, name, reason(problem))
                self.resources = before if doing == "UPDATE" else {}
                return
        self.template, self.parameters = template, parameters
        self.outputs = self._outputs(template, parameters)
        gone = [old for name, old in reversed(before.items()) if name not in template.resources]
        if work.replaced or gone:
            self.turn("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for old in [*reversed(work.replaced), *gone]:
            policy = "UpdateReplacePolicy" if old in work.replaced else "DeletionPolicy"
            self._leave(old, policy)
            if old in gone:
                del self.resources[old.logical]
        self.updated = datetime.now(timezone.utc)
        self.turn(f"{doing}_COMPLETE")

    def delete(self, retain: list[str]) -> None:
        self.turn("DELETE_IN_PROGRESS", "User Initiated")
        order = [name for name in reversed(self.template.order()) if name in self.resources]
        stuck = []
        for name in order:
            old = self.resources[name]
            if name in retain or self._leave(old, "DeletionPolicy"):
                del self.resources[name]
            else:
                stuck.append(name)
        if stuck:
            self.turn("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(stuck)}]. ")
        else:
            self.deleted = datetime.now(timezone.utc)
            self.turn("DELETE_COMPLETE")

    # Parts

    def _kind(self, name: str, entry: dict[str, Any]) -> Kind:
        return kind_of(entry["Type"])(self.place, name)

    def _adopted(self, entry: dict[str, Any], kind: Kind, given: dict[str, Any]) -> str | None:
        """What exists already, has a fixed name and is not lost with the stack can be taken into it."""
        if not str(entry.get("DeletionPolicy", "")).startswith("Retain") or kind.name not in given:
            return None
        return kind.there(given)

    def _knows(self, parameters: dict[str, str]) -> Callable[[str], Any]:
        place = self.place
        pseudo = {
            "AWS::AccountId": place.account,
            "AWS::Partition": place.partition,
            "AWS::Region": place.region,
            "AWS::StackId": self.id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com.cn" if place.partition == "aws-cn" else "amazonaws.com",
        }

        def value(reference: str) -> Any:
            name, _, attribute = reference.partition(".")
            if reference in pseudo:
                return pseudo[reference]
            if name in parameters and not attribute:
                return parameters[name]
            if name not in self.resources:
                raise Invalid(f"Template error: unresolved reference {reference}")
            resource = self.resources[name]
            if not attribute:
                return resource.physical
            if attribute not in resource.attributes:
                raise Invalid(f"Requested attribute {attribute} of {name} does not exist in schema for {resource.type}")
            return resource.attributes[attribute]

        return value

    def _outputs(self, template: Template, parameters: dict[str, str]) -> list[dict[str, str]]:
        knows = self._knows(parameters)
        return [
            {"OutputKey": key, "OutputValue": str(resolved(entry["Value"], knows)), **_described(entry)}
            for key, entry in template.outputs.items()
        ]

    def _leave(self, old: Resource, policy: str) -> bool:
        """Removes a resource unless its policy keeps it; False where that failed."""
        if str(old.entry.get(policy, "Delete")).startswith("Retain"):
            self.tell(old, "DELETE_SKIPPED")
            return True
        self.tell(old, "DELETE_IN_PROGRESS")
        try:
            kind_of(old.type)(self.place, old.logical).remove(old.physical, old.given)
        except Exception as problem:  # whatever it is, the other resources go, and the stack's events tell
            self.tell(old, "DELETE_FAILED", reason(problem))
            return False
        self.tell(old, "DELETE_COMPLETE")
        return True

    # What is told

    def turn(self, status: str, why: str = "") -> None:
        self.status, self.reason = status, why
        self._event(self.name, self.id, STACK, status, why)

    def tell(self, resource: Resource, status: str, why: str = "") -> None:
        resource.status, resource.reason, resource.changed = status, why, datetime.now(timezone.utc)
        self._event(resource.logical, resource.physical, resource.type, status, why)

    def _event(self, logical: str, physical: str, kind: str, status: str, why: str) -> None:
        event = {
            "StackId": self.id,
            "StackName": self.name,
            "EventId": str(uuid.uuid4()),
            "LogicalResourceId": logical,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "ResourceStatus": status,
            "Timestamp": datetime.now(timezone.utc),
        }
        self.events.append({**event, "ResourceStatusReason": why} if why else event)


class _Work:
    """One template on its way into a stack: what was done, and how each step is taken back."""

    def __init__(self, stack: Stack, knows: Callable[[str], Any], adopt: bool) -> None:
        self._stack, self._knows, self._adopt = stack, knows, adopt
        self._back: list[Callable[[], bool]] = []
        self.replaced: list[Resource] = []
        self._under_way: tuple[Resource, str] | None = None

    def bring(self, name: str, entry: dict[str, Any]) -> None:
        """Makes or changes one resource, if it is not as it should be."""
        stack = self._stack
        kind = kind_of(entry["Type"])(stack.place, name)
        old = stack.resources.get(name)
        self._under_way = (old or Resource(name, entry["Type"], "", {}, {}, entry), "UPDATE" if old else "CREATE")
        given = resolved(entry.get("Properties", {}), self._knows)
        if old is None:
            self._make(kind, name, entry, given)
            return
        fixed = {part for part in kind.fixed if old.given.get(part) != given.get(part)}
        if old.type != entry["Type"] or fixed:
            self._replace(kind, old, entry, given, fixed)
        elif old.given != given:
            self._change(kind, old, entry, given)
        else:
            stack.resources[name] = Resource(**{**vars(old), "entry": entry})

    def _make(self, kind: Kind, name: str, entry: dict[str, Any], given: dict[str, Any]) -> None:
        stack = self._stack
        found = stack._adopted(entry, kind, given) if self._adopt else None
        word = "CREATE" if found is None else "IMPORT"
        resource = Resource(name, entry["Type"], found or "", given, {}, entry)
        self._under_way = (resource, word)
        stack.tell(resource, f"{word}_IN_PROGRESS")
        self._set_up(kind, resource, word)

    def _set_up(self, kind: Kind, resource: Resource, word: str) -> None:
        stack, given = self._stack, resource.given
        if not resource.physical:
            resource.physical = kind.make(given)
            # As on AWS what has the policy Retain stays even when its making is taken back.
            self._back.append(lambda: stack._leave(resource, "DeletionPolicy"))
        kind.configure(resource.physical, {}, given)
        resource.attributes = kind.attributes(resource.physical, given)
        stack.resources[resource.logical] = resource
        stack.tell(resource, f"{word}_COMPLETE")

    def _replace(
        self, kind: Kind, old: Resource, entry: dict[str, Any], given: dict[str, Any], fixed: set[str]
    ) -> None:
        if kind.name and given.get(kind.name) is not None and given.get(kind.name) == old.given.get(kind.name):
            raise Failed(
                f"CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{given[kind.name]} and update the stack again. ({', '.join(sorted(fixed))} changed)"
            )
        stack = self._stack
        stack.tell(
            old,
            "UPDATE_IN_PROGRESS",
            "Requested update requires the creation of a new physical resource; hence creating one.",
        )
        resource = Resource(old.logical, entry["Type"], "", given, {}, entry)
        self._under_way = (resource, "UPDATE")
        self._set_up(kind, resource, "UPDATE")
        self.replaced.append(old)

    def _change(self, kind: Kind, old: Resource, entry: dict[str, Any], given: dict[str, Any]) -> None:
        stack = self._stack
        resource = Resource(**{**vars(old), "given": given, "entry": entry})
        self._under_way = (resource, "UPDATE")
        stack.tell(resource, "UPDATE_IN_PROGRESS")

        def back() -> bool:
            stack.tell(old, "UPDATE_IN_PROGRESS")
            try:
                kind.configure(old.physical, given, old.given)
                old.attributes = kind.attributes(old.physical, old.given)
            except Exception as problem:  # one step that cannot be undone keeps none of the others, as on AWS
                stack.tell(old, "UPDATE_FAILED", reason(problem))
                return False
            stack.tell(old, "UPDATE_COMPLETE")
            return True

        self._back.append(back)
        kind.configure(old.physical, old.given, given)
        resource.attributes = kind.attributes(old.physical, given)
        stack.resources[old.logical] = resource
        stack.tell(resource, "UPDATE_COMPLETE")

    def take_back(self, doing: str, name: str, why: str) -> None:
        """Undoes everything, the last step first."""
        stack = self._stack
        assert self._under_way is not None, "it is a resource that failed"
        resource, word = self._under_way
        stack.tell(resource, f"{word}_FAILED", why)
        kind = "ROLLBACK" if doing == "CREATE" else "UPDATE_ROLLBACK"
        failed = f"The following resource(s) failed to {'create' if word == 'CREATE' else 'update'}: [{name}]. "
        stack.turn(f"{kind}_IN_PROGRESS", failed + ("Rollback requested by user." if doing == "CREATE" else ""))
        whole = True
        for back in reversed(self._back):
            whole = back() and whole
        if doing == "UPDATE" and whole:
            stack.turn("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        stack.turn(f"{kind}_COMPLETE" if whole else f"{kind}_FAILED", "" if whole else failed)


def _described(entry: dict[str, Any]) -> dict[str, str]:
    return {"Description": entry["Description"]} if "Description" in entry else {}
