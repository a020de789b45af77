"""Compiles the workflow's graph to the definition: canonical bytes, checked before use.

A pipeline may have other machines beside its runs: those of OTHERS that the config needs and pipeline.py names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring as quote
from typing import Any

from stepgluon import limits
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import ConfigError, DefinitionError, Problem
from stepgluon.gc_control import paused
from stepgluon.names import Names
from stepgluon.selfcheck import Finding, SelfCheck
from stepgluon.workflow.retries import OTHER_SECONDS, Waiting

Workflow = Callable[[PipelineConfig], Any]
# The other machines: their functions, which pipeline.py imports or defines, and the models that they are for.
OTHERS: dict[str, tuple[str, Callable[[PipelineConfig], list[Model]]]] = {
    "release": ("release", lambda config: config.served_after_approval),
    "monitor": ("monitoring", lambda config: config.monitored),
}


@dataclass(frozen=True)
class Definition:
    asl: dict[str, Any]
    text: str  # the canonical text, which is written, deployed and run
    others: Mapping[str, Definition] = field(default_factory=dict)  # by their names in OTHERS

    @property
    def texts(self) -> dict[str, str]:
        """Of the other machines."""
        return {name: other.text for name, other in self.others.items()}


def compile_definition(loaded: LoadedConfig, workflow: Workflow) -> Definition:
    """The config's definition; raises ConfigError if the config exceeds a limit, DefinitionError for other findings."""
    with paused():
        definition = build(loaded.config, workflow)
        check = SelfCheck(definition.asl)
        others = {name: build(loaded.config, other, name) for name, other in machines(loaded.config, workflow).items()}
        problems_of_others = {name: SelfCheck(other.asl).findings(other.text) for name, other in others.items()}
    found = check.findings(definition.text)
    codes = {finding.code for finding in found}
    problems = [_too_large(loaded, definition, workflow)] if "definition-size" in codes else []
    if "events" in codes:
        problems.append(_too_many_events(loaded, check.events))
    if problems:
        raise ConfigError(loaded.source.file, problems)
    _refuse("the workflow in pipeline.py", found)
    for name, more in problems_of_others.items():
        _refuse(f"the machine {name}", more)
    return replace(definition, others=others)


def _refuse(what: str, found: list[Finding]) -> None:
    if found:
        lines = [f"{finding.state or 'the machine'}: {finding.message} [{finding.code}]" for finding in found]
        raise DefinitionError(f"{what} would not run on AWS:\n" + "\n".join(lines))


def machines(config: PipelineConfig, workflow: Workflow) -> dict[str, Workflow]:
    """The workflows of the other machines that the config needs, from the module of `workflow`."""
    beside = workflow.__globals__
    return {name: beside[made] for name, (made, of) in OTHERS.items() if made in beside and of(config)}


def build(config: PipelineConfig, workflow: Workflow, other: str = "") -> Definition:
    """The definition, not yet checked; `other`: the name of another machine than that of the runs."""
    from stepgluon.workflow.sdk import asl  # only compiling needs the SDK

    names = Names(config)
    machine = {
        "Comment": f"{names.prefix}: made by stepgluon from its config; change that, not this",
        "TimeoutSeconds": OTHER_SECONDS if other else Waiting(config).machine_seconds(),
    }
    with paused():
        graph = asl(workflow(config), **machine)
        return Definition(graph, canonical(graph))


def canonical(machine: dict[str, Any]) -> str:
    """JSON with a line for each of a state's expressions: nearly minimal, because the size is limited, but with
    readable diffs.
    """
    return _scope(machine) + "\n"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _compact(value: Any) -> str:
    return quote(value) if isinstance(value, str) else _encode(value)


_OWN_LINE = frozenset(("Arguments", "Assign", "Choices", "Retry", "Catch", "Branches", "ItemProcessor"))


def _scope(scope: dict[str, Any]) -> str:
    """A machine, a branch or an item processor."""
    head = "".join(f"{_compact(key)}:{_compact(value)},\n" for key, value in scope.items() if key != "States")
    states = ",\n".join(f"{_compact(name)}:{{{_state(state)}}}" for name, state in scope["States"].items())
    return f'{{{head}"States":{{\n{states}}}}}'


def _state(state: dict[str, Any]) -> str:
    text = ""
    for key, value in state.items():
        text += ("," if text else "") + ("\n" if key in _OWN_LINE else "") + f'"{key}":'
        if key == "Branches":
            text += "[" + ",\n".join(map(_scope, value)) + "]"
        elif key == "ItemProcessor":
            text += _scope(value)
        elif key in ("Arguments", "Assign") and isinstance(value, dict):
            parts = [f"{quote(name)}:{_compact(item)}" for name, item in value.items()]
            line = "\n" if sum(map(len, parts)) > 200 else ""
            text += f"{{{line}{f',{line}'.join(parts)}}}"
        else:
            text += _compact(value)
    return text


def _too_large(loaded: LoadedConfig, definition: Definition, workflow: Workflow) -> Problem:
    models, size = len(loaded.config.models), _size(definition)
    fit = most_models(loaded.config, workflow, size)
    message = (
        f"{models} models make a definition of {size:,} bytes, {size - limits.DEFINITION_BYTES:,} more than Step "
        f"Functions takes (at most {limits.DEFINITION_BYTES:,} bytes: with these settings {fit} models fit; move "
        f"the others into a second pipeline)"
    )
    return loaded.source.problem("models", message)


def _too_many_events(loaded: LoadedConfig, events: int) -> Problem:
    message = (
        f"when everything is tried again as often as it may, {len(loaded.config.models)} models write {events:,} "
        f"events, {events - limits.EVENTS:,} more than an execution's history takes (at most {limits.EVENTS:,}: "
        f"{_fewer_events(loaded.config)})"
    )
    return loaded.source.problem("models" if loaded.config.retries.quota is None else "retries.quota", message)


def _fewer_events(config: PipelineConfig) -> str:
    if config.retries.quota is None:
        return "lower retries.job or retries.throttling, or use fewer models"
    fit = Waiting(config.changed(retries=config.retries.changed(quota=None))).quota_tries
    return f"{fit} fit, and are used when retries.quota is left out"


def most_models(config: PipelineConfig, workflow: Workflow, size: int = 0) -> int:
    """How many models like this config's fit into one definition; all its models make one of `size` bytes."""
    fits, tried = 0, len(config.models)
    too_many = tried + 1
    size = size or _size(build(config, workflow))
    while True:
        fits, too_many = (tried, too_many) if size <= limits.DEFINITION_BYTES else (fits, tried)
        if too_many - fits == 1:
            return fits
        guess = tried * limits.DEFINITION_BYTES // size  # the size is nearly in proportion
        tried = min(max(guess, fits + 1), too_many - 1)
        size = _size(build(config.changed(models=config.models[:tried]), workflow))


def _size(definition: Definition) -> int:
    return len(definition.text.encode())
