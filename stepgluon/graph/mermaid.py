"""A scope as a Mermaid flowchart, compact enough for a README."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

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
            yield from (inner for inner in _all(branch) if inner.type not in ("Start", "End"))


def _name(scope: Scope, ids: dict[str, str]) -> None:
    """Ids that can be read: the words of the state's name, with a number where two states' are the same."""
    taken: set[str] = set()
    for state in _all(scope):
        plain = re.sub(r"[^A-Za-z0-9]+", "_", state.name).strip("_")[:40] or "state"
        plain = f"{plain}_" if plain.lower() in _RESERVED else plain
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.lower())
        ids[state.id] = name


def _scope(scope: Scope, ids: dict[str, str], indent: str, inside: bool) -> Iterator[str]:
    states = {state.id: state for state in scope.states if not (inside and state.type in ("Start", "End"))}
    written = set()
    for state in states.values():
        if state.branches:
            written.add(state.id)
            yield f'{indent}subgraph {ids[state.id]}["{_text(state.name)}"]'
            # Branches that run from left to right stand one below the other: three fit the width of a README.
            yield f"{indent}  direction LR"
            for branch in state.branches:
                yield from _scope(branch, ids, indent + "  ", inside=True)
            yield f"{indent}end"

    def node(state: str) -> str:
        """The state's id; where it is written first, with its name."""
        if state in written:
            return ids[state]
        written.add(state)
        start, end = _SHAPES.get(states[state].type, ('["', '"]'))
        return f"{ids[state]}{start}{_text(states[state].name)}{end}"

    for sources, arrow, target in _bundled(scope, states):
        yield f"{indent}{' & '.join(node(source) for source in sources)} {arrow} {node(target)}"
    yield from (f"{indent}{node(state)}" for state in states if state not in written)


def _bundled(scope: Scope, states: Container[str]) -> Iterator[tuple[list[str], str, str]]:
    """The edges; those of one kind to one state in one line, where the first of them stands."""
    bundles: dict[tuple[str, str], list[str]] = {}
    for edge in scope.edges:
        if edge.source in states and edge.target in states:
            arrow = "-.->" if edge.kind == "catch" else "-->"
            if label := label_of(edge):
                arrow += f'|"{_text(label)}"|'
            bundles.setdefault((arrow, edge.target), []).append(edge.source)
    for (arrow, target), sources in bundles.items():
        yield sources, arrow, target


def _text(text: str) -> str:
    """Mermaid has its own codes (#60; for <), since a label is HTML and Markdown inside quotes."""
    coded = re.sub(r"[^\w\s.,:?=()…'-]|^\d+\.", lambda found: "".join(f"#{ord(c)};" for c in found[0]), clean(text))
    return re.sub(r"^([-+])", lambda found: f"#{ord(found[0])};", coded)
