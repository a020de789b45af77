"""Writing the intrinsic functions of the Amazon States Language, with everything escaped that has a meaning there."""

from __future__ import annotations

import base64
import json
import re
from typing import Any


def quoted(text: str) -> str:
    """A string argument: `'`, `{`, `}` and the backslash are reserved and stand behind a backslash."""
    return "'" + "".join("\\" + c if c in "\\'{}" else c for c in text) + "'"


NEWLINE = "$.newline"  # where the state data has a line break


def text(template: str, *paths: str) -> str:
    """`States.Format` of a template whose `{}` are filled from the paths; a single brace is an ordinary character.

    A function's text may not have a line break, so each of the template's is filled in from the state data.
    """
    gaps = iter(paths)
    literal, arguments = [], []
    for part in re.split(r"(\{\}|\n)", template):
        if part in ("{}", "\n"):
            arguments.append(NEWLINE if part == "\n" else next(gaps))
            literal.append("{}")
        else:
            literal.append(quoted(part)[1:-1])
    assert next(gaps, None) is None, f"more paths than gaps: {template}"
    return "States.Format(" + ", ".join([f"'{''.join(literal)}'", *arguments]) + ")"


def constant(value: Any) -> str:
    """A JSON value where only a function can stand, as in an argument of another function.

    Base64, because braces are reserved in a function's text, and not every interpreter reads them back the same way.
    """
    encoded = base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()
    return f"States.StringToJson(States.Base64Decode('{encoded}'))"


def merged(first: str, second: str) -> str:
    """The keys of both objects; where both have one, the second's value."""
    return f"States.JsonMerge({first}, {second}, false)"


def parsed(path: str) -> str:
    return f"States.StringToJson({path})"


def as_json(path: str) -> str:
    """Any JSON value as text. `States.Format` takes no objects, and fails the state on one."""
    return f"States.JsonToString({path})"
