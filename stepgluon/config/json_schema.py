"""The config's JSON Schema, with which editors complete and check a file.

Generated from schema.py, plus what exists only in the file: environments, generated models, and `${VAR}` in place of
any value. It checks less than `validate`: rules over several keys are in rules.py.
"""

from __future__ import annotations

from typing import Any

from stepgluon.config.keys import section_in
from stepgluon.config.kinds import SCALAR
from stepgluon.config.schema import Partitioned, PipelineConfig
from stepgluon.config.sections import MISSING, Rest, Section

_VARIABLE = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
    "description": "${VAR} or ${VAR:-default}: replaced by an environment variable",
}


def json_schema() -> dict[str, Any]:
    """The schema of a config file, draft 2020-12."""
    sections: dict[str, Any] = {}
    whole = _section(PipelineConfig, sections)
    keys, required = whole["properties"], whole.pop("required")
    keys["models"] = {
        "anyOf": [keys["models"], {"$ref": "#/$defs/GeneratedModels"}],
        "description": keys["models"].pop("description"),
    }
    environment = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {name: {"$ref": f"#/properties/{name}"} for name in keys},
    }
    keys["environments"] = {
        "type": "object",
        "description": "what differs where, merged over the rest by --env NAME",
        "patternProperties": {"^[a-z][a-z0-9]{0,7}$": {"$ref": "#/$defs/Environment"}},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stepgluon pipeline",
        "$defs": {
            **dict(sorted(sections.items())),
            "GeneratedModels": _generated(sections["Model"]),
            "Environment": environment,
            "Variable": _VARIABLE,
        },
        **whole,
        "anyOf": [{"required": required}, {"required": ["environments"]}],
    }


def _section(section: type[Section], sections: dict[str, Any]) -> dict[str, Any]:
    """The schema of a section; adds those inside it to `sections`."""
    properties = {}
    others: Any = False
    for name, key in section.entries.items():
        if isinstance(key.kind, Rest):
            others = {"description": key.description, **key.kind.item.schema()}
            continue
        inner = section_in(key.kind)
        if inner:
            sections[inner.__name__] = _section(inner, sections)
        schema = {"anyOf": [key.kind.schema(), {"type": "null"}]} if key.default is None else key.kind.schema()
        properties[name] = {"description": key.description, **schema}
        if key.default is not MISSING and not isinstance(key.default, Section):
            properties[name]["default"] = key.kind.default(key.default)
    required = [name for name, key in section.entries.items() if key.default is MISSING]
    return {
        "type": "object",
        **({"description": section.__doc__} if section.__doc__ else {}),
        "additionalProperties": others,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _generated(model: dict[str, Any]) -> dict[str, Any]:
    """One model for each value of a column; nothing is required, because an environment may override any part."""
    parts = {name: part for name, part in model["properties"].items() if name not in ("name", "where")}
    own = _section(Partitioned, {})["properties"]
    column = own.pop("column")
    values = {
        "type": "array",
        "minItems": 1,
        "items": SCALAR,
        "description": "one model for each of these values, named after it; without, for each value found in the data",
    }
    properties = {"partition_by": column, "values": values, **own, **parts}
    return {"type": "object", "additionalProperties": False, "properties": properties}
