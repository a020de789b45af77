"""Every error a user can meet.

These errors are the user's mistakes or problems of the environment; the command line turns them into one sentence and
an exit code. Any other exception is our bug and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """A mistake in a config, with its position and the fix."""

    place: Place
    key: str  # models[2].label, or (file) if there is no key
    message: str  # what is wrong (what is expected)

    def line(self, file: str) -> str:
        return f"{file}:{self.place.line}:{self.place.column}: {self.key}: {self.message}"


def found(value: object) -> str:
    """A value from the config for a message: one line, at most 60 characters, nothing invisible."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, (int, float)):
        return {float("inf"): "infinity", float("-inf"): "-infinity"}.get(value, str(value).replace("nan", "NaN"))
    text = value if isinstance(value, str) else f"a {'list' if isinstance(value, list) else 'mapping'}"
    if text is not value:
        return text
    text = text if len(text) <= 60 else text[:59] + "…"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return f"'{''.join(shown)}'"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The most similar known word; a word of over 64 characters cannot be a misspelling."""
    from difflib import get_close_matches

    folded = {one.lower().replace("-", "_"): one for one in known}
    close = get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.65) if len(word) <= 64 else []
    return folded[close[0]] if close else None


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`; at most the first ten."""
    if len(words) > 10:
        return ", ".join(words[:10]) + ", …"
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


_OBEYED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def visible(text: str) -> str:
    """The text with terminal control characters escaped: other people's keys, logs and names may contain them."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # JSON's escapes, so that JSON stays JSON


class StepgluonError(Exception):
    """The base class; `exit_code` is the process's exit code."""

    exit_code = 1


class UsageError(StepgluonError):
    """The command's arguments cannot work."""

    exit_code = 2


class ConfigError(StepgluonError):
    """The config has problems: all that could be found in one run."""

    exit_code = 2

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda p: (p.place, p.key, p.message)))
        super().__init__("\n".join(problem.line(file) for problem in self.problems))


class DefinitionError(StepgluonError):
    """pipeline.py generates a definition that Step Functions would refuse, or that would fail at runtime."""


class SurroundingsError(StepgluonError):
    """A problem of this computer, the network or the account."""

    exit_code = 3
