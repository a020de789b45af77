"""Retry and Catch: which errors are waited out, and which lead elsewhere."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck.paths import Malformed, parse_path
from stepgluon.selfcheck.report import Report, did_you_mean, is_integer, is_number

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
NAMES = {
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
}
_FINAL = ("States.Runtime", "States.DataLimitExceeded")
MAX_DELAY = 31_622_400
DEFAULT_ATTEMPTS = 3
_RETRY_FIELDS = {
    "ErrorEquals",
    "IntervalSeconds",
    "MaxAttempts",
    "BackoffRate",
    "MaxDelaySeconds",
    "JitterStrategy",
    "Comment",
}
_CATCH_FIELDS = {"ErrorEquals", "Next", "ResultPath", "Comment"}


def attempts(state: Any) -> int:
    """How often a state can be tried again: each retrier has a count of its own."""
    return sum(retrier.get("MaxAttempts", DEFAULT_ATTEMPTS) for retrier in state.get("Retry", ()))


def catches_all(catch: Any) -> bool:
    return isinstance(catch, list) and any(
        isinstance(catcher, dict)
        and isinstance(catcher.get("ErrorEquals"), list)
        and "States.ALL" in catcher["ErrorEquals"]
        for catcher in catch
    )


def retriers(state: str, entries: list[Any], report: Report) -> None:
    """Report what is wrong with a Retry list; a machine of 1,000 models has few distinct ones."""
    key = repr(entries)
    found = report.retriers.get(key)
    if found is None:
        own = Report()
        _names("Retry", entries, own)
        for number, entry in enumerate(entries):
            if isinstance(entry, dict):
                _retrier(f"Retry[{number}]", entry, own)
        found = tuple((finding.code, finding.message) for finding in own.findings)
        report.retriers[key] = found
    for code, message in found:
        report.add(code, state, message)


def catchers(state: str, entries: list[Any], report: Report) -> None:
    """Report what is wrong with a Catch list."""
    own = Report()
    _names("Catch", entries, own)
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        if not isinstance(entry.get("Next"), str):
            own.add("catch", "", f"Catch[{number}] needs Next")
        unknown_fields(f"Catch[{number}]", entry, _CATCH_FIELDS, own)
        path = entry.get("ResultPath")
        if path is not None and not isinstance(path, str):
            own.add("catch", "", f"ResultPath of Catch[{number}] must be a path or null")
        elif path is not None and (reason := not_a_reference(path)):
            own.add("reference-path", "", f"ResultPath of Catch[{number}]: {reason}")
    for finding in own.findings:
        report.add(finding.code, state, finding.message)


@lru_cache(maxsize=4096)
def _reference(text: str) -> str | None:
    path = parse_path(text)
    if isinstance(path, Malformed):
        return f"{text!r} is no path: {path.reason}"
    if path.context:
        return f"{text!r} is in the context object, which cannot be written"
    return (
        None if path.definite else f"{text!r} can mean more than one place; only names and single indexes may be there"
    )


def not_a_reference(text: Any) -> str | None:
    """Why a result cannot be put at this path, or None."""
    return _reference(text) if isinstance(text, str) else "a path or null is expected"


def unknown_fields(where: str, entry: dict[str, Any], allowed: set[str], report: Report) -> None:
    for field in entry:
        if field not in allowed:
            report.add("unknown-field", "", f"{where} has no field {field}{did_you_mean(str(field), allowed)}")


def _names(field: str, entries: list[Any], report: Report) -> None:
    """ErrorEquals of each entry, and whether an earlier entry already takes everything."""
    code = field.lower()
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        where = f"{field}[{number}]"
        names = entry.get("ErrorEquals") if isinstance(entry, dict) else None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            report.add(code, "", f"{where} needs ErrorEquals, a list of error names that is not empty")
            continue
        if "States.ALL" in seen:
            report.add("states-all-last", "", f"{where} is never used: an entry before it takes States.ALL")
        if "States.ALL" in names and len(names) > 1:
            report.add(
                "states-all-alone", "", f"States.ALL stands alone in ErrorEquals; {where} names others beside it"
            )
        for name in names:
            _name(where, field, name, report)
            if name in seen:
                report.add(f"{code}-repeated", "", f"{where} is never used for {name}: an entry before it takes it")
            elif "States.TaskFailed" in seen and not name.startswith("States."):
                report.add(
                    f"{code}-repeated", "", f"{where} is never used for {name}: States.TaskFailed before it takes it"
                )
        seen.update(names)


def _name(where: str, field: str, name: str, report: Report) -> None:
    if name.startswith("States.") and name not in NAMES:
        report.add(
            "error-name", "", f"{where} names {name}, which is no error of the language{did_you_mean(name, NAMES)}"
        )
    if field == "Retry" and name in _FINAL:
        report.add("retry-final", "", f"{where} names {name}, which is never retried")


def _retrier(where: str, entry: dict[str, Any], report: Report) -> None:
    unknown_fields(where, entry, _RETRY_FIELDS, report)
    interval, most, rate = entry.get("IntervalSeconds", 1), entry.get("MaxAttempts", 3), entry.get("BackoffRate", 2.0)
    delay, jitter = entry.get("MaxDelaySeconds"), entry.get("JitterStrategy", "NONE")
    if not is_integer(interval) or not 1 <= interval <= 99_999_999:
        report.add("retry", "", f"IntervalSeconds of {where} must be a whole number from 1 to 99999999")
    if not is_integer(most) or not 0 <= most <= 99_999_999:
        report.add("retry", "", f"MaxAttempts of {where} must be a whole number from 0 to 99999999")
    if not is_number(rate) or not math.isfinite(rate) or rate < 1:
        report.add("retry", "", f"BackoffRate of {where} must be a number of at least 1")
    if jitter not in ("FULL", "NONE"):
        report.add("retry", "", f"JitterStrategy of {where} must be FULL or NONE")
    if delay is not None and (not is_integer(delay) or not 0 < delay <= MAX_DELAY):
        report.add("retry", "", f"MaxDelaySeconds of {where} must be a whole number from 1 to {MAX_DELAY}")
    elif delay is not None and is_integer(interval) and delay <= interval:
        report.add("retry", "", f"MaxDelaySeconds of {where} must be above its IntervalSeconds")
