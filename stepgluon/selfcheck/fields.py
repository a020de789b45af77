"""The form of a definition: which fields each kind of state has, and of which type they are.

Everything that later stages read is known to exist and to have the right type when this one found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck import choices, errors
from stepgluon.selfcheck.report import Report, did_you_mean, is_integer, is_number, kind_of

SECONDS = 99_999_999  # https://states-language.net/#timeouts
_COMMON = {"Type", "Comment", "QueryLanguage"}
_FLOW = {"Next", "End"}
_PATHS = {"InputPath", "OutputPath"}
_RESULT = {"ResultPath", "ResultSelector", "Retry", "Catch", "Parameters"}
_TIMES = {"TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath"}
_MAP = {
    "ItemProcessor",
    "Iterator",
    "ItemsPath",
    "ItemSelector",
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "MaxConcurrency",
    "MaxConcurrencyPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "Label",
}
ALLOWED: dict[str, set[str]] = {
    "Task": _COMMON | _FLOW | _PATHS | _RESULT | _TIMES | {"Resource", "Credentials"},
    "Pass": _COMMON | _FLOW | _PATHS | {"Result", "ResultPath", "Parameters"},
    "Parallel": _COMMON | _FLOW | _PATHS | _RESULT | {"Branches"},
    "Map": _COMMON | _FLOW | _PATHS | _RESULT | _MAP,
    "Choice": _COMMON | _PATHS | {"Choices", "Default"},
    "Wait": _COMMON | _FLOW | _PATHS | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": _COMMON | _PATHS,
    "Fail": _COMMON | {"Error", "ErrorPath", "Cause", "CausePath"},
}
_EVERY_FIELD = set().union(*ALLOWED.values())
_REQUIRED = {"Task": "Resource", "Parallel": "Branches", "Choice": "Choices"}
_JSONATA = ("Arguments", "Output", "Assign", "Condition", "Items")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _seconds(value: Any) -> bool:
    return is_integer(value) and 1 <= value <= SECONDS


def _count(value: Any) -> bool:
    return is_integer(value) and value >= 0


_PATH_OR_NULL: tuple[Callable[[Any], bool], str] = (lambda v: v is None or isinstance(v, str), "a path or null")
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("InputPath", "OutputPath", "ResultPath"), _PATH_OR_NULL),
    **dict.fromkeys(
        ("Parameters", "ResultSelector", "ItemSelector", "ItemReader", "ItemBatcher"), (_object, "an object")
    ),
    **dict.fromkeys(("ResultWriter", "Credentials"), (_object, "an object")),
    **dict.fromkeys(("ItemProcessor", "Iterator"), (_object, "an object with StartAt and States")),
    **dict.fromkeys(("Retry", "Catch", "Branches", "Choices"), (_list, "a list that is not empty")),
    **dict.fromkeys(("TimeoutSeconds", "HeartbeatSeconds"), (_seconds, f"a whole number from 1 to {SECONDS}")),
    **dict.fromkeys(("Type", "Comment", "Next", "Default", "Resource", "Error", "Cause", "Label"), (_text, "text")),
    **{
        name: (_text, "a path")
        for name in _EVERY_FIELD
        if name.endswith("Path") and name not in (*_PATHS, "ResultPath")
    },
    "End": (lambda value: value is True, "true"),
    "Seconds": (lambda value: is_integer(value) and 0 <= value <= SECONDS, f"a whole number from 0 to {SECONDS}"),
    "Timestamp": (_text, "a time like 2026-01-31T12:00:00Z"),
    "MaxConcurrency": (_count, "a whole number of at least 0"),
    "ToleratedFailureCount": (_count, "a whole number of at least 0"),
    "ToleratedFailurePercentage": (lambda v: is_number(v) and 0 <= v <= 100, "a number from 0 to 100"),
}


def check(definition: Mapping[str, Any], report: Report) -> bool:
    """Report what is wrong with the form; True where the later stages can rely on it."""
    before = len(report.findings)
    allowed = {"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"}
    for name in definition:
        if name not in allowed:
            report.add("unknown-field", "", f"the machine has no field {name}{did_you_mean(str(name), allowed)}")
    if definition.get("QueryLanguage", "JSONPath") != "JSONPath":
        report.add("query-language", "", "this check reads definitions in JSONPath only; QueryLanguage must go")
    if definition.get("Version", "1.0") != "1.0":
        report.add("field-type", "", 'Version must be "1.0"')
    timeout = definition.get("TimeoutSeconds")
    if timeout is None:
        report.add("machine-timeout", "", "the machine has no TimeoutSeconds; without one a run can hang for a year")
    elif not is_integer(timeout) or not 1 <= timeout <= limits.MACHINE_SECONDS:
        message = f"TimeoutSeconds of the machine must be a whole number from 1 to {limits.MACHINE_SECONDS}"
        report.add("field-type", "", message)
    _scope(definition, "", report)
    return len(report.findings) == before or not any(f.code in _FATAL for f in report.findings[before:])


_FATAL = {
    "missing-field",
    "field-type",
    "state-type",
    "query-language",
    "choice-rule",
    "choice-operand",
    "retry",
    "catch",
}


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
    if allowed is None:
        hint = did_you_mean(str(kind), ALLOWED)
        report.add("state-type", name, f"Type must be one of {', '.join(sorted(ALLOWED))}, not {kind!r}{hint}")
        return
    assert isinstance(kind, str)
    if not state.keys() <= allowed:
        _unknown(name, kind, state, report)
    for field, value in state.items():
        rule = _TYPES.get(field)
        if rule is not None and not rule[0](value):
            report.add("field-type", name, f"{field} must be {rule[1]}, not {kind_of(value)} {str(value)[:40]!r}")
    if state.get("QueryLanguage", "JSONPath") != "JSONPath":
        report.add("query-language", name, "this check reads states in JSONPath only; QueryLanguage must go")
    required = _REQUIRED.get(kind)
    if required is not None and required not in state:
        report.add("missing-field", name, f"a {kind} state needs {required}")
    if "Next" in allowed and ("Next" in state) == ("End" in state):
        report.add(
            "next-or-end", name, "exactly one of Next and End must be there" + (", not both" if "Next" in state else "")
        )
    _of_kind(name, kind, state, report)
    if isinstance(state.get("Retry"), list):
        errors.retriers(name, state["Retry"], report)
    if isinstance(state.get("Catch"), list):
        errors.catchers(name, state["Catch"], report)


def _unknown(name: str, kind: str, state: dict[str, Any], report: Report) -> None:
    for field in state:
        if field in ALLOWED[kind]:
            continue
        if field in _JSONATA:
            report.add(
                "query-language", name, f"{field} belongs to JSONata or to variables, which this check does not read"
            )
        elif field in _EVERY_FIELD:
            report.add("misplaced-field", name, f"a {kind} state has no {field}")
        else:
            report.add(
                "unknown-field", name, f"a {kind} state has no field {field}{did_you_mean(str(field), ALLOWED[kind])}"
            )


def _one_of(name: str, state: Mapping[str, Any], names: tuple[str, ...], needed: bool, report: Report) -> None:
    count = sum(field in state for field in names)
    if count > 1:
        report.add(
            "one-of", name, f"only one of {' and '.join(field for field in names if field in state)} may be there"
        )
    elif needed and not count:
        report.add("missing-field", name, f"one of {', '.join(names)} must be there")


def _of_kind(name: str, kind: str, state: dict[str, Any], report: Report) -> None:
    if kind == "Task":
        if "TimeoutSeconds" not in state and "TimeoutSecondsPath" not in state:
            report.add(
                "task-timeout", name, "a Task needs TimeoutSeconds; without it a lost job holds the run for a year"
            )
        _one_of(name, state, ("TimeoutSeconds", "TimeoutSecondsPath"), False, report)
        _one_of(name, state, ("HeartbeatSeconds", "HeartbeatSecondsPath"), False, report)
        timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
        if is_integer(timeout) and is_integer(heartbeat) and not 0 < heartbeat < timeout:
            report.add("field-type", name, f"HeartbeatSeconds {heartbeat} must be below TimeoutSeconds {timeout}")
    if kind in ("Task", "Parallel", "Map") and not errors.catches_all(state.get("Catch")):
        report.add(
            "no-catch", name, f"this {kind} has no Catch for States.ALL; its failure would end the run unexplained"
        )
    if kind == "Fail":
        _one_of(name, state, ("Error", "ErrorPath"), False, report)
        _one_of(name, state, ("Cause", "CausePath"), False, report)
    elif kind == "Wait":
        _one_of(name, state, ("Seconds", "SecondsPath", "Timestamp", "TimestampPath"), True, report)
    elif kind == "Choice":
        if "Default" not in state:
            report.add("no-default", name, "a Choice needs a Default; a run that no rule matches would fail")
        for number, rule in enumerate(state["Choices"] if isinstance(state.get("Choices"), list) else ()):
            choices.check(name, rule, f"Choices[{number}]", report)
    elif kind in ("Parallel", "Map"):
        _inner(name, state, report)


def _inner(name: str, state: dict[str, Any], report: Report) -> None:
    """The branches of a Parallel, the processor of a Map."""
    if state["Type"] == "Map":
        _one_of(name, state, ("ItemProcessor", "Iterator"), True, report)
        inner = [state.get("ItemProcessor", state.get("Iterator"))]
        allowed = {"StartAt", "States", "ProcessorConfig", "Comment"}
    else:
        inner = state["Branches"] if isinstance(state.get("Branches"), list) else []
        allowed = {"StartAt", "States", "Comment"}
    for number, branch in enumerate(inner):
        if not isinstance(branch, dict):
            report.add("field-type", name, f"branch {number} must be an object with StartAt and States")
            continue
        for field in branch:
            if field not in allowed:
                report.add("unknown-field", name, f"branch {number} has no field {field}{did_you_mean(field, allowed)}")
        _scope(branch, name, report)
