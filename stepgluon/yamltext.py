"""YAML text -> a tree of values in which each one knows its key and its place.

    characters   bytes -> text without anything that YAML forbids or that no editor shows
    compose      PyYAML's events -> nodes: bounded, tags refused, duplicate keys named, `<<` merged, scalars resolved
    expand       aliases -> a tree, again bounded; each node gets its key path

PyYAML's own composer and constructor are not used: they lose the places, keep the last of two equal keys, recurse as
deep as the text says and may build Python objects. Nothing here evaluates anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from stepgluon.config import FILE_BYTES
from stepgluon.errors import Place, Problem, found
from stepgluon.scalars import Unclear, resolve, substitute

DEPTH = 20  # a real config has 8
NODES = 50_000  # values, with aliases written out; 1,000 models have about 5,000
PROBLEMS = 1000  # with more, the text is no config, and nobody reads on
START = Place(1, 1)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml the same, slower
# What YAML forbids, and what it takes for a line break but editors do not (their line numbers would differ).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class Broken:
    """Stands for a value that was reported already; nothing more is said about it."""


BROKEN = Broken()
GONE = Broken()  # cut out of the config: not part of its data any more


@dataclass(frozen=True, eq=False)
class Node:
    key: str  # models[2].label; empty for the whole file
    place: Place  # of the value
    name_place: Place  # of its key, or of the value where it has none
    value: Any  # str | int | float | bool | None | Broken | dict[str, Node] | list[Node]
    sure: bool = True  # False for a placeholder that stands in for what is invalid or missing


class Fatal(Exception):
    """The text cannot be read any further."""

    def __init__(self, place: Place, key: str, message: str) -> None:
        self.problem = Problem(place, key or "(file)", message)
        super().__init__(message)


def parse(text: str | bytes, variables: Mapping[str, str]) -> tuple[Node | None, list[Problem]]:
    """The config's tree, or None where the text is no mapping at all; and everything that is wrong with the text."""
    composer = None
    try:
        composer = _Composer(_characters(text), variables)
        raw = composer.document()
        return _Expander().node("", raw.place, raw), composer.problems
    except Fatal as fatal:
        return None, [*(composer.problems if composer else []), fatal.problem]


def join(parent: str, name: str | int) -> str:
    """`models`, 2 -> `models[2]`; a name with other characters than A-Za-z0-9_- is quoted, and shortened."""
    if isinstance(name, int):
        return f"{parent}[{name}]"
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name):
        return f"{parent}.{name}" if parent else name
    return f"{parent}[{found(name)}]"


def _characters(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > FILE_BYTES:
        raise Fatal(START, "", "the file is larger than 1 MiB (is it a config?)")
    try:
        characters = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = _place_in(data[: error.start].decode("utf-8"))
        raise Fatal(place, "", f"the byte 0x{data[error.start]:02x} is not UTF-8 (save the file as UTF-8)") from None
    bad = _FORBIDDEN.search(characters)
    if bad:
        place, code = _place_in(characters[: bad.start()]), f"{ord(bad[0]):04x}"
        way_out = "" if bad[0] == "\0" else f', or write "\\u{code}" in double quotes'
        raise Fatal(place, "", f"the invisible character U+{code.upper()} is not allowed (remove it{way_out})")
    return characters


def _place_in(before: str) -> Place:
    """The place after this text."""
    lines = re.split(r"\r\n|\r|\n", before)
    return Place(len(lines), len(lines[-1]) + 1)


@dataclass
class _Raw:
    """A node before aliases are expanded: the same one may stand in several places."""

    place: Place
    value: Any  # scalar | BROKEN | list[_Raw] | dict[str, tuple[Place, _Raw]]


@dataclass
class _Composer:
    text: str
    variables: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events = self._parsed()
        self.anchors: dict[str, _Raw | None] = {}  # None: the anchor's own value is being read
        self.count = self.merged = 0
        self.budget = [FILE_BYTES]

    def _parsed(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self.text, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            place, message = _syntax(error, self.text.splitlines())
            raise Fatal(place, "", message) from None
        except (ValueError, OverflowError):
            # PyYAML's scanner without libyaml lets \UFFFFFFFF and %YAML 1.<5,000 digits> through to chr() and int().
            raise Fatal(START, "", "an escape or %YAML line holds a number out of range (remove it)") from None

    def problem(self, place: Place, key: str, message: str) -> None:
        self.problems.append(Problem(place, key or "(file)", message))
        if len(self.problems) == PROBLEMS:
            raise Fatal(
                place, "", f"{PROBLEMS:,} problems are enough: the rest of the file is not read (solve those above)"
            )

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
            raw.value = self._scalar(event, place, key)
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
            self.problem(
                place, key, f"{shown} stands inside its own & and would expand without end (write the value out)"
            )
        return _Raw(place, BROKEN)

    def _scalar(self, event: Any, place: Place, key: str) -> Any:
        if event.tag is not None:
            return BROKEN
        plain = event.style not in ("'", '"', "|", ">")
        try:
            text = substitute(event.value, self.variables, self.budget)
            return resolve(text) if plain else text
        except Unclear as unclear:
            self.problem(place, key, str(unclear))
            return BROKEN

    def _mapping(self, key: str, depth: int) -> dict[str, tuple[Place, _Raw]]:
        entries: dict[str, tuple[Place, _Raw]] = {}
        merges: list[_Raw] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = _place(event)
            name = self._name(event, place, key, depth)
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
        for raw in merges:
            self.merged += len(raw.value)
            if self.merged > NODES:
                raise Fatal(raw.place, "", f"merge keys (<<) copy more than {NODES:,} values (write fewer)")
            for name, entry in raw.value.items():
                entries.setdefault(name, entry)
        return entries

    def _merge_sources(self, raw: _Raw, key: str) -> list[_Raw]:
        sources = raw.value if isinstance(raw.value, list) else [raw]
        for source in sources:
            if not isinstance(source.value, (dict, Broken)):
                self.problem(source.place, key, "<< takes a mapping, or a list of mappings (such as *defaults)")
        return [source for source in sources if isinstance(source.value, dict)]

    def _name(self, event: Any, place: Place, key: str, depth: int) -> str | None:
        """The key's text; None where it is not text, which is reported."""
        if isinstance(event, yaml.ScalarEvent) and event.tag is None:
            try:
                text: str = substitute(event.value, None, self.budget)
                value = resolve(text) if event.style not in ("'", '"', "|", ">") else text
            except Unclear as unclear:
                self.problem(place, join(key, event.value), str(unclear))
                return None
            if isinstance(value, str):
                return value
            way_out = f"write '{event.value}'" if event.value else "write a name before the colon"
            self.problem(place, join(key, event.value), f"the key is not text ({way_out})")
            return None
        self.node(event, key, depth + 1)
        self.problem(place, key, "a key must be plain text (no list, mapping, alias or tag)")
        return None


@dataclass
class _Expander:
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
        return Node(key, raw.place, name_place, value)


def merge(base: Node, over: Node) -> Node:
    """Mappings merge; everything else is replaced. Each value keeps the key and place where it stands."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    value = dict(base.value)
    for name, node in over.value.items():
        value[name] = merge(value[name], node) if name in value else node
    return replace(base, value=value)


def plain(node: Node) -> Any:
    """The tree's data alone."""
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items() if child.value is not GONE}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value if child.value is not GONE]
    return node.value


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


_SYNTAX = (  # what libyaml or PyYAML say -> what to tell; the first that fits
    ("undefined tag handle", "tags are not allowed (a text that begins with ! needs quotes)"),
    ("mapping values are not allowed", "a colon stands where no key can be (a text with ': ' needs quotes; else check the indentation)"),
    ("could not find expected ':'", "this line has no colon after its key (write key: value)"),
    ("block sequence entries|sequence entries are not", "a list cannot begin here (put each '- item' on its own line)"),
    ("expected ',' or '[]}]'", "after this [ or {{, a , or the closing ] or }} is missing (a text with {{ or [ needs quotes, and so has ${{VAR}} in [] or {{}})"),
    ("cannot start any token", "no value can begin with {char} (put the text in quotes)"),
    ("unknown escape", "in double quotes \\ begins an escape, and this one does not exist (use single quotes, or \\\\)"),
    ("escape", "this escape stands for no character (use single quotes, or \\\\)"),
    ("alphabetic or numeric", "a text that begins with * or & needs quotes"),
    ("incompatible YAML", "the %YAML line names a version other than 1.1 or 1.2 (remove it)"),
    ("<document start>", "nothing more is expected here (one closing bracket or ... too many)"),
    ("expected '-' indicator", "this does not fit the list above (items begin with '- ' in one column, and their keys in one)"),
    ("comment or line break|chomping or indentation", "after | or > the text begins on the next line"),
    ("node content", "a value is expected here (a text that begins with , ] }} ? or : needs quotes; close what is open)"),
    ("expected key|<block end>", "this does not fit the lines above (keys of one mapping begin in one column; close quotes; no text after them)"),
)  # fmt: skip


def _syntax(error: yaml.MarkedYAMLError, lines: list[str]) -> tuple[Place, str]:
    """Where the text is no YAML, and what to do, in our words."""
    mark, words = error.problem_mark or error.context_mark, error.problem or ""
    if mark is None:
        return START, "the file is not YAML"
    place = Place(mark.line + 1, mark.column + 1)
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
        return place, "a tab is used as indentation (YAML wants spaces: replace the tab)"
    if "quoted" in (error.context or "") and "escape" not in words and error.context_mark is not None:
        start = error.context_mark
        return Place(
            start.line + 1, start.column + 1
        ), "this quote is never closed (close it, or write '' for a quote in quotes)"
    if "flow" in (error.context or "") and error.context_mark is not None and "expected ','" in words:
        place = Place(error.context_mark.line + 1, error.context_mark.column + 1)
    for pattern, message in _SYNTAX:
        if re.search(pattern, words):
            return place, message.format(char=found(line[mark.column : mark.column + 1]))
    return place, "this is not YAML (check the indentation, quotes and brackets here and in the line above)"
