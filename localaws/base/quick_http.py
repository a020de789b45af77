"""The heads of HTTP/1.1 messages as nearly all clients and servers write them, read in a tenth of the time that
Python's own module takes for them. All others are left unread, for that module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BufferedReader

_FIRST = re.compile(r"(.+ )?HTTP/1\.1( .*)?")
_HEADER = re.compile(r"([A-Za-z0-9-]+):[ \t]*([^\r\n\0]*)")
_LINE_ENDS = dict.fromkeys(map(ord, "\r\n\0"), " ")

Head = tuple[str, dict[str, str]]
"""The first line, and the headers with their names in lower case."""


def read_head(source: BufferedReader, most: int) -> Head | None:
    """The next message's head, if it arrived at once, is a usual one, and its body has at most so many bytes.

    Otherwise nothing is read.
    """
    found, end, _ = source.peek().partition(b"\r\n\r\n")
    first, *lines = found.decode("latin-1").split("\r\n")
    matches = [_HEADER.fullmatch(line) for line in lines]
    headers = {match[1].lower(): match[2].rstrip(" \t") for match in matches if match}
    if not end or not _FIRST.fullmatch(first) or len(headers) < len(lines):  # a name that is there twice, too
        return None
    size = headers.get("content-length", "")
    if not size.isdecimal() or int(size) > most or headers.keys() & {"transfer-encoding", "expect"}:
        return None
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    source.read(len(found) + len(end))
    return first, headers


def message(first: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    head = "".join(f"{name}: {value.translate(_LINE_ENDS)}\r\n" for name, value in headers)
    return f"{first}\r\n{head}\r\n".encode("latin-1") + body
