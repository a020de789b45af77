"""policy/*.json filled in for one pipeline: concrete names, nothing computed.

A placeholder like `${work_bucket}` is replaced by a text; as a whole list item, by as many as the config has. A
statement with an empty list is omitted, because the config does not need it. The placeholders are explained in
policy/README.md.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from stepgluon.deploy.templates.policy_values import values_of
from stepgluon.names import Names

FOLDER = Path(__file__).parents[3] / "policy"
PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")


def policy(names: Names, part: str) -> dict[str, Any]:
    """The filled-in document of `policy/<part>.json`."""
    document = _document(part)
    return {"Version": document["Version"], "Statement": fill(names, document["Statement"])}


def fill(names: Names, statements: list[Any]) -> list[Any]:
    """Replace the placeholders; statements with an empty list are omitted."""
    values = values_of(names)
    filled = [_filled(statement, values) for statement in statements]
    return [statement for statement in filled if not _has_empty_list(statement)]


@lru_cache
def _document(part: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{part}.json").read_text(encoding="utf-8"))
    return document


def _filled(value: Any, values: dict[str, str | list[str]]) -> Any:
    if isinstance(value, dict):
        return {_text(key, values): _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        items = [item for part in value for item in _items(part, values)]
        return [item for index, item in enumerate(items) if item not in items[:index]]
    return _text(value, values) if isinstance(value, str) else value


def _items(part: Any, values: dict[str, str | list[str]]) -> list[Any]:
    alone = PLACEHOLDER.fullmatch(part) if isinstance(part, str) else None
    found = values[alone[1]] if alone else None
    return found if isinstance(found, list) else [_filled(part, values)]


def _text(text: str, values: dict[str, str | list[str]]) -> str:
    def value(match: re.Match[str]) -> str:
        found = values[match[1]]
        assert isinstance(found, str), f"{match[0]} stands for several values, so it must stand alone in a list"
        return found

    return PLACEHOLDER.sub(value, text)


def _has_empty_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_empty_list(item) for item in value.values())
    return isinstance(value, list) and not value
