"""A scope as a Mermaid flowchart, compact enough for a README."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepgluon.graph.drawing import label_of
from stepgluon.graph.model import Scope, State
from stepgluon.graph.text import clean

# Words that Mermaid takes for its own where an id is meant.
_RESERVED = {
    "end",
    "graph",
    "subgraph",
    "flowchart",
    "direction",
    "class",
    "classdef",
    "click",
    "style",
    "linkstyle",
    "default",
}
_SHAPES = {
    "Choice": ('{"', '"}'),
    "Start": ("((", "))"),
    "End": ("((", "))"),
    "Succeed": ('(["', '"])'),
    "Fail": ('(["', '"])'),
}


def draw(scope: Scope) -> str:
    """The flowchart's text, without the fence of a Markdown file."""
    ids: dict[str, str] = {}
    _name(scope, ids)
    lines = ["flowchart TD", *_scope(scope, ids, "  ", inside=False)]
    failing = [ids[state.id] for state in _all(scope) if state.failure or state.type == "Fail"]
    if failing:
        lines += ["  classDef failure stroke:#cc3d33,stroke-dasharray:4", f"  class {','.join(failing)} failure"]
    return "\n".join(lines) + "\n"


def _all(scope: Scope) -> Iterator[State]:
    for state in scope.states:
        yield state
        for branch in state.branches:
            yield from _all(branch)


def _name(scope: Scope, ids: dict[str, str]) -> None:
    """Ids that can be read: the words of the state's name, with a number where two states' are the same."""
    taken: set[str] = set()
    for state in _all(scope):
        plain = re.sub(r"[^A-Za-z0-9]+", "_", state.name).strip("_")[:40] or "state"
        plain = f"{plain}_" if plain.lower() in _RESERVED or plain[0].isdigit() else plain
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.lower())
        ids[state.id] = name


def _scope(scope: Scope, ids: dict[str, str], indent: str, inside: bool) -> Iterator[str]:
    shown = [state for state in scope.states if not (inside and state.type in ("Start", "End"))]
    for state in shown:
        if state.branches:
            yield f'{indent}subgraph {ids[state.id]}["{_text(state.name)}"]'
            for branch in state.branches:
                yield from _scope(branch, ids, indent + "  ", inside=True)
            yield f"{indent}end"
        else:
            start, end = _SHAPES.get(state.type, ('["', '"]'))
            yield f"{indent}{ids[state.id]}{start}{_text(state.name)}{end}"
    known = {state.id for state in shown}
    for edge in scope.edges:
        if edge.source in known and edge.target in known:
            arrow = "-.->" if edge.failure else "-->"
            label = f'|"{_text(label_of(edge))}"|' if label_of(edge) else ""
            yield f"{indent}{ids[edge.source]} {arrow}{label} {ids[edge.target]}"


def _text(text: str) -> str:
    """Mermaid has its own codes (#60; for <), since a label is HTML and Markdown inside quotes."""
    coded = re.sub(r"[^\w\s.,:=()…'-]|^\d+\.", lambda found: "".join(f"#{ord(c)};" for c in found[0]), clean(text))
    return re.sub(r"^([-+])", lambda found: f"#{ord(found[0])};", coded)
