"""Propose: what a config for some tables could be, for `pipeline.py init`; in no image.

Reads   processing/input/raw/                 the tables, as prepare does
        processing/input/config/config.json   {"data": {...}, "label": a column, or null for the columns alone}
Writes  processing/output/propose.json       {"problems": [...]}; or rows, columns, and a proposal for the label

A label with two values, or of text, is proposed as classes. Otherwise, a proposal splits the rows by a column if
guessing each value's median is off by less than guessing the overall median.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from no_pandas import keep_pandas_out

    keep_pandas_out()  # before pyarrow is used

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import job_io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import raw_tables
from column_types import NUMBERS, TEXT, Misfit, class_names
from common_schema import one_header, one_schema
from job_io import ROW, JobError, shown
from prepare import typed_batches
from raw_file import RawTable, Reread
from row_counts import MOST_CLASSES

ROWS = 1_000_000  # that are looked at
FEW_CLASSES = 10
MOST_VALUES = 12  # of a column that splits the rows
LEAST_LABELLED = 100  # rows for each value; with fewer, one model of all rows usually has the smaller error
GAIN = 0.2  # how much smaller the error of guessing must become
LEAST_ROWS = 20  # with fewer, values are often all different
LONGEST_ID = 64  # characters


@dataclass
class Column:
    kind: pa.DataType
    values: list[pa.Array] = field(default_factory=list)
    gaps: int = 0
    few: bool = True
    different: bool = True  # in each batch

    def add(self, values: pa.Array, keep: bool) -> None:
        self.gaps += values.null_count
        self.few = self.few and pc.count_distinct(values).as_py() <= MOST_VALUES
        self.different = self.different and pc.count_distinct(values).as_py() == len(values)
        if self.few or self.different or keep:
            self.values.append(values)
        else:
            self.values.clear()

    def whole(self) -> pa.ChunkedArray:
        return pa.chunked_array(self.values, self.kind)

    def is_identifier(self) -> bool:
        """Texts that differ in each row, or consecutive numbers."""
        if not self.different or self.gaps or self.kind not in (TEXT, pa.int64()):
            return False
        values = self.whole()
        if len(values) < LEAST_ROWS or pc.count_distinct(values).as_py() < len(values):
            return False
        if self.kind == TEXT:
            return bool(pc.max(pc.utf8_length(values)).as_py() <= LONGEST_ID)
        ends = pc.min_max(values).as_py()
        return bool(ends["max"] - ends["min"] == len(values) - 1)


def main() -> None:
    given = job_io.read_json(job_io.processing_input("config") / "config.json")
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        try:
            found = propose(given["data"], given["label"])
        except JobError as problem:
            found = {"problems": list(problem.args)}
        job_io.write_json(out / "propose.json", found)


def propose(data: dict[str, Any], label: str | None) -> dict[str, Any]:
    tables, _ = raw_tables.find(job_io.processing_input("raw"), data)
    every_row = False
    while True:
        try:
            columns, rows = read(tables, label, every_row)
            break
        except Reread:
            pass
        except Misfit:
            every_row = True
    if not rows:
        read_as = f" ({'; '.join(assumed)})" if (assumed := tables[0].assumed()) else ""
        raise JobError(f"{tables[0].name} has a header but no rows{read_as}; rows are needed to propose a model.")
    made = of_label(columns, label) if label in columns else {}
    dates = {name for table in tables for name in table.dates}  # of which each row may have its own
    made["identifiers"] = [name for name in made.get("identifiers", ()) if name not in dates]
    if too_many(made.get("classes", ()), made.get("labelled", 0)):  # numbers, some of them misspelt: this names them
        one_schema(tables, list(columns), {"models": [{"label": label, "name": shown(label)}]}, every_row)
    return {
        "problems": [],
        "rows": rows,
        "all_rows": rows < ROWS,
        "assumed": [f"{table.name}: {sentence}" for table in tables for sentence in table.assumed()],
        "columns": [
            {"name": name, "number": column.kind in NUMBERS, "gaps": column.gaps} for name, column in columns.items()
        ],
        **made,
    }


def read(tables: list[RawTable], label: str | None, every_row: bool) -> tuple[dict[str, Column], int]:
    """The columns, and the number of rows read."""
    names = one_header(tables)
    models = [{"label": label, "name": shown(label), "metric": "accuracy"}] if label in names else []  # of any type
    kinds, unseen = one_schema(tables, names, {"models": models}, every_row)
    columns = {name: Column(kind) for name, kind in kinds.items()}
    schema, done = pa.schema([(ROW, pa.int64()), *kinds.items()]), 0
    for table in tables:
        for batch in typed_batches(table, kinds, schema, done, unseen):
            for name, column in columns.items():
                column.add(batch.column(name), keep=name == label)
            done += batch.num_rows
            if done >= ROWS:
                return columns, done
    return columns, done


def too_many(classes: Sequence[Any], labelled: int) -> bool:
    """Whether a label's texts are rather numbers with mistakes, or other values of which few occur twice."""
    return len(classes) > MOST_CLASSES or (len(classes) >= FEW_CLASSES and len(classes) > labelled / 2)


def of_label(columns: dict[str, Column], label: str | None) -> dict[str, Any]:
    rest = {name: column for name, column in columns.items() if name != label}
    target = columns[str(label)].whole()
    identifiers = [name for name, column in rest.items() if column.is_identifier()]
    classes = classes_of(target) or []
    if len(classes) == 1:
        return {"labelled": classes[0][1], "constant": classes[0][0]}
    if classes:
        return {"labelled": len(target) - target.null_count, "classes": classes, "best": None, "splits": False} | {
            "identifiers": identifiers
        }
    numbers = target.cast(pa.float64()).to_numpy(zero_copy_only=False)  # NaN for a gap
    known = np.isfinite(numbers)
    if len(only := np.unique(numbers[known])) == 1:
        return {"labelled": int(known.sum()), "constant": only.tolist()[0]}
    splits = [split for name, column in rest.items() if (split := split_by(name, column, numbers, known))]
    error = error_of_median(numbers[known])
    ordered = sorted(splits, key=lambda split: split["error"])
    best = next((split for split in ordered if split["fewest"][1] >= LEAST_LABELLED), None)
    good = [split for split in ordered if split["error"] <= (1 - GAIN) * error]
    return {
        "labelled": int(known.sum()),
        "error_of_median": error,
        "best": best,
        "splits": best in good,
        "too_few": {**good[0], "needed": LEAST_LABELLED} if good and best not in good else None,
        "identifiers": identifiers,
    }


def classes_of(target: pa.ChunkedArray) -> list[list[Any]] | None:
    """[class, rows], the most frequent first, if the label has two values or is not of numbers."""
    counts = sorted(pc.value_counts(class_names(target.drop_null())).to_pylist(), key=lambda one: -one["counts"])
    if target.type in NUMBERS and len(counts) != 2:
        return None
    return [[one["values"], one["counts"]] for one in counts]


def split_by(
    name: str, column: Column, numbers: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]
) -> dict[str, Any] | None:
    """The error of guessing the median of each value's rows; None if the column cannot split the rows."""
    if not column.few or column.gaps or column.kind not in (TEXT, pa.bool_(), pa.int64()):
        return None
    coded = column.whole().combine_chunks().dictionary_encode()
    values, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    groups = [numbers[known & (codes == code)] for code in range(len(values))]
    if not 2 <= len(values) <= MOST_VALUES or not known.any() or "" in values:
        return None
    error = sum(error_of_median(group) * len(group) for group in groups) / int(known.sum())
    fewest = min(zip(values, map(len, groups), strict=True), key=lambda pair: pair[1])
    return {"column": name, "values": sorted(values), "error": error, "fewest": fewest}


def error_of_median(numbers: npt.NDArray[np.float64]) -> float:
    return float(np.abs(numbers - np.median(numbers)).mean()) if len(numbers) else 0.0


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
