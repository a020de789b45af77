"""Scans an expression's tokens: its variables, the members of `$states` it uses, and what Step Functions refuses.

The engine exposes no syntax tree, and these questions need none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<space>\s+|/\*.*?\*/)
      |(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      |(?P<variable>\$\$|\$\w*)
      |(?P<word>\d+\.\d+|\w+)
      |(?P<operator>\?\?|\?:|:=|~>|\.\.|.)""",
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|[^/\\\n])+/[a-z]*")
_NAME = re.compile(r"\$(\w+)")
_MEMBER = re.compile(r"\$states\b(?:\.(\w+))?")
_NEEDS_A_SCAN = re.compile(r"\$(?!\w)|\$eval\b|\?\?|\?:|:=")
_OPERATORS = ("and", "or", "in")
_OPEN = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class Found:
    names: frozenset[str]  # of variables and functions; may include text from a string
    assigned: frozenset[str]  # by `:=`
    members_of_states: frozenset[str] | None  # None means all
    problem: str


@dataclass
class _Nesting:
    """The scan's position: whether `$` means an item there, and what came before."""

    inside: list[bool] = field(default_factory=lambda: [False])
    parameters: list[bool] = field(default_factory=list)  # for each open bracket: are they those of a function?
    before: str = ""
    value: bool = False  # does a value end with the last token, so that `/` divides and `[` filters?
    step: bool = False  # did that value follow a dot?
    body: bool = False  # did a function's parameters just end?


def survey(expression: str) -> Found:
    names, members = frozenset(_NAME.findall(expression)), frozenset(_MEMBER.findall(expression))
    assigned, problem = _scan(expression) if _NEEDS_A_SCAN.search(expression) else (set(), "")
    return Found(names, frozenset(assigned), None if "" in members else members, problem)


def _scan(expression: str) -> tuple[set[str], str]:
    """The variables that the expression assigns, and its problem; twenty times as slow as the rest."""
    problem, tokens, nesting = "", list(_tokens(expression)), _Nesting()
    for kind, token in tokens:
        problem = problem or _problem(kind, token, nesting)
        _move(kind, token, nesting)
    assigned = {token[1:] for (_, token), (_, following) in pairwise(tokens) if following == ":="}
    return assigned, problem


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    position, value = 0, False
    while position < len(expression):
        regex = _REGEX.match(expression, position) if not value and expression[position] == "/" else None
        comment = expression.startswith("/*", position)
        if regex and not comment:
            position, value = regex.end(), True
            yield "text", regex[0]
            continue
        found = _TOKEN.match(expression, position)
        assert found is not None, "the last alternative takes any character"
        position = found.end()
        kind, token = str(found.lastgroup), found[0]
        if kind == "space":
            continue
        value = token in _OPEN or (kind != "operator" and token not in _OPERATORS)
        yield kind, token


def _problem(kind: str, token: str, nesting: _Nesting) -> str:
    if kind == "variable" and token in ("$", "$$") and not nesting.inside[-1] and nesting.before != ".":
        return f"{token} cannot be used at the top level of an expression."
    if token == "$eval":
        return "T1006: Attempted to invoke a non-function"
    if token in ("??", "?:"):  # came with JSONata 2.1; Step Functions has 2.0.6
        return f"S0204: Unknown operator: {token}"
    return ""


def _move(kind: str, token: str, nesting: _Nesting) -> None:
    """Track whether `$` is the item: inside a filter, a step in brackets, a grouping or an ordering."""
    before, value = nesting.before, nesting.value
    body, nesting.body = nesting.body, False
    if token in ("(", "[", "{") and kind == "operator":
        item = (
            before in (".", "^") or (value and token != "(" and not body) or (token == "(" and value and nesting.step)
        )
        nesting.inside.append(nesting.inside[-1] or item)
        nesting.parameters.append(token == "(" and before in ("function", "λ"))
    elif token in _OPEN and kind == "operator" and nesting.parameters:
        nesting.inside.pop()
        nesting.body = nesting.parameters.pop()
    nesting.step = before == "."
    nesting.before = token if kind != "text" else "text"
    nesting.value = (kind == "operator" and token in _OPEN) or (kind != "operator" and token not in _OPERATORS)
