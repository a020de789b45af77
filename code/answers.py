"""What a container returns for a file of rows: CSV without a header, a line for each row, in the rows' order.

A line has a number; or a class and, if the container knows them, the probabilities of the training rows' classes, in
the order of `in_order`. Each file of a transform job's input has one of answers, with .out after its name.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from job_io import JobError, RetryableError, counted, listed, shown
from metrics import Array

SUFFIX = ".csv.out"
LINE = 4096  # bytes of an answer, on average
SHARES = 0.01  # by which the probabilities of a row may differ from 1


class Answers(NamedTuple):
    predicted: Array  # numbers, or classes as text
    chances: Array | None  # the probabilities of all classes, a column each


def read(
    folder: Path,
    name: str,
    rows: int,
    model: str,
    classes: list[str] | None,
    ours: Sequence[str] = (),
    only_known: bool = False,
) -> Answers:
    """The answers to the file of rows with this name (part-00000); `classes` is None if numbers are predicted.

    `ours` has the columns after the class if our own server answers. For a held-out row, an unknown class is a wrong
    answer; `only_known` refuses it, because it may not fit the label's type.
    """
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        raise RetryableError(f"Model {model}: the answers to {name}.csv are missing; the job's inputs are incomplete.")
    if (size := path.stat().st_size) > LINE * (rows + 1):
        raise JobError(
            f"Model {model}: its container returned {size:,} bytes for {counted(rows, 'row')} of {name}.csv."
        )
    table = _table(path, model)
    if len(table) != rows:
        raise JobError(
            f"Model {model}: its container returned {counted(len(table), 'line')} for {counted(rows, 'row')} of "
            f"{name}.csv; it must return one line for each row."
        )
    if classes is None:
        return Answers(_numbers(table, f"Model {model}: its container returned", f"of {name}.csv", 1)[:, 0], None)
    predicted = table.column(0)
    if missing := pc.index(pc.is_null(predicted), True).as_py() + 1:
        raise JobError(f"Model {model}: its container returned no class for row {missing} of {name}.csv.")
    unknown = predicted.filter(pc.invert(pc.is_in(predicted, pa.array(classes, pa.string()))))
    if len(unknown) and (only_known or table.num_columns > 1):  # a class without probability is refused, too
        row = pc.index(predicted, unknown[0]).as_py() + 1
        raise JobError(
            f"Model {model}: its container returned the class {shown(unknown[0].as_py())} for row {row} of {name}.csv; "
            f"its classes are {listed(classes)}."
        )
    named = predicted.to_numpy().astype(object)
    if ours:
        rest = table.select(table.column_names[1:])
        return Answers(named, _numbers(rest, f"Model {model}: its server returned", f"of {name}.csv", len(ours)))
    return Answers(named, _chances(table.select(table.column_names[1:]), model, name, classes))


def _table(path: Path, model: str) -> pa.Table:
    """All cells as text; empty ones are missing."""
    if path.stat().st_size == 0:
        return pa.table({"0": pa.array([], pa.string())})
    with path.open("rb") as file:
        first = file.readline(LINE * 100)
    names = [str(place) for place, _ in enumerate(next(csv.reader([first.decode("utf-8", "replace")]), [""]))]
    try:
        return pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(column_names=names, block_size=1 << 24),
            pa.csv.ParseOptions(ignore_empty_lines=False),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as problem:
        raise JobError(f"Model {model}: its container did not return CSV ({problem}).") from None


def _numbers(table: pa.Table, refused: str, where: str, count: int) -> Array:
    if table.num_columns != count:
        given = counted(table.num_columns, "column")
        raise JobError(f"{refused} {given} for the rows {where}; {count} {'is' if count == 1 else 'are'} expected.")
    found = np.empty((len(table), count))
    for place, column in enumerate(table.columns):
        if missing := pc.index(pc.is_null(column), True).as_py() + 1:
            raise JobError(f"{refused} no number for row {missing} {where}.")
        try:
            found[:, place] = pc.cast(pc.utf8_trim_whitespace(column), pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            row, text = next((row, text) for row, text in enumerate(column.to_pylist(), 1) if not _is_number(text))
            raise JobError(f"{refused} {shown(text)} for row {row} {where}, which is not a number.") from None
    return found


def _is_number(text: str) -> bool:
    try:
        return pc.cast(pa.scalar(text.strip()), pa.float64()) is not None
    except pa.ArrowInvalid:
        return False


def _chances(table: pa.Table, model: str, name: str, classes: list[str]) -> Array | None:
    if table.num_columns == 0:
        return None
    refused = f"Model {model}: its container returned, after the class,"
    chances = _numbers(table, refused, f"of {name}.csv", len(classes))
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~((chances >= 0).all(axis=1) & (np.abs(chances.sum(axis=1) - 1) <= SHARES)))
    if len(wrong):
        said: Any = ", ".join(f"{one:.6g}" for one in chances[wrong[0]])
        raise JobError(
            f"{refused} {said} for row {wrong[0] + 1} of {name}.csv; the probabilities of {', '.join(classes)} are "
            "expected, whose sum is 1."
        )
    return chances
