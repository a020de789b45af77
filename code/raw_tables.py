"""The user's uploaded tables: finds the files, and reads those in Parquet."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import column_types
import pyarrow as pa
import pyarrow.parquet as pq
from csv_table import CsvTable
from job_io import JobError, Problems, listed, shown
from json_table import JsonTable
from raw_file import RawTable, only_table
from workbook import Workbook

ROWS = 65_536  # of Parquet per batch
_EXPECTED = ".csv, .tsv, .parquet, .jsonl or .xlsx, each also with .gz or .zip"


class ParquetTable(RawTable):
    format = "parquet"  # its texts stay text

    def read_columns(self) -> list[str]:
        with self.seekable() as file:
            return list(pq.ParquetFile(file).schema_arrow.names)

    def read_batches(self) -> Iterator[pa.RecordBatch]:
        with self.seekable() as file:
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


_FORMATS: dict[str, type[RawTable]] = {table.format: table for table in (CsvTable, ParquetTable, JsonTable, Workbook)}
_SUFFIXES = {
    **{".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet"},
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx", ".xlsm": "xlsx"},
}
_PACKINGS: dict[str, Literal["", "gzip", "zip"]] = {".gz": "gzip", ".zip": "zip"}
_WORKBOOKS = (".xls", ".xlsb", ".ods", ".numbers")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")  # terminals obey them


def find(folder: Path, data: Mapping[str, Any]) -> tuple[list[RawTable], list[str]]:
    """The tables in the folder, sorted by name, and the names of ignored files: hidden ones and `.run` files.

    `data` is that part of the config. A file of an unknown type is an error: otherwise its rows would silently be
    missing from the result.
    """
    tables, ignored, unknown = [], [], []
    problems = Problems()
    for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith((".", "_")) for part in name.split("/")) or path.suffix.lower() == ".run":
            ignored.append(name)
            continue
        with problems.collected():
            if _CONTROLS.search(name):
                raise JobError(f"The table's name {shown(name)} has control characters; rename the file.")
            packing = _PACKINGS.get(path.suffix.lower(), "")
            suffix = _inner_suffix(path, name, packing)
            kind = _SUFFIXES.get(suffix) if data["format"] == "auto" else data["format"]
            if suffix in _WORKBOOKS:
                raise JobError(
                    f"{name} is a workbook; save it as .xlsx, or its sheet as CSV (in Excel: CSV UTF-8), and upload "
                    "that."
                )
            if kind is None:
                unknown.append(name)
            else:
                tables.append(_FORMATS[kind](path, name, packing, data, suffix))
    with problems.collected():
        if unknown:
            raise JobError(
                f"{listed(unknown)} is not a table ({_EXPECTED}); move it out of the folder, or set data.format."
            )
    problems.report()
    if not tables:
        raise JobError(f"There is no table beside the .run file ({_EXPECTED} is expected); upload one first.")
    return tables, ignored


def _inner_suffix(path: Path, name: str, packing: str) -> str:
    if packing == "zip":
        try:
            with zipfile.ZipFile(path) as archive:
                return Path(only_table(archive, name).filename).suffix.lower()
        except zipfile.BadZipFile as problem:
            raise JobError(f"{name} is not a whole zip file ({problem}); upload it again.") from None
    return (Path(path.stem).suffix if packing else path.suffix).lower()
