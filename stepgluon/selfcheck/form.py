"""Checks the form of a definition with botocore's validator: the states' fields are written as botocore writes a
service's shapes. Rules that a shape cannot express follow the table.

statelint has the same rules, but takes 80 ms to import, and its messages suggest no fix; it checks our golden
definitions in `make check`. If this stage finds nothing, everything that later stages read has the right type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from botocore.model import ShapeResolver

from stepgluon import limits
from stepgluon.selfcheck import apis
from stepgluon.selfcheck.report import Report, did_you_mean

SECONDS = 99_999_999  # https://states-language.net/#timeouts
_ALL, _DATA = " Type Comment QueryLanguage", " Assign Output"
_STEP = f"{_ALL}{_DATA} Next End"
# The kinds of state, and the objects inside them, with their fields; ! marks a required one.
KINDS = {
    "Task": f"Resource! TimeoutSeconds! HeartbeatSeconds Arguments Credentials Retry Catch{_STEP}",
    "Parallel": f"Branches! Arguments Retry Catch{_STEP}",
    "Map": "ItemProcessor! Items ItemSelector ItemReader ItemBatcher ResultWriter MaxConcurrency Label Retry Catch "
    f"ToleratedFailureCount ToleratedFailurePercentage{_STEP}",
    "Pass": _STEP,
    "Choice": f"Choices! Default{_ALL}{_DATA}",
    "Wait": f"Seconds Timestamp{_STEP}",
    "Succeed": f"Output{_ALL}",
    "Fail": f"Error Cause{_ALL}",
}
_OBJECTS = {
    "Machine": "StartAt! States! TimeoutSeconds! QueryLanguage! Version Comment",
    "Branch": "StartAt! States! Comment",
    "ItemProcessor": "StartAt! States! Comment ProcessorConfig",
    "ProcessorConfig": "Mode ExecutionType",
    "Retrier": "ErrorEquals! IntervalSeconds MaxAttempts BackoffRate MaxDelaySeconds JitterStrategy Comment",
    "Catcher": f"ErrorEquals! Next! Comment{_DATA}",
    "Rule": f"Condition! Next! Comment{_DATA}",
    "Unknown": "Type!",
}
_OBJECT = {"type": "map", "key": {"shape": "Comment"}, "value": {"shape": "Output"}}
_SECONDS = {"type": "integer", "min": 1, "max": SECONDS}
# The values of the fields. The validator leaves a blob alone.
_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"type": "string"}, "Comment Next Default Resource Error Cause Label Timestamp StartAt ExecutionType"),
    ({"type": "string", "min": 1}, "Name"),
    ({"type": "boolean"}, "End Condition"),
    (_OBJECT, "Assign Credentials States ItemReader ResultWriter Arguments ItemSelector ItemBatcher"),
    (_SECONDS, "TimeoutSeconds HeartbeatSeconds IntervalSeconds"),
    ({**_SECONDS, "min": 0}, "Seconds MaxAttempts MaxConcurrency ToleratedFailureCount"),
    ({**_SECONDS, "max": 31_622_400}, "MaxDelaySeconds"),
    ({"type": "double", "min": 1}, "BackoffRate"),
    ({"type": "double", "min": 0, "max": 100}, "ToleratedFailurePercentage"),
    ({"type": "blob"}, "Output"),
    ({"type": "list", "member": {"shape": "Output"}}, "Items"),
]
_EXPRESSIONS = """Arguments ItemSelector ItemBatcher TimeoutSeconds HeartbeatSeconds Seconds MaxConcurrency
ToleratedFailureCount ToleratedFailurePercentage Items Condition"""
_ENUMS = {"Type": [*KINDS], "QueryLanguage": ["JSONata"], "Version": ["1.0"], "JitterStrategy": ["FULL", "NONE"]}
_ENUMS |= {"Mode": ["INLINE", "DISTRIBUTED"]}
_LISTS = {"Retry": "Retrier", "Catch": "Catcher", "Choices": "Rule", "Branches": "Branch", "ErrorEquals": "Name"}
_SHAPES = {
    **{field: value for value, fields in _VALUES for field in fields.split()},
    **{field: {"type": "string", "enum": values} for field, values in _ENUMS.items()},
    **{field: {"type": "list", "min": 1, "member": {"shape": member}} for field, member in _LISTS.items()},
    **{
        name: {
            "type": "structure",
            "required": [field[:-1] for field in fields.split() if field.endswith("!")],
            "members": {field.rstrip("!"): {"shape": field.rstrip("!")} for field in fields.split()},
        }
        for name, fields in (KINDS | _OBJECTS).items()
    },
}
_JSONPATH = {"ResultSelector", "Parameters", "Result", "Variable", "Iterator"}  # and all that end with Path
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
ERRORS = {
    *("States.ALL", "States.BranchFailed", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold"),
    *("States.HeartbeatTimeout", "States.Http.Socket", "States.ItemReaderFailed", "States.NoChoiceMatched"),
    *("States.Permissions", "States.QueryEvaluationError", "States.ResultWriterFailed", "States.Runtime"),
    *("States.TaskFailed", "States.Timeout"),
}
_FINAL = ("States.Runtime", "States.DataLimitExceeded")


@lru_cache(maxsize=64)
def _shape(name: str) -> Any:
    return ShapeResolver(_SHAPES).get_shape_by_name(name)


def problems(name: str, value: Any, expressions: str = "") -> list[apis.Problem]:
    """The problems of a field, a kind of state or an object in it."""
    found = apis.problems(value, _shape(name), expressions=frozenset(expressions.split()))
    return [(path.removeprefix("."), code.replace("parameter", "field"), message) for path, code, message in found]


def check(definition: Mapping[str, Any], report: Report) -> None:
    _valid("Machine", definition, "", report)
    _states(definition, report)


def _valid(shape: str, value: Any, state: str, report: Report) -> bool:
    found = problems(shape, value, _EXPRESSIONS)
    for path, code, message in found:
        field = path.rpartition(".")[2]
        if code == "field-unknown" and (field.endswith("Path") or field in _JSONPATH):
            code, message = "jsonpath", "it belongs to JSONPath, and the machine's QueryLanguage is JSONata"
        report.add(code, state, f"{path or 'the state'}: {message}")
    return not found


def _states(scope: Any, report: Report) -> None:
    states = scope.get("States") if isinstance(scope, dict) else None
    for name, state in states.items() if isinstance(states, dict) else ():
        kind = state.get("Type", "Unknown") if isinstance(state, dict) else "Pass"
        if not isinstance(kind, str) or kind not in KINDS:
            _valid("Unknown", {key: value for key, value in state.items() if key == "Type"}, name, report)
            continue
        if _valid(kind, state, name, report):
            _rules(name, kind, state, report)
        if isinstance(state, dict):
            branches = state.get("Branches")
            for inner in (*(branches if isinstance(branches, list) else ()), state.get("ItemProcessor")):
                _states(inner, report)


def _rules(name: str, kind: str, state: dict[str, Any], report: Report) -> None:
    if "Next" in KINDS[kind] and ("Next" in state) == (state.get("End") is True):
        report.add("next-or-end", name, "exactly one of Next and End is expected")
    if kind == "Wait" and ("Seconds" in state) == ("Timestamp" in state):
        report.add("one-of", name, "exactly one of Seconds and Timestamp is expected")
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        report.add("field-range", name, f"HeartbeatSeconds {heartbeat} must be below TimeoutSeconds {timeout}")
    for field in ("Retry", "Catch"):
        seen: set[str] = set()
        for number, entry in enumerate(state.get(field, ())):
            where = f"{field}[{number}]"
            _errors(name, where, entry["ErrorEquals"], seen, report)
            interval, delay = entry.get("IntervalSeconds", 1), entry.get("MaxDelaySeconds", SECONDS + 1)
            if delay <= interval:
                message = f"MaxDelaySeconds of {where} must be above its IntervalSeconds {interval}"
                report.add("field-range", name, message)


def _errors(name: str, where: str, names: list[str], seen: set[str], report: Report) -> None:
    if "States.ALL" in seen:
        report.add("states-all-last", name, f"{where} is never used: an entry before it takes States.ALL")
    if "States.ALL" in names and len(names) > 1:
        report.add("states-all-alone", name, f"{where} names other errors beside States.ALL, which must be alone")
    for error in names:
        if error.startswith("States.") and error not in ERRORS:
            message = f"{where} names {error}, which is not an error of the language{did_you_mean(error, ERRORS)}"
            report.add("error-name", name, message)
        if where.startswith("Retry") and error in _FINAL:
            report.add("retry-final", name, f"{where} names {error}, which is never retried")
        if error in seen or ("States.TaskFailed" in seen and not error.startswith("States.")):
            taker = error if error in seen else "States.TaskFailed"
            report.add("error-repeated", name, f"{where} is never used for {error}: an entry before it takes {taker}")
    seen.update(names)


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
