"""CSV: Arrow splits rows into text cells; on a parse error, the place is located to report row and column."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv
import raw_file
from job_io import JobError, counted
from raw_file import RawFile, encoding_error, open_text


def header(table: RawFile) -> tuple[list[str], int]:
    """The column names, and the number of lines they take."""
    with open_text(table) as file:
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


def batches(table: RawFile) -> Iterator[pa.RecordBatch]:
    names, header_lines = header(table)
    source: Any = pa.input_stream(table.path, compression="gzip" if table.gzipped else None)
    with source:
        try:
            reader = pyarrow.csv.open_csv(
                source,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=names, skip_rows=header_lines, block_size=raw_file.BLOCK
                ),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
            yield from reader
        except pa.ArrowInvalid as problem:
            yield from _after_problem(table, names, str(problem))
        except OSError as problem:
            raise JobError(f"{table.name} is not a whole gzip file ({problem}); upload it again.") from None


def _after_problem(table: RawFile, names: list[str], problem: str) -> Iterator[pa.RecordBatch]:
    if "Empty CSV file" in problem:  # only a header
        yield pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in names})
        return
    if "UTF8" in problem:
        raise encoding_error(table)
    with open_text(table) as file:
        csv.field_size_limit(2 * raw_file.BLOCK)
        reader = csv.reader(file)
        line, number, header = 1, 0, True
        for cells in _rows(table, reader):
            if cells and header:
                header = False
            elif cells:
                number += 1
                if len(cells) != len(names):
                    raise JobError(
                        f"{table.name}, row {number} (line {line}) has {counted(len(cells), 'cell')}, the header has "
                        f"{len(names)}; look for a missing or an unquoted comma."
                    )
            line = reader.line_num + 1
    raise JobError(f"{table.name} cannot be read as CSV: {problem}")


def _rows(table: RawFile, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error:
        raise JobError(
            f"{table.name}: the row that starts near line {reader.line_num} is longer than "
            f"{raw_file.BLOCK // 2**20} MB; look for a quote that is never closed."
        ) from None


def lines(table: RawFile) -> Iterator[int]:
    """The line number at which each row starts."""
    with open_text(table) as file:
        csv.field_size_limit(2 * raw_file.BLOCK)
        reader = csv.reader(file)
        line, header = 1, True
        for cells in reader:
            if cells and not header:
                yield line
            header = header and not cells
            line = reader.line_num + 1
