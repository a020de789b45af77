"""Lays out a scope and the scopes inside it: inner ones first, since they determine the size of their state."""

from __future__ import annotations

from stepgluon.graph.boxes import Layout
from stepgluon.graph.drawing import Drawing, Sized
from stepgluon.graph.model import Scope, State
from stepgluon.graph.text import CAPTION_SIZE, NAME_SIZE, clean, width, wrap

PADDING = 10.0
ICON = 28.0
TEXT_LEFT = PADDING + ICON + 8  # where a state's text begins
WIDTHS = (192.0, 224.0)  # a few widths look calmer than one per name
SMALL_LEFT, SMALL_LIMIT = 14.0, 160.0  # where the text of a small box begins, and how wide it may be
HEADER = 50.0  # of a Parallel or Map, above its branches
INSET = 16.0
CARD = 5.0  # offset between the cards of a stack


def lay_out(scope: Scope, top: bool = True) -> Layout:
    """Lay out the scope; at the top, start and end are labelled circles, in a branch they are dots."""
    sized = {state.id: _sized(state, top, scope.across) for state in scope.states}
    if not scope.across:
        return Drawing(scope, sized).layout()
    for id, size in sized.items():
        inside = tuple(layout.turned() for layout in size.inside)
        sized[id] = Sized(size.height, size.width, size.lines, inside, size.small)
    return Drawing(scope, sized).layout().turned()


def _sized(state: State, top: bool, across: bool) -> Sized:
    if state.type in ("Start", "End"):
        return Sized(48, 48, (state.name,)) if top else Sized(8, 8, ())
    name = clean(state.name)
    if across and not state.branches:
        lines = wrap(name, NAME_SIZE, SMALL_LIMIT, 1)
        return Sized(SMALL_LEFT + width(lines[0], NAME_SIZE) + PADDING, 32, lines, small=True)
    inside = tuple(lay_out(branch, top=False) for branch in state.branches)
    room = sum(layout.width for layout in inside) + INSET * (len(inside) + 1)
    text = max(width(state.caption, CAPTION_SIZE), min(width(name, NAME_SIZE), WIDTHS[-1] - TEXT_LEFT - PADDING))
    wanted = max(TEXT_LEFT + text + PADDING, room if inside else 0)
    wide = next((fixed for fixed in WIDTHS if fixed >= wanted), 2.0 * round(wanted / 2 + 0.5))
    lines = wrap(name, NAME_SIZE, wide - TEXT_LEFT - PADDING, 1 if inside else 2)
    if not inside:
        return Sized(wide, 48 if len(lines) < 2 else 62, lines)
    x, placed = INSET + (wide - room) / 2, []
    for layout in inside:
        placed.append(layout.moved(round(x), HEADER, state.id))
        x += layout.width + INSET
    high = HEADER + max(layout.height for layout in inside) + INSET
    return Sized(wide + CARD * state.cards, high + CARD * state.cards, lines, tuple(placed))
