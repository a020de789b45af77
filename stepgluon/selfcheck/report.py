"""The self-check's findings, and the list that collects them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any


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


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
