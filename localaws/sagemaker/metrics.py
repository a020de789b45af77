"""Numbers that a training job prints, found by the regular expressions of its MetricDefinitions."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from typing import Any


def unreadable(definitions: list[dict[str, str]]) -> str:
    """What is wrong with the first bad regular expression; empty if all are good."""
    for one in definitions:
        try:
            re.compile(one["Regex"])
        except re.error as problem:
            return f"The regular expression {one['Regex']!r} of the metric {one['Name']!r} is invalid: {problem}."
    return ""


class Metrics:
    def __init__(self, definitions: list[dict[str, str]], built_in: re.Pattern[str] | None = None) -> None:
        """`built_in` finds the metrics that AWS defines for an image of its own: channel, name and value."""
        self._built_in = built_in
        self._patterns = [(one["Name"], re.compile(one["Regex"])) for one in definitions]
        self._last: dict[str, tuple[float, float]] = {}

    def reading(self, log: Callable[[str], None]) -> Callable[[str], None]:
        """The log, with every line searched for metrics."""

        def line(text: str) -> None:
            log(text)
            for channel, name, value in self._built_in.findall(text) if self._built_in else ():
                self._last[f"{channel}:{name}"] = float(value), time.time()
            for name, pattern in self._patterns:
                # As in the service, the first group is the value, and text that is not a number is ignored.
                with contextlib.suppress(ValueError, IndexError):
                    if found := pattern.search(text):
                        self._last[name] = float(found[1]), time.time()

        return line if self._patterns or self._built_in else log

    def final(self) -> list[dict[str, Any]]:
        """The last value of each metric, as FinalMetricDataList has it."""
        return [{"MetricName": name, "Value": value, "Timestamp": when} for name, (value, when) in self._last.items()]
