"""Finds keys of the schema by their path in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from stepgluon.config.kinds import Kind
from stepgluon.config.schema import Partitioned, PipelineConfig
from stepgluon.config.sections import Inner, List, Map, Section
from stepgluon.config.tried_keys import NOT_YET, OTHER_NAMES
from stepgluon.errors import did_you_mean, listed


def section_in(kind: Kind) -> type[Section] | None:
    """The section that a key holds, as one or as a list."""
    kind = kind.item if isinstance(kind, List) else kind
    return kind.section if isinstance(kind, Inner) else None


def wanted(key: str) -> str:
    """The type of a key: whole number, number, true or false, duration, text; or "" if it may be several."""
    head, odd, _ = re.sub(r"\[[0-9]+\]", "", key).partition("['")
    return _wanted((*re.sub(r"^environments\.[^.]*\.", "", head).split("."), *(["?"] if odd else [])))


@lru_cache(maxsize=1024)
def _wanted(path: tuple[str, ...]) -> str:
    kind: Kind = Inner(PipelineConfig)
    for part in path:
        if isinstance(kind, Map):
            return kind.item.wanted
        section = section_in(kind)
        if section is None:
            break
        if part not in section.entries:
            own = Partitioned.entries.get("column" if part == "partition_by" else part)
            return own.kind.wanted if own and path == ("models", part) else ""
        kind = section.entries[part].kind
    return kind.item.wanted if isinstance(kind, List) else kind.wanted


def meant(name: str, known: list[str]) -> str | None:
    """The known key that a name stands for: under another name, or misspelt."""
    other = OTHER_NAMES.get(name.lower().replace("-", "_"))
    return other if other in known else did_you_mean(name, known)


def unknown_key(name: str, known: list[str]) -> str:
    plain = name.lower().replace("-", "_")
    guess = meant(name, known)
    if guess is None and plain in NOT_YET:
        return f"not supported yet ({NOT_YET[plain]})"
    if guess is None and (elsewhere := [key for key in _all_keys() if key.split(".")[-1] == name]):
        return f"unknown key (the key exists elsewhere: {listed(elsewhere)})"
    if guess is None and name in ("partition_by", "min_rows", "otherwise"):
        return "unknown key (write models as a mapping, not a list: models: {partition_by: …})"
    if guess is None and (other := OTHER_NAMES.get(plain)):
        guess = listed([key for key in _all_keys() if key.split(".")[-1] == other]) or other
    return f"unknown key ({f'did you mean {guess}?' if guess else f'expected: {listed(known)}'})"


def _all_keys(of: type[Section] = PipelineConfig, prefix: str = "") -> Iterator[str]:
    """Every key in the schema; those of models look like models[].label."""
    for name, key in of.entries.items():
        yield prefix + name
        if inner := section_in(key.kind):
            yield from _all_keys(inner, f"{prefix}{name}{'[]' if isinstance(key.kind, List) else ''}.")
