"""Evaluates JSONata as Step Functions does.

    evaluate("$states.input.name & '!'", {"states": {"input": {"name": "Ada"}}})  # 'Ada!'

Variables are bound, never spliced into the text, so any string is safe. On top of the engine come Step Functions' own
rules: its functions, no `$eval`, no `$` or `$$` at the top level; an undefined result or a function is an error. Time
and depth are limited. For the choice of the engine, see docs/decisions/0070.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonatapy

from localaws.stepfunctions.jsonata_functions import FUNCTIONS, OVERRIDES
from localaws.stepfunctions.jsonata_scan import refused

# AWS does not publish its limits. Ours keep a runaway expression from blocking the interpreter for long.
TIMEOUT_MS = 5_000
MAX_DEPTH = 500
MAX_SEQUENCE = 1_000_000

_NAME = re.compile(r"\$(\w+)")  # also in strings, which does no harm
_MEMBER = re.compile(r"\$states\b(?:\.(\w+))?")
_CODE = re.compile(r"\b[A-Z]\d{4}: ")
_INTEGERS = range(-(2**63), 2**63)


class QueryEvaluationError(Exception):
    """States.QueryEvaluationError; `cause` uses AWS's wording in the execution's history."""

    def __init__(self, expression: str, problem: str) -> None:
        super().__init__(f"The JSONata expression '{expression}' {problem}")
        self.expression = expression
        self.problem = problem

    def cause(self, field: str) -> str:
        return f"The JSONata expression '{self.expression}' specified for the field '{field}' {self.problem}"


class Undefined(QueryEvaluationError):
    """The expression selected nothing, for which JSON has no value."""

    def __init__(self, expression: str) -> None:
        super().__init__(expression, "returned nothing (undefined).")


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """The expression's value as JSON. Variables are named without `$`; `states` is one of them."""
    plan = _plan(expression)
    bound = {name: variables[name] for name in plan.names if name in variables}
    if plan.states is not None and isinstance(bound.get("states"), Mapping):
        bound["states"] = {key: value for key, value in bound["states"].items() if key in plan.states}
    value = _run(expression, expression, plan, bound)
    if value is not None:
        return value
    # The engine gives None for null, for undefined and for a function: its own $type tells them apart.
    kind = _run(expression, f"$type(({expression}\n))", plan, bound)
    if kind is None:
        raise Undefined(expression)
    if kind != "null":
        raise QueryEvaluationError(expression, "returned an unsupported result type.")
    return None


def check(expression: str) -> None:
    """Raise QueryEvaluationError for an expression that can never be evaluated."""
    _plan(expression)


@dataclass(frozen=True)
class _Plan:
    """What an expression needs; plain data that threads can share."""

    names: frozenset[str]
    states: frozenset[str] | None  # members of $states that it uses; None means all
    functions: frozenset[str]  # of Step Functions
    may_overflow: bool


@lru_cache(maxsize=16_384)
def _plan(expression: str) -> _Plan:
    problem = refused(expression) or _syntax(expression)
    if problem:
        raise QueryEvaluationError(expression, f"threw an error during evaluation. {problem}")
    names, members = frozenset(_NAME.findall(expression)), frozenset(_MEMBER.findall(expression))
    return _Plan(
        names=names,
        states=None if "" in members else members,
        functions=names & FUNCTIONS.keys(),
        may_overflow="/" in expression or "*" in expression or "$power" in expression,
    )


def _run(expression: str, text: str, plan: _Plan, bound: dict[str, Any]) -> Any:
    value, problem = _attempt(text, plan, bound)
    if problem:
        raise QueryEvaluationError(expression, f"threw an error during evaluation. {problem}")
    return value


def _attempt(text: str, plan: _Plan, bound: dict[str, Any]) -> tuple[Any, str]:
    """The value, or the problem. No object of the engine may outlive this call, not even in a traceback: it belongs to
    the thread that created it. Parsing takes microseconds, so nothing is cached.
    """
    limits = {"timeout": TIMEOUT_MS, "max_stack_depth": MAX_DEPTH, "max_sequence_length": MAX_SEQUENCE}
    try:
        compiled = jsonatapy.compile(text)
        for name in plan.functions - bound.keys():  # a variable hides a function of Step Functions
            (compiled.register_override if name in OVERRIDES else compiled.register)(name, FUNCTIONS[name])
        try:
            value = compiled.evaluate(None, bound, **limits)
        except OverflowError:
            value = compiled.evaluate(None, _as_doubles(bound), **limits)
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        return None, _words(problem)
    if plan.may_overflow and _beyond_json(value):
        return None, "D1001: Number out of range"
    return value, ""


def _syntax(text: str) -> str:
    try:
        jsonatapy.compile(text)
    except ValueError as problem:
        return _words(problem)
    return ""


def _beyond_json(value: Any) -> bool:
    """Whether the value is infinity or NaN, like 1/0."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return True
    return False


def _words(problem: Exception) -> str:
    """The message without the engine's own words before JSONata's `T2001: ...`."""
    text = str(problem)
    found = _CODE.search(text)
    if found:
        text = text[found.start() :]
        text = "T1006: Attempted to invoke a non-function" if text.startswith("T1006") else text  # AWS's wording
    elif text.startswith("host function raised "):
        text = text.partition(": ")[2]
    return text


def _as_doubles(value: Any) -> Any:
    """JSONata's numbers are doubles; the engine takes no larger integers."""
    if isinstance(value, Mapping):
        return {key: _as_doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_doubles(item) for item in value]
    if type(value) is int and value not in _INTEGERS:
        return float(value)
    return value
