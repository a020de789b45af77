"""A scope as text for a terminal: a line for each state, with inner states indented."""

from __future__ import annotations

from collections.abc import Iterator

from stepgluon.graph.model import Scope
from stepgluon.graph.text import clean


def draw(scope: Scope) -> str:
    lines = list(_lines(scope, ""))
    column = max(len(name) for name, _ in lines) + 2
    return "".join(f"{name:{column}}{rest}".rstrip() + "\n" for name, rest in lines)


def _lines(scope: Scope, indent: str) -> Iterator[tuple[str, str]]:
    """Names and captions, with an arrow if a state leads anywhere but to the next line."""
    states = [state for state in scope.states if state.type not in ("Start", "End")]
    names = {state.id: clean(state.name) for state in states}
    for number, state in enumerate(states):
        following = [following.id for following in states[number + 1 : number + 2]]
        ways = dict.fromkeys(edge.target for edge in scope.edges if edge.source == state.id)
        arrow = f"-> {', '.join(names.get(way, 'end') for way in ways)}" if ways and [*ways] != following else ""
        yield indent + names[state.id], "  ".join(filter(None, (clean(state.caption), arrow)))
        for branch in state.branches:
            yield from _lines(branch, indent + "  ")
