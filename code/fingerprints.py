"""Fingerprints of rows and settings, which let a later run detect that nothing has changed.

The values are hashed, column by column, and not the bytes of files, so neither batch boundaries nor the version of
Arrow matter. -0.0 counts as 0.0; not-a-number is already treated as missing (column_types.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
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
    """The hashes of consecutive runs of rows of a table: the same as those of a RowSum, but fast for thousands of runs.

    Run n has the rows from `ends[n]` to `ends[n + 1]`.
    """

    def __init__(self, rows: pa.Table, ends: npt.NDArray[np.int64]) -> None:
        self._ends = ends
        self._columns = {
            field.name: (str(field.type), _Streams(rows[field.name].combine_chunks()).digests(ends))
            for field in rows.schema
            if field.name != ROW
        }

    def digest(self, columns: Sequence[str], run: int) -> dict[str, Any]:
        chosen = [(name, *self._columns[name]) for name in columns if name != ROW]
        found = [[name, kind, *(stream[run] for stream in streams)] for name, kind, streams in chosen]
        return {"rows": int(self._ends[run + 1] - self._ends[run]), "columns": found}


class _ColumnSum:
    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self._values, self._missing, self._lengths = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()

    def add(self, values: pa.Array, before: int) -> None:
        streams = _Streams(values)
        self._missing.update((streams.missing + before).data)
        self._lengths.update(streams.lengths.data)
        self._values.update(streams.values)

    def digests(self) -> list[str]:
        return [each.hexdigest() for each in (self._values, self._missing, self._lengths)]


class _Streams:
    """Three streams: the values, with 0 or nothing for missing ones; which are missing; the lengths of texts."""

    def __init__(self, values: pa.Array) -> None:
        missing = pc.is_null(values).to_numpy(zero_copy_only=False) if values.null_count else ()
        self.missing = np.flatnonzero(missing)
        self._places: npt.NDArray[np.int32] | None = None  # where each text begins
        self.lengths: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        if pa.types.is_string(values.type):
            values = values.fill_null("") if values.null_count else values
            _, offsets, content = values.buffers()
            self._places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
            self.lengths = np.diff(self._places)
            self.values = memoryview(content if content is not None else b"")[self._places[0] : self._places[-1]]
            return
        numbers = pc.fill_null(pc.cast(values, _NUMBERS.get(values.type.id, values.type)), 0).to_numpy()
        self.values = (numbers + 0.0 if pa.types.is_floating(values.type) else numbers).data

    def digests(self, ends: npt.NDArray[np.int64]) -> list[list[str]]:
        """Of each run, as if it had been added alone; a list for each stream."""
        places, none = self._places, np.zeros_like(ends)
        missing = np.searchsorted(self.missing, ends)
        in_run = self.missing[missing[0] : missing[-1]] - np.repeat(ends[:-1], np.diff(missing))
        return [
            _sums(self.values, ends if places is None else places[ends] - places[0]),
            _sums(in_run.data, missing - missing[0]),
            _sums(self.lengths.data, none if places is None else ends),
        ]


def _sums(data: memoryview, ends: npt.NDArray[Any]) -> list[str]:
    return [
        hashlib.sha256(data[start:stop]).hexdigest() if start < stop else _EMPTY
        for start, stop in pairwise(ends.tolist())
    ]


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
