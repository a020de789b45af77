"""Finds branches that differ only in their model's name and index, of which a few are rehearsed for all.

Two branches are alike if their texts differ only in the model's name and in its index in lists ($models[7]), in every
Parallel with a branch for each model. The models' entries in lists that a Pass assigns are compared too: all values
except numbers and texts that differ in every model. For the scenarios in which jobs fail, only the keys are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import loads
from typing import Any

from stepgluon.selfcheck.evaluation import compact
from stepgluon.selfcheck.scopes import Scope, scopes

_NUMBER = re.compile(r"(?<=[:\[,])-?\d+(?:\.\d+)?(?=[,\]}])")
_WORD = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class Branches:
    """A machine's branches with a model each; their texts have \\0 for the name and \\1 for the index."""

    machine: Mapping[str, Any]
    names: list[str]
    texts: dict[str, list[str]]  # by Parallel
    values: list[str]  # of the models' entries in lists, as said above
    keys: list[str]

    def kinds(self, values: bool) -> list[list[int]]:
        """The models whose branches are alike, the largest kind first, and in it the longest name."""
        kinds: dict[tuple[str, ...], list[int]] = {}
        for place, columns in enumerate(zip(self.values if values else self.keys, *self.texts.values(), strict=True)):
            kinds.setdefault(columns, []).append(place)
        for kind in kinds.values():
            kind.sort(key=lambda place: -len(self.names[place]))
        return sorted(kinds.values(), key=len, reverse=True)

    def smaller(self, kinds: list[list[int]], most: int) -> Mapping[str, Any]:
        """The machine with `most` branches of the largest kind, and one of each other."""
        kept, states = _kept(kinds, most), {}
        for name, state in self.machine["States"].items() if self.texts else ():
            if name in self.texts:
                filled = [_filled(self.texts[name][old], self.names[old], new) for new, old in enumerate(kept)]
                state = {**state, "Branches": list(map(loads, filled))}
            lists = {key: [value[place] for place in kept] for key, value in _lists(state, len(self.names))}
            states[name] = {**state, "Assign": {**state["Assign"], **lists}} if lists else state
        return {**self.machine, "States": states} if states else self.machine

    def scopes(self, kinds: list[list[int]], most: int) -> Scope:
        """Its scopes, each branch with the number of those that it stands for."""
        root = scopes(self.smaller(kinds, most))
        kept, sizes = _kept(kinds, most), {kind[0]: len(kind) for kind in kinds}
        for branches in (root.inner[name] for name in self.texts):
            first = branches[kept.index(kinds[0][0])]
            for place, scope in zip(kept, branches, strict=True):
                scope.stands_for = sizes.get(place, 1)
                scope.like = first if place not in sizes else None
            first.stands_for -= len(kept) - len(kinds)
        return root


def _kept(kinds: list[list[int]], most: int) -> list[int]:
    return sorted([kind[0] for kind in kinds] + [place for kind in kinds[:1] for place in kind[1:most]])


def branches(machine: Mapping[str, Any]) -> Branches:
    """The models' branches; none if the machine's form is unsound, which form.py reports."""
    try:
        names = models(machine)
        lists = [value for state in machine["States"].values() for _, value in _lists(state, len(names))]
        texts = {
            name: _texts(state["Branches"], names)
            for name, state in machine["States"].items()
            if state["Type"] == "Parallel" and len(state["Branches"]) == len(names)
        }
        if not texts:
            return Branches(machine, [], {}, [], [])
        keys = [str([sorted(entries[place]) for entries in lists]) for place in range(len(names))]
        return Branches(machine, names, texts, _values(lists, names), keys)
    except (AttributeError, KeyError, TypeError):
        return Branches(machine, [], {}, [], [])


def models(machine: Mapping[str, Any]) -> list[str]:
    """The models' names, from the lists that a Pass assigns."""
    for state in machine["States"].values():
        for _, entries in _lists(state):
            if all(isinstance(entry.get("name"), str) for entry in entries):
                return [entry["name"] for entry in entries]
    return []


def groups(machine: Mapping[str, Any]) -> list[str]:
    """The models' groups in the model registry, from the same lists."""
    entries = [entry for state in machine["States"].values() for _, several in _lists(state) for entry in several]
    return [entry["group"] for entry in entries if isinstance(entry.get("group"), str)]


def _lists(state: Mapping[str, Any], count: int = 0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The lists of objects, with as many entries, that a Pass assigns."""
    for key, value in state.get("Assign", {}).items() if state["Type"] == "Pass" else ():
        entries = value if isinstance(value, list) else []
        if entries and count in (0, len(entries)) and all(isinstance(entry, dict) for entry in entries):
            yield key, entries


def _texts(branches: list[Any], names: list[str]) -> list[str]:
    kinds: list[str] = []
    texts = []
    for place, (branch, name) in enumerate(zip(branches, names, strict=True)):
        text = compact(branch)
        like = next((kind for kind in kinds if _filled(kind, name, place) == text), None)
        if like is None:  # only then, as compiling patterns for each of a thousand names is slow
            # The indices first: a model's name may be its index.
            gaps = re.sub(rf"(\$\w+)\[{place}\]", lambda found: f"{found[1]}[\1]", text)
            like = re.sub(rf"\b{re.escape(name)}\b", "\0", gaps)
            kinds.append(like)
        texts.append(like)
    return texts


def _filled(text: str, name: str, place: int) -> str:
    return text.replace("\0", name).replace("\1", str(place))


def _values(lists: list[list[dict[str, Any]]], names: list[str]) -> list[str]:
    texts = [""] * len(names)
    for entries in lists:
        own: set[str] = set()  # the keys whose text is different in every entry that has them
        for key in {key for entry in entries for key in entry}:
            values = [entry[key] for entry in entries if key in entry]
            if all(isinstance(value, str) for value in values) and len(set(values)) == len(values):
                own.add(key)
        for place, entry in enumerate(entries):
            plain = {key: _WORD.sub("a", value) if key in own else value for key, value in entry.items()}
            texts[place] += _NUMBER.sub("0", compact(plain))
    return texts
