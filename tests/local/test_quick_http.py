"""Heads of HTTP messages: the usual ones are read, and all others stay for Python's own module."""

from __future__ import annotations

import io

import pytest

from localaws.base.quick_http import message, read_head

REQUEST = "POST /endpoints/e/invocations HTTP/1.1"
LENGTH = ("Content-Length", "3")


def read(first: str, *headers: tuple[str, str], most: int = 100) -> tuple[object, bytes]:
    source = io.BufferedReader(io.BytesIO(message(first, headers, b"abc")))  # type: ignore[arg-type]  # has the methods
    return read_head(source, most), source.read()


def test_a_usual_head_is_read_and_the_body_is_left() -> None:
    found, left = read(REQUEST, LENGTH, ("X-Amz-Date", " now "), ("Connection", "Keep-Alive"), ("Empty", ""))
    headers = {"content-length": "3", "x-amz-date": "now", "connection": "Keep-Alive", "empty": ""}
    assert (found, left) == ((REQUEST, headers), b"abc")
    assert read("HTTP/1.1 200 OK", LENGTH) == (("HTTP/1.1 200 OK", {"content-length": "3"}), b"abc")


@pytest.mark.parametrize(
    ("first", "headers"),
    [
        (REQUEST, []),
        (REQUEST, [LENGTH, LENGTH]),
        (REQUEST, [("Content-Length", "-3")]),
        (REQUEST, [("Content-Length", "101")]),
        (REQUEST, [LENGTH, ("Transfer-Encoding", "chunked")]),
        (REQUEST, [LENGTH, ("Expect", "100-continue")]),
        (REQUEST, [LENGTH, ("Connection", "close")]),
        (REQUEST, [LENGTH, ("A_b", "1")]),
        (REQUEST, [LENGTH, (" folded", "1")]),
        ("HTTP/1.0 200 OK", [LENGTH]),
        ("POST / HTTP/1.0", [LENGTH]),
        ("GET /", [LENGTH]),
    ],
)
def test_an_unusual_head_is_left_unread(first: str, headers: list[tuple[str, str]]) -> None:
    assert read(first, *headers) == (None, message(first, headers, b"abc"))


def test_a_head_that_has_not_arrived_as_a_whole_is_left_unread() -> None:
    source = io.BufferedReader(io.BytesIO(b"POST / HTTP/1.1\r\nContent-Le"))  # type: ignore[arg-type]  # has the methods
    assert read_head(source, 100) is None
    assert source.read() == b"POST / HTTP/1.1\r\nContent-Le"


def test_a_header_cannot_begin_another_one() -> None:
    assert message("HTTP/1.1 200 OK", [("A", "1\r\nB: 2")], b"") == b"HTTP/1.1 200 OK\r\nA: 1  B: 2\r\n\r\n"
