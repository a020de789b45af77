"""Prepare: checks the raw tables and splits them into each model's parts.

Reads   processing/input/raw/                 every table of the .run file's folder
        processing/input/config/config.json
Writes  processing/output/rows/               all rows in order, with all columns and `stepgluon_row`
        processing/output/models/<model>/     train/, test/ and a copy of config.json, so a training needs one input
        processing/output/predict/<model>/    the model's rows to predict, without `stepgluon_row`
        processing/output/numbers/<model>/    `stepgluon_row` of these rows, in files with the same names
        processing/output/profile.json        files; columns with histograms; rows, files and fingerprints of each model
        processing/output/fingerprints.json   the part of it that the state machine reads

The rows are read once, in batches: a first look at each file decides the columns' types. Only if a later value does not
fit are all files scanned for the types, and the work starts over.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import column_types
import job_io
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import raw_tables
from column_stats import ColumnStats
from column_types import Misfit
from job_io import ROW, JobError, counted, log, shown
from model_parts import Parts, Splitter, splitter
from prepared_folders import PreparedFolders
from raw_file import RawTable


@dataclass
class Totals:
    """Counts taken while reading the rows."""

    rows: int = 0
    unselected: int = 0
    files: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        config = job_io.read_config(job_io.processing_input("config"))
        tables, ignored = raw_tables.find(job_io.processing_input("raw"), config["data"]["format"])
        profile = prepare(tables, config, out)
        profile["files_ignored"] = ignored
        profile["seconds"] = round(time.monotonic() - started, 1)
        job_io.write_json(out / "profile.json", profile)
        job_io.write_json(out / "fingerprints.json", fingerprints_in(profile))


def prepare(tables: list[RawTable], config: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write rows/ and models/ to `out` and return the profile of the data."""
    names = one_header(tables)
    for every_row in (False, True):
        try:
            kinds = one_schema(tables, names, config, every_row)
            return write_parts(tables, kinds, config, out)
        except Misfit as misfit:
            if every_row:
                raise AssertionError("a value does not fit the type that was decided for it") from misfit
            log.info("column %s has values of another type further on; reading all rows for the types", misfit.column)
            job_io.empty(out)
    raise AssertionError("the second try returns or raises")


def fingerprints_in(profile: dict[str, Any]) -> dict[str, Any]:
    """The part for the state machine, which cannot read more than 256 KiB; the columns alone may exceed that."""
    keys = {"name": "name", "train": "train_fingerprint", "predict": "predict_fingerprint", "files": "predict_files"}
    keys["rows"] = "rows_predict"
    models = [{key: model[name] for key, name in keys.items()} for model in profile["models"]]
    return {"gaps": profile["gaps"], "models": models}


def one_header(tables: list[RawTable]) -> list[str]:
    """The columns of all tables, in the first table's order."""
    first, names = tables[0], tables[0].columns()
    for table in tables[1:]:
        others = table.columns()
        odd = next(iter(sorted(set(names) ^ set(others))), None)
        if odd is not None:
            having, lacking = (first, table) if odd in names else (table, first)
            raise JobError(
                f"{lacking.name} lacks the column {shown(odd)} that {having.name} has; "
                "all tables of a run need the same columns."
            )
    if ROW in names:
        raise JobError(f"{first.name}: the column name {ROW} is taken by stepgluon; rename that column.")
    return names


def one_schema(
    tables: list[RawTable], names: list[str], config: dict[str, Any], every_row: bool
) -> dict[str, pa.DataType]:
    """Each column's type, which must be the same in all files; an error names the first differing file and row."""
    labels = {model["label"]: model["name"] for model in config["models"]}
    by_file: dict[str, dict[str, pa.DataType]] = {}
    for table in tables:
        batches = table.batches()
        try:
            by_file[table.name] = column_types.types_of(batches if every_row else first_batch(batches), table.ladder)
        except Misfit as misfit:
            raise JobError(
                f"{table.name}, {table.row(misfit.index)}: column {shown(misfit.column)} holds {shown(misfit.value)}, "
                "which is of another type than the rows before; make them one type."
            ) from None
        for name in labels.keys() & by_file[table.name].keys():
            if by_file[table.name][name] == column_types.TEXT:
                raise label_error(table, name, labels[name])
    kinds = {}
    for name in names:
        kinds[name], disagreement = column_types.agreed(by_file, name)
        if pa.types.is_null(kinds[name]):  # no values: a label column that is all to be predicted is still a number
            kinds[name] = pa.float64() if name in labels else column_types.TEXT
        if disagreement:
            one, other = (next(t for t in tables if t.name == file) for file in disagreement)
            raise disagreement_error(one, other, name, by_file)
    return kinds


def first_batch(batches: Iterator[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return list(islice(batches, 1))


def label_error(table: RawTable, column: str, model: str) -> JobError:
    """An error that names the file's first rows with a text label."""
    places: list[str] = []
    count = start = 0
    for batch in table.batches():
        values = batch.column(column) if column in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
        if values.type == column_types.TEXT:
            indices = column_types.not_numbers(values)
            first = indices[: 3 - len(places)].tolist()
            places += [f"{table.row(start + index)}: {shown(values[index].as_py())}" for index in first]
            count += len(indices)
        start += len(values)
    more = f" and {count - len(places)} more" if count > len(places) else ""
    hold = "row holds" if count == 1 else "rows hold"
    return JobError(
        f"{table.name}: column {shown(column)} is the label of model {model} and must hold numbers, but {count} {hold} "
        f"text: {', '.join(places)}{more}; correct them, or leave them empty to have them predicted."
    )


def disagreement_error(
    one: RawTable, other: RawTable, column: str, by_file: dict[str, dict[str, pa.DataType]]
) -> JobError:
    """An error that names the first row in one file whose value does not have the other file's type."""
    kinds = by_file[one.name][column], by_file[other.name][column]
    odd, wanted = (one, kinds[1]) if kinds[0] == column_types.TEXT else (other, kinds[0])
    place = odd.name
    start = 0
    for batch in odd.batches():
        values = batch.column(column) if column in batch.schema.names else pa.nulls(batch.num_rows)
        index = column_types.first_misfit(values, wanted)
        if index is not None:
            place = f"{odd.name}, {odd.row(start + index)}: {shown(values[index].as_py())}"
            break
        start += len(values)
    said = [f"{column_types.words(kind)} in {table.name}" for kind, table in zip(kinds, (one, other), strict=True)]
    return JobError(f"Column {shown(column)} holds {said[0]} but {said[1]} ({place}); make it one type in all files.")


def typed_batches(
    table: RawTable, kinds: dict[str, pa.DataType], schema: pa.Schema, first_row: int
) -> Iterator[pa.RecordBatch]:
    """The table's rows, typed and numbered, with the columns in the schema's order."""
    done = 0
    for batch in table.batches():
        columns = [pa.array(np.arange(first_row + done, first_row + done + batch.num_rows))]
        for name, kind in kinds.items():
            if name in batch.schema.names:
                try:
                    columns.append(column_types.cast(name, batch.column(name), kind))
                except Misfit as misfit:
                    raise Misfit(name, done + misfit.index, misfit.value) from None
            else:
                columns.append(pa.nulls(batch.num_rows, kind))
        done += batch.num_rows
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def write_parts(
    tables: list[RawTable], kinds: dict[str, pa.DataType], config: dict[str, Any], out: Path
) -> dict[str, Any]:
    data = config["data"]
    splitters = [splitter(model, kinds, data["test_fraction"], data["seed"]) for model in config["models"]]
    schema = pa.schema([(ROW, pa.int64()), *kinds.items()])
    totals, stats = Totals(), ColumnStats(schema)
    with PreparedFolders(out, schema, config) as folders:
        for table in tables:
            before = totals.rows
            for batch in typed_batches(table, kinds, schema, before):
                check_labels(table, batch, splitters, before)
                parts = [each.split(batch) for each in splitters]
                check_one_prediction(table, batch, splitters, parts, before)
                folders.write(batch, parts)
                count(totals, batch, parts)
                stats.add(batch, splitters, parts)
            totals.files[table.name] = totals.rows - before
            log.info("%s: %s", table.name, counted(totals.rows - before, "row"))
        if totals.rows == 0:
            have = "has" if len(tables) == 1 else "have"
            names = job_io.listed([table.name for table in tables])
            raise JobError(f"{names} {have} a header but no rows; upload rows to work with.")
        if totals.unselected == totals.rows:
            raise JobError("No model's where selects any of the rows; compare its values with those of the tables.")
    return profile_of(tables, kinds, totals, stats, folders)


def check_labels(table: RawTable, batch: pa.RecordBatch, splitters: list[Splitter], before: int) -> None:
    for label in dict.fromkeys(each.label for each in splitters):
        finite = pc.fill_null(pc.is_finite(batch.column(label)), True)
        if not pc.all(finite).as_py():
            index = pc.index(finite, False).as_py()
            row = batch.column(ROW)[index].as_py() - before
            raise JobError(
                f"{table.name}, {table.row(row)}: the label {shown(label)} is infinite; "
                "correct it, or leave it empty to have it predicted."
            )


def check_one_prediction(
    table: RawTable, batch: pa.RecordBatch, splitters: list[Splitter], parts: list[Parts], before: int
) -> None:
    """Check that only one model predicts each row; a row may train several."""
    for label in dict.fromkeys(each.label for each in splitters):
        taken = [(each.name, part.predict) for each, part in zip(splitters, parts, strict=True) if each.label == label]
        twice = np.flatnonzero(np.sum([mask for _, mask in taken], axis=0, dtype=np.int64) > 1)
        if len(twice):
            both = [name for name, mask in taken if mask[twice[0]]]
            row = batch.column(ROW)[int(twice[0])].as_py() - before
            raise JobError(
                f"{table.name}, {table.row(row)}: the models {both[0]} and {both[1]} both predict its {shown(label)}; "
                "make their where conditions exclude each other."
            )


def count(totals: Totals, batch: pa.RecordBatch, parts: list[Parts]) -> None:
    totals.rows += batch.num_rows
    selected = np.zeros(batch.num_rows, dtype=bool)
    for part in parts:
        selected |= part.train | part.test | part.predict
    totals.unselected += int((~selected).sum())
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        totals.missing[name] = totals.missing.get(name, 0) + values.null_count


def profile_of(
    tables: list[RawTable], kinds: dict[str, pa.DataType], totals: Totals, stats: ColumnStats, folders: PreparedFolders
) -> dict[str, Any]:
    labels = {each.model["label"] for each in folders.models}
    shapes = stats.columns()
    return {
        "rows": totals.rows,
        "gaps": sum(
            totals.missing.get(label, 0) for label in labels
        ),  # empty labels, also in rows that no model selects
        "rows_no_model_selects": totals.unselected,
        "files": [{"name": t.name, "format": t.format, "rows": totals.files[t.name]} for t in tables],
        "columns": [
            {"name": name, "type": str(kind), "missing": totals.missing.get(name, 0), **shapes[name]}
            for name, kind in kinds.items()
        ],
        **stats.profile(),
        "models": [model.profile() for model in folders.models],
    }


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
