"""A config as a tree in which each value knows its key and position."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from stepgluon.errors import Place, found

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
START = Place(1, 1)
Secrets = tuple[tuple[str, str], ...]  # the value of a variable, and ${ITS_NAME}


class Broken:
    """Replaces a value that was already reported, so it is not reported again."""


class Unset(Broken):
    """A value whose variable is not set, which matters only if the value is used."""

    def __init__(self, message: str) -> None:
        self.message = message


BROKEN = Broken()


@dataclass(frozen=True, eq=False)
class Node:
    key: str  # models[2].label; empty for the whole file
    place: Place  # of the value
    name_place: Place  # of its key, or of the value if it has none
    value: Any  # str | int | float | bool | None | Broken | dict[str, Node] | list[Node]
    sure: bool = True  # False for a placeholder of an invalid or missing value
    spoken: str = ""  # what messages show for a value from a variable, which may be a secret
    secrets: Secrets = ()

    @property
    def shown(self) -> str:
        """The value in a form that is safe to show."""
        return self.spoken or found(self.value)


def join(parent: str, name: str | int) -> str:
    """`models`, 2 -> `models[2]`; a name with characters other than A-Za-z0-9_- is quoted and shortened."""
    if isinstance(name, int):
        return f"{parent}[{name}]"
    if _PLAIN.fullmatch(name):
        return f"{parent}.{name}" if parent else name
    return f"{parent}[{found(name)}]"


def merge(base: Node, over: Node) -> Node:
    """Merge mappings, and replace everything else. Each value keeps its key and position."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    value = dict(base.value)
    for name, node in over.value.items():
        value[name] = merge(value[name], node) if name in value else node
    return replace(base, value=value)
