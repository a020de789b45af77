"""Rules of a Choice: every comparison with an operand of its type, combined by And, Or and Not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stepgluon.selfcheck.paths import Malformed, parse_path
from stepgluon.selfcheck.report import Report, did_you_mean, is_number, kind_of

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ORDERS = ("Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals")
_OPERANDS: dict[str, str] = {
    **{f"{kind}{order}": kind for kind in ("String", "Numeric", "Timestamp") for order in _ORDERS},
    **{f"{kind}{order}Path": "Path" for kind in ("String", "Numeric", "Timestamp") for order in _ORDERS},
    **{f"Is{kind}": "Boolean" for kind in ("Null", "Present", "Numeric", "String", "Boolean", "Timestamp")},
    "BooleanEquals": "Boolean",
    "BooleanEqualsPath": "Path",
    "StringMatches": "String",
}
_COMBINED = {"And", "Or", "Not"}
_OTHER = {"Variable", "Next", "Comment"}


def check(state: str, rule: Any, where: str, report: Report, outermost: bool = True) -> None:
    """Report what is wrong with one rule and those inside of it."""
    if not isinstance(rule, dict):
        report.add("choice-rule", state, f"{where} must be an object, not {kind_of(rule)}")
        return
    operators = []
    for field in rule:
        if field in _OPERANDS or field in _COMBINED:
            operators.append(field)
        elif field not in _OTHER:
            hint = did_you_mean(str(field), [*_OPERANDS, *_COMBINED, *_OTHER])
            report.add("choice-operator", state, f"{where} has an unknown field {field}{hint}")
    if outermost != isinstance(rule.get("Next"), str):
        need = "needs Next" if outermost else "is inside of another rule and must not have Next"
        report.add("choice-rule", state, f"{where} {need}")
    if len(operators) != 1:
        report.add(
            "choice-rule", state, f"{where} needs exactly one comparison, And, Or or Not; it has {len(operators)}"
        )
    for operator in operators:
        if operator in _COMBINED:
            _combined(state, rule, operator, where, report)
        else:
            _comparison(state, rule, operator, where, report)


def comparisons(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Each comparison of a rule, however deep."""
    if "Variable" in rule:
        yield rule
    for inner in (*rule.get("And", ()), *rule.get("Or", ()), *([rule["Not"]] if "Not" in rule else ())):
        yield from comparisons(inner)


def paths(rule: Mapping[str, Any]) -> Iterator[str]:
    """The paths that a comparison reads."""
    yield rule["Variable"]
    for field, value in rule.items():
        if _OPERANDS.get(field) == "Path":
            yield value


def _combined(state: str, rule: dict[str, Any], operator: str, where: str, report: Report) -> None:
    inner = rule[operator]
    if "Variable" in rule:
        report.add("choice-rule", state, f"{where} combines rules by {operator}; a Variable belongs into those")
    if operator == "Not":
        check(state, inner, f"{where}.Not", report, False)
    elif not isinstance(inner, list) or not inner:
        report.add("choice-rule", state, f"{where}.{operator} must be a list of rules that is not empty")
    else:
        for number, part in enumerate(inner):
            check(state, part, f"{where}.{operator}[{number}]", report, False)


def _comparison(state: str, rule: dict[str, Any], operator: str, where: str, report: Report) -> None:
    variable = rule.get("Variable")
    if not isinstance(variable, str):
        report.add("choice-rule", state, f"{where} needs a Variable, the path of what is compared")
    else:
        path = parse_path(variable)
        if isinstance(path, Malformed):
            report.add("jsonpath", state, f"Variable of {where}, {variable!r}, is no path: {path.reason}")
        elif not path.definite:
            report.add("reference-path", state, f"Variable of {where}, {variable!r}, can mean more than one value")
    operand = rule[operator]
    expected = _mistake(_OPERANDS[operator], operand)
    if expected:
        report.add(
            "choice-operand", state, f"{operator} of {where} needs {expected}, not {kind_of(operand)} {operand!r}"
        )


def _mistake(kind: str, operand: Any) -> str | None:
    if kind == "Numeric":
        return None if is_number(operand) and math.isfinite(operand) else "a number"
    if kind == "Boolean":
        return None if isinstance(operand, bool) else "true or false"
    if not isinstance(operand, str):
        return "a path" if kind == "Path" else "text"
    if kind == "Path" and isinstance(parse_path(operand), Malformed):
        return "a path"
    return "a time like 2026-01-31T12:00:00Z" if kind == "Timestamp" and not _RFC3339.fullmatch(operand) else None
