"""Prepare: checks the raw tables and splits them into each model's parts.

Reads   processing/input/raw/                 every table of the .run file's folder
        processing/input/config/config.json
Writes  processing/output/rows/               all rows in order, with all columns and `stepgluon_row`
        processing/output/models/<model>/     train/, test/ and a copy of config.json, so a training needs one input;
                                              with an algorithm also channels/ and encoding.json (see channels.py)
        processing/output/predict/<model>/    the model's rows to predict, without `stepgluon_row`
        processing/output/numbers/<model>/    `stepgluon_row` of these rows, in files with the same names
        processing/output/profile.json        files; columns with histograms; rows, files and fingerprints of each model
        processing/output/fingerprints.json   the part of it that the state machine reads

If the models are found in the data (the config has `partitioned`), it also reads
        processing/input/promoted/promoted-partitions.json    if there is one
and writes groups of models (see group_writer.py) in place of the folders of each.

The rows are read once, in batches: a first look at each file decides its encoding and the columns' types. Only if a
later value does not fit are all files scanned for the types, and the work starts over. `check.py` does the same without
writing the rows.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from no_pandas import keep_pandas_out

    keep_pandas_out()  # before pyarrow is used

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import column_types
import job_io
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import raw_tables
from column_stats import ColumnStats
from column_types import Misfit
from common_schema import one_header, one_schema
from job_io import CELLS, ROW, JobError, Problems, counted, log, shown
from model_parts import Parts, Splitter, splitter
from partition_rows import PartitionCounts
from prepared_folders import PreparedFolders
from prepared_groups import PreparedGroups
from raw_file import RawTable, Reread
from row_counts import DECIMALS, RowCounts


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        config = job_io.read_config(job_io.processing_input("config"))
        tables, ignored = raw_tables.find(job_io.processing_input("raw"), config["data"])
        promoted = promoted_partitions(job_io.processing_input("promoted") / "promoted-partitions.json")

        def folders(schema: pa.Schema) -> Sink:
            job_io.empty(out)
            if config.get("partitioned"):
                return PreparedGroups(out, schema, config, promoted)
            return PreparedFolders(out, schema, config)

        profile = prepare(tables, config, folders)
        profile["files_ignored"], profile["sha256"] = ignored, sha256_of(tables)
        profile["assumed"] += [
            f"{shown(name)} started no run: upload it again with a name that ends in .run, in lower case."
            for name in ignored
            if name.lower().endswith(".run") and not name.endswith(".run")  # AWS compares suffixes case-sensitively
        ]
        profile["seconds"] = round(time.monotonic() - started, 1)
        job_io.write_json(out / "profile.json", profile)
        job_io.write_json(out / "fingerprints.json", fingerprints_in(profile))
    for sentence in profile["assumed"]:
        log.info("%s", sentence)


def promoted_partitions(file: Path) -> dict[str, Any]:
    """The promoted models of partitions by name; none without the file."""
    found: dict[str, Any] = job_io.read_json(file)["models"] if file.is_file() else {}
    return found


def sha256_of(tables: list[RawTable]) -> str:
    """The file's own sum, or of several files that of their list: `sha256sum *.csv | sha256sum`."""
    sums = []
    for table in tables:
        found = hashlib.sha256()
        with table.path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
        sums.append(found.hexdigest())
    listing = "".join(f"{one}  {table.name}\n" for one, table in zip(sums, tables, strict=True))
    return sums[0] if len(sums) == 1 else hashlib.sha256(listing.encode()).hexdigest()


def prepare(tables: list[RawTable], config: dict[str, Any], sink: Callable[[pa.Schema], Sink]) -> dict[str, Any]:
    """Send all rows to the sink and return the profile of the data."""
    every_row = False
    while True:
        try:
            names = one_header(tables)
            kinds, unseen = one_schema(tables, names, config, every_row)
            return read_rows(tables, kinds, config, sink, unseen)
        except Reread:
            log.info("a table is not UTF-8; starting over")
        except Misfit as misfit:
            if every_row:
                raise AssertionError("a value does not fit the type that was decided for it") from misfit
            log.info(
                "column %s has values of another type further on; reading all rows for the types", shown(misfit.column)
            )
            every_row = True


class Sink(Protocol):
    """Gets all rows."""

    @property
    def models(self) -> Sequence[Counted]: ...

    def __enter__(self) -> Sink: ...

    def __exit__(self, *problem: Any) -> None: ...

    def write(self, batch: pa.RecordBatch, parts: list[Parts]) -> None: ...


class Counted(Protocol):
    """A model's part of the profile."""

    def profile(self) -> dict[str, Any]: ...


def fingerprints_in(profile: dict[str, Any]) -> dict[str, Any]:
    """The part for the state machine, which cannot read more than 256 KiB; the columns alone may exceed that."""
    keys = {"name": "name", "train": "train_fingerprint", "predict": "predict_fingerprint", "files": "predict_files"}
    keys["rows"] = "rows_predict"
    keys |= {name: name for name in ("columns", "set", "objective")}
    models = profile["models"]
    if isinstance(models, dict):  # they were found in the data, and are in files of their groups
        found = {"groups": models["groups"], "models": models["count"], "to_train": models["to_train"]}
        return {"gaps": profile["gaps"], "partitioned": found | {"small": models["small"]["count"]}}
    listed = [{key: model[name] for key, name in keys.items() if name in model} for model in models]
    return {"gaps": profile["gaps"], "models": listed}


def read_rows(
    tables: list[RawTable],
    kinds: dict[str, pa.DataType],
    config: dict[str, Any],
    sink: Callable[[pa.Schema], Sink],
    unseen: set[str],
) -> dict[str, Any]:
    problems = Problems()
    counts = counts_of(config, kinds)
    splitters = counts.splitters
    schema = pa.schema([(ROW, pa.int64()), *kinds.items()])
    stats = ColumnStats(schema)
    with sink(schema) as folders:
        for table in tables:
            before = counts.rows
            with problems.collected():
                for batch in typed_batches(table, kinds, schema, before, unseen):
                    check_labels(table, batch, splitters, before)
                    parts = [each.split(batch) for each in splitters]
                    check_one_prediction(table, batch, splitters, parts, before)
                    folders.write(batch, parts)
                    counts.add(batch, parts)
                    stats.add(batch, splitters, parts)
            counts.files[table.name] = counts.rows - before
            log.info("%s: %s", table.name, counted(counts.rows - before, "row"))
        problems.report()
        check_some_rows(tables, counts)
    return profile_of(tables, kinds, counts, stats, [model.profile() for model in folders.models])


def counts_of(config: dict[str, Any], kinds: dict[str, pa.DataType]) -> RowCounts:
    if config.get("partitioned"):
        return PartitionCounts(config, kinds)
    problems, splitters = Problems(), []
    for model in config["models"]:
        with problems.collected():
            splitters.append(splitter(model, kinds, config["data"]["test_fraction"], config["data"]["seed"]))
    problems.report()
    return RowCounts(splitters, config["models"])


def typed_batches(
    table: RawTable, kinds: dict[str, pa.DataType], schema: pa.Schema, first_row: int, unseen: set[str]
) -> Iterator[pa.RecordBatch]:
    """The table's rows, typed and numbered, with the columns in the schema's order.

    The types of `unseen` columns are not known, so their first value is a Misfit.
    """
    done = 0
    for batch in table.batches():
        columns = [pa.array(np.arange(first_row + done, first_row + done + batch.num_rows))]
        for name, kind in kinds.items():
            if name in batch.schema.names:
                values = batch.column(name)
                if name in unseen and not column_types.are_missing(values):
                    raise Misfit(name, done, None)
                try:
                    columns.append(column_types.cast(name, values, kind))
                except Misfit as misfit:
                    raise Misfit(name, done + misfit.index, misfit.value) from None
            else:
                columns.append(pa.nulls(batch.num_rows, kind))
        done += batch.num_rows
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def check_some_rows(tables: list[RawTable], counts: RowCounts) -> None:
    if counts.rows == 0:
        have = "has" if len(tables) == 1 else "have"
        names = job_io.listed([table.name for table in tables])
        assumed = [sentence for table in tables for sentence in table.assumed()]
        read_as = f" ({'; '.join(assumed)})" if assumed else ""
        raise JobError(f"{names} {have} a header but no rows{read_as}; upload rows to work with.")
    if counts.unselected == counts.rows:
        raise JobError(*counts.selects_nothing())
    if too_many := counts.too_many():
        raise JobError(*too_many)
    counts.learn_classes()


def check_labels(table: RawTable, batch: pa.RecordBatch, splitters: Sequence[Splitter], before: int) -> None:
    for label in dict.fromkeys(each.label for each in splitters):
        values = batch.column(label)
        if not pa.types.is_floating(values.type):
            continue
        infinite = np.flatnonzero(~pc.fill_null(pc.is_finite(values), True).to_numpy(zero_copy_only=False))[:CELLS]
        if len(infinite):
            rows = table.rows((batch.column(ROW).to_numpy()[infinite] - before).tolist())
            raise JobError(
                f"{table.name}, {rows[0]}: the label {shown(label)} is infinite; "
                "correct it, or leave it empty to have it predicted.",
                cells=[(table.name, row, label, values[int(at)]) for row, at in zip(rows, infinite, strict=True)],
            )


def check_one_prediction(
    table: RawTable, batch: pa.RecordBatch, splitters: Sequence[Splitter], parts: list[Parts], before: int
) -> None:
    """Check that only one model predicts each row; a row may train several."""
    for label in dict.fromkeys(each.label for each in splitters):
        taken = [(each.name, part.predict) for each, part in zip(splitters, parts, strict=True) if each.label == label]
        twice = np.flatnonzero(np.sum([mask for _, mask in taken], axis=0, dtype=np.int64) > 1)
        if len(twice):
            both = [name for name, mask in taken if mask[twice[0]]]
            rows = table.rows((batch.column(ROW).to_numpy()[twice[:CELLS]] - before).tolist())
            raise JobError(
                f"{table.name}, {rows[0]}: the models {both[0]} and {both[1]} both predict its {shown(label)}; "
                "make their where conditions exclude each other.",
                cells=[(table.name, row, label, "empty, and predicted by several models") for row in rows],
            )


def profile_of(
    tables: list[RawTable],
    kinds: dict[str, pa.DataType],
    counts: RowCounts,
    stats: ColumnStats,
    models: list[dict[str, Any]],
) -> dict[str, Any]:
    assumed = {table.name: table.assumed() for table in tables}
    for name, sentences in assumed.items():
        for sentence in sentences:
            log.info("%s: %s", name, sentence)
    shapes, described = stats.columns(), stats.profile()
    return {
        "rows": counts.rows,
        # empty labels, also in rows that no model selects
        "gaps": sum(counts.missing.get(label, 0) for label in counts.labels()),
        "rows_no_model_selects": counts.unselected,
        # of the labels; predictions.csv has no more. Null: of measurements, like 0.123456789
        "decimals": {label: most if most <= DECIMALS else None for label, most in counts.decimals.items()},
        "csv": style_of(tables),
        # of labels that metrics of classes judge, in the models' order; the last of two is the positive one
        **({"classes": classes} if (classes := counts.classes_of_labels()) else {}),
        "assumed": counts.notes(models, described["open_gaps"]),
        "files": [
            {"name": t.name, "format": t.format, "rows": counts.files[t.name], "assumed": assumed[t.name]}
            for t in tables
        ],
        "columns": [
            {"name": name, "type": str(kind), "missing": counts.missing.get(name, 0), **shapes[name]}
            for name, kind in kinds.items()
        ],
        **described,
        "models": counts.in_profile(models),
    }


def style_of(tables: list[RawTable]) -> dict[str, str]:
    """How predictions.csv is written: with semicolons, and decimal commas, if all tables have them."""
    separators, decimals = zip(*(table.style() for table in tables), strict=True)
    if set(separators) != {";"}:
        return {"separator": ",", "decimal": "."}
    return {"separator": ";", "decimal": "," if "," in decimals else "."}


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
