"""Turns a file's text into a PipelineConfig, or reports all problems in one run.

parse        yaml_tree: a tree of nodes, each with key and position
environments merge each overlay over the rest: one tree per environment
models       write out generated ones; merge `train` into each model
validate     pydantic against schema.py; cut out invalid parts or replace them with placeholders, and repeat
check        rules over the whole config (rules.py); findings about cut-out parts are dropped
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from stepgluon import limits
from stepgluon.config import rules
from stepgluon.config.generated_models import written_out
from stepgluon.config.messages import describe, did_you_mean, keys_at, listed
from stepgluon.config.model_rules import Finding
from stepgluon.config.nodes import GONE, START, Broken, Node, join, live, merge, plain
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.source import LoadedConfig, Source
from stepgluon.config.yaml_tree import parse
from stepgluon.errors import ConfigError, Place, Problem, found

PROBLEMS = 100  # list at most this many
WORK = 60_000  # values to validate, in all environments together
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,7}")
_PLACEHOLDERS: dict[str, Any] = {
    "name": "x",
    "account": "0" * 12,
    "region": "us-east-1",
    "notify": ["x@example.com"],
    "models": [{"name": "x", "label": "x"}],
    "label": "x",
    "arn": f"arn:aws:codeconnections:us-east-1:{'0' * 12}:connection/{'0' * 36}",
    "repository": "x/x",
    "bucket": "xxx",
    "key": "x.zip",
}


@dataclass(frozen=True)
class _Late:
    """A problem whose message is composed only when shown: searching for suggestions takes time."""

    place: Place
    key: str
    message: str  # distinguishes it from other problems at this place
    words: Callable[[], str]

    def said(self) -> Problem:
        return Problem(self.place, self.key, self.words())


def loaded(text: str | bytes, file: str, environment: str | None, variables: Mapping[str, str]) -> LoadedConfig:
    root, texts = parse(text, environment, variables)
    problems: list[Problem | _Late] = [*texts]
    result: LoadedConfig | None = None
    if root is not None:
        base, overlays = _environments(root, problems)
        if environment is not None and environment not in overlays:
            problems.append(_no_environment(root, environment, list(overlays)))
        chosen = environment if environment in overlays else None
        names = (
            [chosen, *(name for name in overlays if name != chosen)] if chosen or not environment else list(overlays)
        )
        if _size(base) * len(names) > WORK:
            message = f"{len(names)} environments of {_size(base):,} values each are too many (split the config)"
            problems.append(Problem(root.value["environments"].name_place, "environments", message))
            raise ConfigError(file, _shown(problems))
        guesses = [PROBLEMS]
        for name in names or [None]:
            tree = merge(base, overlays[name]) if name else base
            reader = _Reader(name, guesses)
            one = reader.read(file, tree)
            if name and "name" not in reader.unsure:
                problems += _too_long(reader, one.config.name, name, overlays[name])
            problems += reader.problems
            result = result or one
    if problems or result is None:
        raise ConfigError(file, _shown(problems))
    return result


def _size(node: Node) -> int:
    children = node.value.values() if isinstance(node.value, dict) else node.value
    return 1 + sum(map(_size, children)) if isinstance(node.value, (dict, list)) else 1


def _shown(problems: Sequence[Problem | _Late]) -> list[Problem]:
    shortest: dict[tuple[Place, str], Problem | _Late] = {}  # a place may occur in several environments
    for problem in sorted(problems, key=lambda p: len(p.key)):
        shortest.setdefault((problem.place, problem.message), problem)
    unique = sorted(shortest.values(), key=lambda p: (p.place, p.key, p.message))
    shown = [problem if isinstance(problem, Problem) else problem.said() for problem in unique[:PROBLEMS]]
    shown = list({(problem.place, problem.message): problem for problem in reversed(shown)}.values())
    if len(unique) > PROBLEMS:
        message = f"{len(unique) - PROBLEMS:,} more problems are not shown (solve those above first)"
        shown.append(Problem(unique[-1].place, "(file)", message))
    return shown


def _environments(root: Node, problems: list[Problem | _Late]) -> tuple[Node, dict[str, Node]]:
    """The config without its environments, and each environment's part."""
    node = root.value.get("environments")
    base, unknown = _without_environment(root)
    problems += unknown
    if node is None or isinstance(node.value, Broken):
        return base, {}
    if not isinstance(node.value, dict):
        message = f"{node.shown} is not a mapping (a mapping like prod: {{account: '123456789012'}} is expected)"
        problems.append(Problem(node.place, node.key, message))
        return base, {}
    overlays = {}
    for name, overlay in node.value.items():
        overlay, found_inside = _without_environment(overlay)
        problems += found_inside
        if not _ENVIRONMENT.fullmatch(name):
            message = (
                f"{found(name)} cannot name an environment"
                " (expected: at most 8 of a-z and 0-9, beginning with a letter)"
            )
            problems.append(Problem(overlay.name_place, overlay.key, message))
        elif isinstance(overlay.value, dict) or overlay.value is None:
            overlays[name] = replace(overlay, value=overlay.value or {})
        elif not isinstance(overlay.value, Broken):
            message = f"{overlay.shown} is not a mapping (the keys that differ in {name} are expected)"
            problems.append(Problem(overlay.place, overlay.key, message))
    return base, overlays


def _without_environment(node: Node) -> tuple[Node, list[Problem]]:
    """Environments cannot be nested; and `environment` is a field of the config, but not a key of the file."""
    if not isinstance(node.value, dict):
        return node, []
    problems = []
    inner, key = node.value.get("environments"), node.value.get("environment")
    if key is not None:
        message = "unknown key (did you mean environments? one is chosen with --env)"
        problems.append(Problem(key.name_place, key.key, message))
    if inner is not None and node.key:
        problems.append(Problem(inner.name_place, inner.key, "an environment cannot hold environments (remove it)"))
    value = {name: child for name, child in node.value.items() if name not in ("environments", "environment")}
    return replace(node, value=value), problems


def _no_environment(root: Node, name: str, known: list[str]) -> Problem:
    node = root.value.get("environments")
    guess = did_you_mean(name, known)
    hint = f"did you mean {guess}? " if guess else ""
    there = (
        f"the environments are {listed(known, 'and')}" if known else "the config has none: add them, or leave --env out"
    )
    place = node.name_place if node else START
    return Problem(place, "environments", f"there is no environment {found(name)} ({hint}{there})")


def _too_long(reader: _Reader, name: str, environment: str, overlay: Node) -> list[Problem]:
    size = len(name) + 1 + len(environment)
    if size <= limits.PREFIX:
        return []
    named = reader.without_secrets(f"{name}-{environment}", ["name"])
    message = f"{named} has {size} characters (at most {limits.PREFIX}: shorten one of the two)"
    return [Problem(overlay.name_place, overlay.key, message)]


@dataclass
class _Reader:
    """Reads the config of one environment."""

    environment: str | None
    guesses: list[int]  # how many more misspellings may be looked up, in all environments together
    problems: list[Problem | _Late] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)  # the values of variables -> ${NAME}
    spoken: dict[str, tuple[str, str]] = field(default_factory=dict)  # key -> its value in a message, and what to show
    unsure: set[str] = field(default_factory=set)  # keys of the resolved config that, with all below, are reported
    gaps: set[str] = field(default_factory=set)  # lists and mappings with cut-out parts

    def read(self, file: str, tree: Node) -> LoadedConfig:
        """The config, with placeholders for invalid values."""
        tree, problems = written_out(tree)
        self.problems += problems
        config, tree = self._validated(tree)
        places: dict[str, Place] = {}
        origins: dict[str, str] = {}
        self._walk("", tree, places, origins)
        source = Source(file, places, origins)
        for finding in rules.findings(config):
            if not any(self._is_unsure(key) for key in (finding.key, *finding.relies_on)):
                self.problems.append(self._late(source, finding))
        return LoadedConfig(config, source)

    def _late(self, source: Source, finding: Finding) -> _Late:
        message, keys = finding.message, (finding.key, *finding.relies_on)
        identity, words = ("", message) if callable(message) else (message, lambda: message)
        at = source.problem(finding.key, identity)
        return _Late(at.place, at.key, identity, lambda: self.without_secrets(words(), keys))

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

    def _walk(self, key: str, node: Node, places: dict[str, Place], origins: dict[str, str]) -> None:
        if node.value is GONE or not node.sure:
            self.unsure.add(key)
        if node.value is GONE:
            return
        places[key] = node.place
        if node.spoken:
            self.spoken[key] = (found(node.value), node.spoken)
            self.secrets.update({str(node.value): node.spoken, **dict(node.secrets)})
        if node.key != key:
            origins[key] = node.key
        if isinstance(node.value, dict):
            for name, child in node.value.items():
                if child.value is GONE:
                    self.gaps.add(key)
                self._walk(join(key, name), child, places, origins)
        elif isinstance(node.value, list):
            children = live(node.value)
            if len(children) < len(node.value):
                self.gaps.add(key)
            for i, child in enumerate(children):
                self._walk(join(key, i), child, places, origins)

    def _is_unsure(self, key: str) -> bool:
        if key in self.gaps:
            return True
        while key and key not in self.unsure:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return bool(key)

    def _validated(self, tree: Node) -> tuple[PipelineConfig, Node]:
        """Errors in the first round are the user's; those in later rounds are caused by the cuts."""
        tell = True
        while True:
            try:
                return PipelineConfig.model_validate({**plain(tree), "environment": self.environment}), tree
            except ValidationError as error:
                errors = error.errors(include_url=False, include_input=False)
                tree = self._without(tree, errors, tell)
            tell = False

    def _without(self, tree: Node, errors: Sequence[Any], tell: bool) -> Node:
        cuts: set[int] = set()
        lists: dict[int, list[Node]] = {}
        fills: dict[int, dict[str, Node]] = {}
        meant = self._meant(errors)
        for one in errors:
            loc, kind = one["loc"], one["type"]
            node, rest = _locate(tree, loc, lists)
            if kind == "missing":
                key, place = join(node.key, loc[-1]), node.place
                fills.setdefault(id(node), {})[loc[-1]] = _placeholder(key, place, _filler(loc[-1], node))
                said = (loc[:-1], loc[-1]) in meant
            else:
                about_name = kind == "extra_forbidden" or rest == ("[key]",)
                key, place = node.key, (node.name_place if about_name else node.place)
                cuts.add(id(node))
                said = not about_name and _is_broken(node)
            if tell and not said:
                told = replace(node, value=loc[-2], spoken="") if rest == ("[key]",) else node
                self.problems.append(_Late(place, key, f"{kind} {loc[-1]}", partial(describe, one, told)))
        return _repaired(tree, cuts, fills)

    def _meant(self, errors: Sequence[Any]) -> set[tuple[Any, str | None]]:
        """The missing keys that are present but misspelt."""
        lacking = {one["loc"][:-1] for one in errors if one["type"] == "missing"}
        misspelt = [one["loc"] for one in errors if one["type"] == "extra_forbidden" and one["loc"][:-1] in lacking]
        misspelt = misspelt[: self.guesses[0]]
        self.guesses[0] -= len(misspelt)
        return {(loc[:-1], did_you_mean(loc[-1], keys_at(loc[:-1]))) for loc in misspelt}


def _is_broken(node: Node) -> bool:
    """Whether the value, or one inside it, was already reported as unreadable."""
    children = node.value if isinstance(node.value, list) else []
    return isinstance(node.value, Broken) or any(isinstance(child.value, Broken) for child in children)


def _locate(tree: Node, loc: Sequence[Any], lists: dict[int, list[Node]]) -> tuple[Node, tuple[Any, ...]]:
    """The deepest node on pydantic's path, and the rest of the path."""
    node = tree
    for i, part in enumerate(loc):
        children = node.value
        if isinstance(children, dict) and part in children and children[part].value is not GONE:
            node = children[part]
        elif isinstance(children, list) and isinstance(part, int):
            if id(children) not in lists:
                lists[id(children)] = live(children)
            node = lists[id(children)][part]
        else:
            return node, tuple(loc[i:])
    return node, ()


def _filler(name: str, parent: Node) -> Any:
    """A placeholder; each unnamed model gets a different one."""
    return f"x{parent.place.line}-{parent.place.column}" if name == "name" and parent.key else _PLACEHOLDERS[name]


def _placeholder(key: str, place: Place, data: Any) -> Node:
    if isinstance(data, dict):
        data = {name: _placeholder(join(key, name), place, child) for name, child in data.items()}
    elif isinstance(data, list):
        data = [_placeholder(join(key, i), place, child) for i, child in enumerate(data)]
    return Node(key, place, place, data, sure=False)


def _repaired(node: Node, cuts: set[int], fills: dict[int, dict[str, Node]]) -> Node:
    """The tree without its invalid parts, and with placeholders for missing ones."""
    if id(node) in cuts:
        return replace(node, value=GONE)
    if isinstance(node.value, dict):
        kept = {name: _repaired(child, cuts, fills) for name, child in node.value.items()}
        return replace(node, value={**kept, **fills.get(id(node), {})})
    if isinstance(node.value, list):
        return replace(node, value=[_repaired(child, cuts, fills) for child in node.value])
    return node
