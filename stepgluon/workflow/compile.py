"""Compiles the workflow's graph to the definition: canonical bytes, checked before use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stepgluon import limits
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import ConfigError, DefinitionError, Problem
from stepgluon.gc_control import paused
from stepgluon.names import Names
from stepgluon.selfcheck import findings, worst_case_events
from stepgluon.workflow.retries import Waiting

SIZES = ("definition-size", "events")  # findings caused by the config and not by the workflow

Workflow = Callable[[PipelineConfig], Any]


@dataclass(frozen=True)
class Definition:
    asl: dict[str, Any]
    text: str  # the canonical text, which is written, deployed and run


def compile_definition(loaded: LoadedConfig, workflow: Workflow) -> Definition:
    """The config's definition; raises ConfigError if the config exceeds a limit, DefinitionError for other findings."""
    definition = build(loaded.config, workflow)
    found = findings(definition.asl, definition.text)
    problems = [_too_large(loaded, definition, workflow, finding.code) for finding in found if finding.code in SIZES]
    if problems:
        raise ConfigError(loaded.source.file, problems)
    if found:
        lines = [f"{finding.state or 'the machine'}: {finding.message} [{finding.code}]" for finding in found]
        raise DefinitionError("the workflow in pipeline.py would not run on AWS:\n" + "\n".join(lines))
    return definition


def build(config: PipelineConfig, workflow: Workflow) -> Definition:
    """The definition, not yet checked."""
    from stepgluon.workflow.sdk import asl  # only compiling needs the SDK

    names = Names(config)
    machine = {
        "Comment": f"{names.prefix}: made by stepgluon from its config; change that, not this",
        "TimeoutSeconds": Waiting(config).machine_seconds(),
    }
    with paused():
        graph = asl(workflow(config), **machine)
        return Definition(graph, canonical(graph))


def canonical(machine: dict[str, Any]) -> str:
    """JSON with a line for each field of a state and for each of its Arguments: nearly minimal, because the size is
    limited, but with readable diffs.
    """
    lines: list[str] = []
    _write_scope(machine, "", lines)
    return "\n".join(lines) + "\n"


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _write_scope(scope: dict[str, Any], end: str, lines: list[str]) -> None:
    """Write a machine, a branch or an item processor."""
    lines.append("{")
    for key, value in scope.items():
        if key != "States":
            lines.append(f"{_compact(key)}:{_compact(value)},")
    lines.append('"States":{')
    last = len(scope["States"]) - 1
    for number, (name, state) in enumerate(scope["States"].items()):
        _write_state(name, state, "," if number < last else "", lines)
    lines.append("}}" + end)


def _write_state(name: str, state: dict[str, Any], end: str, lines: list[str]) -> None:
    start = f"{_compact(name)}:{{"
    last = len(state) - 1
    for number, (field, value) in enumerate(state.items()):
        comma = "," if number < last else ""
        head = f"{start}{_compact(field)}:"
        start = ""
        if field == "Branches":
            lines.append(f"{head}[")
            for index, branch in enumerate(value):
                _write_scope(branch, "," if index < len(value) - 1 else f"]{comma}", lines)
        elif field == "ItemProcessor":
            lines.append(head)
            _write_scope(value, comma, lines)
        elif field in ("Arguments", "Assign") and isinstance(value, dict) and value:
            lines.append(head + "{")
            lines.append(",\n".join(f"{_compact(key)}:{_compact(item)}" for key, item in value.items()))
            lines.append("}" + comma)
        else:
            lines.append(head + _compact(value) + comma)
    lines[-1] += "}" + end


def _too_large(loaded: LoadedConfig, definition: Definition, workflow: Workflow, code: str) -> Problem:
    """The problem of an exceeded limit: which one, by how much, and what to change in the config."""
    models = len(loaded.config.models)
    if code == "definition-size":
        size = len(definition.text.encode())
        fit = most_models(loaded.config, workflow)
        message = (
            f"{models} models make a definition of {size:,} bytes, {size - limits.DEFINITION_BYTES:,} more than Step "
            f"Functions takes (at most {limits.DEFINITION_BYTES:,} bytes: with these settings {fit} models fit; move "
            f"the others into a second pipeline)"
        )
        return loaded.source.problem("models", message)
    events = worst_case_events(definition.asl)
    message = (
        f"when everything is tried again as often as it may, {models} models write {events:,} events, "
        f"{events - limits.EVENTS:,} more than an execution's history takes (at most {limits.EVENTS:,}: "
        f"{_fewer_events(loaded.config)})"
    )
    return loaded.source.problem("models" if loaded.config.retries.quota is None else "retries.quota", message)


def _fewer_events(config: PipelineConfig) -> str:
    if config.retries.quota is None:
        return "lower retries.job or retries.throttling, or use fewer models"
    fit = Waiting(config.changed(retries=config.retries.changed(quota=None))).quota_tries
    return f"{fit} fit, and are used when retries.quota is left out"


def most_models(config: PipelineConfig, workflow: Workflow) -> int:
    """How many models like this config's fit into one definition."""
    fits, too_many = 0, len(config.models)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        size = len(build(config.changed(models=config.models[:middle]), workflow).text.encode())
        fits, too_many = (middle, too_many) if size <= limits.DEFINITION_BYTES else (fits, middle)
    return fits
