"""Percentages in the config's notation: `20%`."""

from __future__ import annotations

import re
from typing import Any

from stepgluon.config.kinds import Kind, Wrong, wrong_or_missing
from stepgluon.config.nodes import Node

_LIKE = "a percentage above 0% and below 100% is expected, like 20%"


class Percentage(Kind):
    """Above 0% and below 100%, as the number before the sign."""

    wanted, json = "percentage", {"type": "string", "pattern": r"^[0-9]{1,2}(\.[0-9]{1,9})? ?%$"}

    def value(self, node: Node, description: str) -> Any:
        written, way_out = node.value, _LIKE
        if isinstance(written, str) and (match := re.fullmatch(r"([0-9]{1,9}(?:[.,][0-9]{1,9})?) ?%", written)):
            number = float(match[1].replace(",", "."))
            if "," not in written and 0 < number < 100:
                return int(number) if number.is_integer() else number
            if "," not in written:
                raise Wrong(f"{node.shown} is too {'large' if number else 'small'} ({_LIKE})")
            way_out = f"write {number:.15g}%"
        elif isinstance(written, (int, float)) and not isinstance(written, bool) and 0 < written < 100:
            way_out = f"write {written * 100 if written < 1 else written:.15g}%"
        if node.spoken:  # the hint would reveal the value
            way_out = _LIKE
        raise wrong_or_missing(node, "is not a percentage", way_out)

    def default(self, value: Any) -> Any:
        return None if value is None else f"{value:.15g}%"


class Share(Percentage):
    """A whole percentage from one end to the other."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high, self.json = low, high, {"type": "string", "pattern": r"^[0-9]{1,3} ?%$"}

    def value(self, node: Node, description: str) -> Any:
        limits = f"a whole percentage from {self.low}% to {self.high}% is expected"
        if isinstance(node.value, str) and (match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?%", node.value)):
            number = float(match[1])
            if not number.is_integer():
                raise Wrong(f"{node.shown} is not a whole percentage ({limits})")
            if not self.low <= number <= self.high:
                raise Wrong(f"{node.shown} is too {'small' if number < self.low else 'large'} ({limits})")
            return int(number)
        if type(node.value) is int and self.low <= node.value <= self.high and not node.spoken:
            raise Wrong(f"{node.shown} is not a percentage (write {node.value}%)")
        return super().value(node, description)
