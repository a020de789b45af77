"""A template as text: compact, because its size is limited, but with a line for each part that may change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

WIDTH = 140
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def canonical(document: dict[str, Any]) -> str:
    """JSON: short values on one line, everything else with a line for each part."""
    return "\n".join(_lines(document, "", "", "")) + "\n"


def _lines(value: Any, indent: str, before: str, after: str) -> Iterator[str]:
    whole = _compact(value)
    if len(whole) <= WIDTH or not isinstance(value, (dict, list)):
        yield f"{indent}{before}{whole}{after}"
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield f"{indent}{before}{opening}"
    parts = (
        [(f"{_compact(key)}: ", item) for key, item in value.items()]
        if isinstance(value, dict)
        else ([("", item) for item in value])
    )
    for index, (name, item) in enumerate(parts, 1):
        yield from _lines(item, indent + " ", name, "," if index < len(parts) else "")
    yield f"{indent}{closing}{after}"
