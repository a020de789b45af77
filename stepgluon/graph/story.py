"""The story of a definition: one box for each stage, and the steps of one representative model.

Plumbing is left out: states that only pass data on, read or write S3 without a decision, or retry, and errors that lead
where the run continues anyway. Everything is derived from the definition, so changing pipeline.py changes the story.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stepgluon.graph import words
from stepgluon.graph.model import Edge, Scope, State, read

_ENDS = ("Succeed", "Fail", "Pass")  # a Pass that is not plumbing ends its scope


def tell(definition: Mapping[str, Any]) -> Scope:
    return _shortened(read(definition, alike=0), "", across=False)


def _shortened(scope: Scope, item: str, across: bool) -> Scope:
    place = {state.id: number for number, state in enumerate(scope.states)}
    ahead: dict[str, list[Edge]] = defaultdict(list)
    for edge in scope.edges:
        if place[edge.source] < place[edge.target]:  # a way back is only a retry
            ahead[edge.source].append(edge)
    shown = {state.id: state for state in scope.states if not _is_plumbing(state, ahead[state.id])}
    if all(state.type in ("Start", "End") for state in shown.values()):
        shown = {state.id: state for state in scope.states}  # nothing but plumbing
    edges: dict[tuple[str, str], Edge] = {}
    for state in shown.values():
        for target, catch in _beyond(state.id, ahead, shown) if state.type not in _ENDS else ():
            kept = edges.get((state.id, target))
            if kept is None or kept.kind == "catch":
                edges[state.id, target] = Edge(state.id, target, "catch" if catch else "next")
    sure = {pair for pair, edge in edges.items() if edge.kind != "catch"}
    # Only a failure that leads to another outcome belongs to the story, and it is not drawn as a failure.
    story = [replace(edge, kind="next") for pair, edge in edges.items() if pair in sure or not _leads(pair, sure)]
    linked = {id for edge in story for id in (edge.source, edge.target)}
    states = [
        _named(state, item) for state in shown.values() if state.id in linked or state.type not in ("Start", "End")
    ]
    return Scope(tuple(states), tuple(story), across)


def _is_plumbing(state: State, ahead: list[Edge]) -> bool:
    targets = {edge.target for edge in ahead}
    if state.type == "Pass":
        return any(edge.kind != "end" for edge in ahead)
    if state.type == "Choice":
        return len(targets) < 2
    # A read that may find nothing counts as a decision.
    return state.caption == "S3: PutObject" or (
        state.caption == "S3: GetObject" and not any(edge.kind == "catch" for edge in ahead)
    )


def _beyond(state: str, ahead: Mapping[str, list[Edge]], shown: Mapping[str, State]) -> dict[tuple[str, bool], None]:
    """The next displayed states, and whether only a failure leads to them."""
    found: dict[tuple[str, bool], None] = {}
    for edge in ahead[state]:
        catch = edge.kind == "catch"
        if edge.target in shown:
            found[edge.target, catch] = None
        else:
            found |= {(target, catch or later): None for target, later in _beyond(edge.target, ahead, shown)}
    return found


def _leads(pair: tuple[str, str], edges: set[tuple[str, str]]) -> bool:
    reached = {pair[0]}
    while new := {target for source, target in edges if source in reached} - reached:
        reached |= new
    return pair[1] in reached


def _named(state: State, item: str) -> State:
    inner = state.items[0] if state.items else item
    branches = tuple(_shortened(branch, inner, across=True) for branch in state.branches)
    name = state.name if state.type == "Stack" else words.without(item, state.name)
    return replace(state, name=name, caption=words.plain(state.caption), branches=branches)
