"""What intrinsic functions give back, as far as it is known before the machine runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck.intrinsics import HASHES
from stepgluon.selfcheck.paths import Call, Literal
from stepgluon.selfcheck.report import is_integer
from stepgluon.selfcheck.values import (
    ANYTHING,
    EXECUTION,
    NO_MARKS,
    REDRIVE,
    RETRY,
    Answer,
    Missing,
    Open,
    Text,
    Unknown,
    Value,
    follow,
    inside,
    join,
    weight,
)

_PARTS = re.compile(r"\\.|\{\}|[^\\{}]+", re.DOTALL)
_UUIDS = ("01234567-89ab-4def-8123-456789abcdef", "ffffffff-ffff-4fff-bfff-ffffffffffff")
_OBJECTS = (dict, Open, Answer)
_CONTAINERS = frozenset((*_OBJECTS, list))
_NOT_TEXT = (*_OBJECTS, list, int, float, bool, type(None))
_NOT_OBJECT = (str, int, float, bool, type(None), list, Text)
_NOT_LIST = (str, int, float, bool, type(None), Text, *_OBJECTS)


def result(call: Call, arguments: list[Value], every_attempt: bool) -> Value | Missing:
    """What a call gives back for these arguments; `Missing` says why it must fail."""
    if call.name == "UUID":
        return _uuid(every_attempt)
    if call.name == "Format":
        return _format(call, arguments)
    if call.name == "StringSplit":
        return _split(call, arguments, every_attempt)
    function = _FUNCTIONS.get(call.name)
    return function(arguments) if function else Unknown(None, _KINDS.get(call.name), _marks(arguments))


def _uuid(every_attempt: bool) -> Text:
    return Text(_UUIDS, frozenset({EXECUTION, RETRY, REDRIVE}) if every_attempt else frozenset({EXECUTION}))


def _marks(values: list[Value]) -> frozenset[str]:
    marks = NO_MARKS
    for value in values:
        if isinstance(value, (Text, Unknown)) and value.marks:
            marks = marks | value.marks
    return marks


@lru_cache(maxsize=65536)
def _pattern(raw: str) -> str:
    """A format's text, with its escapes undone and Python's placeholders."""
    parts = _PARTS.findall(raw)
    return "".join("%s" if part == "{}" else part.removeprefix("\\").replace("%", "%%") for part in parts)


def _format(call: Call, arguments: list[Value]) -> Value | Missing:
    first = call.arguments[0]
    if not isinstance(first, Literal):
        if isinstance(arguments[0], _NOT_TEXT):
            return Missing("the first argument of States.Format is no text")
        return Unknown(None, "text", _marks(arguments))
    values: list[tuple[str, ...]] = []
    exact, extra, marks, longest = True, 0, NO_MARKS, 1
    for value in arguments[1:]:
        kind = type(value)
        if kind is Text:
            values.append(value.samples)
            exact, extra, marks = exact and value.exact, extra + value.extra, marks | value.marks
            longest = max(longest, len(value.samples))
        elif kind is str:
            values.append((value,))
        elif kind in _CONTAINERS or (kind is Unknown and value.kind in ("list", "object")):
            return Missing("States.Format takes text, numbers, booleans and null; an argument is an object or a list")
        elif kind is Unknown:
            values.append(("",))
            exact, extra, marks = False, extra + (value.size or 0), marks | value.marks
        else:
            values.append((json.dumps(value),))
    pattern = _pattern(first.raw)
    samples = [pattern % tuple([each[number % len(each)] for each in values]) for number in range(longest)]
    return Text(tuple(samples), marks, exact, extra=extra)


def _split(call: Call, arguments: list[Value], every_attempt: bool) -> Value | Missing:
    source, by = call.arguments
    if isinstance(arguments[0], _NOT_TEXT) or (isinstance(arguments[0], Text) and arguments[0].kind != "text"):
        return Missing("the first argument of States.StringSplit is no text")
    if isinstance(source, Call) and source.name == "UUID" and isinstance(by, Literal) and by.value == "-":
        groups = zip(*(uuid.split("-") for uuid in _UUIDS), strict=False)
        return [Text(group, _uuid(every_attempt).marks) for group in groups]
    return Unknown(None, "list", _marks(arguments))


def _string_to_json(arguments: list[Value]) -> Value | Missing:
    source = arguments[0]
    if isinstance(source, str):
        try:
            return json.loads(source)
        except ValueError:
            return Missing("States.StringToJson gets a text that is no JSON")
    if isinstance(source, _NOT_TEXT):
        return Missing("the argument of States.StringToJson is no text")
    return Unknown(source.size) if isinstance(source, Unknown) else ANYTHING


def _json_to_string(arguments: list[Value]) -> Value:
    return Unknown(weight(arguments[0]), "text", _marks(arguments))


def _hash(arguments: list[Value]) -> Value:
    length = HASHES.get(arguments[1]) if isinstance(arguments[1], str) else None
    if length is None:
        return Unknown(128, "text", _marks(arguments))
    return Text(("0" * length, "f" * length, ("0123456789abcdef" * 8)[:length]), _marks(arguments))


def _item(arguments: list[Value]) -> Value | Missing:
    array, index = arguments
    if isinstance(array, _NOT_LIST):
        return Missing("the first argument of States.ArrayGetItem is no list")
    if not is_integer(index):
        return ANYTHING
    return follow(array, (index,), f"entry {index} of the list")


def _merge(arguments: list[Value]) -> Value | Missing:
    """The second object's keys over the first one's; what either may bring is unknown."""
    left, right = arguments[0], arguments[1]
    if isinstance(left, _NOT_OBJECT) or isinstance(right, _NOT_OBJECT):
        return Missing("States.JsonMerge merges two objects, and one of these is none")
    if type(left) is dict and type(right) is dict:
        return {**left, **right}
    known: dict[str, Any] = dict(left) if isinstance(left, dict) else {}
    if isinstance(right, dict):
        over = {key: value for key, value in known.items() if key not in right} if type(right) is dict else {}
        return Open({**over, **right})
    if isinstance(right, Unknown):
        return Open({key: join(value, inside(right, key)) for key, value in known.items()})
    return Open()


def _list(arguments: list[Value]) -> Value:
    return list(arguments)


_FUNCTIONS: dict[str, Callable[[list[Value]], Value | Missing]] = {
    "StringToJson": _string_to_json,
    "JsonToString": _json_to_string,
    "Hash": _hash,
    "ArrayGetItem": _item,
    "JsonMerge": _merge,
    "Array": _list,
}
_KINDS = {
    "ArrayPartition": "list",
    "ArrayRange": "list",
    "ArrayUnique": "list",
    "ArrayContains": "boolean",
    "ArrayLength": "number",
    "MathAdd": "number",
    "MathRandom": "number",
    "Base64Encode": "text",
    "Base64Decode": "text",
}
