"""Payload templates (Parameters, ResultSelector, ItemSelector): what they make of a state's data.

`evaluate` reports what is wrong on the way and gives back the value; parts without a dynamic key come back as they are,
equal ones as the same object, so that the checks after this one can remember what they found in them.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from stepgluon.selfcheck import calls
from stepgluon.selfcheck.intrinsics import expression
from stepgluon.selfcheck.paths import Call, Literal, Malformed, Path, Step, parse_path
from stepgluon.selfcheck.report import Report, kind_of
from stepgluon.selfcheck.values import ANYTHING, Missing, Value, context, follow

_FORGOTTEN = re.compile(r"\$\$?(\.[A-Za-z_*.]|\[)|States\.[A-Za-z0-9]+\(")
_CONTEXT: dict[str, set[str]] = {
    "Execution": {"Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount", "RedriveTime"},
    "State": {"EnteredTime", "Name", "RetryCount"},
    "StateMachine": {"Id", "Name"},
    "Task": {"Token"},
    "Map": {"Item"},
}


@dataclass
class Reader:
    """Reads paths and templates of one state; `data` is what `$` means."""

    state: str
    data: Value
    report: Report
    static: dict[str, Any]  # parts without dynamic keys by their text, each distinct one once
    attempts: int = 0
    in_map: bool = False
    token: bool = False
    noting: bool = False  # keep the paths that are read from the state's whole input
    noted: list[Path] = field(default_factory=list)
    every_attempt: bool = False  # the template is evaluated again for each attempt: Parameters of a Task

    def stop_noting(self) -> None:
        """From here on `data` is something else than the state's input."""
        self.noting = False

    def evaluate(self, template: dict[str, Any], where: str) -> dict[str, Value]:
        result: dict[str, Value] = {}
        for key, value in template.items():
            if key[-2:] == ".$":
                name = key[:-2]
                if name in template:
                    self._add("template-key", f"{where} has both {name} and {key}")
                result[name] = self._dynamic(value, f"{where}.{key}")
            elif isinstance(value, (dict, list)):
                result[key] = self._nested(value, f"{where}.{key}")
            else:
                if type(value) is not int:
                    self._plain(value, where, key)
                result[key] = value
        return result

    def _nested(self, value: Any, where: str) -> Value:
        text = repr(value)
        known = self.static.get(text)
        if known is not None:
            return known
        before = len(self.report.findings)
        if isinstance(value, dict):
            result: Value = self.evaluate(value, where)
        else:
            result = []
            for number, item in enumerate(value):
                if isinstance(item, (dict, list)):
                    item = self._nested(item, f"{where}[{number}]")
                else:
                    self._plain(item, where, str(number))
                result.append(item)
        if ".$'" in text or '.$"' in text or len(self.report.findings) > before:
            return result
        self.static[text] = value
        return value

    def _plain(self, value: Any, where: str, key: str) -> None:
        if isinstance(value, str):
            # What a user's variables and tags say is theirs.
            own = ".Environment" in where or key == "Value"
            if value[:1] in ("$", "S") and not own and _FORGOTTEN.match(value):
                message = f"{where}.{key} is the plain text {value[:60]!r}; for its value the key must be {key}.$"
                self._add("forgotten-dollar", message)
        elif isinstance(value, float) and not math.isfinite(value):
            self._add("not-json", f"{where}.{key} is {value}, which JSON does not have")

    def _dynamic(self, value: Any, where: str) -> Value:
        if not isinstance(value, str):
            self._add("template-value", f"{where} must be a path or an intrinsic as text, not {kind_of(value)}")
            return ANYTHING
        read = expression(value)
        if isinstance(read, Malformed):
            code = "intrinsic" if value.startswith("States.") else "jsonpath"
            self._add(code, f"{where} is {value[:80]!r}: {read.reason}")
            return ANYTHING
        return self.value(read, where)

    def text(self, value: str, where: str) -> Value:
        """The value of a field that takes a path or an intrinsic: ErrorPath, CausePath."""
        return self._dynamic(value, where)

    def path(self, text: str, where: str) -> Value:
        """The value of a field that takes a path."""
        read = parse_path(text)
        if isinstance(read, Malformed):
            self._add("jsonpath", f"{where} is {text[:80]!r}: {read.reason}")
            return ANYTHING
        return self.value(read, where)

    def value(self, read: Any, where: str) -> Value:
        kind = type(read)
        if kind is Path:
            if self.noting and not read.context:
                self.noted.append(read)
            found = self._context(read, where) if read.context else follow(self.data, read.steps, read.text)
        elif kind is Literal:
            return read.value
        else:
            found = self._call(read, where)
        if type(found) is Missing:
            self._add("data-path" if kind is Path else "intrinsic-value", f"{where}: {found.reason}")
            return ANYTHING
        return found

    def _call(self, call: Call, where: str) -> Value | Missing:
        arguments = [self.value(argument, where) for argument in call.arguments]
        return calls.result(call, arguments, self.every_attempt)

    def _context(self, path: Path, where: str) -> Value:
        reason = self._no_context(path.steps)
        if reason:
            self._add("context-path", f"{where}: {path.text} {reason}")
            return ANYTHING
        return context(path.steps, self.state, self.attempts)

    def _no_context(self, steps: tuple[Step, ...]) -> str | None:
        if not steps or steps[0] is None:
            return None
        first = steps[0]
        if first not in _CONTEXT:
            return f"is not in the context object, which has {', '.join(_CONTEXT)}"
        if first == "Map" and not self.in_map:
            return "exists only in a Map"
        if first == "Task" and not self.token:
            return "exists only in a Task whose Resource ends in .waitForTaskToken"
        if len(steps) > 1 and steps[1] is not None and steps[1] not in _CONTEXT[str(first)]:
            return f"is not in the context object; $$.{first} has {', '.join(sorted(_CONTEXT[str(first)]))}"
        if len(steps) > 2 and first != "Map" and steps[1] != "Input":
            return "leads into a value that is no object"
        return None

    def _add(self, code: str, message: str) -> None:
        self.report.add(code, self.state, message)


def not_a_template(value: Any) -> str | None:
    """The first key of a plain value (Result of a Pass) that would be dynamic in a template."""
    if '.$"' not in json.dumps(value):
        return None
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            for key in part:
                if str(key).endswith(".$"):
                    return str(key)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return None
