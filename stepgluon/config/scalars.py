"""Converts a YAML scalar to text, number, true, false or null, and fills in `${VAR}`.

YAML 1.1 and 1.2 read some plain scalars differently, and so do their libraries: `no`, `010`, `12:30`. Such scalars are
refused, because either could be meant. Dates are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from stepgluon.errors import found

Scalar = str | int | float | bool | None
LONGEST_NUMBER = 40  # characters; longer ones are mistakes, and slow to parse
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_FLOATS = {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_FLOATS |= {word: float("nan") for word in (".nan", ".NaN", ".NAN")}
_PYYAML: Any = yaml.SafeLoader("")  # reads `yes` as true, but `y` as text: `label: y` is common
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-[^{}]*)?\})?")

_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # from an escape, or from a variable that is not UTF-8


# The types of keys that matter here, and how to write a variable for them.
NUMBERS = ("whole number", "number")
_SET = dict.fromkeys(NUMBERS, "set it to a number in plain digits") | {
    "true or false": "set it to true or false",
    "duration": "set it to a duration like 90s, 10m or 1h",
    "text": "write the variable in quotes",
}


class Unclear(ValueError):
    """The scalar cannot be read; the message says why and what to write instead."""


class UnsetVariable(Unclear):
    """A variable has no value."""


class Filled(NamedTuple):
    """A text with its variables filled in."""

    text: str
    spoken: str = ""  # what messages show: never the value, which may be a secret
    secrets: tuple[tuple[str, str], ...] = ()  # the value of a variable, and ${ITS_NAME}


def resolve(text: str, wanted: str = "", spoken: str = "") -> Scalar:
    """The value of an unquoted scalar if YAML 1.1 and 1.2 agree about it; `wanted` is the type of its key."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text in _FLOATS:
        return _FLOATS[text]
    if re.fullmatch(r"0[0-9]{11}", text):  # an account starting with 0
        return text
    if len(text) > LONGEST_NUMBER:
        if re.fullmatch(r"[-+]?[0-9][0-9_.]*([eE][-+]?[0-9]+)?", text):
            way_out = f"a {wanted} is expected" if wanted in NUMBERS else "put it in quotes if it is meant as text"
            raise Unclear(f"a number of {len(text):,} characters is too long ({way_out})")
        return text
    old, new = _read_1_1(text), _read_1_2(text)
    if isinstance(new, float) and new in (float("inf"), float("-inf")):
        raise Unclear(f"{spoken or text} is too large for a number (at most about 1.7e308)")
    if (type(old), old) != (type(new), new):
        if spoken:
            way_out = _SET.get(wanted, "write the variable in quotes, or set it to plain digits, true or false")
            raise Unclear(f"{spoken} without quotes is read in two ways by YAML 1.1 and 1.2 ({way_out})")
        readings = f"{_words(old)} in YAML 1.1 and {_words(new)} in YAML 1.2"
        raise Unclear(f"{text} without quotes is {readings} ({_way_out(text, old, new, wanted)})")
    return new


def _way_out(text: str, old: Scalar, new: Scalar, wanted: str) -> str:
    """What to write instead, in a form that the key accepts."""
    if wanted in NUMBERS:
        numbers = dict.fromkeys(
            _digits(v) for v in (old, new) if isinstance(v, (int, float)) and not isinstance(v, bool)
        )
        return f"write {' or '.join(numbers)}" if numbers else f"a {wanted} is expected"
    if wanted == "true or false":
        return f"write {_words(old)}" if isinstance(old, bool) else "true or false is expected"
    if wanted == "duration":
        return "write a duration like 90s, 10m or 1h"
    if wanted == "text":
        return f"write '{text}'"
    return (
        f"write '{text}', {'or true or false' if isinstance(old, bool) else 'or the number you mean in plain digits'}"
    )


def _digits(number: float) -> str:
    """A number in a form that both versions read the same: 1000, 0.5, and 1.0e+300 if it has too many digits."""
    digits = f"{Decimal(repr(number)):f}".removesuffix(".0")
    if len(digits) <= LONGEST_NUMBER:
        return digits
    mantissa, _, power = repr(number).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{power}"


def _words(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "text" if isinstance(value, str) else f"the number {value}"


def _read_1_1(text: str) -> Scalar:
    """PyYAML's reading of a scalar, except for dates, and for -.5, a number in the specification."""
    sign, body = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    node = yaml.ScalarNode(_PYYAML.resolve(yaml.ScalarNode, body, (True, False)), body)
    kind = node.tag.rpartition(":")[2]
    if body[:1] in "+-" or kind not in (("int", "float") if sign else ("int", "float", "bool")):
        return text
    try:
        value: float = getattr(_PYYAML, f"construct_yaml_{kind}")(node)
    except ValueError:  # 0x_
        return text
    return -value if sign == "-" else value


def _read_1_2(text: str) -> Scalar:
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"0o[0-7]+", text):
        return int(text[2:], 8)
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return int(text[2:], 16)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return text


def substitute(text: str, variables: Mapping[str, str] | None, budget: list[int]) -> Filled:
    """Fill in the variables; None for keys, which allow none. `budget` limits all substitutions together."""
    secrets: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$${":
            return "${"
        if variables is None:
            raise Unclear("a key holds ${ (variables are replaced in values only; $${ is a literal ${)")
        if name is None:
            raise Unclear("this ${ begins no variable (write ${VAR} or ${VAR:-default}; $${ is a literal ${)")
        result = variables.get(name)
        if default and not result:
            result = str(default[2:])
        elif result is None:
            shown = found(name)[1:-1]
            raise UnsetVariable(f"the variable {shown} is not set (set it, or give a default: ${{{shown}:-default}})")
        else:
            secrets[result] = f"${{{found(name)[1:-1]}}}"
        budget[0] -= len(result)
        if budget[0] < 0:
            raise Unclear("the variables' values together are too long (at most 1 MiB is expected)")
        return result

    filled = _VARIABLE.sub(value, text) if "${" in text else text
    bad = _UNUSABLE.search(filled)
    if bad:
        raise Unclear(f"the character U+{ord(bad[0]):04X} cannot be used in a text (remove it)")
    if not secrets:
        return Filled(filled)
    names = " and ".join(list(dict.fromkeys(secrets.values()))[:3])
    empty = "" if filled else "empty "
    whole = f"the {empty}value of {names}" if is_variable(text) else f"the {empty}text with {names}"
    return Filled(filled, whole, tuple(secrets.items()))


def is_variable(text: str) -> bool:
    """Whether the text is one variable and nothing else."""
    match = _VARIABLE.fullmatch(text)
    return bool(match and match[1])
