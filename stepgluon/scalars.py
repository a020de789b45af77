"""A YAML scalar -> text, number, true, false or null; and `${VAR}` in it.

YAML 1.1 and 1.2 read some plain scalars differently, and so do their libraries: `no`, `010`, `12:30`. Such a scalar is
refused, because whoever wrote it meant one of the two. Dates are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stepgluon.errors import found

Scalar = str | int | float | bool | None
LONGEST_NUMBER = 40  # characters; longer ones are no numbers that anyone means, and slow to read
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_FLOATS = {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_FLOATS |= {word: float("nan") for word in (".nan", ".NaN", ".NAN")}
# Not `y` and `n`: YAML 1.1 lists them too, but its libraries read them as text, and `label: y` is a habit of the trade.
_YES, _NO = ("yes", "on"), ("no", "off")
_NUMERIC = re.compile(r"[-+]?[0-9.][0-9a-fA-FxXo_.:+-]*")
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-[^{}]*)?\})?")

_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # from an escape, or from a variable that is not UTF-8


class Unclear(ValueError):
    """The scalar cannot be read; says why and what to write instead."""


def resolve(text: str) -> Scalar:
    """What a scalar without quotes means, where YAML 1.1 and 1.2 agree about it."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text in _FLOATS:
        return _FLOATS[text]
    if re.fullmatch(r"0[0-9]{11}", text):  # an account that begins with 0
        return text
    if len(text) > LONGEST_NUMBER:
        if re.fullmatch(r"[-+]?[0-9][0-9_.]*([eE][-+]?[0-9]+)?", text):
            raise Unclear(f"a number of {len(text):,} characters is too long (put it in quotes if it is meant as text)")
        return text
    old, new = _read_1_1(text), _read_1_2(text)
    if isinstance(new, float) and new in (float("inf"), float("-inf")):
        raise Unclear(f"{text} is too large for a number (at most about 1.7e308)")
    if (type(old), old) != (type(new), new):
        way_out = "or true or false" if isinstance(old, bool) else "or the number you mean in plain digits"
        readings = f"{_words(old)} in YAML 1.1 and {_words(new)} in YAML 1.2"
        raise Unclear(f"{text} without quotes is {readings} (write '{text}', {way_out})")
    return new


def _words(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "text" if isinstance(value, str) else f"the number {value}"


def _read_1_1(text: str) -> Scalar:
    word = text.lower()
    if word in _YES + _NO and text in (word, word.upper(), word.title()):
        return word in _YES
    if not _NUMERIC.fullmatch(text):
        return text
    digits, sign = text.lstrip("+-").replace("_", ""), -1 if text[0] == "-" else 1
    body = text.lstrip("+-")
    if re.fullmatch(r"0b_*[01][01_]*", body):
        return sign * int(digits[2:], 2)
    if re.fullmatch(r"0x_*[0-9a-fA-F][0-9a-fA-F_]*", body):
        return sign * int(digits[2:], 16)
    if re.fullmatch(r"0[0-7_]*", body):
        return sign * int(digits, 8)
    if re.fullmatch(r"[1-9][0-9_]*", body):
        return sign * int(digits)
    if re.fullmatch(r"([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?", body):
        return sign * float(digits)
    if re.fullmatch(r"[1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*", body):
        seconds: int | float = 0
        for part in digits.split(":"):
            seconds = seconds * 60 + (float(part) if "." in part else int(part))
        return sign * seconds
    return text


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


def substitute(text: str, variables: Mapping[str, str] | None, budget: list[int]) -> str:
    """The text with its variables; None for keys, which have none. `budget` bounds all substitutions together."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$${":
            return "${"
        if variables is None:
            raise Unclear("variables are replaced in values, not in keys ($${ is a literal ${)")
        if name is None:
            raise Unclear("only ${VAR} and ${VAR:-default} are replaced ($${ is a literal ${)")
        result = variables.get(name, "") or default[2:] if default else variables.get(name)
        if result is None:
            raise Unclear(
                f"the variable {name} is not set (set it, or give a default: ${{{found(name)[1:-1]}:-default}})"
            )
        budget[0] -= len(result)
        if budget[0] < 0:
            raise Unclear("the variables' values together are too long (at most 1 MiB)")
        return result

    text = _VARIABLE.sub(value, text) if "${" in text else text
    bad = _UNUSABLE.search(text)
    if bad:
        raise Unclear(f"the character U+{ord(bad[0]):04X} cannot be used in a text (remove it)")
    return text
