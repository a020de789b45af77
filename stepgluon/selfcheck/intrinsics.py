"""What each intrinsic function takes: how many arguments, and of which type where one is written out."""

from __future__ import annotations

import re
from functools import lru_cache

from stepgluon.selfcheck.paths import Call, Expression, Literal, Malformed, Path, parse
from stepgluon.selfcheck.report import did_you_mean, is_integer

HASHES = {"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}  # name -> characters
_ANY, _TEXT, _NUMBER, _INTEGER, _LIST, _OBJECT, _SCALAR, _FALSE = (
    "anything",
    "text",
    "a number",
    "a whole number",
    "a list",
    "an object",
    "text, a number, a boolean or null",
    "false",
)
# name: (what the arguments are, the least number of them, whether the last kind repeats, what comes out)
_SIGNATURES: dict[str, tuple[tuple[str, ...], int, bool, str]] = {
    "Format": ((_TEXT, _SCALAR), 1, True, _TEXT),
    "StringToJson": ((_TEXT,), 1, False, _ANY),
    "JsonToString": ((_ANY,), 1, False, _TEXT),
    "Array": ((_ANY,), 0, True, _LIST),
    "ArrayPartition": ((_LIST, _INTEGER), 2, False, _LIST),
    "ArrayContains": ((_LIST, _ANY), 2, False, "a boolean"),
    "ArrayRange": ((_INTEGER, _INTEGER, _INTEGER), 3, False, _LIST),
    "ArrayGetItem": ((_LIST, _INTEGER), 2, False, _ANY),
    "ArrayLength": ((_LIST,), 1, False, _INTEGER),
    "ArrayUnique": ((_LIST,), 1, False, _LIST),
    "Base64Encode": ((_TEXT,), 1, False, _TEXT),
    "Base64Decode": ((_TEXT,), 1, False, _TEXT),
    "Hash": ((_ANY, _TEXT), 2, False, _TEXT),
    "JsonMerge": ((_OBJECT, _OBJECT, _FALSE), 3, False, _OBJECT),
    "MathRandom": ((_INTEGER, _INTEGER, _INTEGER), 2, False, _INTEGER),
    "MathAdd": ((_NUMBER, _NUMBER), 2, False, _NUMBER),
    "StringSplit": ((_TEXT, _TEXT), 2, False, _LIST),
    "UUID": ((), 0, False, _TEXT),
}
_ACCEPTS = {
    _ANY: {_ANY, _TEXT, _NUMBER, _INTEGER, _LIST, _OBJECT, "a boolean", "null"},
    _SCALAR: {_ANY, _TEXT, _NUMBER, _INTEGER, "a boolean", "null"},
    _TEXT: {_ANY, _TEXT},
    _NUMBER: {_ANY, _NUMBER, _INTEGER},
    _INTEGER: {_ANY, _NUMBER, _INTEGER},  # MathAdd may well give a whole number
    _LIST: {_ANY, _LIST},
    _OBJECT: {_ANY, _OBJECT},
    _FALSE: {_ANY, "a boolean"},
}


@lru_cache(maxsize=65536)
def expression(text: str) -> Path | Call | Malformed:
    """The value of a `.$` key, read once for each distinct text: what it says, or why AWS would refuse it."""
    read = parse(text)
    reason = mistake(read) if isinstance(read, Call) else None
    return Malformed(reason) if reason else read


def mistake(call: Call) -> str | None:
    """Why AWS would refuse this call, or None."""
    signature = _SIGNATURES.get(call.name)
    if signature is None:
        return f"States.{call.name} is no intrinsic{did_you_mean(call.name, _SIGNATURES)}"
    kinds, least, repeats, _ = signature
    count = len(call.arguments)
    if count < least or (count > len(kinds) and not repeats):
        most = "or more" if repeats else f"to {len(kinds)}" if len(kinds) > least else ""
        return f"States.{call.name} takes {' '.join(filter(None, (str(least), most)))} arguments, not {count}"
    for number, argument in enumerate(call.arguments):
        expected = kinds[min(number, len(kinds) - 1)]
        found = _kind(argument)
        if found not in _ACCEPTS[expected] or (
            expected == _INTEGER and isinstance(argument, Literal) and found != _INTEGER
        ):
            return f"argument {number + 1} of States.{call.name} is {found}, not {expected}"
        if isinstance(argument, Call) and (nested := mistake(argument)):
            return nested
    return _braces(call) or _values(call)


def _kind(argument: Expression) -> str:
    if isinstance(argument, Path):
        return _ANY
    if isinstance(argument, Call):
        return _SIGNATURES[argument.name][3] if argument.name in _SIGNATURES else _ANY
    value = argument.value
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    return _TEXT if isinstance(value, str) else _INTEGER if isinstance(value, int) else _NUMBER


def _braces(call: Call) -> str | None:
    """Placeholders of States.Format are as many as its arguments, and any other brace is escaped."""
    for number, argument in enumerate(call.arguments):
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            continue
        bare = re.sub(r"\\.", "", argument.raw, flags=re.DOTALL) if "\\" in argument.raw else argument.raw
        if call.name == "Format" and number == 0:
            placeholders = bare.count("{}")
            if placeholders != len(call.arguments) - 1:
                return f"States.Format has {placeholders} placeholders and {len(call.arguments) - 1} values for them"
            bare = bare.replace("{}", "")
        if "{" in bare or "}" in bare:
            return rf"a brace in the text of States.{call.name} is not escaped as \{{ or \}}"
    return None


def _values(call: Call) -> str | None:
    values = [argument.value if isinstance(argument, Literal) else ... for argument in call.arguments]
    if call.name == "Hash" and isinstance(values[1], str) and values[1] not in HASHES:
        return f"{values[1]!r} is no algorithm of States.Hash ({', '.join(HASHES)})"
    if call.name == "JsonMerge" and values[2] is not False and values[2] is not ...:
        return "the third argument of States.JsonMerge must be false; deep merging is not supported"
    if call.name == "ArrayGetItem" and is_integer(values[1]) and values[1] < 0:
        return "States.ArrayGetItem counts from 0 and takes no negative index"
    if call.name == "ArrayPartition" and is_integer(values[1]) and values[1] < 1:
        return "States.ArrayPartition needs parts of at least 1"
    if call.name == "ArrayRange" and values[2] == 0 and values[2] is not False:
        return "the step of States.ArrayRange must not be 0"
    if call.name == "MathRandom" and is_integer(values[0]) and is_integer(values[1]) and values[0] >= values[1]:
        return "the start of States.MathRandom must be below its end"
    return None
