"""One header and one type for each column, for all tables of a run; errors name the file and the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import column_types
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from column_types import Misfit
from job_io import CELLS, ROW, Cell, JobError, Problems, shown
from metrics import has_classes
from raw_file import RawTable

EXAMPLES = 3  # in a sentence


def one_header(tables: list[RawTable]) -> list[str]:
    """The columns of all tables, in the first table's order."""
    problems, found = Problems(), {}
    for table in tables:
        with problems.collected():
            found[table.name] = table.columns()
    problems.report()
    first, names = tables[0], found[tables[0].name]
    for table in tables[1:]:
        odd = next(iter(sorted(set(names) ^ set(found[table.name]))), None)
        if odd is not None:
            having, lacking = (first, table) if odd in names else (table, first)
            problems.sentences.append(
                f"{lacking.name} lacks the column {shown(odd)} that {having.name} has; "
                "all tables of a run need the same columns."
            )
    if ROW in names:
        problems.sentences.append(f"{first.name}: the column name {ROW} is taken by stepgluon; rename that column.")
    problems.report()
    return names


def one_schema(
    tables: list[RawTable], names: list[str], config: dict[str, Any], every_row: bool
) -> tuple[dict[str, pa.DataType], set[str]]:
    """Each column's type, which must be the same in all files, and the columns that had no value so far.

    An error names the first differing file and row.
    """
    labels = {model["label"]: model["name"] for model in config["models"] if not has_classes(model)}
    by_file: dict[str, dict[str, pa.DataType]] = {}
    problems = Problems()
    for table in tables:
        with problems.collected():
            by_file[table.name] = types_of(table, every_row)
            for name in sorted(labels.keys() & by_file[table.name].keys()):
                if by_file[table.name][name] == column_types.TEXT:
                    with problems.collected():
                        raise label_error(table, name, labels[name])
    problems.report()
    kinds, unseen = {}, set()
    for name in names:
        kinds[name], disagreement = column_types.agreed(by_file, name)
        if pa.types.is_null(kinds[name]):  # no values: a label column that is all to be predicted is still a number
            kinds[name] = pa.float64() if name in labels else column_types.TEXT
            unseen |= set() if every_row else {name}
        if disagreement:
            one, other = (next(t for t in tables if t.name == file) for file in disagreement)
            with problems.collected():
                raise disagreement_error(one, other, name, by_file)
    problems.report()
    return kinds, unseen


def types_of(table: RawTable, every_row: bool) -> dict[str, pa.DataType]:
    try:
        return table.types(every_row)
    except Misfit as misfit:
        row = table.row(misfit.index)
        raise JobError(
            f"{table.name}, {row}: column {shown(misfit.column)} holds {shown(misfit.value)}, "
            "which is of another type than the rows before; make them one type.",
            cells=[(table.name, row, misfit.column, misfit.value)],
        ) from None


def label_error(table: RawTable, column: str, model: str) -> JobError:
    """An error that names the file's first rows with a text label."""
    if example := table.unclear_number(column):
        return JobError(
            f"{table.name}: column {shown(column)} is the label of model {model}, and its numbers like "
            f"{shown(example)} may be decimals or thousands; set data.decimal to comma or point."
        )
    count, found = texts_in(table, column, table.not_numbers)
    if not count:
        count, found = texts_in(table, column, column_types.not_numbers)
    places = [f"{row}: {shown(value)}" for row, value in found[:EXAMPLES]]
    more = f" and {count - len(places)} more" if count > len(places) else ""
    hold = "row holds" if count == 1 else "rows hold"
    return JobError(
        f"{table.name}: column {shown(column)} is the label of model {model} and must hold numbers, but {count} {hold} "
        f"text: {', '.join(places)}{more}; correct them, or leave them empty to have them predicted. To learn classes, "
        "set metric: accuracy.",
        cells=[(table.name, row, column, value) for row, value in found],
    )


def texts_in(
    table: RawTable, column: str, are_texts: Callable[[pa.Array], npt.NDArray[np.int64]]
) -> tuple[int, list[tuple[str, str]]]:
    """How many of the column's values are texts, and the first ones with their rows."""
    found: dict[int, str] = {}
    count = start = 0
    for batch in table.batches():
        values = batch.column(column) if column in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
        if values.type == column_types.TEXT:
            indices = are_texts(values)
            found |= {start + index: values[index].as_py() for index in indices[: CELLS - len(found)].tolist()}
            count += len(indices)
        start += len(values)
    return count, list(zip(table.rows(list(found)), found.values(), strict=True))


def disagreement_error(
    one: RawTable, other: RawTable, column: str, by_file: dict[str, dict[str, pa.DataType]]
) -> JobError:
    """An error that names the first row in one file whose value does not have the other file's type."""
    kinds = by_file[one.name][column], by_file[other.name][column]
    odd, wanted = (one, kinds[1]) if kinds[0] == column_types.TEXT else (other, kinds[0])
    place, start = odd.name, 0
    cells: list[Cell] = []
    for batch in odd.batches():
        values = batch.column(column) if column in batch.schema.names else pa.nulls(batch.num_rows)
        index = column_types.first_misfit(values, wanted)
        if index is not None:
            row, value = odd.row(start + index), values[index].as_py()
            place, cells = f"{odd.name}, {row}: {shown(value)}", [(odd.name, row, column, value)]
            break
        start += len(values)
    said = [f"{column_types.words(kind)} in {table.name}" for kind, table in zip(kinds, (one, other), strict=True)]
    way_out = "set data.decimal to comma or point" if odd.unclear_number(column) else "make it one type in all files"
    return JobError(f"Column {shown(column)} holds {said[0]} but {said[1]} ({place}); {way_out}.", cells=cells)
