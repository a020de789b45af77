"""A model's training and held-out rows, as score reads them: the parts may be larger than memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import part_files
import pyarrow as pa
from column_types import class_names
from metrics import has_classes


def labels(folder: Path, model: Mapping[str, Any]) -> Any:
    """The labels of a part: numbers, or classes as text."""
    paths, name, classes = part_files.part_paths(folder), model["label"], has_classes(model)
    batches = (batch for path in paths for batch in part_files.read_batches(path, [name]))
    return joined([as_labels(batch.column(name), classes) for batch in batches], classes)


def joined(parts: list[Any], classes: bool) -> Any:
    return np.concatenate([np.empty(0, object if classes else float), *parts])


def as_labels(values: pa.Array, classes: bool) -> Any:
    if classes:
        return class_names(values).to_numpy(zero_copy_only=False)
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
