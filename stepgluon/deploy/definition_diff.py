"""The differences of two state machine definitions, state by state; names are unique in a machine, even nested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MACHINE = "(the machine)"
_SHOWN = 60  # characters of a value
_CONTEXT = 15  # ... before the first that differs


@dataclass(frozen=True)
class Field:
    path: str  # Parameters.jobs.train.machines.InstanceType
    before: str  # as JSON, truncated; empty if there was none
    after: str


@dataclass(frozen=True)
class Difference:
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[tuple[str, tuple[Field, ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(before: dict[str, Any], after: dict[str, Any]) -> Difference:
    old, new = states_of(before), states_of(after)
    fields = {name: tuple(_fields("", old[name], state)) for name, state in new.items() if name in old}
    return Difference(
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        tuple((name, found) for name, found in fields.items() if found),
    )


def states_of(scope: dict[str, Any], own: str = MACHINE) -> dict[str, dict[str, Any]]:
    """Each state by name, without the states in its branches, which have separate entries."""
    found = {own: {key: value for key, value in scope.items() if key != "States"}} if own else {}
    for name, state in scope.get("States", {}).items():
        inner = [*state.get("Branches", []), *(state[key] for key in ("ItemProcessor", "Iterator") if key in state)]
        found[name] = {**state, **{key: _outline(state[key]) for key in _SCOPES if key in state}}
        for branch in inner:
            found |= states_of(branch, "")
    return found


_SCOPES = ("Branches", "ItemProcessor", "Iterator")


def _outline(scopes: Any) -> Any:
    """Branches by their first state, so adding one changes one field and shifts no others."""
    if isinstance(scopes, list):
        return {branch.get("StartAt", ""): "branch" for branch in scopes}
    return {key: value for key, value in scopes.items() if key != "States"}


def _fields(path: str, old: Any, new: Any) -> Iterator[Field]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _fields(f"{path}.{key}" if path else key, old.get(key, _NONE), new.get(key, _NONE))
    elif type(old) is not type(new) or old != new:
        yield Field(path, *_shown(old, new))


_NONE = object()


def _shown(old: Any, new: Any) -> tuple[str, str]:
    """Both as JSON, cut to the difference; empty for a missing one."""
    before, after = ("" if value is _NONE else json.dumps(value, ensure_ascii=False) for value in (old, new))
    same = next((place for place, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(same - _CONTEXT, 0)
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int) -> str:
    if start and len(text) > _SHOWN:
        text = "…" + text[start:]
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
