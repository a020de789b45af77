"""Parses YAML text into a tree of values, each of which knows its key and position.

    characters   bytes -> text, without characters that YAML forbids or editors do not show
    compose      PyYAML's events -> nodes: bounded, tags refused, duplicate keys named, `<<` merged, scalars resolved
    expand       aliases -> a tree, again bounded; each node gets its key path

PyYAML's own composer and constructor are not used: they lose positions, keep the last of two equal keys, recurse
without a limit and may build Python objects. This module evaluates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from stepgluon.config.keys import wanted
from stepgluon.config.nodes import BROKEN, START, Broken, Node, Secrets, Unset, join
from stepgluon.config.scalars import NUMBERS, Unclear, UnsetVariable, is_variable, resolve, substitute
from stepgluon.config.yaml_errors import explain
from stepgluon.errors import Place, Problem, found
from stepgluon.limits import CONFIG_BYTES

DEPTH = 20  # a real config has 8
NODES = 20_000  # values, with aliases written out; 1,000 models have about 5,000
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml: the same, but slower
# Characters that YAML forbids, and line breaks that editors do not recognize (their line numbers would differ).
_IN_ASCII = "[^\t\n\r\x20-\x7e]"  # takes a hundredth of the time to compile
_FORBIDDEN = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"


class Fatal(Exception):
    """Parsing cannot continue."""

    def __init__(self, place: Place, key: str, message: str) -> None:
        self.problem = Problem(place, key or "(file)", message)
        super().__init__(message)


def parse(
    text: str | bytes, environment: str | None, variables: Mapping[str, str]
) -> tuple[Node | None, list[Problem]]:
    """The config's tree, or None if the text is not a mapping; and all problems in the text.

    Variables in other environments than this one need not be set.
    """
    composer = None
    try:
        composer = _Composer(_characters(text), variables)
        raw = composer.document()
        if isinstance(raw.value, Broken):
            return None, composer.problems
        expander = _Expander(environment, composer.problems)
        return expander.node("", raw.place, raw), composer.problems
    except Fatal as fatal:
        return None, [*(composer.problems if composer else []), fatal.problem]


def _characters(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > CONFIG_BYTES:
        raise Fatal(START, "", "the file is larger than 1 MiB (is it a config?)")
    try:
        characters = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = _place_in(data[: error.start].decode("utf-8"))
        raise Fatal(place, "", f"the byte 0x{data[error.start]:02x} is not UTF-8 (save the file as UTF-8)") from None
    bad = re.search(_IN_ASCII if characters.isascii() else _FORBIDDEN, characters)
    if bad:
        place, code = _place_in(characters[: bad.start()]), f"{ord(bad[0]):04x}"
        way_out = "" if bad[0] == "\0" else f', or write "\\u{code}" in double quotes'
        raise Fatal(place, "", f"the invisible character U+{code.upper()} is not allowed (remove it{way_out})")
    return characters


def _place_in(before: str) -> Place:
    """The position after this text."""
    lines = re.split(r"\r\n|\r|\n", before)
    return Place(len(lines), len(lines[-1]) + 1)


@dataclass
class _Raw:
    """A node before aliases are expanded: it may be used in several places."""

    place: Place
    value: Any  # scalar | Broken | list[_Raw] | dict[str, tuple[Place, _Raw]]
    spoken: str = ""
    secrets: Secrets = ()


@dataclass
class _Composer:
    text: str
    variables: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events = self._parsed()
        self.anchors: dict[str, _Raw | None] = {}  # None: the anchor's own value is being read
        self.count = self.merged = 0
        self.budget = [CONFIG_BYTES]

    def _parsed(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self.text, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            marks = (error.problem_mark, error.context_mark)
            place, message = explain(error.problem or "", error.context or "", marks, self.text.splitlines())
            raise Fatal(place, "", message) from None
        except (ValueError, OverflowError):
            # PyYAML's scanner without libyaml lets \UFFFFFFFF and %YAML 1.<5,000 digits> through to chr() and int().
            raise Fatal(START, "", "an escape or %YAML line holds a number out of range (remove it)") from None

    def problem(self, place: Place, key: str, message: str) -> None:
        self.problems.append(Problem(place, key or "(file)", message))

    def document(self) -> _Raw:
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise Fatal(START, "", "the file is empty (a config begins with name: and the pipeline's name)")
        event = next(self.events)
        if isinstance(event, yaml.ScalarEvent) and not event.value and event.tag is None:
            raise Fatal(START, "", "the file is empty (a config begins with name: and the pipeline's name)")
        if not isinstance(event, yaml.MappingStartEvent):
            kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "single value"
            raise Fatal(
                _place(event), "", f"the file holds a {kind} (keys with values, like name: penguins, are expected)"
            )
        root = self.node(event, "", 1)
        next(self.events)
        after = next(self.events)
        if isinstance(after, yaml.DocumentStartEvent):
            raise Fatal(_place(after), "", "a second document begins here (one file holds one config: remove this ---)")
        return root

    def node(self, event: Any, key: str, depth: int) -> _Raw:
        place = _place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place, key)
        if depth > DEPTH:
            raise Fatal(place, "", f"values are nested more than {DEPTH} deep (no config needs that)")
        self.count += 1
        if self.count > NODES:
            raise Fatal(place, "", f"the config has more than {NODES:,} values (split it)")
        raw = _Raw(place, BROKEN)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, raw, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            raw.value = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                raw.value.append(self.node(item, join(key, len(raw.value)), depth + 1))
        else:
            raw.value = self._mapping(key, depth)
        if event.tag is not None:
            tag = found(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self.problem(
                place, key, f"the tag {tag} is not allowed (a config holds plain text, numbers, true and false)"
            )
            raw.value = BROKEN
        if event.anchor is not None:
            self.anchors[event.anchor] = raw
        return raw

    def _alias(self, event: Any, place: Place, key: str) -> _Raw:
        name, shown = event.anchor, found("*" + event.anchor)
        if name not in self.anchors:
            self.problem(place, key, f"{shown} has no & of that name above it (a text that begins with * needs quotes)")
        elif (raw := self.anchors[name]) is not None:
            return raw
        else:
            self.problem(place, key, f"{shown} is inside its own & and would expand forever (write the value out)")
        return _Raw(place, BROKEN)

    def _scalar(self, event: Any, raw: _Raw, key: str) -> None:
        if event.tag is not None:
            return
        plain = event.style not in ("'", '"', "|", ">")
        try:
            filled = substitute(event.value, self.variables, self.budget)
            raw.spoken, raw.secrets = filled.spoken, filled.secrets
            # Inside {}, a variable can only be written in quotes: the key decides whether it is text.
            if plain or (is_variable(event.value) and wanted(key) in (*NUMBERS, "true or false")):
                raw.value = resolve(filled.text, wanted(key), filled.spoken)
            else:
                raw.value = filled.text
        except UnsetVariable as unset:
            raw.value = Unset(str(unset))
        except Unclear as unclear:
            self.problem(raw.place, key, str(unclear))

    def _mapping(self, key: str, depth: int) -> dict[str, tuple[Place, _Raw]]:
        entries: dict[str, tuple[Place, _Raw]] = {}
        merges: list[_Raw] = []
        raw, last = None, key  # the entry before
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = _place(event)
            name = None if self._is_decimal(event, raw, last) else self._name(event, place, key, depth)
            child = join(key, name) if isinstance(name, str) else key
            plain = isinstance(event, yaml.ScalarEvent) and event.style not in ("'", '"', "|", ">")
            raw = self.node(next(self.events), child, depth + 1)
            if name == "<<" and plain:
                merges += self._merge_sources(raw, child)
            elif name in entries:
                first = entries[name][0]
                self.problem(place, child, f"this key is given twice, first in line {first.line} (keep one of them)")
            elif isinstance(name, str):
                entries[name] = (place, raw)
            last = child
        for raw in merges:
            self.merged += len(raw.value)
            if self.merged > NODES:
                raise Fatal(raw.place, "", f"merge keys (<<) copy more than {NODES:,} values (write fewer)")
            for name, entry in raw.value.items():
                entries.setdefault(name, entry)
        return entries

    def _is_decimal(self, event: Any, before: _Raw | None, key: str) -> bool:
        """Report `60,5` or `1.234,5` in braces, which YAML reads as a number and the next key."""
        digits = isinstance(event, yaml.ScalarEvent) and not event.style and re.fullmatch("[0-9]+", event.value)
        if before is None or type(before.value) not in (int, float) or before.spoken or not digits:
            return False
        means = f"{before.value}.{event.value} for a number with decimals"
        write = means if type(before.value) is int else "numbers without thousands separators, like 1234.5"
        message = f"a comma in braces begins the next key (write {write})"
        self.problem(before.place, key, message)
        before.value = BROKEN
        return True

    def _merge_sources(self, raw: _Raw, key: str) -> list[_Raw]:
        sources = raw.value if isinstance(raw.value, list) else [raw]
        for source in sources:
            if not isinstance(source.value, (dict, Broken)) or isinstance(source.value, Unset):
                message = "<< has nothing to merge (a mapping or a list of mappings is expected, such as *defaults)"
                message = source.value.message if isinstance(source.value, Unset) else message
                self.problem(source.place, key, message)
        return [source for source in sources if isinstance(source.value, dict)]

    def _name(self, event: Any, place: Place, key: str, depth: int) -> str | None:
        """The key's text; None if it is not text, which is reported."""
        if isinstance(event, yaml.ScalarEvent) and event.tag is None:
            try:
                text = substitute(event.value, None, self.budget).text
                value = resolve(text, "text") if event.style not in ("'", '"', "|", ">") else text
            except Unclear as unclear:
                self.problem(place, join(key, event.value), str(unclear))
                return None
            if isinstance(value, str):
                return value
            way_out = f"write '{event.value}'" if event.value else "write a name before the colon"
            self.problem(place, join(key, event.value), f"the key is not text ({way_out})")
            return None
        self.node(event, key, depth + 1)
        self.problem(place, key, "a list, mapping, alias or tag cannot be a key (plain text is expected)")
        return None


@dataclass
class _Expander:
    environment: str | None
    problems: list[Problem]
    count: int = 0

    def node(self, key: str, name_place: Place, raw: _Raw, depth: int = 1) -> Node:
        self.count += 1
        if self.count > NODES or depth > DEPTH:
            what = f"{NODES:,} values" if depth <= DEPTH else f"{DEPTH} levels"
            raise Fatal(name_place, "", f"the config has more than {what}, its aliases (*) written out (use fewer)")
        value = raw.value
        if isinstance(value, dict):
            value = {k: self.node(join(key, k), place, child, depth + 1) for k, (place, child) in value.items()}
        elif isinstance(value, list):
            value = [self.node(join(key, i), child.place, child, depth + 1) for i, child in enumerate(value)]
        elif isinstance(value, Unset) and not self._elsewhere(key):
            self.problems.append(Problem(raw.place, key, value.message))
        return Node(key, raw.place, name_place, value, spoken=raw.spoken, secrets=raw.secrets)

    def _elsewhere(self, key: str) -> bool:
        match = re.match(r"environments\.([^.\[]+)", key)
        return match is not None and match[1] != self.environment


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
