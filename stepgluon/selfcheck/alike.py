"""Finds branches that differ only in their model's name and index, of which a few are checked for all.

Two branches are alike if their texts are equal after removing the name (which differs between the StartAts) and the
index in lists ($models[7]), in every Parallel with as many branches. Their entries in lists set by Assign must be equal
in the same way. In such an entry, numbers may differ, and so may texts that differ in every entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NUMBER = re.compile(r"(?<=[:\[,])-?\d+(?:\.\d+)?(?=[,\]}])")
_PLACE = re.compile(r"(\$\w+)\[(\d+)\]")
_WORD = re.compile(r"[A-Za-z0-9]+")
KEPT_OF_ONE_KIND = 2  # to cover what depends on several models


@dataclass(frozen=True)
class Alike:
    """Indices of branches that are alike in every Parallel with `count` branches; the longest text first."""

    count: int
    kinds: tuple[tuple[int, ...], ...]

    @property
    def saves(self) -> bool:
        return self.count > len(self.kept(1))

    def kept(self, more: int = 0) -> dict[int, int]:
        """The indices to keep, and how many branches each represents."""
        kept: dict[int, int] = {}
        for number, kind in enumerate(self.kinds):
            places = kind[: KEPT_OF_ONE_KIND + more] if number == 0 else kind[:1]
            kept |= dict.fromkeys(places, 1)
            kept[places[0]] += len(kind) - len(places)
        return dict(sorted(kept.items()))


def alike(machine: dict[str, Any]) -> Alike | None:
    """The alike branches of the largest Parallels; None also if the machine's form is unsound."""
    if not _is_sound(machine):
        return None
    parallels = list(_parallels(machine))
    counts = [len(branches) for _, branches in parallels]
    if not counts or max(counts) < 2:
        return None
    count = max(counts)
    columns = [_branches(branches) for _, branches in parallels if len(branches) == count]
    columns += [_entries(entries, columns[0][1]) for entries in _lists(machine, count)]
    groups: dict[tuple[str, ...], list[int]] = {}
    for place in range(count):
        groups.setdefault(tuple(texts[place] for texts, _ in columns), []).append(place)
    names = columns[0][1]
    kinds = sorted((sorted(group, key=lambda place: -len(names[place])) for group in groups.values()), key=len)[::-1]
    return Alike(count, tuple(map(tuple, kinds)))


def smaller(machine: dict[str, Any], alike: Alike, more: int = 0) -> tuple[dict[str, Any], dict[int, int]]:
    """The machine with a few branches of each kind, and how many each kept branch represents, by its id."""
    kept = alike.kept(more)
    stands_for: dict[int, int] = {}

    def take(branches: list[Any]) -> list[Any]:
        taken = [_moved(branches[old], old, new) for new, old in enumerate(kept)]
        stands_for.update({id(branch): times for branch, times in zip(taken, kept.values(), strict=True)})
        return taken

    states = {}
    for name, state in machine["States"].items():
        if len(state.get("Branches", ())) == alike.count:
            state = {**state, "Branches": take(state["Branches"])}
        elif state.get("Type") == "Pass" and isinstance(state.get("Assign"), dict):
            assign = {
                key: [value[place] for place in kept] if _is_list(value, alike.count) else value
                for key, value in state["Assign"].items()
            }
            state = {**state, "Assign": assign}
        states[name] = state
    return {**machine, "States": states}, stands_for


def _is_sound(machine: dict[str, Any]) -> bool:
    states = machine.get("States")
    if not isinstance(states, dict) or not all(
        isinstance(state, dict) and "Type" in state for state in states.values()
    ):
        return False
    branches = (state.get("Branches") for state in states.values() if state["Type"] == "Parallel")
    return all(
        isinstance(some, list) and all(isinstance(one, dict) and isinstance(one.get("StartAt"), str) for one in some)
        for some in branches
    ) and all(isinstance(state.get("Assign", {}), dict) for state in states.values())


def _parallels(machine: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, state in machine["States"].items():
        if state["Type"] == "Parallel":
            yield name, state["Branches"]


def _is_list(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(isinstance(entry, dict) for entry in value)


def _lists(machine: dict[str, Any], count: int) -> Iterator[list[dict[str, Any]]]:
    for state in machine["States"].values():
        if state["Type"] == "Pass":
            yield from (value for value in state.get("Assign", {}).values() if _is_list(value, count))


def _branches(branches: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The branches' texts without the parts that may differ, and their names."""
    starts = [branch["StartAt"] for branch in branches]
    head = _common(starts)
    tail = _common([start[::-1] for start in starts])
    before, after = head.rfind(" ") + 1, tail.rfind(" ") + 1
    names = [start[before : len(start) - after] for start in starts]
    return [
        _without(_compact(branch), name, place)
        for place, (branch, name) in enumerate(zip(branches, names, strict=True))
    ], names


def _common(texts: list[str]) -> str:
    """The common prefix."""
    first, last = min(texts), max(texts)
    return first[: next((place for place, sign in enumerate(first) if sign != last[place : place + 1]), len(first))]


def _without(text: str, name: str, place: int) -> str:
    first, *others = text.split(name) if name else [text]
    parts, before = [first], first
    for part in others:  # like \bNAME\b, but compiling a pattern for each of a thousand names is slow
        inside = _WORD.fullmatch(before[-1:]) or _WORD.fullmatch(part[:1]) or before[-1:] == "_" or part[:1] == "_"
        parts += [name if inside else "\0", part]
        before = part
    return _PLACE.sub(lambda found: f"{found[1]}[\0]" if found[2] == str(place) else found[0], "".join(parts))


def _moved(branch: dict[str, Any], old: int, new: int) -> dict[str, Any]:
    text = _compact(branch)
    moved: dict[str, Any] = json.loads(re.sub(rf"(\$\w+)\[{old}\]", rf"\1[{new}]", text) if old != new else text)
    return moved


def _entries(entries: list[dict[str, Any]], names: list[str]) -> tuple[list[str], list[str]]:
    own: set[str] = set()  # the keys whose text differs in every entry that has them
    for key in {key for entry in entries for key in entry}:
        values = [entry[key] for entry in entries if key in entry]
        if all(isinstance(value, str) for value in values) and len(set(values)) == len(values):
            own.add(key)
    made = [{key: _WORD.sub("a", value) if key in own else value for key, value in entry.items()} for entry in entries]
    return [
        _NUMBER.sub("0", _without(_compact(entry), name, -1)) for entry, name in zip(made, names, strict=True)
    ], names
