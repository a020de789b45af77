"""Scans an expression's tokens for what Step Functions refuses: the engine exposes no syntax tree."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<space>\s+|/\*.*?\*/)
      |(?P<value>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\$\$|\$\w*|\d+\.\d+|\w+)
      |(?P<operator>\?\?|\?:|:=|~>|\.\.|.)""",
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|[^/\\\n])+/[a-z]*")
_SUSPICIOUS = re.compile(r"\$(?!\w)|\$eval\b|\?\?|\?:")
_WORDS = ("and", "or", "in")


def refused(expression: str) -> str:
    """Why Step Functions refuses the expression; empty if it does not.

    `$` is the item inside a filter, a step in brackets, a grouping or an ordering; elsewhere it is refused.
    """
    if not _SUSPICIOUS.search(expression):
        return ""
    position, before = 0, ""
    inside, heads = [False], [False]  # for each open bracket: is `$` an item there? are they a function's parameters?
    value = step = body = False  # does a value end here? did it follow a dot? did a function's parameters end here?
    while position < len(expression):
        regex = None if value or expression.startswith("/*", position) else _REGEX.match(expression, position)
        found = regex or _TOKEN.match(expression, position)
        assert found is not None, "the last alternative takes any character"
        position, token = found.end(), found[0]
        kind = "value" if regex else str(found.lastgroup)
        if kind == "space":
            continue
        if token in ("$", "$$") and not inside[-1] and before != ".":
            return f"{token} cannot be used at the top level of an expression."
        if token == "$eval":
            return "T1006: Attempted to invoke a non-function"
        if token in ("??", "?:"):  # came with JSONata 2.1; Step Functions has 2.0.6
            return f"S0204: Unknown operator: {token}"
        after_parameters, body = body, False
        if token in ("(", "[", "{"):
            of_a_value = value and (step if token == "(" else not after_parameters)
            inside.append(inside[-1] or before in (".", "^") or of_a_value)
            heads.append(token == "(" and before in ("function", "λ"))
        elif token in (")", "]", "}") and len(heads) > 1:
            inside.pop()
            body = heads.pop()
        step, before = before == ".", token
        value = token in (")", "]", "}") or (kind == "value" and token not in _WORDS)
    return ""
