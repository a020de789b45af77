"""Converts Parquet batches to the frames that AutoGluon trains on and predicts with, with the same types in both.

Integers and true/false become floats, so a batch with a missing value looks like one without. Infinite values become
missing, because only some models accept them. Dates become datetime64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import column_types
import numpy as np
import numpy.typing as npt
import pandas as pd
import part_files
import pyarrow as pa
import pyarrow.compute as pc
from job_io import ROW, JobError, shown


def features_of(schema: pa.Schema, label: str) -> dict[str, str]:
    """The columns to learn from with their types, in the manifest's format."""
    return {field.name: str(field.type) for field in schema if field.name not in (ROW, label)}


def frame(batch: pa.RecordBatch | pa.Table, features: Iterable[str]) -> pd.DataFrame:
    return pd.DataFrame({name: _column(batch.column(name)) for name in features}, copy=False)


def _column(values: pa.Array | pa.ChunkedArray) -> pd.Series | npt.NDArray[np.generic]:
    kind = values.type
    if pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int8())
    if pa.types.is_temporal(kind):
        return pc.cast(values, pa.timestamp("us")).to_pandas()
    if kind == column_types.TEXT:
        return values.to_pandas()
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    infinite = np.isinf(numbers)
    return np.where(infinite, np.nan, numbers) if infinite.any() else numbers


def read_part(folder: Path) -> pa.Table:
    """Read a whole part; only training needs all rows at once."""
    paths = part_files.part_paths(folder)
    schema = part_files.read_schema(paths[0])
    return pa.Table.from_batches((batch for path in paths for batch in part_files.read_batches(path)), schema)


def check_columns(features: Mapping[str, str], schema: pa.Schema, model: str) -> None:
    """Raise JobError if the rows lack one of the model's columns, or have another type of value in it.

    Columns may be in any order, and unknown columns are ignored.
    """
    missing = [name for name in features if name not in schema.names]
    if missing:
        raise JobError(
            f"Model {model} learnt from the column {shown(missing[0])}, which the rows do not have; add the column to "
            "the tables, or train the model again without it."
        )
    for name, learnt in features.items():
        here = schema.field(name).type
        if _family(learnt) != _family(str(here)):
            raise JobError(
                f"Model {model} learnt from {shown(name)} as {learnt}, but the rows hold {here} there; make the column "
                "what it was, or train the model again."
            )


def _family(kind: str) -> str:
    """The group of types that a model treats alike."""
    if kind in ("int64", "double", "bool"):
        return "number"
    return "date" if kind.startswith(("date", "timestamp")) else kind
