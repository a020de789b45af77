"""Selects a model's rows, and which of them train it, test it or are predicted by it.

A row belongs to a model if every condition of its `where` holds. Rows with a label train or test the model; rows
without one are predicted.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import column_types
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from job_io import JobError, shown
from metrics import has_classes, metric_of

Mask = npt.NDArray[np.bool_]
PARTS = ("train", "test", "predict")


@dataclass(frozen=True)
class Parts:
    """A model's rows in a batch, as masks over the batch."""

    train: Mask
    test: Mask
    predict: Mask


@dataclass
class Splitter:
    """Splits a table for one model, batch by batch.

    A fixed share of the labelled rows is held out as the test part: one row of every `1 / share`, at a position that
    depends on the seed and the number of labelled rows before it. So the same rows in the same order give the same
    split regardless of batches, the share is exact, and two labelled rows are enough for one row in each part.
    """

    name: str
    label: str
    where: Mapping[str, pa.Array]  # column -> the model's values
    test_fraction: float
    seed: int
    labelled: int = field(default=0, init=False)

    def split(self, batch: pa.RecordBatch) -> Parts:
        chosen = np.ones(batch.num_rows, dtype=bool)
        for column, values in self.where.items():
            chosen &= _mask(pc.is_in(batch.column(column), values))
        has_label = _mask(pc.is_valid(batch.column(self.label)))
        labelled = chosen & has_label
        count = int(labelled.sum())
        held_out = held_out_places(self.labelled, count, self.test_fraction, self.seed)
        self.labelled += count
        test = np.zeros(batch.num_rows, dtype=bool)
        test[np.flatnonzero(labelled)[held_out]] = True
        return Parts(train=labelled & ~test, test=test, predict=chosen & ~has_label)


def splitter(model: Mapping[str, Any], kinds: Mapping[str, pa.DataType], test_fraction: float, seed: int) -> Splitter:
    """Raises JobError if the model's label, conditions or dropped columns do not match the columns."""
    name, label = model["name"], model["label"]
    for use, column in [
        ("label", label),
        *(("where", c) for c in model["where"]),
        *(("drop", c) for c in model["drop"]),
    ]:
        check_column(name, use, column, kinds)
    if len(kinds) == 1:
        raise JobError(
            f"Model {name}: the tables have no column but its label {shown(label)}; add columns to learn from."
        )
    if label in model["drop"]:
        raise JobError(f"Model {name}: its label {shown(label)} is among its dropped columns; remove it from drop.")
    kind = column_types.words(kinds[label])
    if has_classes(model) and kind == "dates":
        message = f"which are not classes; choose another column for metric: {metric_of(model)}."
        raise JobError(f"Model {name}: its label {shown(label)} holds dates, {message}")
    if not has_classes(model) and kinds[label] not in column_types.NUMBERS:
        way_out = "choose a column of numbers" + (
            "" if kind == "dates" else ", or set metric: accuracy to learn classes"
        )
        raise JobError(f"Model {name}: its label {shown(label)} holds {kind}, not numbers; {way_out}.")
    where = {column: _wanted(name, column, kinds[column], values) for column, values in model["where"].items()}
    return Splitter(name, label, where, test_fraction, seed)


def check_column(model: str, use: str, column: str, kinds: Mapping[str, pa.DataType]) -> None:
    if column not in kinds:
        folded = {each.strip().casefold(): each for each in kinds}
        close = difflib.get_close_matches(column.strip().casefold(), folded, 1)
        hint = (
            f"; did you mean {shown(folded[close[0]])}?"
            if close
            else f"; there are {', '.join(map(shown, list(kinds)[:8]))}."
        )
        raise JobError(f"Model {model}: {use} names the column {shown(column)}, which the tables do not have{hint}")


def _wanted(model: str, column: str, kind: pa.DataType, values: Any) -> pa.Array:
    """The values of a `where`, converted to the column's type."""
    wanted: list[Any] = []
    for value in values if isinstance(values, list) else [values]:
        found = as_kind(value, kind)
        if not found:
            raise JobError(
                f"Model {model}: where compares column {shown(column)}, which holds {column_types.words(kind)}, "
                f"with {shown(value)}; no row can ever match."
            )
        wanted += found
    return pa.array(wanted, kind)


def as_kind(value: Any, kind: pa.DataType) -> list[Any]:
    """A config value as values of a column's type, compared by meaning: 1, 1.0 and "1" are the same number.

    In a column of text, a number matches any of its usual spellings, and true matches true, True or TRUE.
    """
    if kind == column_types.TEXT:
        if isinstance(value, str):
            return [value]
        text = str(value)
        if isinstance(value, bool):
            return [text, text.lower(), text.upper()]
        return [text, str(int(value)), f"{int(value)}.0"] if value == int(value) else [text]
    if isinstance(value, bool):
        return [value] if pa.types.is_boolean(kind) else []
    typed = column_types.type_of(pa.array([str(value)], pa.string()), [kind, pa.float64()])
    if typed not in (kind, pa.float64()):
        return []
    try:
        return [pc.cast(column_types.cast("", pa.array([str(value)], pa.string()), typed), kind)[0].as_py()]
    except pa.ArrowInvalid:
        return []  # 1.5 in a column of integers


def held_out_places(before: int, count: int, share: float, seed: int) -> Mask:
    """Which of the labelled rows with numbers before .. before + count - 1 are held out.

    The smaller side of the split is picked: one row in each cell of 1 / share rows. The first row is never held out and
    the second always is, so two rows are enough for both sides.
    """
    picked_share = min(share, 1 - share)
    first, last = int(before * picked_share), int((before + count) * picked_share)
    places = _pick(np.arange(first - 1, last + 2), picked_share, seed)  # one more, because a cell's edge may be rounded
    places = places[(places >= before) & (places < before + count)]
    picked = np.zeros(count, dtype=bool)
    picked[places - before] = True
    return picked if picked_share == share else ~picked


def held_out_ranks(ranks: npt.NDArray[np.int64], share: float, seed: int) -> Mask:
    """Whether the labelled row with each of these numbers is held out: `held_out_places` for rows of many models."""
    picked_share = min(share, 1 - share)
    cells = (ranks * picked_share).astype(np.int64)
    # Its neighbours too, because a cell's edge may be rounded.
    picked: Mask = np.any([_pick(cells + other, picked_share, seed) == ranks for other in (-1, 0, 1)], axis=0)
    return picked if picked_share == share else ~picked


def _pick(cells: npt.NDArray[np.int64], share: float, seed: int) -> npt.NDArray[np.int64]:
    """The number of the picked row in each cell."""
    start = np.ceil(cells / share).astype(np.int64)
    stop = np.ceil((cells + 1) / share).astype(np.int64)
    place = start + (_mixed(cells, seed) % (stop - start).astype(np.uint64)).astype(np.int64)
    return np.where(cells == 0, 1, place)


def _mixed(numbers: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint64]:
    """Well-mixed 64 bits for each number and seed (splitmix64), the same on every machine and version."""
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: npt.NDArray[np.uint64] = x ^ (x >> np.uint64(31))
        return mixed


def _mask(values: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
    return mask
