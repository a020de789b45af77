"""JSON lines: one object per line, whose values are null, true/false, numbers or texts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import column_types
import pyarrow as pa
import raw_file
from job_io import JobError, shown

ROWS = 65_536  # per batch; fewer if they are long
_KINDS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string(), type(None): pa.null()}


class JsonTable(raw_file.RawTable):
    format = "jsonl"
    ladder = column_types.MOMENTS + column_types.ZONED

    def read_columns(self) -> list[str]:
        return list(dict.fromkeys(name for batch in self.read_batches() for name in batch.schema.names))

    def read_batches(self) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, Any]] = []
        size = start = 0
        for line, text in self._texts():
            rows.append(self._row(f"{self.name}, row {start + len(rows) + 1} (line {line})", text))
            size += len(text)
            if size >= raw_file.BLOCK or len(rows) >= ROWS:
                yield self._batch(rows, start)
                start, size, rows = start + len(rows), 0, []
        if start == 0 and not rows:
            raise JobError(f"{self.name} is empty; one JSON object a line is expected.")
        if rows:
            yield self._batch(rows, start)

    def lines(self) -> Iterator[int]:
        yield from (number for number, _ in self._texts())

    def _texts(self) -> Iterator[tuple[int, str]]:
        with self.open_text() as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())

    def _row(self, place: str, text: str) -> dict[str, Any]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            row = dict(pairs)
            if len(row) < len(pairs):
                raise ValueError("it has a key twice")
            return row

        try:
            row = json.loads(text, object_pairs_hook=unique)
        except (ValueError, RecursionError) as problem:
            raise JobError(f"{place} is not JSON: {problem}.") from None
        if not isinstance(row, dict):
            raise JobError(f'{place} is not a JSON object; {{"column": value, …}} is expected.')
        for name, value in row.items():
            if not (_is_unicode(name) and _is_unicode(value)):
                raise JobError(
                    f"{place}: column {shown(name)} holds half of a character (a lone \\ud800 to \\udfff); "
                    "write the character itself."
                )
            if isinstance(value, (dict, list)):
                raise JobError(
                    f"{place}: column {shown(name)} holds {shown(value)}, which is not a single value; "
                    "flatten the column or leave it out."
                )
        return row

    def _batch(self, rows: list[dict[str, Any]], start: int) -> pa.RecordBatch:
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pa.RecordBatch.from_arrays([self._column(name, rows, start) for name in names], names)

    def _column(self, name: str, rows: list[dict[str, Any]], start: int) -> pa.Array:
        values = [row.get(name) for row in rows]
        kind = pa.null()
        for index, value in enumerate(values):
            large = type(value) is int and not -(2**63) <= value < 2**63
            both = column_types.wider(kind, pa.float64() if large else _KINDS[type(value)])
            if both is None:
                raise JobError(
                    f"{self.name}, {self.row(start + index)}: column {shown(name)} holds {shown(value)}, the rows "
                    f"before hold {column_types.words(kind)}; make them one type."
                )
            kind = both
        for index, value in enumerate(values):
            if isinstance(value, int) and kind == pa.float64():
                if abs(value) > sys.float_info.max:
                    raise JobError(
                        f"{self.name}, {self.row(start + index)}: column {shown(name)} holds a whole number of more "
                        "than 308 digits; make it a text."
                    )
                values[index] = float(value)
        return pa.array(values, kind)


def _is_unicode(value: object) -> bool:
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
