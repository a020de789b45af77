"""The sink of all rows if the models are found in the data: writes `rows/`, and at the end the groups of models.

The models and their groups are known only when all rows have been read. Then the rows are read again, and spread over
files of about BUCKET_BYTES, each with the rows of neighbouring models, which are sorted in memory. So prepare needs
memory for one such file, or for the largest model.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import job_io
import numpy as np
import numpy.typing as npt
import part_files
import partitions
import pyarrow as pa
from background import Background
from group_writer import NUMBERS, PLACE, GroupWriter, compact
from job_io import LEAST_ROWS, ROW, counted
from model_parts import PARTS, Parts
from part_files import PartWriter
from partition_rows import EXAMPLES, PartitionModel, PartitionParts, Partitions

BUCKET_BYTES = 64 * 1024 * 1024
MOST_BUCKETS = 200  # each is an open file
_FINGERPRINT = "0" * 64  # to compute an entry's size


class PreparedGroups:
    """Receives all rows, and writes the groups when it is closed."""

    def __init__(self, out: Path, schema: pa.Schema, config: Mapping[str, Any], promoted: Mapping[str, Any]) -> None:
        (self._model,) = config["models"]
        self._out, self._config, self._promoted = out, config, promoted
        learnt = [field for field in schema if field.name not in self._model["drop"]]
        asked = [field for field in schema if field.name not in (self._model["label"], ROW)]
        # As in ModelFolders: a model that was promoted before a column was dropped still needs it.
        self._schemas = {"train": pa.schema(learnt), "test": pa.schema(learnt), "predict": pa.schema(asked)}
        self._schemas[NUMBERS] = pa.schema([schema.field(ROW)])
        self._rows = PartWriter({out / "rows": schema})
        self._spill = out / "spill"
        self._spill.mkdir()
        self._bytes = 0
        self._found: Partitions | None = None
        self._sides = ExitStack()
        self._rows_side = Background()
        self._groups: dict[str, list[str]] = {}

    @property
    def models(self) -> list[PreparedGroups]:
        return [self]

    def __enter__(self) -> PreparedGroups:
        self._codes = self._sides.enter_context((self._spill / "codes").open("wb"))
        self._sides.enter_context(self._rows_side)
        return self

    def __exit__(self, *problem: Any) -> None:
        if problem[0] is None:
            self._rows_side.do(self._rows.close)
        self._sides.__exit__(*problem)
        if problem[0] is None:
            self._write_groups()
            shutil.rmtree(self._spill)

    def write(self, batch: pa.RecordBatch, parts: list[Parts]) -> None:
        (part,) = parts
        assert isinstance(part, PartitionParts)
        self._found = part.found
        self._bytes += batch.nbytes
        self._rows_side.do(self._rows.write, batch)
        self._codes.write(part.codes.data)

    def profile(self) -> dict[str, Any]:
        assert self._found is not None
        names = {partitions.name_of(value) for value in self._found.values} | {partitions.OTHERS}
        gone = sorted(self._promoted.keys() - names)
        vanished = {"vanished": {"count": len(gone), "examples": gone[:EXAMPLES]}} if gone else {}
        return {"groups": len(self._groups), **vanished}

    def _write_groups(self) -> None:
        assert self._found is not None
        models = {model.name: model for model in self._found.models}
        sizes = {
            name: len(compact(self._entry(model, _FINGERPRINT, _FINGERPRINT, dict.fromkeys(PARTS, 999))).encode())
            for name, model in models.items()
        }
        self._groups = partitions.grouped(sizes, self._config["fan_out"]["models_per_job"])
        job_io.write_json(
            self._out / "groups.json", [{"group": group, "models": len(names)} for group, names in self._groups.items()]
        )
        (self._out / NUMBERS).mkdir()
        order = [(group, models[name]) for group, names in self._groups.items() for name in names]
        with GroupWriter(self._out, self._config, self._schemas, self._entry) as writer:
            for places, rows in self._sorted_by_model([model for _, model in order]):
                writer.write(order[places.start : places.stop], places.start, rows)

    def _sorted_by_model(self, models: list[PartitionModel]) -> Iterator[tuple[range, pa.Table]]:
        """The rows of a few models at a time, in the input's order, with the range of these models in `models`."""
        assert self._found is not None
        place = np.full(len(self._found.values) + 1, -1, np.int32)  # by code; the last one is that of no partition
        for number, model in enumerate(models):
            place[model.codes] = number
        counts = np.array([sum(model.rows.values()) for model in models])
        per_row = self._bytes / max(1, self._rows.rows)
        size = max(BUCKET_BYTES, self._bytes // MOST_BUCKETS)
        bucket = ((np.cumsum(counts) - counts) * per_row // size).astype(np.int64)  # by place
        self._spread(place, bucket)
        for number in np.unique(bucket):
            path = self._spill / f"{number}.arrow"
            first, last = np.searchsorted(bucket, [number, number + 1])
            with pa.memory_map(str(path)) as source:
                yield range(first, last), pa.ipc.open_stream(source).read_all()
            path.unlink()

    def _spread(self, place: npt.NDArray[np.int32], bucket: npt.NDArray[np.int64]) -> None:
        codes = np.memmap(self._spill / "codes", np.int32, "r")
        start = 0
        with ExitStack() as files:
            writers: dict[int, Any] = {}
            for path in part_files.part_paths(self._out / "rows"):
                for batch in part_files.read_batches(path):
                    places = place[codes[start : start + batch.num_rows]]
                    start += batch.num_rows
                    batch = batch.append_column(PLACE, pa.array(places))
                    into = np.where(places < 0, -1, bucket[places])
                    for number in np.unique(into[into >= 0]):
                        if number not in writers:
                            file = self._spill / f"{number}.arrow"
                            writers[number] = files.enter_context(pa.ipc.new_stream(str(file), batch.schema))
                        writers[number].write_batch(batch.filter(pa.array(into == number)))

    def _entry(
        self, model: PartitionModel, train: str, predict: str, row_groups: Mapping[str, int | None]
    ) -> dict[str, Any]:
        """A model in group.json."""
        entry: dict[str, Any] = {"name": model.name, "value": model.value}
        entry |= {f"rows_{part}": rows for part, rows in model.rows.items()}
        entry |= {"train": None if model.few else train, "predict": predict, "row_groups": dict(row_groups)}
        if model.few:
            least = f"fewer than min_rows: {self._config['partitioned']['min_rows']}"
            if not model.value:  # the shared one
                least = f"and the model of all small partitions needs {LEAST_ROWS}"
            entry["reason"] = f"{counted(model.labelled, 'row')} with a label, {least}"
        if model.name in self._promoted and not (
            model.few and self._config["partitioned"]["otherwise"] == "leave_open"
        ):
            entry["promoted"] = self._promoted[model.name]
        return entry
