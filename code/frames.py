"""Converts Parquet batches to the frames that AutoGluon trains on and predicts with, with the same types in both.

Integers and true/false become floats, so a batch with a missing value looks like one without. Infinite values become
missing, because only some models accept them. Dates become datetime64.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import column_types
import numpy as np
import numpy.typing as npt
import pandas as pd
import part_files
import pyarrow as pa
import pyarrow.compute as pc
from job_io import ROW


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
