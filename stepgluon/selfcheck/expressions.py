"""Checks a definition's JSONata without evaluating it: syntax, function names, scope of $states and variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck import engine
from stepgluon.selfcheck.form import is_expression
from stepgluon.selfcheck.report import Report, did_you_mean
from stepgluon.selfcheck.scopes import Scope, State

LONGEST_NAME = 80  # https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
_BUILTINS = """abs append assert average base64decode base64encode boolean ceil contains count decodeUrl
decodeUrlComponent distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase formatInteger
formatNumber fromMillis hash join keys length lookup lowercase map match max merge millis min not now number pad parse
parseInteger partition power random range reduce replace reverse round shuffle sift single sort split spread sqrt string
substring substringAfter substringBefore sum toMillis trim type uppercase uuid zip"""
BUILTINS = frozenset(re.findall(r"\w+", _BUILTINS))
STATES = ("context", "errorOutput", "input", "result")
_CONTEXT = {
    "Execution": {"Id", "Input", "Name", "RedriveCount", "RedriveTime", "RoleArn", "StartTime"},
    "State": {"EnteredTime", "Name", "RetryCount"},
    "StateMachine": {"Id", "Name"},
    "Task": {"Token"},
    "Map": {"Item"},
}
# Strings, comments, regular expressions (after an operator: elsewhere / divides), variables with their paths.
_TOKEN = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|(?<=[(,=\[{?:&|>;])\s*/(?:\\.|[^/\\])+/[im]*"""
    r"""|\bfunction\s*\((?P<parameters>[^)]*)\)|λ\s*\((?P<lambda>[^)]*)\)"""
    r"""|\$(?P<name>\$|\w*)(?P<path>(?:\s*\.\s*\w+)*)\s*(?P<after>\(|:=)?""",
    re.DOTALL,
)
_FORGOTTEN = re.compile(r"\$\$?\.[\w.$\[\]*]+|\$states\b.*|\$[a-z]\w*(\.\w+)*|States\.\w+\(.*\)", re.DOTALL)
_NAME_IT = " Read $states.input, or name the item: $map($list, function($item) {...})"
_OWN_TEXT = (".Environment", ".Tags", ".HyperParameters")  # the user's variables and tags may contain anything


@dataclass(frozen=True)
class Names:
    """The names in an expression."""

    variables: frozenset[str]
    functions: frozenset[str]
    states: tuple[tuple[str, ...], ...]  # each path below $states


@lru_cache(maxsize=16384)
def names(text: str) -> Names:
    read, called, bound, states = set(), set(), set(), []
    for token in _TOKEN.finditer(text):
        parameters = token["parameters"] or token["lambda"]
        if parameters:
            bound.update(re.findall(r"\$(\w+)", parameters))
        name = token["name"]
        if name is None:
            continue
        if name in ("", "$"):
            continue
        if token["after"] == ":=":
            bound.add(name)
        elif token["after"] == "(" and not token["path"]:
            called.add(name)
        elif name == "states":
            path = token["path"]
            states.append(tuple(re.findall(r"\w+", path)))
        else:
            read.add(name)
    # A function may be passed by name: $map($list, $uppercase).
    return Names(frozenset(read - bound - BUILTINS), frozenset(called - bound - BUILTINS), tuple(dict.fromkeys(states)))


def inside(text: str) -> str:
    return text[2:-2].strip()


def texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in a field's value, with its path."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, f"{place}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts(item, f"{place}[{number}]")


FIELDS = (
    *("Arguments", "Assign", "Output", "Items", "ItemSelector", "Seconds", "Timestamp", "Error", "Cause"),
    *("TimeoutSeconds", "HeartbeatSeconds", "MaxConcurrency", "ItemBatcher", "Credentials"),
    *("ToleratedFailureCount", "ToleratedFailurePercentage", "ItemReader", "ResultWriter"),
)


def fields(state: State) -> Iterator[tuple[str, Any, str]]:
    """Each field that may hold expressions: its path, its value, and the parts of $states that it may read."""
    answered = "result" if state["Type"] in ("Task", "Parallel", "Map") else ""
    for field in FIELDS:
        if field in state:
            yield field, state[field], answered if field in ("Assign", "Output") else ""
    for list_name, more in (("Choices", ""), ("Catch", "errorOutput")):
        for number, entry in enumerate(state.get(list_name, ())):
            for field in ("Condition", "Assign", "Output"):
                if field in entry:
                    yield f"{list_name}[{number}].{field}", entry[field], more


def assigned(scope: Scope) -> dict[str, str]:
    """The variables assigned in a scope, each with one of the assigning states."""
    found: dict[str, str] = {}
    for name, state in scope.states.items():
        for entry in (state, *state.get("Catch", ()), *state.get("Choices", ())):
            found.update(dict.fromkeys(entry.get("Assign", {}), name))
    return found


class Checker:
    """Checks every expression of a machine."""

    def __init__(self, root: Scope, report: Report) -> None:
        self._report = report
        self._assigned = {scope: assigned(scope) for scope in root.every()}
        self.undefined: set[tuple[str, str]] = set()  # reported states and variables
        self._scope(root, set())

    def _scope(self, scope: Scope, outer: set[str]) -> None:
        self._assignments(scope)
        before = _flow(scope, outer)
        for name in scope.reached:
            state = scope.states[name]
            for place, value, more in fields(state):
                self._keys(name, place, value)
                for where, text in texts(value, place):
                    self._text(scope, name, state, where, text, more, before[name])
            for inner in scope.inner.get(name, ()):
                self._scope(inner, set() if inner.distributed else before[name])

    def _assignments(self, scope: Scope) -> None:
        outer, around = scope.outer, {}
        visible = scope
        while outer is not None and not visible.distributed:
            around.update(self._assigned[outer])
            visible, outer = outer, outer.outer
        for variable, name in self._assigned[scope].items():
            if variable in around:
                message = f"Assign sets ${variable}, which {around[variable]} outside sets; a branch cannot change it"
                self._report.add("variable-outer", name, message)
            if not variable.isidentifier() or variable == "states":
                message = f"Assign sets {variable!r}, which is not a name for a variable (letters, digits and _)"
                self._report.add("variable-name", name, message)
            elif len(variable) > LONGEST_NAME:
                message = (
                    f"Assign sets a variable of {len(variable)} characters, and at most {LONGEST_NAME} are allowed"
                )
                self._report.add("variable-name", name, message)

    def _keys(self, name: str, place: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if str(key).endswith(".$"):
                    message = f'{place}.{key} belongs to JSONPath; write "{str(key)[:-2]}" and {{% ... %}} as its value'
                    self._report.add("jsonpath", name, message)
                self._keys(name, f"{place}.{key}", item)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                self._keys(name, f"{place}[{number}]", item)

    def _text(self, scope: Scope, name: str, state: State, place: str, text: str, more: str, known: set[str]) -> None:
        add = self._report.add
        if not is_expression(text):
            if text.startswith("{%") != text.endswith("%}"):
                add("expression-braces", name, f"{place} must begin with {{% and end with %}}, or with neither")
            elif _FORGOTTEN.fullmatch(text) and not any(own in place for own in _OWN_TEXT):
                message = f"{place} is the plain text {text[:60]!r}; write {{% ... %}} around an expression"
                add("forgotten-braces", name, message)
            return
        code = inside(text)
        problem = engine.problem(code)
        if problem:
            kind = "root" if "top level" in problem else "function" if problem.startswith("T1006") else "syntax"
            problem = "it calls $eval, which AWS does not have; use $parse for JSON" if kind == "function" else problem
            add(f"expression-{kind}", name, f"{place}: {problem}" + (_NAME_IT if kind == "root" else ""))
            return
        mentioned = names(code)
        for function in sorted(mentioned.functions - known):
            hint = did_you_mean(function, BUILTINS)
            add("expression-function", name, f"{place} calls ${function}, which does not exist{hint}")
        for path in mentioned.states:
            self._states(name, state, scope, place, path, more)
        for variable in sorted(mentioned.variables - known):
            self._undefined(scope, name, place, variable, known)

    def _states(self, name: str, state: State, scope: Scope, place: str, path: tuple[str, ...], more: str) -> None:
        add = self._report.add
        if not path:
            return
        first = path[0]
        if first not in STATES:
            add("states-path", name, f"{place} reads $states.{first}; $states has {', '.join(STATES)}")
        elif first in ("result", "errorOutput") and first != more:
            where = (
                "Assign and Output of a Task, Parallel or Map" if first == "result" else "Assign and Output of a Catch"
            )
            add(f"states-{first.lower()}", name, f"{place} reads $states.{first}, which exists only in {where}")
        elif first == "context" and len(path) > 1:
            part = path[1]
            if part not in _CONTEXT:
                hint = did_you_mean(part, _CONTEXT)
                add("context-path", name, f"{place} reads $states.context.{part}, which does not exist{hint}")
            elif len(path) > 2 and path[2] not in _CONTEXT[part]:
                hint = did_you_mean(path[2], _CONTEXT[part])
                add("context-path", name, f"{place} reads $states.context.{part}.{path[2]}, which does not exist{hint}")
            elif part == "Task" and not str(state.get("Resource", "")).endswith(".waitForTaskToken"):
                add("context-path", name, f"{place} reads a task token, which exists only with .waitForTaskToken")
            elif part == "Map" and not (scope.in_map or state["Type"] == "Map"):
                add("context-path", name, f"{place} reads $states.context.Map, which exists only in a Map")

    def _undefined(self, scope: Scope, name: str, place: str, variable: str, known: set[str]) -> None:
        self.undefined.add((name, variable))
        inner = [one for one in self._assigned if variable in self._assigned[one] and one is not scope]
        around, border = scope, None
        while around.outer is not None:
            border = around if around.distributed and border is None else border
            around = around.outer
            if variable in self._assigned[around] and border is not None:
                message = (
                    f"{place} reads ${variable} of the machine around {border.owner}; a Distributed Map's items do "
                )
                self._report.add("variable-distributed", name, message + "not see it: hand it in with ItemSelector")
                return
        if variable in self._assigned[scope]:
            message = f"{place} reads ${variable}, which is assigned only by {self._assigned[scope][variable]}, later"
            self._report.add("variable-undefined", name, message)
        elif inner and inner[0].owner:
            message = f"{place} reads ${variable}, which exists only inside {inner[0].owner}; hand it out by Output"
            self._report.add("variable-inside", name, message)
        else:
            hint = did_you_mean(variable, known)
            self._report.add("variable-undefined", name, f"{place} reads ${variable}, which no state assigns{hint}")


def _flow(scope: Scope, outer: set[str]) -> dict[str, set[str]]:
    """For each reachable state, the variables that may be assigned on a path to it."""
    before = {name: set(outer) for name in scope.reached}
    waiting = [scope.start]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        state, known = scope.states[name], before[name]
        for target, assign in _edges(state):
            new = known | assign.keys()
            if target not in seen or not new <= before[target]:
                before[target] |= new
                waiting.append(target)
    return before


def _edges(state: State) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield entry["Next"], entry.get("Assign", {})
    for field in ("Next", "Default"):
        if field in state:
            yield state[field], state.get("Assign", {})
