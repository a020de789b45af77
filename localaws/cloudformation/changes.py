"""What of a stack a template would change, as a change set tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localaws.cloudformation.known import kind_of
from localaws.cloudformation.template import Template, references, resolved

LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"
_POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")


@dataclass
class Resource:
    """A resource of a stack, as it was made or last changed."""

    logical: str
    type: str
    physical: str
    given: dict[str, Any]
    attributes: dict[str, Any]
    entry: dict[str, Any]
    status: str = ""
    reason: str = ""
    changed: Any = None


class Preview:
    """Goes through the template in the order of a deployment; what is not known yet has a mark in its place."""

    def __init__(self, there: Mapping[str, Resource], template: Template, constant: Callable[[str], Any]) -> None:
        self._there, self._template, self._constant = there, template, constant
        self._unknown: set[str] = set()  # references whose value shows when the change set is carried out

    def changes(self, adopted: Callable[[str, dict[str, Any]], str | None]) -> list[dict[str, Any]]:
        told = []
        for name in self._template.order():
            entry = self._template.resources[name]
            given = resolved(entry.get("Properties", {}), self._value)
            old = self._there.get(name)
            if old is None or old.type != entry["Type"]:
                physical = adopted(name, given) if old is None else None
                self._unknown |= {name} if physical is None else set()
                told.append(_new(name, entry, physical))
            else:
                told += self._changed(old, entry, given)
        gone = [old for name, old in self._there.items() if name not in self._template.resources]
        return told + [_removed(old) for old in reversed(gone)]

    def _value(self, reference: str) -> Any:
        name, _, attribute = reference.partition(".")
        if name not in self._template.resources:
            return self._constant(reference)
        if name in self._unknown or reference in self._unknown or (attribute and f"{name}.*" in self._unknown):
            return LATER
        return self._constant(reference) if name in self._there else LATER

    def _changed(self, old: Resource, entry: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
        fixed = kind_of(old.type).fixed
        raw = entry.get("Properties", {})
        names = [part for part in sorted(old.given.keys() | given.keys()) if old.given.get(part) != given.get(part)]
        details = [self._detail(part, part in fixed, raw.get(part), given.get(part)) for part in names]
        moved = [policy for policy in _POLICIES if old.entry.get(policy) != entry.get(policy)]
        if not details and not moved:
            return []
        needed = {detail["Target"]["RequiresRecreation"] for detail in details}
        replacement = "True" if "Always" in needed else "Conditional" if "Conditionally" in needed else "False"
        self._unknown |= {old.logical if replacement == "True" else f"{old.logical}.*"}
        change = {
            "Action": "Modify",
            "LogicalResourceId": old.logical,
            "PhysicalResourceId": old.physical,
            "ResourceType": old.type,
            "Replacement": replacement,
            "Scope": (["Properties"] if details else []) + moved,
            "Details": details,
        }
        if replacement == "Conditional":
            self._unknown.add(old.logical)
        if replacement != "False":
            retained = entry.get("UpdateReplacePolicy") == "Retain"
            change["PolicyAction"] = "ReplaceAndRetain" if retained else "ReplaceAndDelete"
        return [{"Type": "Resource", "ResourceChange": change}]

    def _detail(self, name: str, fixed: bool, raw: Any, value: Any) -> dict[str, Any]:
        causes = [reference for reference in references(raw) if self._value(reference) == LATER]
        later = bool(causes)
        recreation = "Never" if not fixed else "Conditionally" if later else "Always"
        detail: dict[str, Any] = {
            "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation},
            "Evaluation": "Dynamic" if later else "Static",
            "ChangeSource": "DirectModification",
        }
        if later:
            source = "ResourceAttribute" if "." in causes[0] else "ResourceReference"
            return {**detail, "ChangeSource": source, "CausingEntity": causes[0]}
        parameters = [reference for reference in references(raw) if reference in self._template.parameters]
        if parameters:
            return {**detail, "ChangeSource": "ParameterReference", "CausingEntity": parameters[0]}
        return detail


def _new(name: str, entry: dict[str, Any], physical: str | None) -> dict[str, Any]:
    change: dict[str, Any] = {"Action": "Add" if physical is None else "Import", "LogicalResourceId": name}
    more = {} if physical is None else {"PhysicalResourceId": physical}
    return {
        "Type": "Resource",
        "ResourceChange": {**change, **more, "ResourceType": entry["Type"], "Scope": [], "Details": []},
    }


def _removed(old: Resource) -> dict[str, Any]:
    kept = str(old.entry.get("DeletionPolicy", "Delete")).startswith("Retain")
    change: dict[str, Any] = {
        "PolicyAction": "Retain" if kept else "Delete",
        "Action": "Remove",
        "LogicalResourceId": old.logical,
        "PhysicalResourceId": old.physical,
        "ResourceType": old.type,
        "Scope": [],
        "Details": [],
    }
    return {"Type": "Resource", "ResourceChange": change}
