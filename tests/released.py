"""Releases of small configs, and what their templates have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from golden import config_of, environment_of

from stepgluon.config.load import load, loads
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.release import Release, release

ROOT = Path(__file__).parent.parent
DEFINITION = '{"States":{}}\n'


def config(environment: str | None = None, **more: Any) -> LoadedConfig:
    values = {
        "name": "x",
        "account": "123456789012",
        "region": "ap-northeast-1",
        "notify": ["team@example.com"],
        "models": [{"name": "one", "label": "y"}],
        "fallback": {"threshold": 1},
    }
    return loads(json.dumps({**values, **more}), "config.yml", environment, {})


def released(loaded: LoadedConfig, definition: str = DEFINITION) -> Release:
    return release(loaded, definition)


def case(name: str) -> LoadedConfig:
    return load(config_of(name), environment_of(name), {})


def documents(made: Release) -> dict[str, dict[str, Any]]:
    return {t.part: json.loads(t.text) for t in (made.base, made.pipeline, made.cicd) if t}


def resources(made: Release) -> dict[str, dict[str, Any]]:
    return {name: one for document in documents(made).values() for name, one in document["Resources"].items()}


def of_type(made: Release, kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in resources(made).items() if one["Type"] == kind}


def walk(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)


def references(value: Any) -> set[str]:
    """The logical ids that a value needs, also by DependsOn."""
    found = set()
    for item in walk(value):
        if isinstance(item, dict):
            found |= {item["Ref"]} if isinstance(item.get("Ref"), str) else set()
            found |= {item["Fn::GetAtt"][0]} if "Fn::GetAtt" in item else set()
            depends = item.get("DependsOn", [])
            found |= {depends} if isinstance(depends, str) else set(depends)
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def characters(document: dict[str, Any]) -> int:
    """White space is not counted by IAM."""
    return len(json.dumps(document, separators=(",", ":")))


def physical_names(made: Release) -> set[str]:
    fields = r"(Bucket|Repository|ManagedPolicy|Role|Topic|Queue|Function|StateMachine|LogGroup|Alarm)Name$"
    found = set()
    for one in resources(made).values():
        for field, value in one["Properties"].items():
            if re.fullmatch(fields, field) and isinstance(value, str):
                found.add(value)
        if one["Type"] == "AWS::Events::Rule":
            found.add(one["Properties"]["Name"])
    return found
