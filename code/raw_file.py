"""A user's table: a file whose rows are read in batches, each row with an address.

The batches are not yet typed (see column_types.py): CSV cells are text. Mistakes in a file are JobErrors that name
file, row and column.
"""

from __future__ import annotations

import gzip
import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, ClassVar

import pyarrow as pa
from job_io import JobError, shown

BLOCK = 8 * 1024 * 1024  # bytes of CSV or JSON lines per batch
_MAGIC = {b"PK\x03\x04": "an Excel workbook or zip file", b"PAR1": "a Parquet file", b"\x1f\x8b": "a gzip file"}


@dataclass(frozen=True)
class RawTable(ABC):
    path: Path
    name: str  # relative to the folder, with /
    gzipped: bool
    format: ClassVar[str]
    ladder: ClassVar[tuple[pa.DataType, ...]] = ()  # the possible types of its texts

    @abstractmethod
    def read_columns(self) -> list[str]: ...

    @abstractmethod
    def read_batches(self) -> Iterator[pa.RecordBatch]: ...

    def lines(self) -> Iterator[int]:
        """The line number at which each row starts, in a text file."""
        return iter(())

    def columns(self) -> list[str]:
        with self._explained():
            names = self.read_columns()
        if not names:
            raise JobError(f"{self.name} has no columns.")
        first: dict[str, int] = {}
        for position, name in enumerate(names, 1):
            if first.setdefault(name, position) != position:
                raise JobError(
                    f"{self.name}: column {shown(name)} is in the header twice (columns {first[name]} and {position}); "
                    "rename one of them."
                )
            if not name.strip():
                raise JobError(f"{self.name}: column {position} has no name; give it one in the header.")
        return names

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in order; for JSON lines, a batch has only the columns that occur in it."""
        with self._explained():
            yield from self.read_batches()

    def row(self, index: int) -> str:
        """A row's name in messages; rows and lines count from 1, and a CSV's header is line 1."""
        line = next(islice(self.lines(), index, None), None)
        return f"row {index + 1}" + (f" (line {line})" if line else "")

    def open_bytes(self) -> IO[bytes]:
        if self.gzipped:
            return gzip.open(self.path, "rb")  # type: ignore[return-value]
        return self.path.open("rb")

    def open_text(self) -> IO[str]:
        return io.TextIOWrapper(self.open_bytes(), "utf-8-sig", newline="")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert the readers' errors about a broken file to a sentence with its name."""
        try:
            yield
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise JobError(f"{self.name} is not a whole gzip file ({problem}); upload it again.") from None
        except UnicodeDecodeError:
            raise self.encoding_error() from None
        except pa.ArrowException as problem:
            raise JobError(f"{self.name} cannot be read as {self.format}: {problem}") from None

    def encoding_error(self) -> JobError:
        """An error that names the first line that is not UTF-8, and its probable encoding."""
        with self.open_bytes() as file:
            start = file.read(4)
        for magic, called in _MAGIC.items():
            if start.startswith(magic):
                return JobError(
                    f"{self.name} is {called}, not {self.format}; give it the right name or save it as text."
                )
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return JobError(f"{self.name} is UTF-16; save it as UTF-8.")
        with self.open_bytes() as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as problem:
                    byte = line[problem.start]
                    guess = "Windows-1252" if 0x80 <= byte < 0xA0 else "Latin-1"
                    return JobError(
                        f"{self.name}, line {number}: byte 0x{byte:02x} is not UTF-8, it looks like {guess}; "
                        "save the file as UTF-8."
                    )
        return JobError(f"{self.name} is not UTF-8; save it as UTF-8.")
