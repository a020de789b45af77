"""The user's tables as they were uploaded: which files there are, and their rows in batches, with an address for each.

Every file is a `RawTable`. Its batches are not yet typed (see column_types.py): CSV cells are text. Mistakes in a file
are JobErrors that name file, row and column.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import column_types
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from job_io import JobError, listed, shown

BLOCK = 8 * 1024 * 1024  # bytes of CSV or JSON lines in a batch; a longer row is refused
ROWS = 65_536  # of Parquet in a batch
_FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MAGIC = {b"PK\x03\x04": "an Excel workbook or zip file", b"PAR1": "a Parquet file", b"\x1f\x8b": "a gzip file"}
_EXPECTED = ".csv, .parquet or .jsonl, each also with .gz"


@dataclass(frozen=True)
class RawTable:
    path: Path
    name: str  # relative to the folder, with /
    format: str
    gzipped: bool

    @property
    def ladder(self) -> tuple[pa.DataType, ...]:
        """The types that its texts may turn out to be; a text in Parquet is a text."""
        return {"csv": column_types.LADDER, "jsonl": column_types.MOMENTS + column_types.ZONED}.get(self.format, ())

    def columns(self) -> list[str]:
        with _explained(self):
            if self.format == "csv":
                names = _csv_header(self)[0]
            elif self.format == "parquet":
                with _seekable(self) as file:
                    names = list(pq.ParquetFile(file).schema_arrow.names)
            else:
                names = list(dict.fromkeys(name for batch in _json_batches(self) for name in batch.schema.names))
        _check_names(self, names)
        return names

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in order; of JSON lines, a batch has only the columns that occur in it."""
        read = {"csv": _csv_batches, "parquet": _parquet_batches, "jsonl": _json_batches}[self.format]
        with _explained(self):
            yield from read(self)

    def row(self, index: int) -> str:
        """How a row is called in a sentence; rows and lines count from 1, and a CSV's header is line 1."""
        if self.format == "parquet":
            return f"row {index + 1}"
        lines = _csv_lines(self) if self.format == "csv" else _json_lines(self)
        line = next((line for number, line in enumerate(lines) if number == index), None)
        return f"row {index + 1}" + (f" (line {line})" if line else "")


def find(folder: Path, format: str) -> tuple[list[RawTable], list[str]]:
    """The tables in the folder, sorted by name, and the names of files that are ignored: hidden ones and `.run` files.

    A file of an unknown kind is an error: rows that nobody noticed would be missing from the result.
    """
    tables, ignored, unknown = [], [], []
    for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith((".", "_")) for part in name.split("/")) or path.suffix == ".run":
            ignored.append(name)
            continue
        gzipped = path.suffix.lower() == ".gz"
        suffix = (Path(path.stem).suffix if gzipped else path.suffix).lower()
        kind = _FORMATS.get(suffix) if format == "auto" else format
        if kind is None:
            unknown.append(name)
        else:
            tables.append(RawTable(path, name, kind, gzipped))
    if unknown:
        raise JobError(
            f"{listed(unknown)} is no table ({_EXPECTED} is expected); move it out of the folder, or set data.format."
        )
    if not tables:
        raise JobError(f"There is no table beside the .run file ({_EXPECTED} is expected); upload one first.")
    return tables, ignored


def _check_names(table: RawTable, names: list[str]) -> None:
    if not names:
        raise JobError(f"{table.name} has no columns.")
    for position, name in enumerate(names):
        if name in names[:position]:
            raise JobError(
                f"{table.name}: column {shown(name)} stands in the header twice (columns {names.index(name) + 1} and "
                f"{position + 1}); rename one of them."
            )
        if not name.strip():
            raise JobError(f"{table.name}: column {position + 1} has no name; give it one in the header.")


# Opening


@contextmanager
def _explained(table: RawTable) -> Iterator[None]:
    """What the readers say about a broken file, as a sentence with its name."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise JobError(f"{table.name} is not a whole gzip file ({problem}); upload it again.") from None
    except UnicodeDecodeError:
        raise _encoding_error(table) from None
    except pa.ArrowException as problem:
        raise JobError(f"{table.name} cannot be read as {table.format}: {problem}") from None


def _open(table: RawTable) -> IO[bytes]:
    if table.gzipped:
        return gzip.open(table.path, "rb")  # type: ignore[return-value]
    return table.path.open("rb")


def _open_text(table: RawTable) -> IO[str]:
    return io.TextIOWrapper(_open(table), "utf-8-sig", newline="")


@contextmanager
def _seekable(table: RawTable) -> Iterator[Any]:
    """Parquet is read from its end, so a gzipped one is unpacked to disk first."""
    if not table.gzipped:
        yield table.path
        return
    with tempfile.TemporaryFile() as unpacked, _open(table) as packed:
        shutil.copyfileobj(packed, unpacked, BLOCK)
        unpacked.seek(0)
        yield unpacked


def _encoding_error(table: RawTable) -> JobError:
    """Names the first line that is not UTF-8, and the encoding that it looks like."""
    with _open(table) as file:
        start = file.read(4)
    for magic, called in _MAGIC.items():
        if start.startswith(magic):
            return JobError(f"{table.name} is {called}, not {table.format}; give it the right name or save it as text.")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return JobError(f"{table.name} is UTF-16; save it as UTF-8.")
    with _open(table) as file:
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


# CSV


def _csv_header(table: RawTable) -> tuple[list[str], int]:
    """The column names and how many lines they take."""
    with _open_text(table) as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next((row for row in reader if row), None)
        except csv.Error as problem:
            raise JobError(f"{table.name}, line 1: the header cannot be read: {problem}.") from None
        if names is None:
            raise JobError(f"{table.name} is empty; a header line and rows are expected.")
        if any("\0" in name for name in names):
            raise JobError(f"{table.name} is not a CSV file: its header has zero bytes.")
        for separator, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if len(names) == 1 and separator in names[0]:
                raise JobError(f"{table.name} is separated by {called}; save it with commas.")
        return names, reader.line_num


def _csv_batches(table: RawTable) -> Iterator[pa.RecordBatch]:
    names, header_lines = _csv_header(table)
    source: Any = pa.input_stream(table.path, compression="gzip" if table.gzipped else None)
    with source:
        try:
            reader = pyarrow.csv.open_csv(
                source,
                read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=header_lines, block_size=BLOCK),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
            yield from reader
        except pa.ArrowInvalid as problem:
            yield from _csv_after_problem(table, names, str(problem))
        except OSError as problem:
            raise JobError(f"{table.name} is not a whole gzip file ({problem}); upload it again.") from None


def _csv_after_problem(table: RawTable, names: list[str], problem: str) -> Iterator[pa.RecordBatch]:
    if "Empty CSV file" in problem:  # a header and nothing else
        yield pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in names})
        return
    if "UTF8" in problem:
        raise _encoding_error(table)
    with _open_text(table) as file:
        csv.field_size_limit(2 * BLOCK)
        reader = csv.reader(file)
        line, number, header = 1, 0, True
        for cells in _csv_rows(table, reader):
            if cells and header:
                header = False
            elif cells:
                number += 1
                if len(cells) != len(names):
                    raise JobError(
                        f"{table.name}, row {number} (line {line}) has {len(cells)} cells, the header has "
                        f"{len(names)}; look for a missing or an unquoted comma."
                    )
            line = reader.line_num + 1
    raise JobError(f"{table.name} cannot be read as CSV: {problem}")


def _csv_rows(table: RawTable, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error:
        raise JobError(
            f"{table.name}: the row that starts near line {reader.line_num} is longer than {BLOCK // 2**20} MB; "
            "look for a quote that is never closed."
        ) from None


def _csv_lines(table: RawTable) -> Iterator[int]:
    """The line on which each row starts."""
    with _open_text(table) as file:
        csv.field_size_limit(2 * BLOCK)
        reader = csv.reader(file)
        line, header = 1, True
        for cells in reader:
            if cells and not header:
                yield line
            header = header and not cells
            line = reader.line_num + 1


# Parquet


def _parquet_batches(table: RawTable) -> Iterator[pa.RecordBatch]:
    with _seekable(table) as file:
        source = pq.ParquetFile(file)
        kinds = []
        for field in source.schema_arrow:
            kind = column_types.plain(field.type)
            if kind is None:
                raise JobError(
                    f"{table.name}: column {shown(field.name)} holds {field.type}, which is no single value; "
                    "flatten the column or leave it out."
                )
            kinds.append(kind)
        done = 0
        for batch in source.iter_batches(ROWS):
            columns = []
            for name, values, kind in zip(batch.schema.names, batch.columns, kinds, strict=True):
                if pa.types.is_dictionary(values.type):
                    values = values.dictionary_decode()
                try:
                    columns.append(values if pa.types.is_null(values.type) else column_types.cast(name, values, kind))
                except column_types.Misfit as misfit:
                    raise JobError(
                        f"{table.name}, row {done + misfit.index + 1}: column {shown(name)} holds {misfit.value}, "
                        "which is too large; store the column as text or as floating point numbers."
                    ) from None
            done += batch.num_rows
            yield pa.RecordBatch.from_arrays(columns, batch.schema.names)


# JSON lines


def _json_batches(table: RawTable) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    size = start = 0
    for line, text in _json_texts(table):
        rows.append(_json_row(table, start + len(rows), line, text))
        size += len(text)
        if size >= BLOCK or len(rows) >= ROWS:
            yield _json_batch(table, rows, start)
            start, size, rows = start + len(rows), 0, []
    if start == 0 and not rows:
        raise JobError(f"{table.name} is empty; one JSON object a line is expected.")
    if rows:
        yield _json_batch(table, rows, start)


def _json_texts(table: RawTable) -> Iterator[tuple[int, str]]:
    with _open_text(table) as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _json_lines(table: RawTable) -> Iterator[int]:
    yield from (number for number, _ in _json_texts(table))


def _json_row(table: RawTable, index: int, line: int, text: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            raise ValueError("a key stands in it twice")
        return row

    try:
        row = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        raise JobError(f"{table.name}, row {index + 1} (line {line}) is not JSON: {problem}.") from None
    if not isinstance(row, dict):
        raise JobError(
            f'{table.name}, row {index + 1} (line {line}) is no JSON object; {{"column": value, …}} is expected.'
        )
    for name, value in row.items():
        if not (_is_unicode(name) and _is_unicode(value)):
            raise JobError(
                f"{table.name}, row {index + 1} (line {line}): column {shown(name)} holds half of a character "
                "(a lone \\ud800 to \\udfff); write the character itself."
            )
        if isinstance(value, (dict, list)):
            raise JobError(
                f"{table.name}, row {index + 1} (line {line}): column {shown(name)} holds {shown(value)}, which is no "
                "single value; flatten the column or leave it out."
            )
    return row


def _is_unicode(value: object) -> bool:
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)


def _json_batch(table: RawTable, rows: list[dict[str, Any]], start: int) -> pa.RecordBatch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.RecordBatch.from_arrays([_json_column(table, name, rows, start) for name in names], names)


def _json_column(table: RawTable, name: str, rows: list[dict[str, Any]], start: int) -> pa.Array:
    values = [row.get(name) for row in rows]
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    kind = pa.null()
    for index, value in enumerate(values):
        found = pa.null() if value is None else kinds[type(value)]
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            found = pa.float64()
        both = column_types.wider(kind, found)
        if both is None:
            raise JobError(
                f"{table.name}, {table.row(start + index)}: column {shown(name)} holds {shown(value)}, the rows before "
                f"hold {column_types.words(kind)}; make them one type."
            )
        kind = both
    for index, value in enumerate(values):
        if isinstance(value, int) and kind == pa.float64():
            if abs(value) > sys.float_info.max:
                raise JobError(
                    f"{table.name}, {table.row(start + index)}: column {shown(name)} holds a whole number of more than "
                    "308 digits; make it a text."
                )
            values[index] = float(value)
    return pa.array(values, kind)
