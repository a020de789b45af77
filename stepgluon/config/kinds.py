"""The kinds of values. Each checks a value, says what is wrong with it, and has a JSON Schema for editors.

pydantic could check values too, but loading it would take most of the time of a `validate`, and each of its errors
would need our own words and the position in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from stepgluon.config.nodes import Node
from stepgluon.errors import did_you_mean, found, listed

S = TypeVar("S", bound="Section")
MISSING = object()  # the default of a required key
VARIABLE = {"$ref": "#/$defs/Variable"}
SCALAR = {"type": ["string", "number", "boolean"]}


class Wrong(Exception):
    """The value is not allowed: what is wrong (what is expected), or a function if composing it takes time."""

    def __init__(self, message: str | Callable[[], str]) -> None:
        self.message = message


class Kind:
    wanted = ""  # the type of an unquoted value, for scalars.py

    def value(self, node: Node, tells: str) -> Any:
        """The value of a key with this description; raises Wrong."""
        raise NotImplementedError

    def default(self, value: Any) -> Any:
        """A default as the file would have it."""
        return value

    def own_schema(self) -> dict[str, Any]:
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.own_schema(), VARIABLE]}


def _not(node: Node, what: str) -> str:
    """`the text 'low' is not a number`, `the value is missing`."""
    if node.value is None and not node.spoken:
        return "the value is missing"
    return f"{'the text ' if isinstance(node.value, str) and not node.spoken else ''}{node.shown} is not {what}"


def too_many(node: Node, most: int) -> str:
    size, unit = len(node.value), "characters" if isinstance(node.value, str) else "entries"
    said = f"{node.spoken} has {size:,} {unit}" if node.spoken else f"{size:,} {unit} are too many"
    return f"{said} (at most {most:,})"


@dataclass(eq=False, repr=False)
class Text(Kind):
    pattern: str = ""
    like: str = ""  # the pattern in plain words
    most: int = 0
    least: int = 0
    free: bool = False  # any text is allowed, so a number only lacks its quotes
    wanted: str = "text"

    def value(self, node: Node, tells: str) -> Any:
        text = node.value
        if not isinstance(text, str):
            expected = self.like or (tells if text is not None else "") or "text is expected"
            if self.free and isinstance(text, (int, float)):
                expected = "write the variable in quotes" if node.spoken else f"put it in quotes: '{found(text)}'"
            raise Wrong(f"{_not(node, 'text')} ({expected})")
        if len(text) < self.least:
            empty = "the text is empty (write something)"
            raise Wrong(f"{node.spoken} is not text (text is expected)" if node.spoken else empty)
        if self.most and len(text) > self.most:
            raise Wrong(too_many(node, self.most))
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise Wrong(f"{node.shown} is not allowed (expected: {self.like})")
        return text

    def own_schema(self) -> dict[str, Any]:
        limits = {"maxLength": self.most, "minLength": self.least, "pattern": self.pattern}
        return {**{name: limit for name, limit in limits.items() if limit}, "type": "string"}


ANY = Text()


@dataclass(eq=False, repr=False)
class Number(Kind):
    """A whole number from `low` to `high`, or any number between them."""

    low: int
    high: float = math.inf
    whole: bool = False

    @property
    def wanted(self) -> str:  # type: ignore[override]  # a constant in the other kinds
        return "whole number" if self.whole else "number"

    def value(self, node: Node, tells: str) -> float:
        number, whole, low, high = node.value, self.whole, self.low, self.high
        if whole:
            expected = f"a whole number from {low} to {high}"
        else:
            expected = f"a number above {low}" + (f" and below {high}" if high < math.inf else "")
        if type(number) is not int and (whole or type(number) is not float):
            if isinstance(number, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", number):
                expected = "remove the quotes"
            else:
                expected += " is expected"
            raise Wrong(f"{_not(node, f'a {self.wanted}')} ({expected})")
        if not math.isfinite(number):
            raise Wrong(f"{_not(node, 'a finite number')} ({expected} is expected)")
        if number < low or number > high or (not whole and number in (low, high)):
            raise Wrong(f"{node.shown} is too {'small' if number <= low else 'large'} ({expected} is expected)")
        return int(number) if whole else float(number)

    def own_schema(self) -> dict[str, Any]:
        if self.whole:
            return {"maximum": self.high, "minimum": self.low, "type": "integer"}
        limits = {"exclusiveMaximum": self.high, "exclusiveMinimum": self.low}
        return {**{name: limit for name, limit in limits.items() if limit < math.inf}, "type": "number"}


class TrueOrFalse(Kind):
    wanted = "true or false"

    def value(self, node: Node, tells: str) -> Any:
        if not isinstance(node.value, bool):
            quoted = isinstance(node.value, str) and node.value.lower() in ("true", "false")
            way_out = "remove the quotes" if quoted else "true or false is expected"
            raise Wrong(f"{_not(node, self.wanted)} ({way_out})")
        return node.value

    def own_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Kind):
    wanted = "text"

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def value(self, node: Node, tells: str) -> Any:
        if node.value in self.choices:
            return node.value
        raise Wrong(lambda: f"{node.shown} is not known (expected: {listed(self.choices)}{self._hint(node)})")

    def _hint(self, node: Node) -> str:
        guess = did_you_mean(node.value, self.choices) if isinstance(node.value, str) and not node.spoken else None
        return f"; did you mean {guess}?" if guess else ""

    def own_schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices), "type": "string"}


class RowValues(Kind):
    """The value that a column has in a model's rows, or a list of such values."""

    def value(self, node: Node, tells: str) -> Any:
        if not isinstance(node.value, list):
            return self._one(node)
        if not node.value:
            raise Wrong("the list is empty (give the values that the rows may have)")
        return [self._one(one) for one in node.value]

    def _one(self, node: Node) -> str | float:
        value = node.value
        if not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
            raise Wrong(f"{node.shown} is not allowed (text, a number, true or false is expected)")
        return value

    def schema(self) -> dict[str, Any]:
        one = {"anyOf": [SCALAR, VARIABLE]}
        return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}


@dataclass(eq=False, repr=False)
class List(Kind):
    item: Kind
    least: int = 0
    most: int = 0
    way_out: str = ""

    def value(self, node: Node, tells: str) -> Any:
        """The items, which are not checked yet."""
        if not isinstance(node.value, list):
            way_out = "a list is expected"
            if self.way_out:
                way_out = self.way_out
            elif node.spoken:
                way_out = 'a variable is one text: write ["${FIRST}", "${SECOND}"]'
            elif isinstance(node.value, str) and re.fullmatch(r"[\w.@/-]{1,50}", node.value):
                way_out = f"write [{node.value}]"
            raise Wrong(f"{_not(node, 'a list')} ({way_out})")
        if len(node.value) < self.least:
            raise Wrong("the list is empty (give at least one entry)")
        return node.value

    def schema(self) -> dict[str, Any]:
        limits = {"maxItems": self.most, "minItems": self.least}
        return {"items": self.item.schema(), **{n: limit for n, limit in limits.items() if limit}, "type": "array"}


@dataclass(eq=False, repr=False)
class Map(Kind):
    """A mapping with keys of the user's."""

    item: Kind
    name: Text = ANY
    most: int = 0

    def value(self, node: Node, tells: str) -> Any:
        if not isinstance(node.value, dict):
            raise _no_mapping(node, "a mapping (key: value)", "a mapping like key: value")
        return node.value

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"additionalProperties": self.item.schema()}
        names = {name: limit for name, limit in self.name.own_schema().items() if name != "type"}
        if names:
            schema["propertyNames"] = names
        return {**schema, **({"maxProperties": self.most} if self.most else {}), "type": "object"}


def _no_mapping(node: Node, missing: str, like: str) -> Wrong:
    if node.value is None and not node.spoken:
        return Wrong(f"the value is missing ({missing} is expected: give it a key, or remove the line)")
    return Wrong(f"{_not(node, 'a mapping')} ({like} is expected)")


class Entry(NamedTuple):
    tells: str  # for editors, the README and messages
    kind: Kind
    default: Any  # MISSING if the key is required; None if it may be null


class Section:
    """A part of the config, frozen; its keys are the attributes made by `entry`.

    Not a dataclass: making twenty of them takes a tenth of the time of a `validate`.
    """

    entries: ClassVar[dict[str, Entry]] = {}

    def __init_subclass__(cls) -> None:
        cls.entries = {**cls.entries, **{name: one for name, one in vars(cls).items() if isinstance(one, Entry)}}

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


def entry(tells: str, kind: Kind | type[Section], default: Any = MISSING) -> Any:
    """A key of a section; one that holds another section has that section's defaults."""
    if isinstance(kind, type):
        return Entry(tells, Inner(kind), kind() if default is MISSING else default)
    return Entry(tells, kind, default)


@dataclass(eq=False, repr=False)
class Inner(Kind):
    section: type[Section]

    def value(self, node: Node, tells: str) -> Any:
        if not isinstance(node.value, dict):
            keys = f"a mapping with keys like {listed(list(self.section.entries)[:3])}"
            raise _no_mapping(node, keys, keys)
        return node.value

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.section.__name__}"}
