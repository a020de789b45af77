"""Loads a PipelineConfig from a file or its text, or reports all problems in one run.

parse        yaml_tree: a tree of nodes, each with key and position
environments merge each overlay over the rest: one tree per environment
models       generated_models: write out generated ones; merge `train` into each model; found_models: their template
             if a run finds the values in the data
read         reader: check each value against schema.py; an invalid one gets its default or a placeholder
check        rules over the whole config (rules.py), unless they depend on an invalid value
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stepgluon import limits
from stepgluon.config import rules
from stepgluon.config.file_models import of_files
from stepgluon.config.generated_models import written_out
from stepgluon.config.nodes import START, Broken, Node, merge
from stepgluon.config.reader import Late, Reader
from stepgluon.config.schema import NEEDED_TO_DEPLOY
from stepgluon.config.source import LoadedConfig, Source
from stepgluon.config.yaml_tree import parse
from stepgluon.errors import ConfigError, Place, Problem, did_you_mean, found, listed

PROBLEMS = 100  # list at most this many
WORK = 60_000  # values to validate, in all environments together
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,7}")


def load(path: Path, environment: str | None, variables: Mapping[str, str], to_deploy: bool = False) -> LoadedConfig:
    """The config in a file; see `loads`."""
    try:
        with path.open("rb") as file:
            text = file.read(limits.CONFIG_BYTES + 1)  # /dev/zero ends here too
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        fix = "write one with `python pipeline.py init FILE`, or give its path with --config FILE"
        message = f"the config cannot be read: {reason} ({fix})"
        raise ConfigError(str(path), [Problem(START, "(file)", message)]) from None
    return loads(text, str(path), environment, variables, to_deploy)


def loads(
    text: str | bytes, file: str, environment: str | None, variables: Mapping[str, str], to_deploy: bool = False
) -> LoadedConfig:
    """The config of an environment; raises ConfigError with all problems in it and in the other environments.

    What only a deployment needs may be missing, unless the environment is `to_deploy`.
    """
    root, texts = parse(text, environment, variables)
    problems: list[Problem | Late] = [*texts]
    if root is None:
        raise ConfigError(file, _shown(problems))
    base, overlays = _environments(root, problems)
    if environment is not None and environment not in overlays:
        problems.append(_no_environment(root, environment, list(overlays)))
        names: list[str | None] = [*overlays]
    else:
        names = [environment, *(name for name in overlays if name != environment)]
    if _size(base) * len(names) > WORK:
        message = f"{len(names)} environments of {_size(base):,} values each are too many (split the config)"
        problems.append(Problem(root.value["environments"].name_place, "environments", message))
        raise ConfigError(file, _shown(problems))
    guesses = [PROBLEMS]
    read = []
    for name in names or [None]:
        needed = NEEDED_TO_DEPLOY if to_deploy and name == environment else ()
        read.append(
            _read(base, overlays.get(name or ""), name, Reader(Source(file, {}, {}), problems, guesses, needed))
        )
    if problems:
        raise ConfigError(file, _shown(problems))
    return read[0]


def _read(base: Node, overlay: Node | None, environment: str | None, reader: Reader) -> LoadedConfig:
    """The config of one environment, with placeholders for invalid values."""
    tree, mistakes = of_files(merge(base, overlay) if overlay else base)
    tree, partitioned, more = written_out(tree)
    reader.problems += [*mistakes, *more]
    config = reader.config(tree, environment, partitioned)
    for finding in rules.findings(config):
        reader.find(finding)
    prefix = f"{config.name}-{environment}"
    if overlay and len(prefix) > limits.PREFIX and not reader.is_unsure("name"):
        named = reader.without_secrets(prefix, ["name"])
        message = f"{named} has {len(prefix)} characters (at most {limits.PREFIX}: shorten one of the two)"
        reader.problems.append(Problem(overlay.name_place, overlay.key, message))
    return LoadedConfig(config, reader.source)


def _size(node: Node) -> int:
    children = node.value.values() if isinstance(node.value, dict) else node.value
    return 1 + sum(map(_size, children)) if isinstance(node.value, (dict, list)) else 1


def _shown(problems: Sequence[Problem | Late]) -> list[Problem]:
    shortest: dict[tuple[Place, str], Problem | Late] = {}  # a place may occur in several environments
    for problem in sorted(problems, key=lambda p: len(p.key)):
        shortest.setdefault((problem.place, problem.message), problem)
    unique = sorted(shortest.values(), key=lambda p: (p.place, p.key, p.message))
    shown = [problem if isinstance(problem, Problem) else problem.said() for problem in unique[:PROBLEMS]]
    shown = list({(problem.place, problem.message): problem for problem in reversed(shown)}.values())
    if len(unique) > PROBLEMS:
        message = f"{len(unique) - PROBLEMS:,} more problems are not shown (solve those above first)"
        shown.append(Problem(unique[-1].place, "(file)", message))
    return shown


def _environments(root: Node, problems: list[Problem | Late]) -> tuple[Node, dict[str, Node]]:
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
