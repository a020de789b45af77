"""The kinds of single values. Each checks a value, says what is wrong with it, and has a JSON Schema for editors.

Sections, lists and mappings are in sections.py. docs/decisions/0003 says why this is not pydantic.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stepgluon.config.nodes import Node
from stepgluon.errors import did_you_mean, found, listed

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


def json_type(kind: str, **limits: Any) -> dict[str, Any]:
    """A JSON Schema with the limits that are set."""
    return {"type": kind, **{name: limit for name, limit in limits.items() if limit not in (None, "")}}


def wrong_or_missing(node: Node, wrong: str, way_out: str) -> Wrong:
    """`40 is not an amount in USD (…)`, or `the value is missing (…)`."""
    if node.value is None and not node.spoken:
        return Wrong(f"the value is missing ({way_out})")
    return Wrong(f"{node.shown} {wrong} ({way_out})")


def not_a(node: Node, what: str, expected: str) -> Wrong:
    """`the text 'low' is not a number (…)`, `the value is missing (…)`."""
    if isinstance(node.value, str) and not node.spoken:
        return Wrong(f"the text {node.shown} is not {what} ({expected})")
    return wrong_or_missing(node, f"is not {what}", expected)


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
        self.json = json_type("string", pattern=pattern, maxLength=most, minLength=least)

    def value(self, node: Node, description: str) -> Any:
        text = node.value
        if not isinstance(text, str):
            expected = self.like or (description if text is not None else "") or "text is expected"
            if self.free and isinstance(text, (int, float)):
                expected = "write the variable in quotes" if node.spoken else f"put it in quotes: '{found(text)}'"
            raise not_a(node, "text", expected)
        if self.least and not text:
            empty = "the text is empty (write something)"
            raise Wrong(f"{node.spoken} is not text (text is expected)" if node.spoken else empty)
        if self.most and len(text) > self.most:
            raise Wrong(too_many(node, self.most))
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise Wrong(f"{node.shown} is not allowed (expected: {self.like})")
        return text


TEXT = Text(least=1, most=1024)


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
        self.json = json_type("number", exclusiveMinimum=above, exclusiveMaximum=below)

    def value(self, node: Node, description: str) -> Any:
        number = node.value
        if type(number) not in self.types:
            quoted = isinstance(number, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", number)
            written = [] if node.spoken or not isinstance(number, str) else numbers_in(number)
            written = written if float in self.types else [one for one in written if "." not in one]
            way_out = f"write {listed(written)}" if written else self.expected
            raise not_a(node, f"a {self.wanted}", "remove the quotes" if quoted else way_out)
        if not math.isfinite(number):
            raise not_a(node, "a finite number", self.expected)
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
        self.json = json_type("integer", minimum=low, maximum=high)


class Flag(Kind):
    wanted, json = "true or false", json_type("boolean")

    def value(self, node: Node, description: str) -> Any:
        if not isinstance(node.value, bool):
            quoted = isinstance(node.value, str) and node.value.lower() in ("true", "false")
            raise not_a(node, self.wanted, "remove the quotes" if quoted else "true or false is expected")
        return node.value


class Choice(Kind):
    wanted = "text"

    def __init__(self, *choices: str) -> None:
        self.choices, self.json = choices, json_type("string", enum=list(choices))

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
        self.json = {"anyOf": [self.json, json_type("string", pattern="^[A-Za-z]")]}

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
