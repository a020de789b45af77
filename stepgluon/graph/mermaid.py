"""A scope as a Mermaid flowchart, for a README or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepgluon.graph.drawing import label_of
from stepgluon.graph.model import Scope, State
from stepgluon.graph.text import clean

_SHAPES = {
    "Choice": ('{"', '"}'),
    "Start": ("((", "))"),
    "End": ("((", "))"),
    "Succeed": ('(["', '"])'),
    "Fail": ('(["', '"])'),
}


def draw(scope: Scope) -> str:
    """The flowchart's text, without the fence of a Markdown file."""
    return "\n".join(["flowchart TD", *_scope(scope, {}, "  ")]) + "\n"


def _scope(scope: Scope, ids: dict[str, str], indent: str) -> Iterator[str]:
    for state in scope.states:
        # Ids are numbers, because words like `end` are reserved in Mermaid.
        id = ids.setdefault(state.id, f"s{len(ids)}")
        if state.branches:
            yield f'{indent}subgraph {id}["{_label(state)}"]'
            yield f"{indent}  direction LR"
            for branch in state.branches:
                yield from _scope(branch, ids, indent + "  ")
            yield f"{indent}end"
        else:
            start, end = _SHAPES.get(state.type, ('["', '"]'))
            yield f"{indent}{id}{start}{_label(state)}{end}"
    for edge in scope.edges:
        arrow = "-.->" if edge.kind == "catch" else "-->"
        if label := label_of(edge):
            arrow += f'|"{_text(label)}"|'
        yield f"{indent}{ids[edge.source]} {arrow} {ids[edge.target]}"


def _label(state: State) -> str:
    return _text(f"{state.name} ({state.caption})" if state.items else state.name)


def _text(text: str) -> str:
    """Escape with Mermaid's own codes (#60; for <), because a label is HTML and Markdown inside quotes."""
    coded = re.sub(r"[^\w\s.,:?=()…'-]|^\d+\.", lambda found: "".join(f"#{ord(c)};" for c in found[0]), clean(text))
    return re.sub(r"^([-+])", lambda found: f"#{ord(found[0])};", coded)
