"""A user's file: opens it, and explains a wrong encoding."""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from job_io import JobError

BLOCK = 8 * 1024 * 1024  # bytes of CSV or JSON lines per batch
_MAGIC = {b"PK\x03\x04": "an Excel workbook or zip file", b"PAR1": "a Parquet file", b"\x1f\x8b": "a gzip file"}


@dataclass(frozen=True)
class RawFile:
    path: Path
    name: str  # relative to the folder, with /
    format: str
    gzipped: bool


def open_bytes(table: RawFile) -> IO[bytes]:
    if table.gzipped:
        return gzip.open(table.path, "rb")  # type: ignore[return-value]
    return table.path.open("rb")


def open_text(table: RawFile) -> IO[str]:
    return io.TextIOWrapper(open_bytes(table), "utf-8-sig", newline="")


@contextmanager
def seekable(table: RawFile) -> Iterator[Any]:
    """Parquet is read from its end, so a gzipped file is unpacked to disk first."""
    if not table.gzipped:
        yield table.path
        return
    with tempfile.TemporaryFile() as unpacked, open_bytes(table) as packed:
        shutil.copyfileobj(packed, unpacked, BLOCK)
        unpacked.seek(0)
        yield unpacked


def encoding_error(table: RawFile) -> JobError:
    """An error that names the first line that is not UTF-8, and its probable encoding."""
    with open_bytes(table) as file:
        start = file.read(4)
    for magic, called in _MAGIC.items():
        if start.startswith(magic):
            return JobError(f"{table.name} is {called}, not {table.format}; give it the right name or save it as text.")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return JobError(f"{table.name} is UTF-16; save it as UTF-8.")
    with open_bytes(table) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as problem:
                byte = line[problem.start]
                guess = "Windows-1252" if 0x80 <= byte < 0xA0 else "Latin-1"
                return JobError(
                    f"{table.name}, line {number}: byte 0x{byte:02x} is not UTF-8, it looks like {guess}; "
                    "save the file as UTF-8."
                )
    return JobError(f"{table.name} is not UTF-8; save it as UTF-8.")
