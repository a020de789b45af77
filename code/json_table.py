"""JSON lines: one object per line, whose values are null, true/false, numbers or texts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import column_types
import pyarrow as pa
import raw_file
from job_io import JobError, shown
from raw_file import RawFile, open_text

ROWS = 65_536  # per batch; fewer if they are long


def batches(table: RawFile) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    size = start = 0
    for line, text in _texts(table):
        rows.append(_row(table, start + len(rows), line, text))
        size += len(text)
        if size >= raw_file.BLOCK or len(rows) >= ROWS:
            yield _batch(table, rows, start)
            start, size, rows = start + len(rows), 0, []
    if start == 0 and not rows:
        raise JobError(f"{table.name} is empty; one JSON object a line is expected.")
    if rows:
        yield _batch(table, rows, start)


def _texts(table: RawFile) -> Iterator[tuple[int, str]]:
    with open_text(table) as file:
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def lines(table: RawFile) -> Iterator[int]:
    yield from (number for number, _ in _texts(table))


def _row(table: RawFile, index: int, line: int, text: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            raise ValueError("it has a key twice")
        return row

    try:
        row = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        raise JobError(f"{table.name}, row {index + 1} (line {line}) is not JSON: {problem}.") from None
    if not isinstance(row, dict):
        raise JobError(
            f'{table.name}, row {index + 1} (line {line}) is not a JSON object; {{"column": value, …}} is expected.'
        )
    for name, value in row.items():
        if not (_is_unicode(name) and _is_unicode(value)):
            raise JobError(
                f"{table.name}, row {index + 1} (line {line}): column {shown(name)} holds half of a character "
                "(a lone \\ud800 to \\udfff); write the character itself."
            )
        if isinstance(value, (dict, list)):
            raise JobError(
                f"{table.name}, row {index + 1} (line {line}): column {shown(name)} holds {shown(value)}, "
                "which is not a single value; flatten the column or leave it out."
            )
    return row


def _is_unicode(value: object) -> bool:
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)


def _batch(table: RawFile, rows: list[dict[str, Any]], start: int) -> pa.RecordBatch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.RecordBatch.from_arrays([_column(table, name, rows, start) for name in names], names)


def _column(table: RawFile, name: str, rows: list[dict[str, Any]], start: int) -> pa.Array:
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
                f"{table.name}, {_place(table, start + index)}: column {shown(name)} holds {shown(value)}, the rows "
                f"before hold {column_types.words(kind)}; make them one type."
            )
        kind = both
    for index, value in enumerate(values):
        if isinstance(value, int) and kind == pa.float64():
            if abs(value) > sys.float_info.max:
                raise JobError(
                    f"{table.name}, {_place(table, start + index)}: column {shown(name)} holds a whole number of more "
                    "than 308 digits; make it a text."
                )
            values[index] = float(value)
    return pa.array(values, kind)


def _place(table: RawFile, index: int) -> str:
    return f"row {index + 1} (line {next(islice(lines(table), index, None))})"
