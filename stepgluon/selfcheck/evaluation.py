"""Evaluates the machine's expressions, each once for the same values.

Many scenarios run the same part of a machine, so values are interned: equal ones are the same object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from localaws.stepfunctions import jsonata
from stepgluon.selfcheck import expressions
from stepgluon.selfcheck.report import is_expression

_IMPURE = re.compile(r"\$(uuid|random|now|millis|shuffle)\(")
_ON_PURPOSE = ("D3137: ", "D3141: ")  # $error and $assert
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Failed(Exception):
    """An expression without a value; `on_purpose` if it called $error itself."""

    def __init__(self, message: str, on_purpose: bool = False) -> None:
        super().__init__(message)
        self.on_purpose = on_purpose


@dataclass(frozen=True)
class Reads:
    """What the expressions of a field read."""

    variables: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]  # below $states
    states: tuple[str, ...]  # the parts of $states in them; * means all
    dynamic: bool  # whether there are expressions
    impure: bool  # each evaluation gives another value


class Evaluation:
    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._kept: dict[int, tuple[Any, int, Any]] = {}  # by id: the interned value, its size, and the value
        self._reads: dict[int, tuple[Reads, Any]] = {}
        self._made: dict[Hashable, Any] = {}

    def intern(self, value: Any) -> Any:
        """The same object for equal values."""
        if id(value) not in self._kept:
            text = compact(value)
            kept, size = self._values.setdefault(text, (value, len(text.encode())))
            self._kept[id(kept)] = (kept, size, kept)
            self._kept[id(value)] = (kept, size, value)  # keep the value too, so no other object gets its id
        return self._kept[id(value)][0]

    def size(self, value: Any) -> int:
        """The size of an interned value as JSON, in bytes."""
        return self._kept[id(value)][1]

    def reads(self, template: Any) -> Reads:
        if id(template) not in self._reads:
            texts = [text for _, text in expressions.leaves(template, "") if is_expression(text)]
            found = [expressions.names(expressions.inside(text)) for text in texts]
            variables = {name for one in found for name in one.variables | one.functions}
            paths = tuple(sorted({path for one in found for path in one.states}))
            states = tuple(dict.fromkeys(path[0] if path else "*" for path in paths))
            reads = Reads(tuple(sorted(variables)), paths, states, bool(texts), any(map(_IMPURE.search, texts)))
            self._reads[id(template)] = (reads, template)
        return self._reads[id(template)][0]

    def value(
        self, template: Any, variables: Mapping[str, Any], states: Mapping[str, Any], place: str, run: Hashable
    ) -> Any:
        """The value of a field, for each run; raises Failed with the path of a part without a value."""
        reads = self.reads(template)
        if not reads.dynamic:
            return self.intern(template)
        used = {name: variables[name] for name in reads.variables}
        parts = states if "*" in reads.states else {part: states[part] for part in reads.states}
        key = (id(template), run, *map(id, used.values()), *parts, *map(id, parts.values()))
        if key not in self._made:
            try:
                made: Any = self.intern(_value(template, {**used, "states": parts}, place))
            except Failed as failed:
                made = failed
            self._made[key] = (made, used, dict(parts))  # keeps the objects of the key's ids alive
        made = self._made[key][0]
        if isinstance(made, Failed):
            raise made.with_traceback(None)
        return made


def _value(template: Any, bound: dict[str, Any], place: str) -> Any:
    if isinstance(template, dict):
        return {key: _value(value, bound, f"{place}.{key}") for key, value in template.items()}
    if isinstance(template, list):
        return [_value(value, bound, f"{place}[{number}]") for number, value in enumerate(template)]
    if not is_expression(template):
        return template
    text = expressions.inside(template)
    if text[:1] == "$" and text[1:] in bound:
        return bound[text[1:]]
    try:
        return jsonata.evaluate(text, bound)
    except jsonata.Undefined:
        raise Failed(f"{place}: it is undefined") from None
    except jsonata.QueryEvaluationError as error:
        message = error.problem.removeprefix("threw an error during evaluation. ")
        if message.startswith(_ON_PURPOSE):
            raise Failed(message[7:], True) from None
        raise Failed(f"{place}: {message}") from None
