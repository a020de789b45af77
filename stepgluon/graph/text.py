"""Fits text: estimates widths without a browser, shortens lines, and removes characters that break a format."""

from __future__ import annotations

import re

from stepgluon.figures import cells

NAME_SIZE, CAPTION_SIZE, LABEL_SIZE = 13.0, 11.0, 11.0

# Widths in thousandths of the font size: the averages of Helvetica, Segoe UI and Roboto. SLACK covers wider system
# fonts, measured with the widest in common use (DejaVu Sans).
_GROUPS = {
    230: "ijlI.,:;'|!`",
    310: 'ftr()[]{}-/\\ "',
    390: "*^",
    510: "sckvxyzJ",
    560: "abdeghnopqu0123456789_?$L",
    610: "FTESZXYP+=<>~#",
    680: "ABKVRCUHND&",
    760: "GOQw%",
    880: "mM@W…",
}
_WIDTHS = {character: width for width, characters in _GROUPS.items() for character in characters}
SLACK = 1.13

# Not allowed in XML, or able to reverse the text around them: controls, surrogates and bidirectional marks.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """The text on one line, without characters that XML does not allow."""
    return _HARMFUL.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"[\t\r\n]+", " ", text))


def width(text: str, size: float) -> float:
    """The approximate width of the text, rather too wide than too narrow."""
    return sum(_width(character) for character in text) * size * SLACK / 1000


def _width(character: str) -> int:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if not (taken := cells(character)):
        return 0
    if taken == 2 or ord(character) > 0xFFFF:
        return 1250  # emoji are wider than their square in some fonts
    return 700


def shorten(text: str, size: float, limit: float) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    if _fitting(text, size, limit) == len(text):
        return text
    return text[: _fitting(text, size, limit - width("…", size))].rstrip() + "…"


def _fitting(text: str, size: float, limit: float) -> int:
    """How many characters of the text fit."""
    used = 0.0
    for count, character in enumerate(text):
        used += width(character, size)
        if used > limit:
            return count
    return len(text)


def wrap(text: str, size: float, limit: float, lines: int) -> tuple[str, ...]:
    """The text in at most this many lines, broken between words if possible."""
    words = text.split(" ")
    done: list[str] = []
    while words and len(done) < lines - 1:
        count = len(words)
        while count > 1 and width(" ".join(words[:count]), size) > limit:
            count -= 1
        line = " ".join(words[:count])
        if width(line, size) > limit:  # a single word that is too long
            end = max(1, _fitting(line, size, limit))
            done.append(line[:end])
            words[:1] = [line[end:]]
        else:
            done.append(line)
            words = words[count:]
    if words:
        done.append(shorten(" ".join(words), size, limit))
    return tuple(done)
