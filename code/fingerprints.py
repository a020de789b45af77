"""Fingerprints of rows and settings, which let a later run detect that nothing has changed.

The values are hashed, column by column, and not the bytes of files, so neither batch boundaries nor the version of
Arrow matter. -0.0 counts as 0.0; not-a-number is already treated as missing (column_types.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import channels
import encoding
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from job_io import ROW

FORMAT = 1  # of the hashed data; changing it retrains every model


class RowSum:
    """The hash of rows, batch by batch; their position in the input (`stepgluon_row`) is ignored."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = 0
        self._columns = {field.name: _ColumnSum(field.type) for field in schema if field.name != ROW}

    def add(self, rows: pa.Table) -> None:
        for name, column in self._columns.items():
            column.add(rows[name].combine_chunks(), self.rows)
        self.rows += len(rows)

    def digest(self) -> dict[str, Any]:
        columns = [[name, str(column.kind), *column.digests()] for name, column in self._columns.items()]
        return {"rows": self.rows, "columns": columns}


class RowSlices:
    """The hashes of runs of rows in one table: the same as those of a RowSum, but fast for thousands of runs."""

    def __init__(self, rows: pa.Table) -> None:
        self._columns = {
            field.name: (str(field.type), _Streams(rows[field.name].combine_chunks()))
            for field in rows.schema
            if field.name != ROW
        }

    def digest(self, columns: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        found: list[list[str]] = []
        for name in columns:
            if name in self._columns:
                kind, streams = self._columns[name]
                found.append([name, kind, *(_sum_of(data) for data in streams.of(start, stop, 0))])
        return {"rows": stop - start, "columns": found}


class _ColumnSum:
    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self._sums = [hashlib.sha256() for _ in range(3)]

    def add(self, values: pa.Array, before: int) -> None:
        for found, data in zip(self._sums, _Streams(values).of(0, len(values), before), strict=True):
            found.update(data)

    def digests(self) -> list[str]:
        return [each.hexdigest() for each in self._sums]


class _Streams:
    """Three streams: the values, with 0 or nothing for missing ones; which are missing; the lengths of texts."""

    def __init__(self, values: pa.Array) -> None:
        missing = pc.is_null(values).to_numpy(zero_copy_only=False) if values.null_count else ()
        self._missing = np.flatnonzero(missing)
        self._places: npt.NDArray[np.int32] | None = None  # where each text begins
        if pa.types.is_string(values.type):
            values = values.fill_null("") if values.null_count else values
            _, offsets, content = values.buffers()
            self._places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
            self._values = memoryview(content if content is not None else b"")
            return
        numbers = pc.fill_null(pc.cast(values, _NUMBERS.get(values.type.id, values.type)), 0).to_numpy()
        self._values = (numbers + 0.0 if pa.types.is_floating(values.type) else numbers).data

    def of(self, start: int, stop: int, before: int) -> Iterator[Buffer]:
        """Of a run of rows, which follows `before` others."""
        places = self._places
        yield self._values[start:stop] if places is None else self._values[places[start] : places[stop]]
        yield self._missing_in(start, stop, before)
        yield b"" if places is None else np.diff(places[start : stop + 1]).data

    def _missing_in(self, start: int, stop: int, before: int) -> Buffer:
        if not len(self._missing):
            return b""
        first, last = np.searchsorted(self._missing, [start, stop])
        return (self._missing[first:last] + (before - start)).data


def _sum_of(data: Buffer) -> str:
    return hashlib.sha256(data).hexdigest() if len(data) else _EMPTY


Buffer = bytes | memoryview
_EMPTY = hashlib.sha256().hexdigest()
_NUMBERS = {pa.bool_().id: pa.int8(), pa.date32().id: pa.int32(), pa.timestamp("s").id: pa.int64()}


# Settings that cannot change a model, and where and drop, which choose the hashed rows. New settings count by default.
_NOT_OF_A_MODEL = {"name", "where", "drop", "train", "threshold", "better_than_median", "at_most", "at_least"}
_NOT_OF_A_MODEL |= {"default_model"}
_NOT_OF_A_TRAINING = {"spot", "max_runtime", "instance"}


def of_training(model: Mapping[str, Any], train: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    """A hash of the rows' digests and of each setting that may change the model."""
    settings = {key: value for key, value in model["train"].items() if key not in _NOT_OF_A_TRAINING}
    # An instance's cores and speed decide what fits the time limit.
    settings["instance"] = model["train"].get("instance", {}).get("type")
    more = {key: value for key, value in model.items() if key not in _NOT_OF_A_MODEL}
    if more.get("algorithm"):
        more["formats"] = [channels.FORMAT, encoding.FORMAT]
    return _sha256({**more, "train": train, "test": test, "settings": settings})


def of_prediction(rows: Mapping[str, Any], files: Mapping[str, int]) -> str:
    """A hash of the rows' digest and their files, because a prediction is found by its position in a file."""
    return _sha256({"rows": rows, "files": files})


def of_columns(schema: pa.Schema) -> str:
    """Of the columns that a container is asked with, in order, which it gets without their names."""
    return _sha256({"columns": [[field.name, str(field.type)] for field in schema]})[:16]


def _sha256(content: dict[str, Any]) -> str:
    text = json.dumps({"format": FORMAT, **content}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
