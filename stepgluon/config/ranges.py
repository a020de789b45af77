"""Ranges of hyperparameters in the config's notation: `3..8`, `0.01..0.3 log`, `[gbtree, dart]`."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from stepgluon.config.kinds import NO_ROW_VALUE, SCALAR, Kind, Wrong, as_text, is_row_value
from stepgluon.config.nodes import Node
from stepgluon.errors import did_you_mean, found

_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER}) ?\.\. ?({_NUMBER})( log)?")
_LIKE = "expected: a range like 3..8 or 0.01..0.3 log, or a list of values"
_SET = "set it in algorithm.set"
MOST_VALUES = 30  # [sm] of a categorical hyperparameter
LONGEST_VALUE = 256  # [sm] ParameterValue


class Range(NamedTuple):
    """The ends as they are written, or the values of a list."""

    low: str = ""
    high: str = ""
    log: bool = False
    values: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return all(re.fullmatch(r"[-+]?[0-9]+", end) for end in (self.low, self.high))

    @property
    def most(self) -> float:
        """How many different values it has."""
        return len(self.values) or (int(self.high) - int(self.low) + 1 if self.whole else math.inf)


class RangeKind(Kind):
    def value(self, node: Node, description: str) -> Any:
        if isinstance(node.value, list):
            return _listed(node)
        if not isinstance(node.value, str):
            name = node.key.rpartition(".")[2]
            if guess := did_you_mean(name, ("jobs", "parallel", "strategy", "objective")):
                raise Wrong(f"unknown key (did you mean {guess}?)")
            missing = node.value is None and not node.spoken
            raise Wrong(f"the value is missing ({_LIKE})" if missing else f"{node.shown} is one value ({_SET})")
        match = _RANGE.fullmatch(node.value)
        if not match:
            raise Wrong(f"{node.shown} is not a range ({_LIKE})")
        one = Range(match[1], match[2], bool(match[3]))
        low, high, end = float(one.low), float(one.high), match[3] or ""
        if low > high:
            raise Wrong(f"{node.shown} is upside down (write {one.high}..{one.low}{end})")
        if low == high:
            raise Wrong(f"{node.shown} is one value ({_SET})")
        if one.log and low <= 0:
            raise Wrong(f"{node.shown}: {one.low} has no logarithm (begin above 0, or remove log)")
        return one

    def schema(self) -> dict[str, Any]:
        values = {"type": "array", "minItems": 2, "maxItems": MOST_VALUES, "items": SCALAR}
        return {"anyOf": [{"type": "string"}, values]}


def _listed(node: Node) -> Range:
    wrong = next((one for one in node.value if not is_row_value(one.value)), None)
    if wrong:
        raise Wrong(f"{wrong.shown} {NO_ROW_VALUE}")
    texts = [as_text(one.value) for one in node.value]
    if len(texts) < 2:
        raise Wrong(f"the list has {'one value' if texts else 'no values'} ({_SET}, or give more values)")
    if len(texts) > MOST_VALUES:
        raise Wrong(f"{len(texts):,} values are too many (at most {MOST_VALUES})")
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise Wrong(f"{found(twice)} is given twice (remove one)")
    if long := next((text for text in texts if len(text) > LONGEST_VALUE), ""):
        raise Wrong(f"a value has {len(long):,} characters (at most {LONGEST_VALUE})")
    return Range(values=tuple(texts))
