"""Builds HTML and SVG, and formats numbers. `tag` escapes every text that is not markup already."""

from __future__ import annotations

import math
import re
from html import escape
from typing import Any

# Control characters, halves of surrogate pairs, and marks that reverse the direction of the text after them.
INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_EMPTY = ("br", "line", "rect", "path", "circle")


class Markup(str):
    """A text that is HTML already."""


def tag(name: str, *content: Any, **attributes: Any) -> Markup:
    """An element. A trailing _ of an attribute is dropped, other ones become -; None drops an attribute or a child."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{joined(content)}</{name}>")


def joined(content: Any) -> Markup:
    """The parts one after the other, lists flattened."""
    if isinstance(content, (list, tuple)) or (hasattr(content, "__iter__") and not isinstance(content, str)):
        return Markup("".join(joined(part) for part in content))
    if isinstance(content, Markup):
        return content
    return Markup("" if content is None else text(content))


def text(value: Any) -> str:
    return escape(INVISIBLE.sub(lambda found: " " if found[0] in "\t\n\r" else "\ufffd", str(value)))


def short(value: Any, length: int = 40) -> str:
    words = str(value)
    return words if len(words) <= length else f"{words[: length - 1]}…"


def number(value: Any, digits: int = 3) -> str:
    """Three significant digits, but all digits before the decimal point: 274, 0.0123, 12,346. A dash for no number."""
    if finite(value) is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1e9 or abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{places}f}" if abs(value) >= 10_000 else f"{value:.{places}f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown).replace("-", "−")


def finite(value: Any) -> float | None:
    """The value if it is a finite number, else None: the tables may be of an edited job."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if fits else None


def percent(part: float, whole: float) -> str:
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return "< 1 %"
    return "> 99 %" if 99 < share < 100 else f"{share:.0f} %"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
