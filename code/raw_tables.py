"""The user's uploaded tables: finds the files, and reads their rows in batches, each row with an address.

Every file is a `RawTable`. Its batches are not yet typed (see column_types.py): CSV cells are text. Mistakes in a file
are JobErrors that name file, row and column.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import column_types
import csv_table
import json_table
import pyarrow as pa
import pyarrow.parquet as pq
from job_io import JobError, listed, shown
from raw_file import RawFile, encoding_error, seekable

ROWS = 65_536  # of Parquet per batch
_FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_EXPECTED = ".csv, .parquet or .jsonl, each also with .gz"


class RawTable(RawFile):
    @property
    def ladder(self) -> tuple[pa.DataType, ...]:
        """The possible types of its texts; text in Parquet stays text."""
        return {"csv": column_types.LADDER, "jsonl": column_types.MOMENTS + column_types.ZONED}.get(self.format, ())

    def columns(self) -> list[str]:
        with _explained(self):
            if self.format == "csv":
                names = csv_table.header(self)[0]
            elif self.format == "parquet":
                with seekable(self) as file:
                    names = list(pq.ParquetFile(file).schema_arrow.names)
            else:
                names = list(dict.fromkeys(name for batch in json_table.batches(self) for name in batch.schema.names))
        _check_names(self, names)
        return names

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in order; for JSON lines, a batch has only the columns that occur in it."""
        read = {"csv": csv_table.batches, "parquet": _parquet_batches, "jsonl": json_table.batches}[self.format]
        with _explained(self):
            yield from read(self)

    def row(self, index: int) -> str:
        """A row's name in messages; rows and lines count from 1, and a CSV's header is line 1."""
        if self.format == "parquet":
            return f"row {index + 1}"
        lines = csv_table.lines(self) if self.format == "csv" else json_table.lines(self)
        line = next(islice(lines, index, None), None)
        return f"row {index + 1}" + (f" (line {line})" if line else "")


def find(folder: Path, format: str) -> tuple[list[RawTable], list[str]]:
    """The tables in the folder, sorted by name, and the names of ignored files: hidden ones and `.run` files.

    A file of an unknown type is an error: otherwise its rows would silently be missing from the result.
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
            f"{listed(unknown)} is not a table ({_EXPECTED}); move it out of the folder, or set data.format."
        )
    if not tables:
        raise JobError(f"There is no table beside the .run file ({_EXPECTED} is expected); upload one first.")
    return tables, ignored


def _check_names(table: RawTable, names: list[str]) -> None:
    if not names:
        raise JobError(f"{table.name} has no columns.")
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in first:
            raise JobError(
                f"{table.name}: column {shown(name)} is in the header twice (columns {first[name] + 1} and "
                f"{position + 1}); rename one of them."
            )
        first[name] = position
        if not name.strip():
            raise JobError(f"{table.name}: column {position + 1} has no name; give it one in the header.")


@contextmanager
def _explained(table: RawTable) -> Iterator[None]:
    """Convert the readers' errors about a broken file to a sentence with its name."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise JobError(f"{table.name} is not a whole gzip file ({problem}); upload it again.") from None
    except UnicodeDecodeError:
        raise encoding_error(table) from None
    except pa.ArrowException as problem:
        raise JobError(f"{table.name} cannot be read as {table.format}: {problem}") from None


def _parquet_batches(table: RawTable) -> Iterator[pa.RecordBatch]:
    with seekable(table) as file:
        source = pq.ParquetFile(file)
        kinds = []
        for field in source.schema_arrow:
            kind = column_types.plain(field.type)
            if kind is None:
                raise JobError(
                    f"{table.name}: column {shown(field.name)} holds {field.type}, which is not a single value; "
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
