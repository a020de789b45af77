"""What rolls a release back, in the config's notation: `errors`, `latency > 500ms`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from stepgluon.config.kinds import Kind, Wrong
from stepgluon.config.nodes import Node
from stepgluon.errors import did_you_mean

_LIKE = "expected: errors, or latency > 500ms"
_LONGEST = 60_000  # a request that takes 60 seconds has failed


class RollBack(NamedTuple):
    """An alarm: any answer of status 5xx within a minute, or a mean latency above this within a minute."""

    on: str = "errors"  # or latency
    milliseconds: int = 0


class AlarmKind(Kind):
    def __init__(self) -> None:
        self.wanted, self.json = "text", {"type": "string", "pattern": r"^(errors|latency ?> ?[0-9]{1,5}(ms|s))$"}

    def value(self, node: Node, description: str) -> Any:
        if node.value == "errors":
            return RollBack()
        written = node.value if isinstance(node.value, str) else ""
        if match := re.fullmatch(r"latency ?> ?([0-9]{1,9})(ms|s)", written):
            milliseconds = int(match[1]) * (1000 if match[2] == "s" else 1)
            if not 1 <= milliseconds <= _LONGEST:
                raise Wrong(f"{node.shown} is not a possible latency (1ms to {_LONGEST // 1000}s is expected)")
            return RollBack("latency", milliseconds)
        if node.value is None and not node.spoken:
            raise Wrong(f"the value is missing ({_LIKE})")
        word = re.split("[^a-z]", written.lower())[0]
        if word == "latency":
            raise Wrong(f"{node.shown} has no limit in ms or s (write latency > 500ms)")
        guess = None if node.spoken else did_you_mean(word, ("errors", "latency"))
        meant = {"errors": "errors", "latency": "latency > 500ms"}.get(guess or "")
        raise Wrong(f"{node.shown} is not known ({f'did you mean {meant}?' if meant else _LIKE})")

    def default(self, value: Any) -> Any:
        return value.on if value.on == "errors" else f"latency > {value.milliseconds}ms"
