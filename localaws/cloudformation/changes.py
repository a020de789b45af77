"""A change set's content: what a template would change in a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from localaws.cloudformation.resource_types import ResourceType, resource_type
from localaws.cloudformation.template import Template, references, resolve

_UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
_POLICIES = ("DeletionPolicy", "UpdateReplacePolicy")


@dataclass
class Resource:
    """A resource of a stack, as last created or changed."""

    logical: str
    entry: dict[str, Any]  # of the template
    given: dict[str, Any]  # its properties, resolved
    physical: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)  # by GetAtt
    status: str = ""
    changed: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def type_name(self) -> str:
        return str(self.entry["Type"])

    @property
    def type(self) -> ResourceType:
        return resource_type(self.type_name)


class Preview:
    """Walks the template in deployment order; references to resources that do not exist yet resolve to a marker."""

    def __init__(self, existing: Mapping[str, Resource], template: Template, look_up: Callable[[str], Any]) -> None:
        self._existing, self._template, self._look_up = existing, template, look_up
        self._unknown: set[str] = set()  # `Name`: its id and attributes change; `Name.*`: its attributes may

    def changes(self, importable: Callable[[str, dict[str, Any]], str | None]) -> list[dict[str, Any]]:
        """`importable` returns the physical id of an existing resource that the stack would take over."""
        found = []
        for name in self._template.order():
            entry = self._template.resources[name]
            given = resolve(entry.get("Properties", {}), self._value)
            old = self._existing.get(name)
            if old is None or old.type_name != entry["Type"]:
                physical = importable(name, given) if old is None else None
                self._unknown |= {name} if physical is None else set()
                action = "Add" if physical is None else "Import"
                found.append(_change(action, name, entry["Type"], physical))
            else:
                found += self._modified(old, entry, given)
        for old in reversed([old for name, old in self._existing.items() if name not in self._template.resources]):
            retained = str(old.entry.get("DeletionPolicy")).startswith("Retain")
            action = "Retain" if retained else "Delete"
            found.append(_change("Remove", old.logical, old.type_name, old.physical, PolicyAction=action))
        return found

    def _value(self, reference: str) -> Any:
        name, _, attribute = reference.partition(".")
        unknown = name not in self._existing or name in self._unknown or (attribute and f"{name}.*" in self._unknown)
        return _UNKNOWN if name in self._template.resources and unknown else self._look_up(reference)

    def _modified(self, old: Resource, entry: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
        raw, fixed = entry.get("Properties", {}), old.type.fixed.split()
        names = [name for name in sorted(old.given.keys() | given.keys()) if old.given.get(name) != given.get(name)]
        policies = [policy for policy in _POLICIES if old.entry.get(policy) != entry.get(policy)]
        if not names and not policies:
            return []
        details = [self._detail(name, name in fixed, raw.get(name)) for name in names]
        recreation = {detail["Target"]["RequiresRecreation"] for detail in details}
        replacement = "True" if "Always" in recreation else "Conditional" if "Conditionally" in recreation else "False"
        self._unknown |= {f"{old.logical}.*"} if replacement == "False" else {old.logical}
        more = {"Replacement": replacement, "Scope": (["Properties"] if names else []) + policies, "Details": details}
        if replacement != "False":
            retained = entry.get("UpdateReplacePolicy") == "Retain"
            more["PolicyAction"] = "ReplaceAndRetain" if retained else "ReplaceAndDelete"
        return [_change("Modify", old.logical, old.type_name, old.physical, **more)]

    def _detail(self, name: str, fixed: bool, raw: Any) -> dict[str, Any]:
        unknown = any(self._value(reference) == _UNKNOWN for reference in references(raw))
        recreation = "Never" if not fixed else "Conditionally" if unknown else "Always"
        return {
            "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation},
            "Evaluation": "Dynamic" if unknown else "Static",
        }


def _change(action: str, logical: str, type_name: str, physical: str | None, **more: Any) -> dict[str, Any]:
    change = {"Action": action, "LogicalResourceId": logical, "ResourceType": type_name, "Scope": [], "Details": []}
    known = {"PhysicalResourceId": physical} if physical else {}
    return {"Type": "Resource", "ResourceChange": {**change, **known, **more}}
