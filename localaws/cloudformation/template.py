"""Parses a template, and resolves its references once their resources exist."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

TEMPLATE_BYTES = 51_200  # [cfn] of a TemplateBody
_SECTIONS = {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Resources", "Outputs"}
_ATTRIBUTES = {"Type", "Properties", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy"}


class Refusal(Exception):
    """CloudFormation responds with this error code and text."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Template:
    text: str = "{}"
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def order(self) -> list[str]:
        """All resources, each after those it refers to or depends on."""
        done: dict[str, None] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in path:
                circle = ", ".join(sorted(path[path.index(name) :]))
                raise Refusal(f"Circular dependency between resources: [{circle}]")
            if name not in done:
                path.append(name)
                for other in self._needs(name):
                    visit(other)
                path.pop()
                done[name] = None

        for name in self.resources:
            visit(name)
        return list(done)

    def _needs(self, name: str) -> list[str]:
        entry = self.resources[name]
        referred = [part.split(".")[0] for part in references(entry.get("Properties", {}))]
        return [other for other in dict.fromkeys(_depends_on(entry) + referred) if other in self.resources]


def parse(text: str) -> Template:
    if len(text.encode()) > TEMPLATE_BYTES:
        raise Refusal(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
            f"length less than or equal to {TEMPLATE_BYTES}"
        )
    try:
        content = json.loads(text)
    except ValueError:
        raise Refusal("Template format error: the local AWS reads templates as JSON.") from None
    if not isinstance(content, dict) or not content.get("Resources"):
        raise Refusal("Template format error: At least one Resources member must be defined.")
    unknown = sorted(content.keys() - _SECTIONS)
    if unknown:
        raise Refusal(f"Invalid template property or properties [{', '.join(unknown)}]")
    template = Template(text, content.get("Parameters", {}), content["Resources"], content.get("Outputs", {}))
    _check(template)
    return template


def _check(template: Template) -> None:
    for entry in template.resources.values():
        unknown = sorted(entry.keys() - _ATTRIBUTES)
        if unknown or "Type" not in entry:
            raise Refusal(f"Invalid template resource property '{unknown[0] if unknown else 'Type'}'")
    known = template.resources.keys() | template.parameters.keys()
    depends = [name for entry in template.resources.values() for name in _depends_on(entry)]
    for reference in [*depends, *references([template.resources, template.outputs])]:
        name = reference.split(".")[0]
        if name not in known and not name.startswith("AWS::"):
            raise Refusal(f"Template format error: Unresolved resource dependencies [{name}]")
    template.order()


def _depends_on(entry: dict[str, Any]) -> list[str]:
    names = entry.get("DependsOn", [])
    return [names] if isinstance(names, str) else list(names)


def references(value: Any) -> Iterator[str]:
    """`Name` for each Ref and `Name.Attribute` for each GetAtt in a value."""
    reference = _reference(value)
    if reference:
        yield reference
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


def resolve(value: Any, look_up: Callable[[str], Any]) -> Any:
    """The value with `look_up(reference)` in place of each reference."""
    reference = _reference(value)
    if reference:
        return look_up(reference)
    if isinstance(value, list):
        return [resolve(item, look_up) for item in value]
    return {key: resolve(item, look_up) for key, item in value.items()} if isinstance(value, dict) else value


def _reference(value: Any) -> str:
    if not isinstance(value, dict) or len(value) != 1:
        return ""
    ((function, given),) = value.items()
    if function == "Ref":
        return str(given)
    if function == "Fn::GetAtt":
        return given if isinstance(given, str) else ".".join(given)
    if function.startswith("Fn::"):
        raise Refusal(f"Template error: the local AWS does not know the function {function}")
    return ""
