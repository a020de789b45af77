"""Columns as the numbers that a trainer without types of its own learns from, like XGBoost; encoding.json keeps how.

    numbers       as they are; infinite ones are missing
    true/false    1 and 0
    dates         days since the earliest training row; times: seconds since it (float32 has 24 bits, so not since 1970)
    text          0 for the most frequent text of the training rows, then 1, ...; equally frequent ones by their bytes

A missing value stays missing. So does an unseen text, unless the training rows had more texts than MOST: then all texts
without a number of their own, seen or not, share the next number. A column without any value is left out. If the label
has classes, the number of each is its place in `classes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import column_types
import job_io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from job_io import ROW, RetryableError

FORMAT = 1  # of the numbers; changing it retrains every model that learns from them
FILE = "encoding.json"
MOST = 1000  # texts with a number of their own; XGBoost bins a column into 256 by default
LONG = 256  # bytes; longer texts are notes, not categories
CANDIDATES = 8192  # texts counted at once: one that makes up more than this share of all rows so far is never dropped
BLOCK = 65_536  # rows between two prunings, so that the batches' sizes do not matter
_DAY, _SECOND = 86_400_000_000, 1_000_000  # in microseconds

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Feature:
    """One column, and how its values become numbers."""

    name: str
    type: str
    since: int = 0  # microseconds after 1970 that count as 0
    texts: pa.Array | None = None  # the place of each is its number
    others: bool = False  # whether all other texts share the next number

    def numbers(self, values: pa.Array | pa.ChunkedArray) -> Numbers:
        """NaN for what is missing."""
        if self.texts is not None:
            return self._codes(values, self.texts)
        if pa.types.is_temporal(values.type):
            moments = pc.cast(pc.cast(values, pa.timestamp("us", getattr(values.type, "tz", None))), pa.int64())
            unit = _DAY if self.type.startswith("date") else _SECOND
            found: Numbers = ((_floats(moments, pa.float64()) - self.since) / unit).astype(np.float32)
            return found
        if pa.types.is_boolean(values.type):
            values = pc.cast(values, pa.int8())
        with np.errstate(over="ignore"):
            numbers: Numbers = _floats(values, pa.float64()).astype(np.float32)
        numbers[np.isinf(numbers)] = np.nan
        return numbers

    def _codes(self, values: pa.Array | pa.ChunkedArray, texts: pa.Array) -> Numbers:
        numbers: Numbers = _floats(pc.index_in(values, texts), pa.float32())
        if self.others:
            unlisted = np.isnan(numbers) & pc.is_valid(values).to_numpy(zero_copy_only=False)
            numbers = np.where(unlisted, np.float32(len(texts)), numbers)
        return numbers

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.texts is not None:
            return found | {"texts": self.texts.to_pylist(), "others": self.others}
        return found | {"since": self.since} if self.type.startswith(("date", "timestamp")) else found


def _floats(values: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> Any:
    """A copy as NumPy's numbers, with NaN for missing ones."""
    return np.array(pc.cast(values, kind, safe=False).to_numpy(**_COPY[isinstance(values, pa.Array)]))


_COPY: dict[bool, dict[str, bool]] = {True: {"zero_copy_only": False}, False: {}}


@dataclass(frozen=True)
class Encoding:
    features: list[Feature]
    classes: tuple[str, ...] = ()  # of the training rows, in order; none if the label is a number

    def columns(self, rows: pa.RecordBatch | pa.Table) -> Iterator[Numbers]:
        return (feature.numbers(rows.column(feature.name)) for feature in self.features)

    def matrix(self, rows: pa.RecordBatch | pa.Table) -> Numbers:
        found: Numbers = np.empty((rows.num_rows, len(self.features)), np.float32, order="F")
        for place, numbers in enumerate(self.columns(rows)):
            found[:, place] = numbers
        return found

    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def types(self) -> dict[str, str]:
        """The columns with their types, as in a model's manifest."""
        return {feature.name: feature.type for feature in self.features}

    def save(self, path: Path) -> None:
        found = {"format": FORMAT, "features": [feature.json() for feature in self.features]}
        job_io.write_json(path, found | ({"classes": list(self.classes)} if self.classes else {}))


def load(path: Path) -> Encoding:
    found = job_io.read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RetryableError(f"{path.name} in {path.parent} has another format than {FORMAT}; train the model again.")
    features = []
    for each in found["features"]:
        texts = pa.array(each["texts"], pa.string()) if "texts" in each else None
        features.append(Feature(each["name"], each["type"], each.get("since", 0), texts, each.get("others", False)))
    return Encoding(features, tuple(found.get("classes", ())))


class Learner:
    """Makes the encoding from the training rows, batch by batch, in memory that the number of rows does not change."""

    def __init__(self, schema: pa.Schema, label: str) -> None:
        self._columns = [_column(field) for field in schema if field.name not in (ROW, label)]
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        start = 0
        while start < len(rows):
            piece = rows.slice(start, BLOCK - self._rows % BLOCK)
            for column in self._columns:
                column.add(piece[column.name])
            start += len(piece)
            self._rows += len(piece)
            if self._rows % BLOCK == 0:
                for column in self._columns:
                    column.prune()

    def encoding(self, classes: Iterable[str] = ()) -> Encoding:
        return Encoding([column.feature() for column in self._columns if column.has_values], tuple(classes))


class _Column:
    """A column of numbers or moments: has it any value, and which is the first?"""

    def __init__(self, field: pa.Field) -> None:
        self.name, self.type = field.name, field.type
        self.has_values = False
        self._first: int | None = None

    def add(self, values: pa.ChunkedArray) -> None:
        if pa.types.is_temporal(self.type):
            first = pc.min(pc.cast(pc.cast(values, pa.timestamp("us", getattr(self.type, "tz", None))), pa.int64()))
            if first.is_valid:
                self._first = min(first.as_py(), first.as_py() if self._first is None else self._first)
                self.has_values = True
        elif not self.has_values:
            self.has_values = not bool(np.isnan(self.feature().numbers(values)).all())

    def prune(self) -> None:
        """Numbers need no memory."""

    def feature(self) -> Feature:
        return Feature(self.name, str(self.type), self._first or 0)


class _Texts(_Column):
    """Counts a column's texts."""

    def __init__(self, field: pa.Field) -> None:
        super().__init__(field)
        self._counts = pa.table({"text": pa.array([], pa.string()), "rows": pa.array([], pa.int64())})
        self._dropped = False

    def add(self, values: pa.ChunkedArray) -> None:
        values = values.drop_null()
        self.has_values = self.has_values or len(values) > 0
        short = values.filter(pc.less_equal(pc.binary_length(values), LONG))
        self._dropped = self._dropped or len(short) < len(values)
        found = pc.value_counts(short)
        more = pa.table({"text": found.field("values"), "rows": found.field("counts")})
        both = pa.concat_tables([self._counts, more]).group_by("text", use_threads=False)
        self._counts = both.aggregate([("rows", "sum")]).rename_columns(["text", "rows"])

    def prune(self) -> None:
        self._keep(CANDIDATES)

    def _keep(self, most: int) -> None:
        if len(self._counts) > most:
            self._sort()
            # take copies: a slice would keep all texts in memory
            self._counts = self._counts.take(pa.array(np.arange(most)))
            self._dropped = True

    def _sort(self) -> None:
        self._counts = self._counts.sort_by([("rows", "descending"), ("text", "ascending")])

    def feature(self) -> Feature:
        self._keep(MOST)
        self._sort()
        return Feature(self.name, str(self.type), 0, self._counts["text"].combine_chunks(), self._dropped)


def _column(field: pa.Field) -> _Column:
    return _Texts(field) if field.type == column_types.TEXT else _Column(field)
