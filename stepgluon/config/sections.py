"""The kinds of values that contain others: sections with known keys, lists, and mappings with the user's own keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from stepgluon.config.kinds import Kind, Text, Wrong, json_type, not_a
from stepgluon.config.nodes import Node
from stepgluon.errors import listed

S = TypeVar("S", bound="Section")
MISSING = object()  # the default of a required key


@dataclass(eq=False, repr=False)
class List(Kind):
    item: Any  # a kind or section
    least: int | None = None
    most: int | None = None
    way_out: str = ""

    def __post_init__(self) -> None:
        self.item = Inner(self.item) if isinstance(self.item, type) else self.item

    def value(self, node: Node, description: str) -> Any:
        """The items, which are not checked yet."""
        if not isinstance(node.value, list):
            way_out = self.way_out or "a list is expected"
            if node.spoken and not self.way_out:
                way_out = 'a variable is one text: write ["${FIRST}", "${SECOND}"]'
            elif isinstance(node.value, str) and not self.way_out and re.fullmatch(r"[\w.@/-]{1,50}", node.value):
                way_out = f"write [{node.value}]"
            raise not_a(node, "a list", way_out)
        if self.least and not node.value:
            raise Wrong("the list is empty (give at least one entry)")
        return node.value

    def default(self, value: Any) -> Any:
        return [self.item.default(one) for one in value]

    def schema(self) -> dict[str, Any]:
        return json_type("array", items=self.item.schema(), minItems=self.least, maxItems=self.most)


@dataclass(eq=False, repr=False)
class Map(Kind):
    """A mapping with keys of the user's."""

    item: Kind
    name: Text | None = None
    most: int | None = None

    def value(self, node: Node, description: str) -> Any:
        if not isinstance(node.value, dict):
            raise _no_mapping(node, "a mapping (key: value)", "a mapping like key: value")
        return node.value

    def schema(self) -> dict[str, Any]:
        names = self.name and self.name.json
        return json_type(
            "object", additionalProperties=self.item.schema(), propertyNames=names, maxProperties=self.most
        )


class Rest(Map):
    """The keys of a section that have no entry of their own."""


def _no_mapping(node: Node, missing: str, like: str) -> Wrong:
    if node.value is None and not node.spoken:
        return Wrong(f"the value is missing ({missing} is expected: give it a key, or remove the line)")
    return not_a(node, "a mapping", f"{like} is expected")


class Entry(NamedTuple):
    description: str  # for editors, docs and messages
    kind: Kind
    default: Any  # MISSING if the key is required; None if it may be null


class Section:
    """A part of the config, frozen; its keys are made by `entry`. Twenty dataclasses would take longer to make."""

    entries: ClassVar[dict[str, Entry]] = {}

    def __init_subclass__(cls) -> None:
        own = {name.rstrip("_"): one for name, one in vars(cls).items() if isinstance(one, Entry)}  # with_, for with
        cls.entries = {**cls.entries, **own}

    def __init__(self, **values: Any) -> None:
        for name, entry in self.entries.items():
            vars(self)[name] = values.pop(name) if name in values else entry.default
        if values or MISSING in vars(self).values():
            raise TypeError(f"{type(self).__name__} has unknown or missing keys")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({vars(self)})"

    def changed(self: S, **values: Any) -> S:
        return type(self)(**{**vars(self), **values})


def entry(description: str, kind: Kind | type[Section], default: Any = MISSING) -> Any:
    """A key of a section; one that holds another section has that section's defaults."""
    if isinstance(kind, type):
        return Entry(description, Inner(kind), kind() if default is MISSING else default)
    return Entry(description, kind, default)


@dataclass(eq=False, repr=False)
class Inner(Kind):
    section: type[Section]

    def value(self, node: Node, description: str) -> Any:
        if not isinstance(node.value, dict):
            keys = f"a mapping with keys like {listed(list(self.section.entries)[:3])}"
            raise _no_mapping(node, keys, keys)
        return node.value

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.section.__name__}"}

    def whole(self, node: Node) -> Node:
        """The node with the section's keys."""
        return node


@dataclass(eq=False, repr=False)
class Shorthand(Inner):
    """A section that may be written as the value of its key `short`."""

    short: str

    def value(self, node: Node, description: str) -> Any:
        return node.value if isinstance(node.value, dict) else {self.short: node}

    def whole(self, node: Node) -> Node:
        return replace(node, value=self.value(node, ""), spoken="")

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [super().schema(), self.section.entries[self.short].kind.schema()]}
