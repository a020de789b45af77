"""The config's JSON Schema, with which editors complete and check a file.

Generated from the models in schema.py, plus what exists only in the file: environments, generated models, and `${VAR}`
in place of any value. It checks less than `validate`: rules over several keys are in rules.py.
"""

from __future__ import annotations

from typing import Any

from stepgluon.config.durations import DURATION, as_duration
from stepgluon.config.schema import ACCOUNT, PipelineConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VARIABLE = {"$ref": "#/$defs/Variable"}
_VARIABLE = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
    "description": "${VAR} or ${VAR:-default}: replaced by an environment variable",
}
_SCALARS = {"string", "integer", "number", "boolean"}


def json_schema() -> dict[str, Any]:
    """The schema of a config file, draft 2020-12."""
    schema = PipelineConfig.model_json_schema()
    keys, definitions = schema["properties"], schema["$defs"]
    del keys["environment"]
    digits = {"type": "integer", "minimum": 10**11, "maximum": 10**12 - 1}  # an account without quotes
    keys["account"] = {
        "anyOf": [{"type": "string", "pattern": ACCOUNT}, digits],
        "description": keys["account"]["description"],
    }
    definitions["GeneratedModels"] = _generated(definitions["Model"])
    keys["models"] = {
        "anyOf": [keys["models"], {"$ref": "#/$defs/GeneratedModels"}],
        "description": keys["models"].pop("description"),
    }
    required = schema.pop("required")
    definitions["Environment"] = {
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
    schema["anyOf"] = [{"required": required}, {"required": ["environments"]}]
    schema = _with_variables(schema)
    schema["$defs"]["Variable"] = _VARIABLE
    return {"$schema": DIALECT, "title": "stepgluon pipeline", **{k: v for k, v in schema.items() if k != "title"}}


def _generated(model: dict[str, Any]) -> dict[str, Any]:
    """One model for each value of a column; nothing is required, because an environment may override any part."""
    parts = {name: part for name, part in model["properties"].items() if name not in ("name", "where")}
    column = {"type": "string", "minLength": 1, "description": "the column whose values make the models"}
    values = {
        "type": "array",
        "minItems": 1,
        "items": {"type": ["string", "number", "boolean"]},
        "description": "one model for each of these values, named after it",
    }
    properties = {"partition_by": column, "values": values, **parts}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _with_variables(node: Any) -> Any:
    """The same schema, but each scalar may also be a variable."""
    if isinstance(node, list):
        return [_with_variables(one) for one in node]
    if not isinstance(node, dict):
        return node
    if _is_scalar(node):
        outside = {name: node[name] for name in ("description", "default") if name in node}
        if node.get("pattern") == DURATION and "default" in outside:
            outside["default"] = as_duration(outside["default"])
        inside = {name: value for name, value in node.items() if name not in (*outside, "title")}
        return {**outside, "anyOf": [inside, VARIABLE]}
    names = ("properties", "patternProperties", "$defs")
    changed = {
        name: {key: _with_variables(one) for key, one in value.items()} if name in names else _with_variables(value)
        for name, value in node.items()
        if name not in ("default", "propertyNames", "title")
    }
    kept = ("default", "propertyNames") if "$ref" not in node else ()  # a section's default follows from its keys
    return {**changed, **{name: node[name] for name in kept if name in node}}


def _is_scalar(node: dict[str, Any]) -> bool:
    kinds = node.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return bool(_SCALARS & set(kinds)) and "object" not in kinds
