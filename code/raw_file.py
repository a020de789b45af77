"""A user's table: a file whose rows are read in batches, each row with an address.

The batches are not yet typed (see column_types.py): CSV cells are text. Mistakes in a file are JobErrors that name
file, row and column. `assumed` says how a file was read where its name and the config leave that open.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import column_types
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from job_io import JobError, shown

BLOCK = 8 * 1024 * 1024  # bytes of CSV or JSON lines per batch
AUTO = "auto"
INDEX_IGNORED = "ignored column 1: it has no name and looks like pandas' index"
_MAGIC = {b"PK\x03\x04": "an Excel workbook or zip file", b"PAR1": "a Parquet file", b"\x1f\x8b": "a gzip file"}
# Encodings in the config whose files usually need a larger codec than Python's of the same name.
_CODECS = {"utf-8": "utf-8-sig", "shift_jis": "cp932", "big5": "cp950", "euc-kr": "cp949"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_FALLBACK = "cp1252"  # Latin-1 with more characters; also used by Excel
# Western European text has letters beyond ASCII one or two at a time; in other scripts, most letters are such bytes.
_OTHER_SCRIPT = re.compile(rb"[\x80-\xff]{4}")
_LOOK_AHEAD = 1 << 20  # bytes in which another script is looked for


class Reread(Exception):
    """The table has another encoding than assumed; discard what was read from it."""


@dataclass(eq=False)
class RawTable(ABC):
    path: Path
    name: str  # relative to the folder, with /
    packing: Literal["", "gzip", "zip"] = ""
    options: Mapping[str, str] = field(default_factory=dict)  # the config's data: separator, decimal, encoding
    suffix: str = ""  # of the unpacked file
    format: ClassVar[str]
    line: ClassVar[str] = "line"  # the word for what `lines` counts
    ladder: ClassVar[tuple[pa.DataType, ...]] = ()  # the possible types of its texts
    dates: list[str] = field(default_factory=list, init=False)  # text columns whose first values look like dates
    encoding: str = field(default="", init=False)  # found when the file is first opened

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

    def types(self, every_row: bool) -> dict[str, pa.DataType]:
        """The columns' types: from the first batch a good guess, from every row exact."""
        return column_types.types_of(islice(self.batches(), None if every_row else 1), self.ladder)

    def unclear_number(self, column: str) -> str:
        """A number in the column that may be read in two ways; empty if the column is not text for that reason."""
        return ""

    def not_numbers(self, values: pa.Array) -> npt.NDArray[np.int64]:
        """The indices of the texts that can never be numbers."""
        return column_types.not_numbers(values)

    def assumed(self) -> list[str]:
        """Sentences about how the file was read, as far as its name and the config leave that open."""
        if self.encoding in ("", "utf-8-sig") or self._option("encoding") != AUTO:
            return []
        called = "UTF-16" if self.encoding == "utf-16" else "Windows-1252, as it is not UTF-8"
        return [f"read as {called} (data.encoding)"]

    def style(self) -> tuple[str, str]:
        """The separator and the decimal sign of a text file, for the result."""
        return ",", "."

    def row(self, index: int) -> str:
        return self.rows([index])[0]

    def rows(self, indices: Sequence[int]) -> list[str]:
        """The rows' names in messages, in ascending order. Rows and lines count from 1; a CSV's header is line 1."""
        with self._explained():
            lines = enumerate(self.lines())
            found = [next((line for place, line in lines if place == index), None) for index in indices]
        return [
            f"row {index + 1}" + (f" ({self.line} {line})" if line else "")
            for index, line in zip(indices, found, strict=True)
        ]

    def open_bytes(self) -> IO[bytes]:
        if self.packing == "gzip":
            return gzip.open(self.path, "rb")  # type: ignore[return-value]
        if self.packing == "zip":
            archive = zipfile.ZipFile(self.path)
            return archive.open(only_table(archive, self.name))
        return self.path.open("rb")

    @contextmanager
    def seekable(self) -> Iterator[Any]:
        """For formats that are not read from start to end: a packed file is unpacked to disk first."""
        if not self.packing:
            yield self.path
            return
        with tempfile.TemporaryFile() as unpacked, self.open_bytes() as packed:
            shutil.copyfileobj(packed, unpacked, BLOCK)
            unpacked.seek(0)
            yield unpacked

    def open_text(self) -> IO[str]:
        self.find_encoding()
        return io.TextIOWrapper(self.open_bytes(), self.encoding, newline="")

    def find_encoding(self) -> None:
        """By the byte order mark; otherwise UTF-8, until a byte disagrees."""
        if self.encoding:
            return
        with self.open_bytes() as file:
            start = file.read(4)
        for magic, called in _MAGIC.items():
            if start.startswith(magic):
                raise JobError(
                    f"{self.name} is {called}, not {self.format}; give it the right name or save it as text."
                )
        given = self._option("encoding")
        chosen = ("utf-16" if start.startswith(_UTF16) else "utf-8") if given == AUTO else given
        self.encoding = _CODECS.get(chosen, chosen)

    def _option(self, name: str) -> str:
        return self.options.get(name, AUTO)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert the readers' errors about a broken file to a sentence with its name."""
        try:
            yield
        except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error) as problem:
            raise self.packing_error(problem) from None
        except UnicodeDecodeError:
            raise self.encoding_error() from None
        except pa.ArrowException as problem:
            raise JobError(f"{self.name} cannot be read as {self.format}: {problem}") from None

    def packing_error(self, problem: object) -> JobError:
        return JobError(f"{self.name} is not a whole {self.packing} file ({problem}); upload it again.")

    def encoding_error(self) -> JobError | Reread:
        """An error that names the first line in another encoding; the first time, try Windows-1252."""
        found = self._undecodable()
        if found is None:
            return JobError(f"{self.name} is not {self._called()}; set data.encoding.")
        number, byte, after, before = found
        place = f"{self.name}, line {number}: byte 0x{byte:02x} is not {self._called()}"
        if self.encoding != "utf-8-sig" or self._option("encoding") != AUTO:
            return JobError(f"{place}; set data.encoding to the file's encoding, or save it as UTF-8.")
        if before:
            return JobError(f"{place}, but line {before} is; save the whole file in one encoding.")
        if _OTHER_SCRIPT.search(after):
            return JobError(
                f"{place}, and the text looks neither English nor Western European; set data.encoding, "
                "like shift_jis, gb18030, big5, euc-kr or windows-1251."
            )
        self.encoding = _FALLBACK
        return Reread()

    def _called(self) -> str:
        if (given := self._option("encoding")) != AUTO:
            return given
        return {"utf-16": "UTF-16", _FALLBACK: "UTF-8, nor Windows-1252"}.get(self.encoding, "UTF-8")

    def _undecodable(self) -> tuple[int, int, bytes, int] | None:
        """The first line in another encoding, its first such byte, what follows, and an earlier line beyond ASCII."""
        if self.encoding == "utf-16":  # its line ends are more than one byte
            return None
        before = 0
        with self.open_bytes() as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(self.encoding)
                except UnicodeDecodeError as problem:
                    return number, line[problem.start], line + file.read(_LOOK_AHEAD), before
                before = before or (0 if line.isascii() else number)
        return None


def only_table(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The zip's one file, besides hidden ones and the folder that macOS adds."""
    hidden = (".", "_")
    files = [
        each
        for each in archive.infolist()
        if not each.is_dir() and not any(part.startswith(hidden) for part in each.filename.split("/"))
    ]
    if len(files) != 1:
        found = f"{len(files)} files, like {shown(files[0].filename)}" if files else "no file"
        raise JobError(f"{name} has {found}; a zip must have exactly one table.")
    (file,) = files
    if file.flag_bits & 1:
        raise JobError(f"{name} is encrypted; upload it without a password.")
    if file.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        raise JobError(f"{name} uses an unsupported compression; zip it again with an ordinary program.")
    return file
