"""CSV: Arrow splits rows into text cells; on a parse error, the place is located to report row and column.

The separator, decimal sign and encoding are those of the config, or else found in the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import column_types
import number_styles
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import raw_file
from job_io import JobError, counted, listed
from number_styles import Style

SAMPLE = 1 << 18  # characters that decide the separator
_SAMPLE_ROWS = 100
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
_QUOTED = re.compile(r'(?<![^,;\t|\r\n])"(?:[^"]|"")*"')
_WHOLE = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Head:
    """What the first lines of a file show."""

    separator: str
    names: list[str]  # all, with pandas' index
    lines: int  # that the header takes
    has_index: bool

    @property
    def columns(self) -> list[str]:
        return self.names[1:] if self.has_index else self.names


@dataclass(eq=False)
class CsvTable(raw_file.RawTable):
    format = "csv"
    ladder = column_types.LADDER
    styles: dict[str, Style] = field(default_factory=dict, init=False)
    _known: tuple[str, Head] | None = field(default=None, init=False)  # by encoding

    def read_columns(self) -> list[str]:
        return self.head().columns

    def read_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._texts():
            yield number_styles.rewritten(batch, self.styles) if self.styles else batch

    def types(self, every_row: bool) -> dict[str, pa.DataType]:
        self.styles = {}
        first = list(islice(self.batches(), 1))
        kinds = column_types.types_of(self.batches() if every_row else first, self.ladder)
        has_commas = self.head().separator == ","
        if not first or (has_commas and column_types.TEXT not in kinds.values()):
            return kinds
        self.dates = number_styles.like_dates(first[0], kinds)
        seen = self.batches() if every_row else first
        self.styles = number_styles.find(seen, kinds, self._option("decimal"), has_commas)
        return super().types(every_row) if any(style.reading for style in self.styles.values()) else kinds

    def style(self) -> tuple[str, str]:
        has_commas = any(style.reading == number_styles.COMMA for style in self.styles.values())
        return self.head().separator, "," if has_commas else "."

    def assumed(self) -> list[str]:
        found, head = super().assumed(), self.head()
        if self._option("separator") == raw_file.AUTO and head.separator != "," and not self._is_tsv():
            called = {"\t": "tab"}.get(head.separator, head.separator)
            found.append(f"read with {called} as separator (data.separator)")
        found += number_styles.sentences(self.styles, self._option("decimal"))
        if head.has_index:
            found.append(raw_file.INDEX_IGNORED)
        if self.dates:
            hold = "looks like a date, but is" if len(self.dates) == 1 else "look like dates, but are"
            found.append(f"{listed(self.dates)} {hold} read as text (dates are written 2024-12-31)")
        return found

    def unclear_number(self, column: str) -> str:
        style = self.styles.get(column)
        return style.example if style and style.stays_text else ""

    def not_numbers(self, values: pa.Array) -> npt.NDArray[np.int64]:
        return number_styles.in_no_style(values)

    def lines(self) -> Iterator[int]:
        yield from (line for line, _ in islice(self._rows(), 1, None))

    def head(self) -> Head:
        self.find_encoding()
        if self._known is None or self._known[0] != self.encoding:
            self._known = (self.encoding, self._read_head())
        return self._known[1]

    def _texts(self) -> Iterator[pa.RecordBatch]:
        head = self.head()
        encoding = "utf8" if self.encoding == "utf-8-sig" else self.encoding
        read = pyarrow.csv.ReadOptions(
            column_names=head.names, skip_rows=head.lines, block_size=raw_file.BLOCK, encoding=encoding
        )
        parse = pyarrow.csv.ParseOptions(delimiter=head.separator, newlines_in_values=True)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(head.names, pa.string()),
            include_columns=head.columns,
            strings_can_be_null=True,
            null_values=[""],
        )
        source: Any = (
            pa.PythonFile(self.open_bytes(), "r")
            if self.packing == "zip"
            else pa.input_stream(self.path, compression=self.packing or None)
        )
        with source:
            try:
                yield from pyarrow.csv.open_csv(source, read, parse, convert)
            except pa.ArrowInvalid as problem:
                yield from self._after_problem(head, str(problem))
            except OSError as problem:
                if not self.packing:
                    raise
                raise self.packing_error(problem) from None

    def _read_head(self) -> Head:
        with self.open_text() as file:
            sample = file.read(SAMPLE)
        if "\0" in sample.partition("\n")[0]:
            raise JobError(
                f"{self.name} is not a CSV file: its header has zero bytes. If it is UTF-16, set data.encoding: utf-16."
            )
        separator = self._separator(sample)
        csv.field_size_limit(max(SAMPLE, 2 * raw_file.BLOCK))
        with self.open_text() as file:
            reader = csv.reader(file, strict=True, delimiter=separator)
            try:
                names = next((row for row in reader if row), None)
            except csv.Error as problem:
                raise JobError(f"{self.name}, line 1: the header cannot be read: {problem}.") from None
            if names is None:
                raise JobError(f"{self.name} is empty; a header line and rows are expected.")
            lines = reader.line_num
        rows = islice(csv.reader(io.StringIO(_whole(sample), newline=""), delimiter=separator), 1, _SAMPLE_ROWS)
        has_index = len(names) > 1 and not names[0].strip() and all(_WHOLE.fullmatch(row[0]) for row in rows if row)
        return Head(separator, names, lines, has_index)

    def _separator(self, sample: str) -> str:
        given = self._option("separator")
        if given != raw_file.AUTO:
            return _SEPARATORS[given]
        if self._is_tsv():
            return "\t"
        best = separators_in(sample)
        if len(best) > 1:
            called = [name for name, sign in _SEPARATORS.items() if sign in best]
            raise JobError(
                f"{self.name}: the columns may be separated by {' or '.join(called)}; set data.separator to one."
            )
        return best[0]

    def _is_tsv(self) -> bool:
        return self.suffix == ".tsv"

    def _after_problem(self, head: Head, problem: str) -> Iterator[pa.RecordBatch]:
        if "Empty CSV file" in problem:  # only a header
            yield pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in head.columns})
            return
        if "UTF8" in problem:
            raise self.encoding_error()
        for number, (line, cells) in enumerate(islice(self._rows(), 1, None), 1):
            if len(cells) != len(head.names):
                sign = next(name for name, sign in _SEPARATORS.items() if sign == head.separator)
                raise JobError(
                    f"{self.name}, row {number} (line {line}) has {counted(len(cells), 'cell')}, the header has "
                    f"{len(head.names)}; look for a missing or an unquoted {sign}."
                )
        raise JobError(f"{self.name} cannot be read as CSV: {problem}")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The header and each row that is not empty, with the number of the line at which it starts."""
        separator = self.head().separator
        with self.open_text() as file:
            csv.field_size_limit(2 * raw_file.BLOCK)
            reader, line = csv.reader(file, delimiter=separator), 1
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


def separators_in(sample: str) -> list[str]:
    """The sign that most of the sample's first lines have as often as the header, outside quotes; of several, the one
    with the most columns. Returns more than one if there is a tie.
    """
    lines = [line for line in re.split(r"[\r\n]+", _QUOTED.sub("", _whole(sample))) if line.strip()][:_SAMPLE_ROWS]
    ranks: dict[str, tuple[float, int]] = {}
    for sign in _SEPARATORS.values():
        counts = [line.count(sign) for line in lines]
        if counts and counts[0]:
            ranks[sign] = (counts.count(counts[0]) / len(counts), counts[0])
    best = max(ranks.values(), default=None)
    return [sign for sign, rank in ranks.items() if rank == best] or [","]


def _whole(sample: str) -> str:
    """The sample without a line that is cut off, if it has more than this one."""
    return (sample.rpartition("\n")[0] or sample) if len(sample) == SAMPLE else sample
