"""Writing the intrinsic functions of the Amazon States Language, with everything escaped that has a meaning there."""

from __future__ import annotations

import json
from typing import Any


def quoted(text: str) -> str:
    """A string argument: `'`, `{`, `}` and the backslash are reserved and stand behind a backslash."""
    return "'" + "".join("\\" + c if c in "\\'{}" else c for c in text) + "'"


def text(template: str, *paths: str) -> str:
    """`States.Format` of a template whose `{}` are filled from the paths; `{{` and `}}` are not special here.

    The template is split at `{}`, so literal braces elsewhere stay what they are.
    """
    parts = template.split("{}")
    assert len(parts) == len(paths) + 1, f"{len(parts) - 1} gaps and {len(paths)} paths: {template}"
    literal = "{}".join(quoted(part)[1:-1] for part in parts)
    return "States.Format(" + ", ".join([f"'{literal}'", *paths]) + ")"


def constant(value: Any) -> str:
    """A JSON value where only a function can stand, as in an argument of another function."""
    return f"States.StringToJson({quoted(json.dumps(value, separators=(',', ':')))})"


def merged(first: str, second: str) -> str:
    """The keys of both objects; where both have one, the second's value."""
    return f"States.JsonMerge({first}, {second}, false)"


def parsed(path: str) -> str:
    return f"States.StringToJson({path})"


def as_json(path: str) -> str:
    """Any JSON value as text. `States.Format` takes no objects, and fails the state on one."""
    return f"States.JsonToString({path})"
