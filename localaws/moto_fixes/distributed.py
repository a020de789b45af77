"""Fixes of Distributed Map: definitions that moto's grammar lacks, and child executions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import ASL, Here, fix, loaded
from localaws.stepfunctions import distributed_map, map_run_api
from localaws.stepfunctions.map_items import READERS

# The rest of a Distributed Map is evaluated from its JSON: moto's grammar lacks ItemBatcher, JSONL and WriterConfig.
_PARSED = ("Type", "Comment", "QueryLanguage", "Assign", "Output", "Next", "End", "Retry", "Catch", "ItemProcessor")


@fix
def a_distributed_map_runs_child_executions(patches: Patches, here: Here) -> None:
    """Each item or batch is a child execution with a history, a context and variables of its own, and failures are
    tolerated up to a threshold. moto runs each item in a thread inside the parent's frame, and replaces a failed one
    with null. JSONPath Maps still run in moto.
    """
    parser = loaded(f"{ASL}.parse.asl_parser").AmazonStateLanguageParser
    plain: Callable[[str], Any] = parser.parse

    def parse(definition: str) -> Any:
        machine = json.loads(definition)
        maps = list(_distributed(machine, "JSONPath"))
        if not maps:
            return plain(definition)
        kept = [dict(state) for state in maps]
        for state in maps:
            _check(state)
            for field in state.keys() - set(_PARSED):
                del state[field]
        parsed = plain(json.dumps(machine, ensure_ascii=False))
        by_name = dict(_components(parsed[0].states.states))
        names = _names(machine)
        for state, whole in zip(maps, kept, strict=True):
            by_name[names[id(state)]].distributed = {"QueryLanguage": "JSONata", **whole}
        return parsed

    patches.attribute(parser, "parse", staticmethod(parse))
    distributed_map.install(patches, here)
    map_run_api.install(patches, here)


def _states(machine: dict[str, Any]) -> dict[str, Any]:
    states = machine.get("States")
    return states if isinstance(states, dict) else {}


def _inner(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [*state.get("Branches", ()), *(state[key] for key in ("ItemProcessor", "Iterator") if key in state)]


def _distributed(machine: dict[str, Any], language: str) -> Any:
    """The Distributed Maps in JSONata, outer ones first."""
    language = machine.get("QueryLanguage", language)
    for state in _states(machine).values():
        mode = state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode")
        if mode == "DISTRIBUTED" and state.get("QueryLanguage", language) == "JSONata":
            yield state
        for inner in _inner(state):
            yield from _distributed(inner, language)


def _names(machine: dict[str, Any]) -> dict[int, str]:
    found = {id(state): name for name, state in _states(machine).items()}
    for state in _states(machine).values():
        for inner in _inner(state):
            found |= _names(inner)
    return found


def _components(states: dict[str, Any]) -> Any:
    """moto's parsed states, including nested ones."""
    for name, state in states.items():
        yield name, state
        for program in getattr(getattr(state, "branches", None), "programs", ()):
            yield from _components(program.states.states)
        if hasattr(state, "iteration_component"):
            yield from _components(state.iteration_component._states.states)


def _check(state: dict[str, Any]) -> None:
    """Raise ValueError, which refuses the definition, for what is not available locally."""
    reader, writer = state.get("ItemReader"), state.get("ResultWriter", {})
    if reader is not None:
        kind = (reader.get("Resource", "").rpartition(":::")[2], reader.get("ReaderConfig", {}).get("InputType"))
        if kind not in READERS:
            raise ValueError(f"The local AWS cannot read items from {kind[0]!r} with InputType {kind[1]!r}")
    if "Resource" in writer and not writer["Resource"].endswith(":::s3:putObject"):
        raise ValueError(f"The local AWS cannot write results to {writer['Resource']!r}")
