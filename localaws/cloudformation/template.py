"""A template: its text taken apart, and what its functions give once it is known what they refer to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

TEMPLATE_BYTES = 51_200  # [cfn] where the template is sent with the call
NO_VALUE = object()
_PARTS = {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Resources", "Outputs"}
_ATTRIBUTES = {"Type", "Properties", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"}


class Invalid(Exception):
    """CloudFormation would answer with a ValidationError of this text."""


@dataclass(frozen=True)
class Template:
    text: str
    parameters: dict[str, dict[str, Any]]
    resources: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]
    description: str = ""

    def order(self) -> list[str]:
        """The resources, each after those that it refers to or depends on."""
        done: dict[str, None] = {}
        under_way: list[str] = []

        def visit(name: str) -> None:
            if name in done:
                return
            if name in under_way:
                circle = ", ".join(sorted(under_way[under_way.index(name) :]))
                raise Invalid(f"Circular dependency between resources: [{circle}]")
            under_way.append(name)
            for other in self.needs(name):
                visit(other)
            under_way.pop()
            done[name] = None

        for name in self.resources:
            visit(name)
        return list(done)

    def needs(self, name: str) -> list[str]:
        entry = self.resources[name]
        depends = entry.get("DependsOn", [])
        named = [depends] if isinstance(depends, str) else list(depends)
        referred = [part.split(".")[0] for part in references(entry.get("Properties", {}))]
        return [other for other in dict.fromkeys(named + referred) if other in self.resources]


NOTHING = Template("{}", {}, {}, {})


def parsed(text: str) -> Template:
    if len(text.encode()) > TEMPLATE_BYTES:
        raise Invalid(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
            f"length less than or equal to {TEMPLATE_BYTES}"
        )
    try:
        content = json.loads(text)
    except ValueError:
        raise Invalid("Template format error: the local AWS reads templates as JSON.") from None
    if not isinstance(content, dict) or not content.get("Resources"):
        raise Invalid("Template format error: At least one Resources member must be defined.")
    unknown = sorted(content.keys() - _PARTS)
    if unknown:
        raise Invalid(f"Invalid template property or properties [{', '.join(unknown)}]")
    resources = content["Resources"]
    template = Template(
        text, content.get("Parameters", {}), resources, content.get("Outputs", {}), content.get("Description", "")
    )
    _check(template)
    return template


def _check(template: Template) -> None:
    for name, entry in template.resources.items():
        if not re.fullmatch("[A-Za-z0-9]+", name):
            raise Invalid(f"Template format error: Resource name {name} is non alphanumeric.")
        unknown = sorted(entry.keys() - _ATTRIBUTES)
        if unknown or "Type" not in entry:
            raise Invalid(f"Invalid template resource property '{unknown[0] if unknown else 'Type'}'")
        for other in [entry["DependsOn"]] if isinstance(entry.get("DependsOn"), str) else entry.get("DependsOn", []):
            if other not in template.resources:
                raise Invalid(f"Template format error: Unresolved resource dependencies [{other}]")
    known = template.resources.keys() | template.parameters.keys()
    for reference in references([template.resources, template.outputs]):
        name = reference.split(".")[0]
        if name not in known and not name.startswith("AWS::"):
            raise Invalid(
                f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the "
                f"template"
            )
    template.order()


def references(value: Any) -> Iterator[str]:
    """`Name` for each Ref and `Name.Attribute` for each GetAtt in a value."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if set(value) == {"Ref"}:
            yield value["Ref"]
        elif set(value) == {"Fn::GetAtt"}:
            yield _attribute(value["Fn::GetAtt"])
        elif set(value) == {"Fn::Sub"}:
            text, own = _sub(value["Fn::Sub"])
            yield from (name for name in re.findall(r"\$\{([^!}][^}]*)\}", text) if name not in own)
            yield from references(own)
        else:
            for item in value.values():
                yield from references(item)


def resolved(value: Any, look_up: Callable[[str], Any]) -> Any:
    """The value with its functions carried out; `look_up` knows what `Name` and `Name.Attribute` are."""
    if isinstance(value, list):
        return [item for item in (resolved(item, look_up) for item in value) if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, given),) = value.items()
        if function == "Ref":
            return NO_VALUE if given == "AWS::NoValue" else look_up(given)
        if function.startswith("Fn::"):
            return _called(function, given, look_up)
    items = ((key, resolved(item, look_up)) for key, item in value.items())
    return {key: item for key, item in items if item is not NO_VALUE}


def _called(function: str, given: Any, look_up: Callable[[str], Any]) -> Any:
    if function == "Fn::GetAtt":
        return look_up(_attribute(given))
    if function == "Fn::Sub":
        text, own = _sub(given)
        values = resolved(own, look_up)
        filled = re.sub(
            r"\$\{([^!}][^}]*)\}",
            lambda found: str(values[found[1]] if found[1] in values else look_up(found[1])),
            text,
        )
        return filled.replace("${!", "${")
    if function == "Fn::Join":
        separator, parts = given
        return str(separator).join(str(part) for part in resolved(parts, look_up))
    if function == "Fn::Select":
        return resolved(given[1], look_up)[int(given[0])]
    if function == "Fn::Split":
        return str(resolved(given[1], look_up)).split(given[0])
    raise Invalid(f"Template error: the local AWS does not know the function {function}")


def _attribute(given: Any) -> str:
    return given if isinstance(given, str) else ".".join(given)


def _sub(given: Any) -> tuple[str, dict[str, Any]]:
    return (given, {}) if isinstance(given, str) else (given[0], given[1])
