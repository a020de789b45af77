"""The user's uploaded tables: finds the files, and reads those in Parquet."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import column_types
import pyarrow as pa
import pyarrow.parquet as pq
from csv_table import CsvTable
from job_io import JobError, listed, shown
from json_table import JsonTable
from raw_file import BLOCK, RawTable

ROWS = 65_536  # of Parquet per batch
_EXPECTED = ".csv, .parquet or .jsonl, each also with .gz"


class ParquetTable(RawTable):
    format = "parquet"  # its texts stay text

    def read_columns(self) -> list[str]:
        with self._seekable() as file:
            return list(pq.ParquetFile(file).schema_arrow.names)

    def read_batches(self) -> Iterator[pa.RecordBatch]:
        with self._seekable() as file:
            source = pq.ParquetFile(file)
            kinds = {field.name: column_types.plain(field.type) for field in source.schema_arrow}
            for field in source.schema_arrow:
                if kinds[field.name] is None:
                    raise JobError(
                        f"{self.name}: column {shown(field.name)} holds {field.type}, which is not a single value; "
                        "flatten the column or leave it out."
                    )
            done = 0
            for batch in source.iter_batches(ROWS):
                columns = []
                for name, values in zip(batch.schema.names, batch.columns, strict=True):
                    if pa.types.is_dictionary(values.type):
                        values = values.dictionary_decode()
                    try:
                        plain = pa.types.is_null(values.type)
                        columns.append(values if plain else column_types.cast(name, values, kinds[name]))
                    except column_types.Misfit as misfit:
                        raise JobError(
                            f"{self.name}, row {done + misfit.index + 1}: column {shown(name)} holds {misfit.value}, "
                            "which is too large; store the column as text or as floating point numbers."
                        ) from None
                done += batch.num_rows
                yield pa.RecordBatch.from_arrays(columns, batch.schema.names)

    @contextmanager
    def _seekable(self) -> Iterator[Any]:
        """Parquet is read from its end, so a gzipped file is unpacked to disk first."""
        if not self.gzipped:
            yield self.path
            return
        with tempfile.TemporaryFile() as unpacked, self.open_bytes() as packed:
            shutil.copyfileobj(packed, unpacked, BLOCK)
            unpacked.seek(0)
            yield unpacked


_FORMATS: dict[str, type[RawTable]] = {table.format: table for table in (CsvTable, ParquetTable, JsonTable)}
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


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
        kind = _SUFFIXES.get(suffix) if format == "auto" else format
        if kind is None:
            unknown.append(name)
        else:
            tables.append(_FORMATS[kind](path, name, gzipped))
    if unknown:
        raise JobError(
            f"{listed(unknown)} is not a table ({_EXPECTED}); move it out of the folder, or set data.format."
        )
    if not tables:
        raise JobError(f"There is no table beside the .run file ({_EXPECTED} is expected); upload one first.")
    return tables, ignored
