"""The kinds of values. Each checks a value, says what is wrong with it, and has a JSON Schema for editors.

docs/decisions/0003 says why this is not pydantic.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from stepgluon.config.nodes import Node
from stepgluon.errors import did_you_mean, found, listed

S = TypeVar("S", bound="Section")
MISSING = object()  # the default of a required key
VARIABLE = {"$ref": "#/$defs/Variable"}
SCALAR = {"anyOf": [{"type": ["string", "number", "boolean"]}, VARIABLE]}


class Wrong(Exception):
    """The value is not allowed: what is wrong (what is expected), or a function if composing it takes time."""

    def __init__(self, message: str | Callable[[], str]) -> None:
        self.message = message


class Kind(ABC):
    wanted = ""  # the type of an unquoted value, for scalars.py
    json: dict[str, Any]  # the JSON Schema of a value that is not a variable

    @abstractmethod
    def value(self, node: Node, description: str) -> Any:
        """The value of a key with this description; raises Wrong."""

    def default(self, value: Any) -> Any:
        """A default as the file would have it."""
        return value

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.json, VARIABLE]}


def _json(kind: str, **limits: Any) -> dict[str, Any]:
    """A JSON Schema with the limits that are set."""
    return {"type": kind, **{name: limit for name, limit in limits.items() if limit not in (None, "")}}


def _not(node: Node, what: str, expected: str) -> Wrong:
    """`the text 'low' is not a number (…)`, `the value is missing (…)`."""
    if node.value is None and not node.spoken:
        return Wrong(f"the value is missing ({expected})")
    text = "the text " if isinstance(node.value, str) and not node.spoken else ""
    return Wrong(f"{text}{node.shown} is not {what} ({expected})")


def too_many(node: Node, most: int) -> str:
    size, unit = len(node.value), "characters" if isinstance(node.value, str) else "entries"
    said = f"{node.spoken} has {size:,} {unit}" if node.spoken else f"{size:,} {unit} are too many"
    return f"{said} (at most {most:,})"


class Text(Kind):
    wanted = "text"

    def __init__(
        self, pattern: str = "", like: str = "", most: int | None = None, least: int | None = None, free: bool = False
    ) -> None:
        """`like` is the pattern in plain words. In place of a `free` text, a number only lacks its quotes."""
        self.pattern, self.like, self.most, self.least, self.free = pattern, like, most, least, free
        self.json = _json("string", pattern=pattern, maxLength=most, minLength=least)

    def value(self, node: Node, description: str) -> Any:
        text = node.value
        if not isinstance(text, str):
            expected = self.like or (description if text is not None else "") or "text is expected"
            if self.free and isinstance(text, (int, float)):
                expected = "write the variable in quotes" if node.spoken else f"put it in quotes: '{found(text)}'"
            raise _not(node, "text", expected)
        if self.least and not text:
            empty = "the text is empty (write something)"
            raise Wrong(f"{node.spoken} is not text (text is expected)" if node.spoken else empty)
        if self.most and len(text) > self.most:
            raise Wrong(too_many(node, self.most))
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise Wrong(f"{node.shown} is not allowed (expected: {self.like})")
        return text


class Account(Text):
    """An account may be written without quotes; YAML then reads a number."""

    wanted = ""

    def value(self, node: Node, description: str) -> Any:
        return super().value(
            replace(node, value=str(node.value), spoken=node.shown) if type(node.value) is int else node, description
        )

    def schema(self) -> dict[str, Any]:
        digits = {"type": "integer", "minimum": 10**11, "maximum": 10**12 - 1}
        return {"anyOf": [super().schema(), digits]}


class Version(Text):
    """The version of an image; 3.0 without quotes is a number in YAML."""

    def value(self, node: Node, description: str) -> Any:
        number = type(node.value) in (int, float)
        return super().value(replace(node, value=found(node.value)) if number else node, description)


class Server(Text):
    """The address of an MLflow server."""

    def value(self, node: Node, description: str) -> Any:
        if isinstance(node.value, str) and re.match("arn:[a-z-]+:sagemaker:", node.value):
            raise Wrong("SageMaker's own MLflow is not supported yet (give the address of another MLflow server)")
        return super().value(node, description)


def numbers_in(text: str) -> list[str]:
    """The numbers that a text with commas can mean: 60,5 -> 60.5; 1.234,5 and 1,234.5 -> 1234.5; 1,234 -> two."""
    decimal = re.fullmatch(r"([-+]?[0-9]{1,15}),([0-9]{1,15})", text)
    means = [f"{decimal[1]}.{decimal[2]}"] if decimal else []
    if re.fullmatch(r"[-+]?[0-9]{1,3}(\.[0-9]{3}){1,4},[0-9]{1,15}", text):
        means.append(text.replace(".", "").replace(",", "."))
    elif re.fullmatch(r"[-+]?[0-9]{1,3}(,[0-9]{3}){1,4}(\.[0-9]{1,15})?", text):
        means.append(text.replace(",", ""))
    return means


class Number(Kind):
    """A number between the limits."""

    types: tuple[type, ...] = (int, float)

    def __init__(self, above: int | None = None, below: int | None = None) -> None:
        self.wanted, self.low, self.high = "number", -math.inf if above is None else above, below
        between = " and ".join(f"{word} {end}" for word, end in (("above", above), ("below", below)) if end is not None)
        self.expected = f"a number {between} is expected" if between else "a number like 0.85 is expected"
        self.json = _json("number", exclusiveMinimum=above, exclusiveMaximum=below)

    def value(self, node: Node, description: str) -> Any:
        number = node.value
        if type(number) not in self.types:
            quoted = isinstance(number, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", number)
            written = [] if node.spoken or not isinstance(number, str) else numbers_in(number)
            written = written if float in self.types else [one for one in written if "." not in one]
            way_out = f"write {listed(written)}" if written else self.expected
            raise _not(node, f"a {self.wanted}", "remove the quotes" if quoted else way_out)
        if not math.isfinite(number):
            raise _not(node, "a finite number", self.expected)
        if wrong := self.outside(number):
            raise Wrong(f"{node.shown} is too {wrong} ({self.expected})")
        return self.types[-1](number)

    def outside(self, number: float) -> str:
        if number <= self.low:
            return "small"
        return "" if self.high is None or number < self.high else "large"


class Whole(Number):
    """A whole number from one limit to the other."""

    types = (int,)

    def __init__(self, low: int, high: int) -> None:
        self.wanted, self.low, self.high = "whole number", low - 1, high + 1
        self.expected = f"a whole number from {low} to {high} is expected"
        self.json = _json("integer", minimum=low, maximum=high)


class Flag(Kind):
    wanted, json = "true or false", _json("boolean")

    def value(self, node: Node, description: str) -> Any:
        if not isinstance(node.value, bool):
            quoted = isinstance(node.value, str) and node.value.lower() in ("true", "false")
            raise _not(node, self.wanted, "remove the quotes" if quoted else "true or false is expected")
        return node.value


class Choice(Kind):
    wanted = "text"

    def __init__(self, *choices: str) -> None:
        self.choices, self.json = choices, _json("string", enum=list(choices))

    def value(self, node: Node, description: str) -> Any:
        if node.value in self.choices:
            return node.value
        word = node.value if isinstance(node.value, str) and not node.spoken else ""

        def message() -> str:
            begun = [one for one in self.choices if word and (one.startswith(low := word.lower()) or one.endswith(low))]
            guess = begun[0] if len(begun) == 1 else did_you_mean(word, self.choices)
            hint = f"; did you mean {guess}?" if guess else ""
            return f"{node.shown} is not known (expected: {listed(self.choices)}{hint})"

        raise Wrong(message)


class Name(str):
    """A text that a user may choose freely in a place that otherwise has a choice."""


class ChoiceOrName(Choice):
    def __init__(self, *choices: str) -> None:
        super().__init__(*choices)
        self.json = {"anyOf": [self.json, _json("string", pattern="^[A-Za-z]")]}

    def value(self, node: Node, description: str) -> Any:
        return str(node.value) if isinstance(node.value, Name) else super().value(node, description)


NO_ROW_VALUE = "is not allowed (text, a number, true or false is expected)"


def as_text(value: str | int | float | bool) -> str:
    """A hyperparameter as SageMaker takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_row_value(value: object) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


class Scalar(Kind):
    """Text, a number, true or false."""

    def schema(self) -> dict[str, Any]:
        return SCALAR

    def value(self, node: Node, description: str) -> Any:
        if not is_row_value(node.value):
            raise Wrong(f"{node.shown} {NO_ROW_VALUE}")
        return node.value


class RowValues(Kind):
    """The value that a column has in a model's rows, or a list of such values."""

    def value(self, node: Node, description: str) -> Any:
        several = isinstance(node.value, list)
        if several and not node.value:
            raise Wrong("the list is empty (give the values that the rows may have)")
        ones = node.value if several else [node]
        if wrong := next((one for one in ones if not is_row_value(one.value)), None):
            raise Wrong(f"{wrong.shown} {NO_ROW_VALUE}")
        return [one.value for one in ones] if several else node.value

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [SCALAR, {"type": "array", "minItems": 1, "items": SCALAR}]}


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
            raise _not(node, "a list", way_out)
        if self.least and not node.value:
            raise Wrong("the list is empty (give at least one entry)")
        return node.value

    def default(self, value: Any) -> Any:
        return [self.item.default(one) for one in value]

    def schema(self) -> dict[str, Any]:
        return _json("array", items=self.item.schema(), minItems=self.least, maxItems=self.most)


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
        return _json("object", additionalProperties=self.item.schema(), propertyNames=names, maxProperties=self.most)


class Rest(Map):
    """The keys of a section that have no entry of their own."""


def _no_mapping(node: Node, missing: str, like: str) -> Wrong:
    if node.value is None and not node.spoken:
        return Wrong(f"the value is missing ({missing} is expected: give it a key, or remove the line)")
    return _not(node, "a mapping", f"{like} is expected")


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
