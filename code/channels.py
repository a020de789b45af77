"""What a trainer other than AutoGluon reads: CSV files below channels/train/, and channels/validation/ if it is used.

The label is the first column. Test rows are in no channel: a container answers them, and the rows to predict, in CSV
files without label and header. SageMaker splits these at line breaks, so a line break in a text becomes a space.
config.json says whether a trainer gets the encoding's numbers without a header, as XGBoost does, or the values as they
are, with a header. Among the encoding's numbers, a class is its place in the encoding's classes. Validation rows are
training rows that the trainer may look at while it trains, to stop early or to choose between its tries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import encoding
import numpy as np
import part_files
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from column_types import class_names
from encoding import Encoding, Learner, Numbers
from job_io import ROW
from metrics import has_classes, in_order
from model_parts import Mask, held_out_places
from programs import PROGRAMS
from row_counts import MOST_CLASSES

FORMAT = 1  # of the files; changing it retrains every model that learns from them
FOLDER = "channels"
_EXACT = 2**24  # up to it, float32 holds every integer


class Channels:
    """One model's channels, made from its training part while that is written, and afterwards."""

    def __init__(self, folder: Path, schema: pa.Schema, model: dict[str, Any], data: dict[str, Any]) -> None:
        self._folder, self._label, self._seed = folder, model["label"], data["seed"]
        self._share = data["test_fraction"] if "validation" in model["algorithm"]["channels"] else 0.0
        self._names = asked_of(schema, self._label).names
        self._learner = Learner(schema, self._label) if model["algorithm"]["encoded"] else None
        self._header = PROGRAMS[model["algorithm"]["name"]].header
        self._learnt = 0
        self._classes: set[str] | None = set() if has_classes(model) else None

    def learn(self, rows: pa.Table) -> None:
        """Learn the encoding from the next training rows, but not from those for validation."""
        if self._learner:
            self._learner.add(
                rows.filter(pa.array(~self._validation(self._learnt, len(rows)))) if self._share else rows
            )
            self._learnt += len(rows)
            if self._classes is not None and len(self._classes) <= MOST_CLASSES:
                # A class that only validation rows have gets a number too: XGBoost refuses a label beyond num_class.
                self._classes.update(pc.unique(class_names(rows[self._label])).to_pylist())

    def write(self) -> None:
        """Write the channels from the files of the training part."""
        made = self._learner.encoding(in_order(self._classes or ())) if self._learner else None
        if made:
            made.save(self._folder / encoding.FILE)
        train = _CsvFiles(self._folder / FOLDER / "train", self._header)
        validation = _CsvFiles(self._folder / FOLDER / "validation", self._header) if self._share else None
        done = 0
        for path in part_files.part_paths(self._folder / "train"):
            for batch in part_files.read_batches(path):
                rows = _encoded(batch, self._label, made) if made else as_lines(batch, [self._label, *self._names])
                if validation:
                    places = self._validation(done, len(rows))
                    validation.write(path.stem, rows.filter(pa.array(places)))
                    rows = rows.filter(pa.array(~places))
                train.write(path.stem, rows)
                done += len(batch)
        for channel in (train, validation):
            if channel:
                channel.close()

    def _validation(self, before: int, count: int) -> Mask:
        return held_out_places(before, count, self._share, self._seed)


def asked_of(schema: pa.Schema, label: str) -> pa.Schema:
    """The columns that a server gets, in order."""
    return pa.schema([field for field in schema if field.name not in (ROW, label)])


def ask(folder: Path, asked: Path, names: list[str]) -> None:
    """Write the rows of a folder of Parquet files as a transform job sends them."""
    for path in part_files.part_paths(folder):
        file = _CsvFiles(asked, header=False)
        for batch in part_files.read_batches(path, names):
            file.write(path.stem, as_lines(batch, names))
        file.close(path.stem)


class _CsvFiles:
    """Writes a folder of CSV files. Only if there are no rows, it has one file without any."""

    def __init__(self, folder: Path, header: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._header = folder, header
        self._name = ""
        self._file: Any = None

    def write(self, name: str, rows: pa.RecordBatch) -> None:
        if len(rows) == 0:
            return
        new = name != self._name
        if new:
            self._open(name)
        texts = any(pa.types.is_string(column.type) for column in rows.columns)
        options = pyarrow.csv.WriteOptions(
            include_header=self._header and new,
            batch_size=len(rows),
            quoting_style="needed" if self._header or texts else "none",
        )
        pyarrow.csv.write_csv(rows, self._file, options)

    def close(self, name: str = "part-00000") -> None:
        if self._file is None:
            self._open(name)
        self._file.close()

    def _open(self, name: str) -> None:
        if self._file is not None:
            self._file.close()
        self._name, self._file = name, pa.OSFile(str(self._folder / f"{name}.csv"), "wb")


def as_lines(rows: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """The columns, without a line break in a text."""
    columns = [rows.column(name) for name in names]
    columns = [
        pc.replace_substring_regex(each, r"[\r\n]+", " ")
        if pa.types.is_string(each.type) and pc.any(pc.match_substring_regex(each, r"[\r\n]"), min_count=0).as_py()
        else each
        for each in columns
    ]
    return pa.RecordBatch.from_arrays(columns, names)


def _encoded(rows: pa.RecordBatch, label: str, made: Encoding) -> pa.RecordBatch:
    labels = rows.column(label)
    if made.classes:
        labels = pc.index_in(class_names(labels), pa.array(made.classes))
    columns = [labels, *map(_shortest, made.columns(rows))]
    return pa.RecordBatch.from_arrays(columns, [label, *made.names()])


def _shortest(numbers: Numbers) -> pa.Array:
    """Integers as such: they are written in a third of the time."""
    missing = np.isnan(numbers)
    known = np.where(missing, 0, numbers)
    whole = (np.abs(known) <= _EXACT).all() and (np.trunc(known) == known).all()
    return pa.array(known.astype(np.int32) if whole else known, mask=missing)
