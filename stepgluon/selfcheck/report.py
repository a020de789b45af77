"""The self-check's findings, and the list that collects them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeGuard


@dataclass(frozen=True)
class Finding:
    """A mistake in a definition: its kind, the state (empty for the machine itself) and a sentence."""

    code: str
    state: str
    message: str

    def __str__(self) -> str:
        return f"{self.state or '(machine)'}: {self.message} [{self.code}]"


@dataclass
class Report:
    """Findings in the order they were made, each once; `place` is the path in the state, usually a field."""

    _findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def add(self, code: str, state: str, message: str, place: str | None = None) -> None:
        """Add a finding. At a `place`, keep only the first of a code: rehearsals find the same ones repeatedly."""
        key = (code, state, message if place is None else place)
        self._findings.setdefault(key, Finding(code, state, message))

    @property
    def findings(self) -> list[Finding]:
        return list(dict.fromkeys(self._findings.values()))


def kind_of(value: Any) -> str:
    """The JSON type of a value, in a reader's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple)) else "an object"


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
