"""Explains YAML syntax errors in our own words, because libyaml's and PyYAML's messages name parser states."""

from __future__ import annotations

import re
from typing import Any

from stepgluon.config.nodes import START
from stepgluon.errors import Place, found

_MESSAGES = {  # the parser's message -> our message with the fix; the first match wins
    "undefined tag handle": "tags are not allowed (a text that begins with ! needs quotes)",
    "mapping values are not allowed": "a colon stands where no key can be "
    "(a text with ': ' needs quotes; else check the indentation)",
    "could not find expected ':'": "this line has no colon after its key (write key: value)",
    "block sequence entries|sequence entries are not": "a list cannot begin here (put each '- item' on its own line)",
    "expected ',' or '[]}]'": "this [ or {{ is not closed, or lacks a , (a text with {{ or [ needs quotes)",
    "cannot start any token": "no value can begin with {char} (put the text in quotes)",
    "unknown escape": "in double quotes \\ begins an escape, and this one does not exist (use single quotes, or \\\\)",
    "escape": "this escape stands for no character (use single quotes, or \\\\)",
    "alphabetic or numeric": "no name stands after this * or & (a text that begins with * or & needs quotes)",
    "incompatible YAML": "the %YAML line names a version other than 1.1 or 1.2 (remove it)",
    "<document start>": "nothing more is expected here (one closing bracket or ... too many)",
    "expected '-' indicator": "this does not fit the list above "
    "(items begin with '- ' in one column, and their keys in one)",
    "comment or line break|chomping or indentation": "text stands after | or > (begin it on the next line)",
    "node content": "a value is expected here (a text that begins with , ] }} ? or : needs quotes; close what is open)",
    "expected key|<block end>": "this does not fit the lines above "
    "(keys of one mapping begin in one column; close quotes; no text after them)",
}


def explain(problem: str, context: str, marks: tuple[Any, Any], lines: list[str]) -> tuple[Place, str]:
    """The position and our message for a parser error; `marks` are those of the problem and its context."""
    at, began = marks
    at = at or began
    if at is None:
        return START, "the file is not YAML (save it as plain text)"
    line = lines[at.line] if at.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[at.column : at.column + 1] == "\t":
        return _place(at), "a tab is used as indentation (YAML wants spaces: replace the tab)"
    if began is not None and "quoted" in context and "escape" not in problem:
        return _place(began), "this quote is never closed (close it, or write '' for a quote in quotes)"
    if line[max(at.column - 1, 0) : at.column + 1] == "${":
        message = "a variable in [] or {} needs quotes (quote it, or put it on a line of its own)"
        return Place(at.line + 1, at.column), message
    place = _place(began if began is not None and "flow" in context and "expected ','" in problem else at)
    for pattern, message in _MESSAGES.items():
        if re.search(pattern, problem):
            return place, message.format(char=found(line[at.column : at.column + 1]))
    return place, "this is not YAML (check the indentation, quotes and brackets here and in the line above)"


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
