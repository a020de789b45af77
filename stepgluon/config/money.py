"""Amounts in the config's notation: `40 USD`."""

from __future__ import annotations

import re
from typing import Any

from stepgluon.config.kinds import Kind, Wrong, wrong_or_missing
from stepgluon.config.nodes import Node

_LIKE = "an amount above 0 is expected, like 40 USD"
_NUMBER = "[0-9]{1,9}(?:[.][0-9]{1,4})?"


class Money(Kind):
    """US dollars: the currency of AWS's list of prices."""

    wanted, json = "text", {"type": "string", "pattern": f"^{_NUMBER} USD$"}

    def value(self, node: Node, description: str) -> Any:
        written, way_out = node.value, _LIKE
        if isinstance(written, str) and (match := re.fullmatch(f"({_NUMBER}) USD", written)):
            if float(match[1]) > 0:
                return float(match[1])
            raise Wrong(f"{node.shown} is too small ({_LIKE})")
        if match := re.fullmatch(rf"(?i)(?:\$|usd)? ?({_NUMBER}) ?(?:\$|usd|dollars?)?", str(written)):
            way_out = f"write {match[1]} USD"
        if node.spoken:  # the hint would reveal the value
            way_out = _LIKE
        raise wrong_or_missing(node, "is not an amount in USD", way_out)

    def default(self, value: Any) -> Any:
        return None if value is None else f"{value:.15g} USD"
