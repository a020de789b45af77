"""A model's training and held-out rows, as score reads them: the parts may be larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import part_files
import pyarrow as pa


def labels(folder: Path, label: str) -> Any:
    """The labels of a part, as numbers."""
    return np.concatenate([np.empty(0), *(numbers(values) for values in columns(folder, label))])


def columns(folder: Path, name: str) -> list[pa.Array]:
    paths = part_files.part_paths(folder)
    return [batch.column(name) for path in paths for batch in part_files.read_batches(path, [name])]


def numbers(values: pa.Array) -> Any:
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def cells(folder: Path, names: list[str], rows: list[int]) -> list[list[Any]]:
    """The values of these columns in these rows of a part."""
    found: dict[int, list[Any]] = {}
    start = 0
    for path in part_files.part_paths(folder):
        for batch in part_files.read_batches(path, names):
            here = [row for row in rows if start <= row < start + len(batch)]
            taken = batch.select(names).take(pa.array([row - start for row in here], pa.int64()))
            found |= dict(zip(here, ([each[name] for name in names] for each in taken.to_pylist()), strict=True))
            start += len(batch)
    return [found[row] for row in rows]
