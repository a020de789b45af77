"""A scope and all scopes inside become one layout: inner ones first, since they decide how large their state is."""

from __future__ import annotations

from stepgluon.graph.boxes import Layout
from stepgluon.graph.drawing import Drawing, Sized
from stepgluon.graph.model import Scope, State
from stepgluon.graph.text import CAPTION_SIZE, NAME_SIZE, clean, width, wrap

PADDING = 10.0
ICON = 28.0
TEXT_LEFT = PADDING + ICON + 8  # where a state's text begins
WIDTHS = (128.0, 160.0, 192.0, 224.0)  # few widths look calmer than one for each name
HEADER = 48.0  # of a Parallel or Map, above its branches
INSET = 16.0


def lay_out(scope: Scope, top: bool = True) -> Layout:
    """Where everything stands; top: start and end are circles with words, in a branch they are dots."""
    return Drawing(scope, {state.id: _sized(state, top) for state in scope.states}).layout()


def _sized(state: State, top: bool) -> Sized:
    if state.type in ("Start", "End"):
        return Sized(48, 48, (state.name,)) if top else Sized(8, 8, ())
    name = clean(state.name)
    inside = tuple(lay_out(branch, top=False) for branch in state.branches)
    across = sum(layout.width for layout in inside) + INSET * (len(inside) + 1)
    text = max(width(state.caption, CAPTION_SIZE), min(width(name, NAME_SIZE), WIDTHS[-1] - TEXT_LEFT - PADDING))
    wanted = max(TEXT_LEFT + text + PADDING, across if inside else 0)
    wide = next((fixed for fixed in WIDTHS if fixed >= wanted), 2.0 * round(wanted / 2 + 0.5))
    lines = wrap(name, NAME_SIZE, wide - TEXT_LEFT - PADDING, 1 if inside else 2)
    if not inside:
        return Sized(wide, 48 if len(lines) < 2 else 62, lines)
    room, placed = INSET + (wide - across) / 2, []
    for layout in inside:
        placed.append(layout.moved(round(room), HEADER, state.id))
        room += layout.width + INSET
    return Sized(wide, HEADER + max(layout.height for layout in inside) + INSET, lines, tuple(placed))
