"""What the report shows of the data, from a sample of its rows: distinct values and a small histogram per column.

The sample is every n-th row, at most SAMPLE_ROWS of them, and all rows of a small table. `predict` marks the rows that
a model predicts, so that they can be compared with the others.

    sampled_rows  the number of rows in the sample; for a small table, all
    columns       for each column "distinct" in the sample, and one of
                  "histogram": {"from", "to", "known": [...], "predict": [...]}   numbers and dates, in BINS bins
                  "top": [[value, known, predict], ...]                           the other types, most frequent first
    open_gaps     for each label whose gaps are not all predicted {"label", "rows", "where": {column: [[value, rows]]}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from job_io import ROW
from model_parts import Mask, Parts, Splitter

SAMPLE_ROWS = 20_000
SAMPLE_CELLS = 2_000_000  # fewer rows if there are very many columns
BINS = 20
TOP = 5
TEXT = 60  # characters of a value
OPEN_VALUES = 1000  # distinct values to count of a `where` column
_PREDICT = "stepgluon_predict"


class ColumnStats:
    def __init__(self, schema: pa.Schema) -> None:
        self._limit = min(SAMPLE_ROWS, max(1, SAMPLE_CELLS // len(schema)))
        self._step = 1
        self._sample = schema.append(pa.field(_PREDICT, pa.bool_())).empty_table()
        self._open: dict[str, int] = {}
        self._values: dict[str, dict[str, Counter[Any]]] = {}

    def add(self, batch: pa.RecordBatch, splitters: Sequence[Splitter], parts: Sequence[Parts]) -> None:
        predicted = np.zeros(batch.num_rows, dtype=bool)
        for part in parts:
            predicted |= part.predict
        first = batch.column(ROW)[0].as_py() if batch.num_rows else 0
        places = np.arange(-first % self._step, batch.num_rows, self._step)
        rows = pa.Table.from_batches([batch.take(pa.array(places))]).append_column(
            _PREDICT, pa.array(predicted[places])
        )
        self._sample = pa.concat_tables([self._sample, _shortened(rows)])
        while len(self._sample) > self._limit:
            self._step *= 2
            kept = np.flatnonzero(self._sample[ROW].to_numpy() % self._step == 0)
            self._sample = self._sample.take(pa.array(kept))
        for label in dict.fromkeys(each.label for each in splitters):
            self._add_open(batch, label, [(s, p) for s, p in zip(splitters, parts, strict=True) if s.label == label])

    def _add_open(self, batch: pa.RecordBatch, label: str, models: list[tuple[Splitter, Parts]]) -> None:
        gaps: Mask = pc.is_null(batch.column(label)).to_numpy(zero_copy_only=False)
        for _, part in models:
            gaps = gaps & ~part.predict
        count = int(gaps.sum())
        self._open[label] = self._open.get(label, 0) + count
        if not count:
            return
        values = self._values.setdefault(label, {})
        for column in dict.fromkeys(name for each, _ in models for name in each.where):
            found = batch.column(column).filter(pa.array(gaps)).value_counts()
            counts = values.setdefault(column, Counter())
            for one in found.to_pylist():
                if one["values"] in counts or len(counts) < OPEN_VALUES:
                    counts[one["values"]] += one["counts"]

    def columns(self) -> dict[str, dict[str, Any]]:
        predict = self._sample[_PREDICT].to_numpy()
        return {
            name: {"distinct": len(values.unique().drop_null()), **_shape(values, predict)}
            for name, values in zip(self._sample.column_names, self._sample.columns, strict=True)
            if name not in (ROW, _PREDICT)
        }

    def profile(self) -> dict[str, Any]:
        gaps = [
            {"label": label, "rows": rows, "where": self._where(label)} for label, rows in self._open.items() if rows
        ]
        return {"sampled_rows": len(self._sample), "open_gaps": gaps}

    def _where(self, label: str) -> dict[str, list[list[Any]]]:
        columns = self._values.get(label, {}).items()
        return {name: [[_words(value), rows] for value, rows in found.most_common(TOP)] for name, found in columns}


def _shortened(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(place, field, pc.utf8_slice_codeunits(table.column(place), 0, TEXT))
    return table


def _shape(values: pa.ChunkedArray, predict: npt.NDArray[np.bool_]) -> dict[str, Any]:
    kind = values.type
    present = pc.is_valid(values).to_numpy()
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        encoded = values.filter(pa.array(present)).combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        places, size, asked = encoded.indices.to_numpy(), len(encoded.dictionary), predict[present]
        counts = [np.bincount(places[asked == side], minlength=size) for side in (False, True)]
        order = np.argsort(-(counts[0] + counts[1]), kind="stable")[:TOP]
        return {"top": [[_words(encoded.dictionary[p].as_py()), *(int(side[p]) for side in counts)] for p in order]}
    if pa.types.is_temporal(kind):
        # Seconds since 1970.
        numbers = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64()).fill_null(0).to_numpy() / 1e6
    else:
        numbers = pc.cast(values, pa.float64(), safe=False).fill_null(0).to_numpy()
    present &= np.isfinite(numbers)
    if not present.any():
        return {}
    numbers, asked = numbers[present], predict[present]
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite(high - low):
        return {}
    edges = np.unique(np.linspace(low, high, BINS + 1))  # fewer between large numbers that are nearly equal
    edges = edges if len(edges) > 1 else np.array([low, np.nextafter(high, np.inf)])
    counts = [np.histogram(numbers[asked == side], edges)[0].tolist() for side in (False, True)]
    ends: list[Any] = [low, high]
    if pa.types.is_temporal(kind):
        ends = [_words(pa.scalar(int(end), pa.timestamp("s")).as_py()) for end in ends]
    named = dict(zip(("from", "to"), ends, strict=True))
    return {"histogram": {**named, "known": counts[0], "predict": counts[1]}}


def _words(value: Any) -> Any:
    """A value for JSON: numbers and true/false stay, everything else is text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return str(value).removesuffix(" 00:00:00")
