"""Checks a definition's JSONata without evaluating it: syntax, and the names of functions and variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from localaws.stepfunctions import jsonata
from stepgluon.selfcheck.report import Report, did_you_mean, is_expression
from stepgluon.selfcheck.scopes import Scope, State

LONGEST_NAME = 80  # https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
BUILTINS = frozenset(
    re.findall(
        r"\w+",
        """abs append assert average base64decode base64encode boolean ceil contains count decodeUrl decodeUrlComponent
        distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase formatInteger formatNumber
        fromMillis hash join keys length lookup lowercase map match max merge millis min not now number pad parse
        parseInteger partition power random range reduce replace reverse round shuffle sift single sort split spread
        sqrt string substring substringAfter substringBefore sum toMillis trim type uppercase uuid zip""",
    )
)
# Strings, comments, regular expressions (after an operator: elsewhere / divides), variables with their paths.
_TOKEN = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|/\*.*?\*/|(?<=[(,=\[{?:&|>;])\s*/(?:\\.|[^/\\])+/[im]*"""
    r"""|(?:\bfunction|λ)\s*\((?P<parameters>[^)]*)\)"""
    r"""|\$(?P<name>\w+)(?P<path>(?:\s*\.\s*\w+)*)\s*(?P<after>\(|:=)?""",
    re.DOTALL,
)
# A text that reads like an expression: JSONPath, variables, an intrinsic function of JSONPath.
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
    read, called, bound, states = set[str](), set[str](), set(BUILTINS), []
    for token in _TOKEN.finditer(text):
        bound.update(re.findall(r"\$(\w+)", token["parameters"] or ""))
        name, path = token["name"], token["path"]
        if name == "states":
            states.append(tuple(re.findall(r"\w+", path)))
        elif name and token["after"] == ":=":
            bound.add(name)
        elif name:  # a function may be passed by name: $map($list, $uppercase)
            (called if token["after"] == "(" and not path else read).add(name)
    return Names(frozenset(read - bound), frozenset(called - bound), tuple(dict.fromkeys(states)))


def inside(text: str) -> str:
    return text[2:-2].strip()


def leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Everything in a field's value but lists and objects, with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{place}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{place}[{number}]")
    else:
        yield place, value


def own(state: State) -> dict[str, Any]:
    """The state without the states inside it."""
    return {key: value for key, value in state.items() if key not in ("Branches", "ItemProcessor", "Comment")}


def check(root: Scope, report: Report) -> None:
    known = frozenset[str]().union(*(scope.assigned for scope in root.every()))
    for scope in root.every():
        _assignments(scope, report)
        for name in scope.reached:
            for place, value in leaves(own(scope.states[name]), ""):
                problems = [
                    *_problems(place[1:], value, known),
                    *_misplaced(scope.states[name]["Type"], place[1:], value),
                ]
                for code, message in problems:
                    report.add(code, name, f"{place[1:]}: {message}")


def _assignments(scope: Scope, report: Report) -> None:
    around, outside = scope, dict[str, str]()
    while around.outer is not None and not around.distributed:
        around = around.outer
        outside |= around.assigned
    for variable, name in scope.assigned.items():
        if variable in outside:
            message = f"Assign sets ${variable}, which {outside[variable]} outside sets; a branch cannot change it"
            report.add("variable-outer", name, message)
        if not variable.isidentifier() or variable == "states" or len(variable) > LONGEST_NAME:
            expected = f"at most {LONGEST_NAME} letters, digits and _"
            report.add("variable-name", name, f"Assign sets {variable!r}, which is not a variable's name ({expected})")


def _problems(place: str, text: Any, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    if re.search(r"\.\$($|[.\[])", place):
        yield "jsonpath", "a key that ends with .$ belongs to JSONPath; leave .$ out, and write {% ... %} as its value"
    elif not is_expression(text):
        if not isinstance(text, str):
            return
        if text.startswith("{%") != text.endswith("%}"):
            yield "expression-braces", "it must begin with {% and end with %}, or with neither"
        elif _FORGOTTEN.fullmatch(text) and not any(part in place for part in _OWN_TEXT):
            yield "forgotten-braces", f"{text[:60]!r} is plain text; write {{% ... %}} around an expression"
    else:
        found = names(inside(text))
        for function in sorted(found.functions - known):
            hint = "; use $parse for JSON" if function == "eval" else did_you_mean(function, BUILTINS)
            yield "expression-function", f"it calls ${function}, which does not exist{hint}"
        for variable in sorted(found.variables - known):
            yield "variable-undefined", f"it reads ${variable}, which no state assigns{did_you_mean(variable, known)}"
        if not found.functions - known and (problem := syntax_problem(inside(text))):
            yield "expression-syntax", problem + (_NAME_IT if "top level" in problem else "")


def _misplaced(kind: str, place: str, text: Any) -> Iterator[tuple[str, str]]:
    """Results and errors exist only where a state ends; a rehearsal would not visit every Catch that reads them."""
    if is_expression(text):
        there = {
            "result": kind in ("Task", "Parallel", "Map") and place.startswith(("Assign", "Output")),
            "errorOutput": place.startswith("Catch"),
        }
        for path in names(inside(text)).states:
            if path and not there.get(path[0], True):
                yield "states-part", f"it reads $states.{'.'.join(path)}, which does not exist there"


def syntax_problem(text: str) -> str:
    """Why an expression can never be evaluated; empty if it can."""
    try:
        jsonata.check(text)
    except jsonata.QueryEvaluationError as error:
        return error.problem.partition("evaluation. ")[2]
    return ""


def unassigned(scope: Scope, variable: str) -> tuple[str, str]:
    """Why a variable that some state assigns has no value in a scope: the finding's code, and the words."""
    around, border = scope, ""
    while variable not in around.assigned:
        if around.outer is None:
            inside = next(one.owner for one in around.every() if variable in one.assigned)
            return "variable-inside", f"which exists only inside {inside}; hand it out by Output"
        border, around = border or (around.owner if around.distributed else ""), around.outer
    if border:
        return "variable-distributed", f"which the items of {border}, a Distributed Map, do not see; use ItemSelector"
    return "variable-unassigned", "which is not assigned on this way"
