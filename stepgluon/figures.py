"""Durations and tables for the terminal and the pages."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from itertools import accumulate


def took(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def cells(text: str) -> int:
    """How wide a terminal shows the text: Chinese characters and emoji take two cells."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    if cells(text) <= width:
        return text
    return f"{text[: sum(end < width for end in accumulate(map(_cells, text)))]}…"


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: str = "") -> list[str]:
    """A line for each row; the columns whose places are in `right` are aligned to the right."""
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padding = [" " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)]
        both = enumerate(zip(row, padding, strict=True))
        lines.append("  ".join(pad + cell if place in right else cell + pad for place, (cell, pad) in both))
    return [f"{indent}{line}".rstrip() for line in lines]
