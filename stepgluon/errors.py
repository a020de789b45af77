"""Every error a user can meet.

What is raised here is the user's mistake or the surroundings' fault, and the command line turns it into one sentence
and an exit code. Anything else that is raised is our bug and keeps its traceback.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config, with its address and the way out."""

    place: Place
    key: str  # models[2].label, or (file) where no key can be named
    message: str  # what is wrong (what is expected)

    def line(self, file: str) -> str:
        return f"{file}:{self.place.line}:{self.place.column}: {self.key}: {self.message}"


def found(value: object) -> str:
    """A value from the config as a message may show it: one line, at most 60 characters, nothing invisible."""
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


_OBEYED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def visible(text: str) -> str:
    """A text with what a terminal would obey written out: keys, logs and names of others can hold such characters."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # as JSON writes it, so that JSON stays JSON


class StepgluonError(Exception):
    """The root of the tree; `exit_code` is what the process ends with."""

    exit_code = 1


class UsageError(StepgluonError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class ConfigError(StepgluonError):
    """The config has problems; all that could be found in one run."""

    exit_code = 2

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda p: (p.place, p.key, p.message)))
        super().__init__("\n".join(problem.line(file) for problem in self.problems))


class DefinitionError(StepgluonError):
    """pipeline.py makes something that Step Functions would refuse, or that would fail when it runs."""


class SurroundingsError(StepgluonError):
    """This computer, the network or the account is the problem."""

    exit_code = 3
