"""The files of groups of models found in the data: splits the rows of each model, hashes and writes them.

    groups/<g>/group.json      {"group", "models": [...]}, sorted by name; also as numbers/<g>.json, for post-process
    groups/<g>/config.json
    groups/<g>/train.parquet, test.parquet, predict.parquet    one row group per model, in the order of group.json
    numbers/<g>.parquet        `stepgluon_row` of the rows to predict, in the same row groups

A model has no row group in a part in which it has no rows; `row_groups` has the numbers of the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import fingerprints
import job_io
import numpy as np
import numpy.typing as npt
import part_files
import pyarrow as pa
import pyarrow.compute as pc
from background import Background
from fingerprints import RowSlices
from job_io import JobError, shown
from model_parts import PARTS, held_out_ranks
from partition_rows import PartitionModel

PLACE = "stepgluon_place"  # the column with the number of each row's model
NUMBERS = "numbers"
BUFFER = 1024**2  # bytes
TEXT_BYTES = 2**31 - 1  # the most that one Arrow array can hold
_OTHER_FILES = ("test", "predict", NUMBERS)

Run = tuple[int, int]
Entry = Callable[..., dict[str, Any]]


class GroupFiles:
    """The Parquet files of one group."""

    def __init__(self, out: Path, group: str, schemas: Mapping[str, pa.Schema], repeating: list[str]) -> None:
        folder = out / "groups" / group
        folder.mkdir(parents=True)
        paths = {part: folder / f"{part}.parquet" for part in PARTS} | {NUMBERS: out / NUMBERS / f"{group}.parquet"}
        # A row group of a few rows would otherwise be dozens of writes to the disk.
        self._sinks = {name: pa.output_stream(path, None, BUFFER) for name, path in paths.items()}
        self._writers = {name: part_files.writer(sink, schemas[name], repeating) for name, sink in self._sinks.items()}

    def write(self, name: str, rows: pa.Table, runs: Sequence[Run]) -> None:
        writer = self._writers[name]
        columns = rows.select(writer.schema.names)
        for start, stop in runs:
            writer.write_table(columns.slice(start, stop - start), row_group_size=stop - start)

    def close(self, *names: str) -> None:
        for name in names:
            self._writers[name].close()
            self._sinks[name].close()


class GroupWriter:
    """Gets the rows of some models at a time, in their order; two threads write the files."""

    def __init__(self, out: Path, config: Mapping[str, Any], schemas: Mapping[str, pa.Schema], entry: Entry) -> None:
        self._out, self._config, self._schemas, self._entry = out, config, schemas, entry
        (self._model,) = config["models"]
        self._repeating: list[str] | None = None
        self._group = ""
        self._files: GroupFiles | None = None
        self._entries: list[dict[str, Any]] = []
        self._written = dict.fromkeys(PARTS, 0)
        self._sides = ExitStack()
        self._train_side, self._other_side = Background(), Background()

    def __enter__(self) -> GroupWriter:
        self._sides.enter_context(self._train_side)
        self._sides.enter_context(self._other_side)
        return self

    def __exit__(self, *problem: Any) -> None:
        if problem[0] is None:
            self._end_group()
        self._sides.__exit__(*problem)

    def write(self, models: Sequence[tuple[str, PartitionModel]], first: int, rows: pa.Table) -> None:
        """Write all rows of these models, each with its group; PLACE counts them from `first`."""
        order, ends = self._split(rows, first, len(models))
        rows = _taken(rows.drop_columns([PLACE]), order)
        if self._repeating is None:
            self._repeating = part_files.repeating(rows)
        sums = RowSlices(rows, ends)
        bounds = ends.tolist()
        run = 0
        for group, some in groupby(models, key=lambda one: one[0]):
            if group != self._group:
                self._end_group()
                self._begin_group(group)
            runs: dict[str, list[Run]] = {part: [] for part in PARTS}
            for _, model in some:
                self._entries.append(self._described(model, sums, run))
                for part in PARTS:
                    if model.rows[part]:
                        runs[part].append((bounds[run], bounds[run + 1]))
                    run += 1
            self._queue(rows, runs)

    def _split(self, rows: pa.Table, first: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The order of the rows by model and part, and where each part of each model begins in it."""
        place = rows[PLACE].to_numpy().astype(np.int64)
        order = np.argsort(place, kind="stable")
        place = place[order]
        labelled = pc.is_valid(rows[self._model["label"]]).to_numpy()[order]
        rank = np.cumsum(labelled) - labelled
        begin = np.flatnonzero(np.diff(place, prepend=-1))
        rank -= np.repeat(rank[begin], np.diff(np.append(begin, len(place))))
        data = self._config["data"]
        test = held_out_ranks(rank, data["test_fraction"], data["seed"])
        key = place * 3 + np.where(labelled, test, 2)
        again = np.argsort(key, kind="stable")
        ends = np.searchsorted(key[again], np.arange(first * 3, (first + count) * 3 + 1))
        return order[again], ends

    def _described(self, model: PartitionModel, sums: RowSlices, run: int) -> dict[str, Any]:
        """The model's entry in group.json; its parts are the runs from this one on."""
        digests = {part: sums.digest(self._schemas[part].names, run + place) for place, part in enumerate(PARTS)}
        assert {part: found["rows"] for part, found in digests.items()} == model.rows
        row_groups: dict[str, int | None] = {}
        for part, rows in model.rows.items():
            row_groups[part] = self._written[part] if rows else None
            self._written[part] += rows > 0
        # As the files of a model with a folder of its own, so that its predictions have the same fingerprint.
        files = {part_files.part_name(0): model.rows["predict"]}
        return self._entry(
            model,
            fingerprints.of_training(self._model, digests["train"], digests["test"]),
            fingerprints.of_prediction(digests["predict"], files),
            row_groups,
        )

    def _queue(self, rows: pa.Table, runs: Mapping[str, Sequence[Run]]) -> None:
        assert self._files is not None
        self._train_side.do(self._files.write, "train", rows, runs["train"])
        for name in _OTHER_FILES:
            self._other_side.do(self._files.write, name, rows, runs["predict" if name == NUMBERS else name])

    def _begin_group(self, group: str) -> None:
        assert self._repeating is not None
        self._group = group
        self._files = GroupFiles(self._out, group, self._schemas, self._repeating)
        self._entries, self._written = [], dict.fromkeys(PARTS, 0)

    def _end_group(self) -> None:
        if self._files is None:
            return
        self._train_side.do(self._files.close, "train")
        self._other_side.do(self._files.close, *_OTHER_FILES)
        text = compact({"group": self._group, "models": self._entries})
        (self._out / "groups" / self._group / "group.json").write_text(text, "utf-8")
        (self._out / NUMBERS / f"{self._group}.json").write_text(text, "utf-8")
        job_io.write_json(self._out / "groups" / self._group / "config.json", self._config)


def compact(value: Any) -> str:
    """JSON for the state machine, which reads little at once."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _taken(rows: pa.Table, order: npt.NDArray[np.int64]) -> pa.Table:
    for name, values in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_string(values.type) and values.nbytes > TEXT_BYTES:
            raise JobError(
                f"One partition has more than 2 GB of text in column {shown(name)}, too much for a model in a group; "
                "leave the column out of the tables, or list the values of partition_by."
            )
    return rows.take(pa.array(order)).combine_chunks()
