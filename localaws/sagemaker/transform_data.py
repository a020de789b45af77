"""Splits a transform job's objects into requests, and assembles the answers.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MEGABYTE = 1024 * 1024


class TooLong(Exception):
    """A record is longer than a request may be."""


def requests_of(file: Path, split: str, strategy: str, most: int) -> Iterator[bytes]:
    """The bodies of an object's requests, none longer than `most` bytes; 0 means no limit."""
    limit = most or file.stat().st_size or 1
    with file.open("rb") as content:
        if split != "Line":
            whole = content.read(limit + 1)
            if len(whole) > limit:
                raise TooLong(f"the object is larger than {most // MEGABYTE} MB; set SplitType or MaxPayloadInMB")
            yield whole
        elif strategy == "SingleRecord":
            for line in content:
                yield _checked(line, limit, most)
        else:
            rest = b""
            while block := content.read(limit - len(rest)):
                rest += block
                end = rest.rfind(b"\n") + 1
                if end:
                    yield rest[:end]
                    rest = rest[end:]
                if len(rest) == limit:  # a whole request without the end of a line
                    yield _checked(rest + content.readline(), limit, most)
                    rest = b""
            if rest:
                yield rest


def _checked(record: bytes, limit: int, most: int) -> bytes:
    if len(record) > limit:
        raise TooLong(f"a record is larger than {most // MEGABYTE} MB, the MaxPayloadInMB")
    return record


def assembled(answer: bytes, assemble_with: str) -> bytes:
    """What is written for an answer."""
    return answer if assemble_with != "Line" or answer.endswith(b"\n") else answer + b"\n"
