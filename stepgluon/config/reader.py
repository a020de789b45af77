"""Reads the config of one environment from its tree, and gathers its problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from stepgluon.config.findings import Finding
from stepgluon.config.keys import meant, unknown_key
from stepgluon.config.kinds import Kind, Wrong, too_many
from stepgluon.config.nodes import Broken, Node, join
from stepgluon.config.schema import Partitioned, PipelineConfig
from stepgluon.config.sections import MISSING, Entry, Inner, List, Map, Rest
from stepgluon.config.source import Source
from stepgluon.errors import Place, Problem, found

INVALID = object()


@dataclass(frozen=True)
class Late:
    """A problem whose message is composed only when shown: searching for suggestions takes time."""

    place: Place
    key: str
    words: Callable[[], str]
    message: str = ""  # distinguishes it from other problems at this place

    def said(self) -> Problem:
        return Problem(self.place, self.key, self.words())


@dataclass
class Reader:
    source: Source
    problems: list[Problem | Late]
    guesses: list[int]  # how many more misspellings may be looked up, in all environments together
    needed: tuple[str, ...] = ()  # top-level keys that must be given although they have a default
    secrets: dict[str, str] = field(default_factory=dict)  # the values of variables -> ${NAME}
    spoken: dict[str, tuple[str, str]] = field(default_factory=dict)  # key -> its value in a message, and what to show
    unsure: set[str] = field(default_factory=set)  # keys of the resolved config that, with all below, are reported
    gaps: set[str] = field(default_factory=set)  # lists and mappings with left-out parts

    def config(self, tree: Node, environment: str | None, partitioned: Node | None = None) -> PipelineConfig:
        """The config, with defaults or placeholders for invalid values."""
        self._note("", tree)
        config: PipelineConfig = self._section(PipelineConfig, "", tree)
        found_in_data = self._section(Partitioned, "partitioned", partitioned) if partitioned else None
        return config.changed(environment=environment, partitioned=found_in_data)

    def _value(self, kind: Kind, key: str, node: Node, description: str = "") -> Any:
        """The node's value, or INVALID after reporting it."""
        children = node.value if isinstance(node.value, list) else []
        if isinstance(node.value, Broken):
            return INVALID
        try:
            value = kind.value(node, description)
        except Wrong as wrong:
            if not any(isinstance(child.value, Broken) for child in children):
                self._problem(node.place, node.key, wrong.message)
            return INVALID
        self._note(key, node)
        if isinstance(kind, Inner):
            return self._section(kind.section, key, kind.whole(node))
        if isinstance(kind, (List, Map)):
            value = self._list(kind, key, children) if isinstance(kind, List) else self._map(kind, key, node)
            if kind.most and len(node.value) > kind.most:
                self._problem(node.place, node.key, too_many(node, kind.most))
                return INVALID
            return value
        for i, child in enumerate(children):
            self._note(join(key, i), child)
        return value

    def _section(self, section: type[Any], key: str, node: Node) -> Any:
        values: dict[str, Any] = {}
        missing = []
        for name, part in section.entries.items():
            if isinstance(part.kind, Rest):
                others = {other: child for other, child in node.value.items() if other not in section.entries}
                values[name] = self._map(part.kind, key, replace(node, value=others))
                continue
            inner, child = f"{key}.{name}" if key else name, node.value.get(name)
            if child is None:
                if part.default is not MISSING and (key or name not in self.needed):
                    continue
                missing.append((name, part))
                value = INVALID
            elif child.value is None and part.default is None:
                self._note(inner, child)
                value = None
            else:
                value = self._value(part.kind, inner, child, part.description)
            if value is not INVALID:
                values[name] = value
                continue
            self.unsure.add(inner)
            if child is not None:
                self.gaps.add(key)
            if part.default is MISSING:
                values[name] = [] if isinstance(part.kind, List) else f"?{inner}"  # a placeholder
        if not any(isinstance(part.kind, Rest) for part in section.entries.values()):
            self._keys(list(section.entries), key, node, missing)
        return section(**values)

    def _keys(self, known: list[str], key: str, node: Node, missing: list[tuple[str, Entry]]) -> None:
        """Report unknown and missing keys; a misspelt key is not missing too."""
        unknown = [name for name in node.value if name not in known]
        known = known if key else [*known, "environments"]
        looked_up = unknown[: self.guesses[0]] if missing else []
        self.guesses[0] -= len(looked_up)
        intended = {meant(name, known) for name in looked_up}
        for name in unknown:
            self.unsure.add(join(key, name))
            self.gaps.add(key)
            words: str | Callable[[], str] = partial(unknown_key, name, known)
            if name == "count" and key.endswith(".instance"):
                words = "this job runs on one instance (remove the key: only predict.instance has a count)"
            self._problem(node.value[name].name_place, node.value[name].key, words)
        for name, part in missing:
            if name not in intended:
                described = part.description.removesuffix("; needed to deploy")
                lacking = "this key is missing" if part.default is MISSING else "needed to deploy, not to run locally"
                self._problem(node.place, join(node.key, name), f"{lacking} ({described})")

    def _map(self, kind: Map, key: str, node: Node) -> dict[str, Any]:
        values = {}
        for name, child in node.value.items():
            inner = join(key, name)
            value = self._value(kind.item, inner, child)
            try:
                if kind.name:
                    kind.name.value(replace(child, value=name, spoken=""), "")
            except Wrong as wrong:
                self._problem(child.name_place, child.key, wrong.message)
                value = INVALID
            if value is INVALID:
                self.unsure.add(inner)
                self.gaps.add(key)
            else:
                values[name] = value
        return values

    def _list(self, kind: List, key: str, children: list[Node]) -> list[Any]:
        values: list[Any] = []
        for child in children:
            value = self._value(kind.item, join(key, len(values)), child)
            if value is INVALID:
                self.gaps.add(key)
            else:
                values.append(value)
        return values

    def _problem(self, place: Place, key: str, message: str | Callable[[], str]) -> None:
        self.problems.append(Problem(place, key, message) if isinstance(message, str) else Late(place, key, message))

    def _note(self, key: str, node: Node) -> None:
        self.source.places[key] = node.place
        if node.key != key:
            self.source.origins[key] = node.key
        if not node.sure:
            self.unsure.add(key)
        if node.spoken:
            self.spoken[key] = (found(node.value), node.spoken)
            self.secrets.update({str(node.value): node.spoken, **dict(node.secrets)})

    def find(self, finding: Finding) -> None:
        """Report a rule's finding, unless it depends on an invalid value."""
        message, keys = finding.message, (finding.key, *finding.relies_on)
        if any(map(self.is_unsure, keys)):
            return
        identity, words = ("", message) if callable(message) else (message, lambda: message)
        at = self.source.problem(finding.key, identity)
        self.problems.append(Late(at.place, at.key, lambda: self.without_secrets(words(), keys), identity))

    def is_unsure(self, key: str) -> bool:
        if key in self.gaps:
            return True
        while key and key not in self.unsure:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return bool(key)

    def without_secrets(self, message: str, keys: Sequence[str]) -> str:
        """The message with variables' values replaced by their names."""
        for shown, spoken in (self.spoken[key] for key in keys if key in self.spoken):
            message = message.replace(shown, spoken)
        # A short unquoted word or number may be from our own text.
        for value, name in sorted(self.secrets.items(), key=lambda one: -len(one[0])):
            if value:
                message = message.replace(found(value), f"the value of {name}" if name[0] == "$" else name)
            if value in message and len(value) >= 8:
                message = message.replace(value, name)
            elif value in message and len(value) >= 3 and not (value.isalpha() or value.isdigit()):
                message = re.sub(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", name, message)
        return message
