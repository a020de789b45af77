"""Durations in the config's notation: `90s`, `10m`, `1h`."""

from __future__ import annotations

import re
from typing import Any

from stepgluon.config.kinds import Kind, Wrong, wrong_or_missing
from stepgluon.config.nodes import Node

_NOTATION = r"^[1-9][0-9]{0,6}(s|m|h)$"
_LIKE = "90s, 10m or 1h is expected"
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_UNITS = (("d(?:ays?)?", 86400), ("h(?:ours?|rs?)?", 3600), ("m(?:in(?:ute)?s?)?", 60), ("s(?:ec(?:ond)?s?)?", 1))
_MEANT = r"(?i)\s*" + r"\s*".join(f"(?:([0-9]{{1,7}})\\s*{unit})?" for unit, _ in _UNITS) + r"\s*"


def as_duration(seconds: int) -> str:
    """3600 -> 1h, 5400 -> 90m: the notation of the file."""
    unit, length = next((unit, length) for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // length}{unit}"


class Duration(Kind):
    """From 1 second to `most` seconds."""

    wanted, json = "duration", {"type": "string", "pattern": _NOTATION}

    def __init__(self, most: int) -> None:
        self.most = most

    def value(self, node: Node, description: str) -> int:
        written, limits = node.value, f"1s to {as_duration(self.most)} is expected"
        wrong, way_out = "is not a duration", _LIKE
        if match := isinstance(written, str) and re.fullmatch(r"([0-9]{1,40})([smh])", written):
            length = int(match[1]) * _SECONDS[match[2]]
            if re.fullmatch(_NOTATION, written) and length <= self.most:
                return length
            if length == 0 or length > self.most:
                raise Wrong(f"{node.shown} is too {'long' if length else 'short'} ({limits})")
        if type(written) is int and 0 < written <= self.most // 60:
            wrong, way_out = "has no unit", f"write {written}s for seconds, or {written}m for minutes"
        elif isinstance(written, str) and (match := re.fullmatch(_MEANT, written)):
            length = sum(int(part or 0) * size for part, (_, size) in zip(match.groups(), _UNITS, strict=True))
            if length:
                way_out = f"write {as_duration(length)}" if length <= self.most else limits
        if node.spoken and way_out.startswith("write"):  # it would reveal the value
            way_out = _LIKE
        raise wrong_or_missing(node, wrong, way_out)

    def default(self, value: Any) -> Any:
        return as_duration(value)


class Interval(Duration):
    """How often something happens, in seconds: whole hours or days, because EventBridge Scheduler takes one unit."""

    wanted, json = "interval", {"type": "string", "pattern": r"^[1-9][0-9]{0,3}(h|d)$"}
    what, like = "an interval", "6h or 1d is expected"
    units, most = {"h": 3600, "d": 86400}, 365 * 86400

    def __init__(self) -> None:
        pass

    def value(self, node: Node, description: str) -> int:
        match = re.fullmatch(f"([1-9][0-9]{{0,8}})([{''.join(self.units)}])", str(node.value))
        if match:
            length = int(match[1]) * self.units[match[2]]
            if length <= self.most:
                return length
            raise Wrong(f"{node.shown} is too long (at most {self.default(self.most)})")
        raise wrong_or_missing(node, f"is not {self.what}", self.like)

    def default(self, value: Any) -> Any:
        unit, length = next((unit, length) for unit, length in reversed(self.units.items()) if value % length == 0)
        return f"{value // length}{unit}"


class Days(Interval):
    """A number of days, as S3's lifecycle rules count."""

    wanted, json = "number of days", {"type": "string", "pattern": r"^[1-9][0-9]{0,3}d$"}
    what, like, units = "a number of days", "30d is expected", {"d": 1}

    def __init__(self, most: int) -> None:
        self.most = most
