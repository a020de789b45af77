"""Checks the form of a definition: fields and types of each kind of state, and the rules of Retry and Catch.

statelint has the same rules, but takes 80 ms to import and gives no positions; it checks our golden definitions in
`make check`. If this stage finds nothing fatal, everything that later stages read has the right type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck.report import Report, did_you_mean, is_integer, is_number, kind_of

SECONDS = 99_999_999  # https://states-language.net/#timeouts
MAX_DELAY = 31_622_400
_COMMON = {"Type", "Comment", "QueryLanguage"}
_FLOW = {"Next", "End"}
_DATA = {"Assign", "Output"}
_CALL = _COMMON | _FLOW | _DATA | {"Retry", "Catch"}
_MAP = {
    "ItemProcessor",
    "Items",
    "ItemSelector",
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "MaxConcurrency",
    "Label",
}
_MAP |= {"ToleratedFailurePercentage", "ToleratedFailureCount"}
ALLOWED: dict[str, set[str]] = {
    "Task": _CALL | {"Resource", "Arguments", "Credentials", "TimeoutSeconds", "HeartbeatSeconds"},
    "Parallel": _CALL | {"Branches", "Arguments"},
    "Map": _CALL | _MAP,
    "Pass": _COMMON | _FLOW | _DATA,
    "Choice": _COMMON | _DATA | {"Choices", "Default"},
    "Wait": _COMMON | _FLOW | _DATA | {"Seconds", "Timestamp"},
    "Succeed": _COMMON | {"Output"},
    "Fail": _COMMON | {"Error", "Cause"},
}
_EVERY_FIELD = set().union(*ALLOWED.values())
_JSONPATH = {"InputPath", "OutputPath", "ResultPath", "ResultSelector", "Parameters", "Result", "ItemsPath", "Variable"}
_JSONPATH |= {"SecondsPath", "TimestampPath", "ErrorPath", "CausePath", "TimeoutSecondsPath", "HeartbeatSecondsPath"}
_JSONPATH |= {"MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath", "Iterator"}
_REQUIRED = {"Task": "Resource", "Parallel": "Branches", "Choice": "Choices", "Map": "ItemProcessor"}
_RETRY = {
    "ErrorEquals",
    "IntervalSeconds",
    "MaxAttempts",
    "BackoffRate",
    "MaxDelaySeconds",
    "JitterStrategy",
    "Comment",
}
_ENTRIES = {
    "Retry": _RETRY,
    "Catch": {"ErrorEquals", "Next", "Assign", "Output", "Comment"},
    "Choices": {"Condition", "Next", "Assign", "Output", "Comment"},
}
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
ERRORS = {
    *("States.ALL", "States.BranchFailed", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold"),
    *("States.HeartbeatTimeout", "States.Http.Socket", "States.ItemReaderFailed", "States.NoChoiceMatched"),
    *("States.Permissions", "States.QueryEvaluationError", "States.ResultWriterFailed", "States.Runtime"),
    *("States.TaskFailed", "States.Timeout"),
}
_FINAL = ("States.Runtime", "States.DataLimitExceeded")
FATAL = {"missing-field", "field-type", "state-type", "query-language", "choice-rule", "retry", "catch", "jsonpath"}


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def _or_expression(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: is_expression(value) or check(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _count(value: Any) -> bool:
    return is_integer(value) and value >= 0


_TIME = (_or_expression(lambda v: is_integer(v) and 1 <= v <= SECONDS), f"a whole number from 1 to {SECONDS}")
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("ItemReader", "ResultWriter", "Assign", "Credentials"), (_object, "an object")),
    **dict.fromkeys(("Arguments", "ItemSelector", "ItemBatcher"), (_or_expression(_object), "an object or {% ... %}")),
    **dict.fromkeys(("Retry", "Catch", "Branches", "Choices"), (_list, "a list that is not empty")),
    **dict.fromkeys(("TimeoutSeconds", "HeartbeatSeconds"), _TIME),
    **dict.fromkeys(("Type", "Comment", "Next", "Default", "Resource", "Error", "Cause", "Label"), (_text, "text")),
    **dict.fromkeys(("MaxConcurrency", "ToleratedFailureCount"), (_or_expression(_count), "a whole number")),
    "ToleratedFailurePercentage": (_or_expression(lambda v: is_number(v) and 0 <= v <= 100), "a number from 0 to 100"),
    "ItemProcessor": (_object, "an object with StartAt and States"),
    "Items": (_or_expression(lambda v: isinstance(v, list)), "a list or {% ... %}"),
    "End": (lambda value: value is True, "true"),
    "Seconds": (_or_expression(lambda v: _count(v) and v <= SECONDS), f"a whole number from 0 to {SECONDS}"),
    "Timestamp": (_text, "a time like 2026-01-31T12:00:00Z"),
}


def check(definition: Mapping[str, Any], report: Report) -> bool:
    """Report problems of the form; return True if later stages can rely on it."""
    known = {"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"}
    for name in definition.keys() - known:
        report.add("unknown-field", "", f"the machine does not have a field {name}{did_you_mean(str(name), known)}")
    if definition.get("QueryLanguage") != "JSONata":
        report.add("query-language", "", 'QueryLanguage must be "JSONata": only such machines are checked')
    if definition.get("Version", "1.0") != "1.0":
        report.add("field-type", "", 'Version must be "1.0"')
    timeout = definition.get("TimeoutSeconds")
    if timeout is None:
        report.add("machine-timeout", "", "the machine has no TimeoutSeconds; without one a run can hang for a year")
    elif not is_integer(timeout) or not 1 <= timeout <= limits.MACHINE_SECONDS:
        expected = f"must be a whole number from 1 to {limits.MACHINE_SECONDS}"
        report.add("field-type", "", f"TimeoutSeconds of the machine {expected}")
    _scope(definition, "", report)
    return not any(finding.code in FATAL for finding in report.findings)


def _scope(scope: Mapping[str, Any], owner: str, report: Report) -> None:
    where = f"a branch of {owner}" if owner else "the machine"
    start, states = scope.get("StartAt"), scope.get("States")
    if not isinstance(start, str):
        report.add("missing-field", owner, f"StartAt of {where} must name a state")
    if not isinstance(states, dict) or not states:
        report.add("missing-field", owner, f"{where} has no States")
        return
    for name, state in states.items():
        if not isinstance(name, str) or not isinstance(state, dict):
            report.add("field-type", str(name), f"a state is an object, not {kind_of(state)}")
        else:
            _state(name, state, report)


def _state(name: str, state: dict[str, Any], report: Report) -> None:
    kind = state.get("Type")
    allowed = ALLOWED.get(kind) if isinstance(kind, str) else None
    if allowed is None or not isinstance(kind, str):
        hint = did_you_mean(str(kind), ALLOWED)
        report.add("state-type", name, f"Type must be one of {', '.join(sorted(ALLOWED))}, not {kind!r}{hint}")
        return
    if state.get("QueryLanguage", "JSONata") != "JSONata":
        report.add("query-language", name, "QueryLanguage must be JSONata, like the machine's")
    for field, value in state.items():
        rule = _TYPES.get(field)
        if field not in allowed:
            _misplaced(name, kind, field, report)
        elif rule is not None and not rule[0](value):
            report.add("field-type", name, f"{field} must be {rule[1]}, not {kind_of(value)} {str(value)[:40]!r}")
    if kind in _REQUIRED and _REQUIRED[kind] not in state:
        report.add("missing-field", name, f"a {kind} state needs {_REQUIRED[kind]}")
    if "Next" in allowed and ("Next" in state) == ("End" in state):
        report.add("next-or-end", name, "exactly one of Next and End is expected")
    _of_kind(name, kind, state, report)


def _misplaced(name: str, kind: str, field: Any, report: Report) -> None:
    if field in _JSONPATH:
        report.add("jsonpath", name, f"{field} belongs to JSONPath; the machine's QueryLanguage is JSONata")
    elif field in _EVERY_FIELD:
        report.add("misplaced-field", name, f"a {kind} state does not have {field}")
    else:
        hint = did_you_mean(str(field), ALLOWED[kind])
        report.add("unknown-field", name, f"a {kind} state does not have a field {field}{hint}")


def _of_kind(name: str, kind: str, state: dict[str, Any], report: Report) -> None:
    if kind == "Task":
        timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
        if timeout is None:
            message = "a Task needs TimeoutSeconds; without one a lost job holds the run for a year"
            report.add("task-timeout", name, message)
        if is_integer(timeout) and is_integer(heartbeat) and not 0 < heartbeat < timeout:
            report.add("field-type", name, f"HeartbeatSeconds {heartbeat} must be below TimeoutSeconds {timeout}")
    elif kind == "Wait" and ("Seconds" in state) == ("Timestamp" in state):
        code = "one-of" if "Seconds" in state else "missing-field"
        report.add(code, name, "exactly one of Seconds and Timestamp is expected")
    for field in _ENTRIES:
        if isinstance(state.get(field), list):
            _entries(name, field, state[field], report)
    branches = state.get("Branches") if kind == "Parallel" else [state.get("ItemProcessor")] if kind == "Map" else []
    known = {"StartAt", "States", "Comment", *({"ProcessorConfig"} if kind == "Map" else ())}
    for number, branch in enumerate(branches if isinstance(branches, list) else ()):
        if not isinstance(branch, dict):
            report.add("field-type", name, f"branch {number} must be an object with StartAt and States")
            continue
        if not isinstance(branch.get("ProcessorConfig", {}), dict):
            report.add("field-type", name, 'ProcessorConfig must be an object, like {"Mode": "INLINE"}')
        for field in branch.keys() - known:
            message = f"branch {number} does not have a field {field}{did_you_mean(str(field), known)}"
            report.add("unknown-field", name, message)
        _scope(branch, name, report)


def _entries(name: str, field: str, entries: list[Any], report: Report) -> None:
    """Check the entries of Retry, Catch or Choices."""
    code = {"Retry": "retry", "Catch": "catch", "Choices": "choice-rule"}[field]
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        where = f"{field}[{number}]"
        if not isinstance(entry, dict):
            report.add(code, name, f"{where} must be an object, not {kind_of(entry)}")
            continue
        for key in entry.keys() - _ENTRIES[field]:
            wrong = "jsonpath" if key in _JSONPATH else "unknown-field"
            report.add(wrong, name, f"{where} does not have a field {key}{did_you_mean(str(key), _ENTRIES[field])}")
        if field != "Retry" and not isinstance(entry.get("Next"), str):
            report.add(code, name, f"{where} needs Next")
        if (
            field == "Choices"
            and not isinstance(entry.get("Condition"), bool)
            and not is_expression(entry.get("Condition"))
        ):
            report.add(code, name, f"{where} needs a Condition, which is {{% ... %}} or a boolean")
        if not isinstance(entry.get("Assign", {}), dict):
            report.add("field-type", name, f"{where}.Assign must be an object")
        if field == "Retry":
            _retrier(name, where, entry, report)
        if field != "Choices":
            _errors(name, field, where, entry.get("ErrorEquals"), seen, report)


def _errors(name: str, field: str, where: str, names: Any, seen: set[str], report: Report) -> None:
    code = field.lower()
    if not isinstance(names, list) or not names or not all(isinstance(error, str) and error for error in names):
        report.add(code, name, f"{where} needs ErrorEquals, a list of error names that is not empty")
        return
    if "States.ALL" in seen:
        report.add("states-all-last", name, f"{where} is never used: an entry before it takes States.ALL")
    if "States.ALL" in names and len(names) > 1:
        report.add("states-all-alone", name, f"{where} names other errors beside States.ALL, which must be alone")
    for error in names:
        if error.startswith("States.") and error not in ERRORS:
            message = f"{where} names {error}, which is not an error of the language{did_you_mean(error, ERRORS)}"
            report.add("error-name", name, message)
        if field == "Retry" and error in _FINAL:
            report.add("retry-final", name, f"{where} names {error}, which is never retried")
        if error in seen or ("States.TaskFailed" in seen and not error.startswith("States.")):
            taker = error if error in seen else "States.TaskFailed"
            report.add(f"{code}-repeated", name, f"{where} is never used for {error}: an entry before it takes {taker}")
    seen.update(names)


def _retrier(name: str, where: str, entry: dict[str, Any], report: Report) -> None:
    interval, most, rate = entry.get("IntervalSeconds", 1), entry.get("MaxAttempts", 3), entry.get("BackoffRate", 2.0)
    delay = entry.get("MaxDelaySeconds")
    if not is_integer(interval) or not 1 <= interval <= SECONDS:
        report.add("retry", name, f"IntervalSeconds of {where} must be a whole number from 1 to {SECONDS}")
    if not is_integer(most) or not 0 <= most <= SECONDS:
        report.add("retry", name, f"MaxAttempts of {where} must be a whole number from 0 to {SECONDS}")
    if not is_number(rate) or not math.isfinite(rate) or rate < 1:
        report.add("retry", name, f"BackoffRate of {where} must be a number of at least 1")
    if entry.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
        report.add("retry", name, f"JitterStrategy of {where} must be FULL or NONE")
    if delay is not None and (not is_integer(delay) or not 0 < delay <= MAX_DELAY):
        report.add("retry", name, f"MaxDelaySeconds of {where} must be a whole number from 1 to {MAX_DELAY}")
    elif delay is not None and is_integer(interval) and delay <= interval:
        report.add("retry", name, f"MaxDelaySeconds of {where} must be above its IntervalSeconds {interval}")


def sizes(definition: Mapping[str, Any], text: str | None, report: Report) -> None:
    """Report a definition over its size limit, and numbers that JSON does not allow."""
    try:
        text = json.dumps(definition, allow_nan=False) if text is None else text
    except ValueError:
        report.add("not-json", "", "the definition has a NaN or an infinite number, which JSON does not have")
        text = ""
    size = len(text.encode())
    if size > limits.DEFINITION_BYTES:
        most = limits.DEFINITION_BYTES
        report.add("definition-size", "", f"the definition has {size:,} bytes, and at most {most:,} are allowed")
