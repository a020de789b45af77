"""The two little languages inside a definition: JSONPath and intrinsic functions.

The JSONPath dialect is Jayway's, which Step
Functions uses; the intrinsics are those of the Amazon States Language (https://states-language.net/#intrinsic-functions).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

# None is a step that can match several nodes: a wildcard, slice, filter, descendant or function.
Step = str | int | None
MAX_NESTING = 10  # https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html


class Path(NamedTuple):
    text: str
    context: bool  # starts at the context object, $$
    steps: tuple[Step, ...]

    @property
    def definite(self) -> bool:
        """A reference path: it can only ever mean one node."""
        return None not in self.steps


class Literal(NamedTuple):
    value: str | int | float | bool | None
    raw: str = ""  # the text between the quotes, escapes not yet undone


class Call(NamedTuple):
    name: str  # without States.
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Malformed:
    reason: str


Expression = Path | Literal | Call

_SIMPLE = re.compile(r"\$\$?(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]+\]|\['[^'\\]*'\])*")
_SIMPLE_STEP = re.compile(r"\.([^.\[]+)|\[([0-9]+)\]|\['([^']*)'\]")
_FUNCTION = re.compile(r"\.(?:length|min|max|avg|stddev|sum|keys|first|last)\(\)\Z")
_NAME = re.compile(r"""[^\s.\[\]()'"@,?*:$\\]+""")
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_KEYS = re.compile(rf"\[\s*({_QUOTED}(?:\s*,\s*{_QUOTED})*)\s*\]")
_INDEXES = re.compile(r"\[\s*(-?[0-9]+(?:\s*,\s*-?[0-9]+)*)\s*\]")
_MANY = re.compile(r"\[\s*(?:\*|-?[0-9]*:-?[0-9]*(?::-?[0-9]+)?)\s*\]")
_HEAD = re.compile(r"States\.([A-Za-z0-9_]+)\(\s*")
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_SCALAR = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?=\s*[,)])")
_AFTER = re.compile(r"\s*([,)])\s*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class _Error(Exception):
    """Leaves the parser; never leaves this file."""


def parse(text: str) -> Path | Call | Malformed:
    """The value of a `.$` key: a JSONPath or an intrinsic, or why it is neither."""
    if text.startswith("States."):
        try:
            call, end = _call(text, 0, 1)
        except _Error as error:
            return Malformed(str(error))
        return call if end == len(text) else Malformed(f"text follows the closing parenthesis: {text[end:]!r}")
    return parse_path(text)


@lru_cache(maxsize=65536)
def parse_path(text: str) -> Path | Malformed:
    """A JSONPath like `$.a['b'][0]`, or why it is none."""
    start = 2 if text.startswith("$$") else 1
    if _SIMPLE.fullmatch(text):
        steps = (name or (int(index) if index else quoted) for name, index, quoted in _SIMPLE_STEP.findall(text, start))
        return Path(text, start == 2, tuple(steps))
    if not text.startswith("$"):
        return Malformed("it is neither a JSONPath, which starts with $, nor an intrinsic like States.Format(…)")
    try:
        return Path(text, start == 2, _steps(text, start))
    except _Error as error:
        return Malformed(str(error))


def _steps(text: str, position: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    while position < len(text):
        if _FUNCTION.match(text, position):
            return (*steps, None)
        if text.startswith("..", position):
            steps.append(None)
            position += 2 if text.startswith("[", position + 2) else 1
        if text.startswith(".*", position):
            steps.append(None)
            position += 2
        elif text.startswith(".", position):
            match = _NAME.match(text, position + 1)
            if match is None:
                raise _Error(f"a name is missing or not allowed after {text[: position + 1]!r}")
            steps.append(match[0])
            position = match.end()
        elif text.startswith("[", position):
            step, position = _bracket(text, position)
            steps.append(step)
        else:
            raise _Error(f"a dot or a bracket is missing before {text[position:]!r}")
    return tuple(steps)


def _bracket(text: str, position: int) -> tuple[Step, int]:
    if match := _KEYS.match(text, position):
        keys = re.findall(_QUOTED, match[1])
        return (_ESCAPE.sub(r"\1", keys[0][1:-1]) if len(keys) == 1 else None), match.end()
    if match := _INDEXES.match(text, position):
        return (None if "," in match[1] else int(match[1])), match.end()
    if match := _MANY.match(text, position):
        return None, match.end()
    if text.startswith("[?(", position):
        end = _balanced(text, position)
        if text[position + 3 : end - 2].strip() and text[end - 2] == ")":
            return None, end
    raise _Error(f"what stands in brackets is no key, index, slice or filter: {text[position:]!r}")


def _balanced(text: str, position: int) -> int:
    """The position after the bracket that closes the one at `position`."""
    closing = {"[": "]", "(": ")"}
    open_: list[str] = []
    while position < len(text):
        character = text[position]
        if character in closing:
            open_.append(closing[character])
        elif character in "])":
            if not open_ or open_.pop() != character:
                break
            if not open_:
                return position + 1
        elif character in "'\"":
            quoted = re.compile(_QUOTED).match(text, position)
            if quoted is None:
                break
            position = quoted.end() - 1
        position += 1
    raise _Error(f"brackets do not match in {text!r}")


def _call(text: str, position: int, depth: int) -> tuple[Call, int]:
    head = _HEAD.match(text, position)
    if head is None:
        raise _Error(f"an intrinsic like States.Format(…) is expected at {text[position : position + 30]!r}")
    if depth > MAX_NESTING:
        raise _Error(f"intrinsics are nested more than {MAX_NESTING} deep")
    name, position = head[1], head.end()
    if text.startswith(")", position):
        return Call(name, ()), position + 1
    arguments: list[Expression] = []
    while True:
        argument, position = _argument(text, position, depth)
        arguments.append(argument)
        after = _AFTER.match(text, position)
        if after is None:
            raise _Error(f"a comma or ) is missing after argument {len(arguments)} of States.{name}")
        if after[1] == ")":
            # What follows the call, blanks too, is the caller's to judge.
            return Call(name, tuple(arguments)), after.start(1) + 1
        position = after.end()


def _argument(text: str, position: int, depth: int) -> tuple[Expression, int]:
    if match := _STRING.match(text, position):
        return _literal(match[1]), match.end()
    if text.startswith("$", position):
        return _path_argument(text, position)
    if text.startswith("States.", position):
        return _call(text, position, depth + 1)
    if match := _SCALAR.match(text, position):
        word = match[1]
        if word in _WORDS:
            return Literal(_WORDS[word]), match.end()
        return Literal(int(word) if word.lstrip("-").isdigit() else float(word)), match.end()
    raise _Error(f"an argument is expected at {text[position : position + 30]!r} (a path, 'text', number or intrinsic)")


def _literal(raw: str) -> Literal:
    if "\\" not in raw:
        return Literal(raw, raw)
    for escaped in _ESCAPE.findall(raw):
        if escaped not in "'{}\\":
            raise _Error(rf"\{escaped} is no escape of an intrinsic; only \' \{{ \}} and \\ are")
    return Literal(_ESCAPE.sub(r"\1", raw), raw)


def _path_argument(text: str, position: int) -> tuple[Path, int]:
    match = _SIMPLE.match(text, position)
    assert match is not None, "the text starts with $ here"
    end = match.end()
    if not _AFTER.match(text, end):
        while end < len(text) and text[end] not in ",) ":
            end = _balanced(text, end) if text[end] in "[(" else end + 1
    path = parse_path(text[position:end])
    if isinstance(path, Malformed):
        raise _Error(path.reason)
    return path, end
