"""The folders that prepare writes: all rows; for each model its training rows, its rows to predict, their numbers.

A model whose algorithm is not AutoGluon also gets its channels.

A separate thread writes each side while the next rows are read.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fingerprints
import job_io
import part_files
import pyarrow as pa
from background import Background
from channels import Channels, ask, asked_of
from fingerprints import RowSum
from job_io import ROW
from model_parts import PARTS, Parts
from part_files import PartWriter, Seen, SteadyWriter
from programs import PROGRAMS

WAITING_BYTES = 256 * 1024 * 1024  # of all parts' rows waiting to be written


class ModelFolders:
    """The files of a model's parts."""

    def __init__(self, out: Path, schema: pa.Schema, model: dict[str, Any], config: dict[str, Any]) -> None:
        self.model = model
        name = model["name"]
        learnt = _columns(schema, model["drop"])
        # A model promoted before a column was dropped still needs it, so predict keeps all columns.
        asked = _columns(schema, [model["label"]])
        rows = _columns(asked, [ROW])
        self._columns = {"train": learnt.names, "test": learnt.names, "predict": asked.names}
        self._sums = {"train": RowSum(learnt), "test": RowSum(learnt), "predict": RowSum(rows)}
        self.writers: dict[str, PartWriter] = {
            part: PartWriter({out / "models" / name / part: learnt}, seen=self._seen(part))
            for part in ("train", "test")
        }
        self._channels: Channels | None = None
        if model.get("algorithm"):
            self._channels = Channels(out / "models" / name, learnt, model, config["data"])
        self._out, self._asked = out, asked_of(learnt, model["label"]) if model.get("transform") else None
        # Without row numbers, the rows to predict are independent of their position in the input.
        predict = {out / "predict" / name: rows, out / "numbers" / name: pa.schema([schema.field(ROW)])}
        instances = config["predict"]["instance"]["count"]
        self.writers["predict"] = SteadyWriter(predict, instances, self._sums["predict"].add)

    def _seen(self, part: str) -> Seen:
        def seen(rows: pa.Table) -> None:
            self._sums[part].add(rows)
            if part == "train" and self._channels:
                self._channels.learn(rows)

        return seen

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        if self._channels:
            self._channels.write()
        if self._asked is not None:
            folder, rows = self._out / "models" / self.model["name"], self._out / "predict" / self.model["name"]
            if self._channels and PROGRAMS[self.model["algorithm"]["name"]].answers:  # our own jobs measure the others
                ask(folder / "test", folder / "asked", self._asked.names)
            ask(rows, rows, self._asked.names)
            for path in part_files.part_paths(rows):
                path.unlink()

    def write(self, batch: pa.RecordBatch, parts: Parts) -> None:
        for part, writer in self.writers.items():
            mask = getattr(parts, part)
            if mask.any():
                writer.write(batch.select(self._columns[part]).filter(pa.array(mask)))

    def profile(self) -> dict[str, Any]:
        train, test, predict = (self._sums[part].digest() for part in PARTS)
        files = self.writers["predict"].written
        return {
            "name": self.model["name"],
            "label": self.model["label"],
            **{f"rows_{part}": writer.rows for part, writer in self.writers.items()},
            "train_fingerprint": fingerprints.of_training(self.model, train, test),
            "predict_fingerprint": fingerprints.of_prediction(predict, files),
            "predict_files": sorted(files),
            **({"columns": fingerprints.of_columns(self._asked)} if self._asked is not None else {}),
        }


class PreparedFolders:
    def __init__(self, out: Path, schema: pa.Schema, config: dict[str, Any]) -> None:
        self._rows = PartWriter({out / "rows": schema})
        self.models = [ModelFolders(out, schema, model, config) for model in config["models"]]
        for model in config["models"]:
            job_io.write_json(out / "models" / model["name"] / "config.json", config)
        self._sides = ExitStack()
        self._rows_side, self._parts_side = Background(), Background()

    def __enter__(self) -> PreparedFolders:
        self._sides.enter_context(self._rows_side)
        self._sides.enter_context(self._parts_side)
        return self

    def __exit__(self, *problem: Any) -> None:
        if problem[0] is None:
            self._rows_side.do(self._rows.close)
            for model in self.models:
                self._parts_side.do(model.close)
        self._sides.__exit__(*problem)

    def write(self, batch: pa.RecordBatch, parts: list[Parts]) -> None:
        self._rows_side.do(self._rows.write, batch)
        self._parts_side.do(self._write_parts, batch, parts)

    def _write_parts(self, batch: pa.RecordBatch, parts: list[Parts]) -> None:
        for model, part in zip(self.models, parts, strict=True):
            model.write(batch, part)
        if sum(writer.waiting_bytes for writer in self._all_parts()) > WAITING_BYTES:
            for writer in self._all_parts():
                writer.flush()

    def _all_parts(self) -> list[PartWriter]:
        return [writer for model in self.models for writer in model.writers.values()]


def _columns(schema: pa.Schema, without: list[str]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in without])
