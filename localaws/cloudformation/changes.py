"""A change set's content: what a template would change in a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localaws.cloudformation.resource_types import ResourceType, resource_type
from localaws.cloudformation.template import Template, references, resolve

_UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"


@dataclass
class Resource:
    """A resource of a stack, as last created or changed."""

    logical: str
    entry: dict[str, Any]  # of the template
    given: dict[str, Any]  # its properties, resolved
    physical: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)  # by GetAtt

    @property
    def type_name(self) -> str:
        return str(self.entry["Type"])

    @property
    def type(self) -> ResourceType:
        return resource_type(self.type_name)

    def retained(self, policy: str) -> bool:
        return str(self.entry.get(policy)).startswith("Retain")


class Preview:
    """Walks the template in deployment order; references to resources that do not exist yet resolve to a marker."""

    def __init__(self, existing: Mapping[str, Resource], template: Template, look_up: Callable[[str], Any]) -> None:
        self._existing, self._template, self._look_up = existing, template, look_up
        self._unknown: set[str] = set()  # `Name`: its id and attributes change; `Name.*`: its attributes may

    def changes(self, importable: Callable[[dict[str, Any], dict[str, Any]], str]) -> list[dict[str, Any]]:
        """`importable` returns the physical id of an existing resource that the stack would take over."""
        found = []
        for name in self._template.order():
            entry = self._template.resources[name]
            given = resolve(entry.get("Properties", {}), self._value)
            old = self._existing.get(name)
            if old is not None and old.type_name == entry["Type"]:
                found += self._modified(old, entry, given)
                continue
            physical = "" if old else importable(entry, given)
            self._unknown |= set() if physical else {name}
            found.append(_change("Import" if physical else "Add", Resource(name, entry, given, physical)))
        for old in reversed([old for name, old in self._existing.items() if name not in self._template.resources]):
            found.append(_change("Remove", old, PolicyAction="Retain" if old.retained("DeletionPolicy") else "Delete"))
        return found

    def _value(self, reference: str) -> Any:
        name, _, attribute = reference.partition(".")
        unknown = name not in self._existing or name in self._unknown or (attribute and f"{name}.*" in self._unknown)
        return _UNKNOWN if name in self._template.resources and unknown else self._look_up(reference)

    def _modified(self, old: Resource, entry: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
        names = [name for name in sorted(old.given.keys() | given.keys()) if old.given.get(name) != given.get(name)]
        policies = ("DeletionPolicy", "UpdateReplacePolicy")
        if not names and all(old.entry.get(policy) == entry.get(policy) for policy in policies):
            return []
        replacing = old.type.replacing(old.given, given)
        certain = [name for name in replacing if not self._is_unknown(entry.get("Properties", {}).get(name))]
        self._unknown |= {old.logical if replacing else f"{old.logical}.*"}
        replacement = "True" if certain else "Conditional" if replacing else "False"
        details = [{"Target": {"Attribute": "Properties", "Name": name}} for name in names]
        return [_change("Modify", old, Replacement=replacement, Details=details)]

    def _is_unknown(self, raw: Any) -> bool:
        return any(self._value(reference) == _UNKNOWN for reference in references(raw))


def _change(action: str, resource: Resource, **more: Any) -> dict[str, Any]:
    known = {"PhysicalResourceId": resource.physical} if resource.physical else {}
    names = {"LogicalResourceId": resource.logical, "ResourceType": resource.type_name, **known}
    return {"Type": "Resource", "ResourceChange": {"Action": action, **names, **more}}
