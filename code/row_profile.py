"""The profile of the rows that trained a model: profile.json beside its manifest, for the monitor to compare with.

    rows, sampled  all training rows, and every n-th of them, at most SAMPLE, of which the shapes are
    columns        {column: shape}, of the columns that the model learnt from
    label          the shape of the training rows' labels
    prediction     the shape of the predictions for the held-out rows
    held_out       {"rows", "metric", "score", "loss", "deviation"}: mean and standard deviation of the held-out rows'
                   losses; a loss is the absolute error, or of a class 0 or 1

A shape is {"type", "missing"} and
    "edges", "counts"   of numbers and dates (seconds since 1970): a bin ends at each edge and includes it, one more is
                        beyond the last; each has about the same number of rows
    "values", "others"  of text and true/false: the rows of the most frequent values, and those of all others

No single row can be read from it: neither the lowest and the highest number nor a value of fewer than LEAST rows is in
it. Its size does not depend on the number of rows or values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import part_files
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILE = "profile.json"
SAMPLE = 100_000  # rows
CELLS = 5_000_000  # of the sample in memory at the same time
BINS = 20
LEAST = 5  # rows of a value, and of a bin
VALUES = 50  # of a column; fewer if there are very many columns, down to FEW
FEW = 5
ALL_VALUES = 20_000
TEXT = 60  # characters; a longer text is among the others
DIGITS = 9  # of an edge

Shape = dict[str, Any]
Numbers = npt.NDArray[np.float64]


def write(
    out: Path,
    folder: Path,
    features: Iterable[str],
    labels: Any,
    truth: Any,
    predicted: Any,
    metrics: Mapping[str, Any],
) -> None:
    """Write the profile of the part in `folder`; `truth` and `predicted` are the held-out rows' labels and answers."""
    whole = [pa.array(np.asarray(each)) for each in (labels, predicted)]
    label, prediction = (shape(pa.chunked_array([each]), VALUES) for each in whole)
    held_out = {"rows": len(truth), **{key: metrics[key] for key in ("metric", "score")}}
    found = {**of_rows(folder, list(features)), "label": label, "prediction": prediction}
    found["held_out"] = {**held_out, **losses(truth, predicted)}
    # One line: with an edge in each, the profile of 2,000 columns would have 80,000.
    (out / FILE).write_text(json.dumps(found, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


def losses(truth: Any, predicted: Any) -> dict[str, float | None]:
    found = loss(truth, predicted)
    usual = len(found) > 1 and bool(np.isfinite(found).all())
    return {"loss": float(found.mean()) if usual else None, "deviation": float(found.std(ddof=1)) if usual else None}


def loss(truth: Any, predicted: Any) -> Numbers:
    """Each row's absolute error, or 1 if its class is wrong."""
    one, other = np.asarray(truth), np.asarray(predicted)
    classes = one.dtype == object or one.dtype.kind in "US"
    found: Numbers = (one != other).astype(float) if classes else np.abs(one - other)
    return found


def of_rows(folder: Path, names: list[str]) -> dict[str, Any]:
    """Rows and columns of a part, read a few columns at a time."""
    paths = part_files.part_paths(folder)
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    step = max(1, math.ceil(rows / SAMPLE))
    together = max(1, CELLS // max(1, math.ceil(rows / step)))
    most = max(FEW, min(VALUES, ALL_VALUES // max(1, len(names))))
    columns: dict[str, Shape] = {}
    for start in range(0, len(names), together):
        group = names[start : start + together]
        table = pa.Table.from_batches(list(_sampled(paths, group, step)), _schema(paths[0], group))
        columns |= {name: shape(table.column(name), most) for name in group}
    return {"rows": rows, "sampled": math.ceil(rows / step), "columns": columns}


def _schema(path: Path, names: list[str]) -> pa.Schema:
    schema = part_files.read_schema(path)
    return pa.schema([schema.field(name) for name in names])


def _sampled(paths: list[Path], names: list[str], step: int) -> Iterator[pa.RecordBatch]:
    done = 0
    for path in paths:
        for batch in part_files.read_batches(path, names):
            taken = batch if step == 1 else batch.take(pa.array(np.arange(-done % step, batch.num_rows, step)))
            yield taken.select(names)
            done += batch.num_rows


def shape(values: pa.ChunkedArray, most: int) -> Shape:
    if is_category(values.type):
        texts = as_texts(values)
        counts = {one["values"]: one["counts"] for one in pc.value_counts(texts.drop_null()).to_pylist()}
        kept = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:most]
        kept = [(value, rows) for value, rows in kept if rows >= LEAST and len(value) <= TEXT]
        missing, others = texts.null_count, sum(counts.values()) - sum(rows for _, rows in kept)
        return {"type": str(values.type), "missing": missing, "values": dict(kept), "others": others}
    numbers = as_numbers(values)
    known = numbers[np.isfinite(numbers)]
    bins = min(BINS, len(known) // LEAST)
    quantiles = np.quantile(known, np.arange(1, bins) / bins, method="lower") if bins > 1 else np.empty(0)
    edges = np.unique([float(f"{edge:.{DIGITS}g}") for edge in quantiles])
    found = {"type": str(values.type), "missing": len(numbers) - len(known), "edges": edges.tolist()}
    return {**found, "counts": in_bins(known, edges).tolist()}


def is_category(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def as_texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(values, pa.string())


def as_numbers(values: pa.ChunkedArray) -> Numbers:
    """NaN for missing values; dates as seconds since 1970."""
    if pa.types.is_temporal(values.type):
        moments = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
        return np.asarray(pc.cast(moments, pa.float64(), safe=False).to_numpy(), np.float64) / 1e6
    found: Numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    return found


def in_bins(numbers: Numbers, edges: Any) -> npt.NDArray[np.int64]:
    return np.bincount(np.searchsorted(np.asarray(edges, float), numbers), minlength=len(edges) + 1)
