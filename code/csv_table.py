"""CSV: Arrow splits rows into text cells; on a parse error, the place is located to report row and column."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from typing import Any

import column_types
import pyarrow as pa
import pyarrow.csv
import raw_file
from job_io import JobError, counted


class CsvTable(raw_file.RawTable):
    format = "csv"
    ladder = column_types.LADDER

    def read_columns(self) -> list[str]:
        return self._header()[0]

    def read_batches(self) -> Iterator[pa.RecordBatch]:
        names, header_lines = self._header()
        read = pyarrow.csv.ReadOptions(column_names=names, skip_rows=header_lines, block_size=raw_file.BLOCK)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        source: Any = pa.input_stream(self.path, compression="gzip" if self.gzipped else None)
        with source:
            try:
                yield from pyarrow.csv.open_csv(
                    source, read, pyarrow.csv.ParseOptions(newlines_in_values=True), convert
                )
            except pa.ArrowInvalid as problem:
                yield from self._after_problem(names, str(problem))
            except OSError as problem:
                raise JobError(f"{self.name} is not a whole gzip file ({problem}); upload it again.") from None

    def lines(self) -> Iterator[int]:
        yield from (line for line, _ in islice(self._rows(), 1, None))

    def _header(self) -> tuple[list[str], int]:
        """The column names, and the number of lines they take."""
        with self.open_text() as file:
            reader = csv.reader(file, strict=True)
            try:
                names = next((row for row in reader if row), None)
            except csv.Error as problem:
                raise JobError(f"{self.name}, line 1: the header cannot be read: {problem}.") from None
            if names is None:
                raise JobError(f"{self.name} is empty; a header line and rows are expected.")
            if any("\0" in name for name in names):
                raise JobError(f"{self.name} is not a CSV file: its header has zero bytes.")
            for separator, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
                if len(names) == 1 and separator in names[0]:
                    raise JobError(f"{self.name} is separated by {called}; save it with commas.")
            return names, reader.line_num

    def _after_problem(self, names: list[str], problem: str) -> Iterator[pa.RecordBatch]:
        if "Empty CSV file" in problem:  # only a header
            yield pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in names})
            return
        if "UTF8" in problem:
            raise self.encoding_error()
        for number, (line, cells) in enumerate(islice(self._rows(), 1, None), 1):
            if len(cells) != len(names):
                raise JobError(
                    f"{self.name}, row {number} (line {line}) has {counted(len(cells), 'cell')}, the header has "
                    f"{len(names)}; look for a missing or an unquoted comma."
                )
        raise JobError(f"{self.name} cannot be read as CSV: {problem}")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The header and each row that is not empty, with the number of the line at which it starts."""
        with self.open_text() as file:
            csv.field_size_limit(2 * raw_file.BLOCK)
            reader, line = csv.reader(file), 1
            try:
                for cells in reader:
                    if cells:
                        yield line, cells
                    line = reader.line_num + 1
            except csv.Error:
                raise JobError(
                    f"{self.name}: the row that starts near line {reader.line_num} is longer than "
                    f"{raw_file.BLOCK // 2**20} MB; look for a quote that is never closed."
                ) from None
