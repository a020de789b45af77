"""Fingerprints of rows and settings, which let a later run detect that nothing has changed.

The values are hashed, column by column, and not the bytes of files, so neither batch boundaries nor the version of
Arrow matter. -0.0 counts as 0.0; not-a-number is already treated as missing (column_types.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import channels
import encoding
import numpy as np
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


class _ColumnSum:
    """Three streams: the values, with 0 or nothing for missing ones; which are missing; the lengths of texts."""

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self._values, self._missing, self._lengths = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()

    def add(self, values: pa.Array, before: int) -> None:
        if values.null_count:
            missing = pc.is_null(values).to_numpy(zero_copy_only=False)
            self._missing.update((np.flatnonzero(missing) + before).data)
        if pa.types.is_string(self.kind):
            values = values.fill_null("") if values.null_count else values
            _, offsets, content = values.buffers()
            places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
            self._lengths.update(np.diff(places).data)
            if content is not None:
                self._values.update(memoryview(content)[places[0] : places[-1]])
            return
        numbers = pc.fill_null(pc.cast(values, _NUMBERS.get(self.kind.id, self.kind)), 0).to_numpy()
        self._values.update((numbers + 0.0 if pa.types.is_floating(self.kind) else numbers).data)

    def digests(self) -> list[str]:
        return [each.hexdigest() for each in (self._values, self._missing, self._lengths)]


_NUMBERS = {pa.bool_().id: pa.int8(), pa.date32().id: pa.int32(), pa.timestamp("s").id: pa.int64()}


# Settings that cannot change a model, and where and drop, which choose the hashed rows. New settings count by default.
_NOT_OF_A_MODEL = {"name", "where", "drop", "train", "threshold", "better_than_median", "at_most", "at_least"}
_NOT_OF_A_MODEL |= {"default_model"}
_NOT_OF_A_TRAINING = {"spot", "max_runtime", "instance"}


def of_training(model: Mapping[str, Any], train: RowSum, test: RowSum) -> str:
    """A hash of the rows and of each setting that may change the model."""
    settings = {key: value for key, value in model["train"].items() if key not in _NOT_OF_A_TRAINING}
    # An instance's cores and speed decide what fits the time limit.
    settings["instance"] = model["train"].get("instance", {}).get("type")
    more = {key: value for key, value in model.items() if key not in _NOT_OF_A_MODEL}
    if more.get("algorithm"):
        more["formats"] = [channels.FORMAT, encoding.FORMAT]
    return _sha256({**more, "train": train.digest(), "test": test.digest(), "settings": settings})


def of_prediction(rows: RowSum, files: Mapping[str, int]) -> str:
    """A hash of the rows and their files, because a prediction is found by its position in a file."""
    return _sha256({"rows": rows.digest(), "files": files})


def of_columns(schema: pa.Schema) -> str:
    """Of the columns that a container is asked with, in order, which it gets without their names."""
    return _sha256({"columns": [[field.name, str(field.type)] for field in schema]})[:16]


def _sha256(content: dict[str, Any]) -> str:
    text = json.dumps({"format": FORMAT, **content}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
