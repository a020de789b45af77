"""Check: what prepare would do with the tables, without writing their rows, for `pipeline.py check`; in no image.

Reads   processing/input/raw/                 as prepare does
        processing/input/config/config.json
Writes  processing/output/check.json          {"problems": [...]} with all mistakes; or no problems, and the profile

`notes` are the profile's, and columns whose values are all different; `can_train`: whether a model can be trained:
`{"problems", "notes", "can_train", "files", "models", ...}`.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from no_pandas import keep_pandas_out

    keep_pandas_out()  # before pyarrow is used

from typing import Any

import column_types
import job_io
import prepare
import pyarrow as pa
import pyarrow.compute as pc
import raw_tables
from job_io import JobError, shown
from model_parts import PARTS, Parts

LEAST_ROWS = 20  # with fewer, values are often all different
SEEN_ROWS = 200_000  # that are compared
TEXT = 64  # characters; longer texts do not identify rows


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        job_io.write_json(out / "check.json", check(job_io.read_config(job_io.processing_input("config"))))


def check(config: dict[str, Any]) -> dict[str, Any]:
    sinks: list[RowsSeen] = []

    def sink(schema: pa.Schema) -> RowsSeen:
        sinks.append(RowsSeen(config))
        return sinks[-1]

    try:
        tables, ignored = raw_tables.find(job_io.processing_input("raw"), config["data"])
        profile = prepare.prepare(tables, config, sink)
    except JobError as problem:
        return {"problems": list(problem.args)}
    notes = [*profile.pop("assumed"), *sinks[-1].identifiers({name for table in tables for name in table.dates})]
    models = profile["models"]
    can_train = models["can_train"] if isinstance(models, dict) else any(model["can_train"] for model in models)
    return {"problems": [], "notes": notes, "can_train": can_train, **profile, "files_ignored": ignored}


class RowsSeen:
    """Counts rows instead of writing them."""

    def __init__(self, config: dict[str, Any]) -> None:
        found = config.get("partitioned")  # the models, whose rows are counted elsewhere
        self.models = [] if found else [ModelSeen(model) for model in config["models"]]
        self._used = {name for model in config["models"] for name in (model["label"], *model["where"])}
        self._used |= {found["column"]} if found else set()
        self._used |= set.intersection(*(set(model["drop"]) for model in config["models"]))
        self._rows = 0
        self._unique: dict[str, list[pa.Array]] | None = None  # by column, as long as its values are all different

    def __enter__(self) -> RowsSeen:
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def write(self, batch: pa.RecordBatch, parts: list[Parts]) -> None:
        for model, part in zip(self.models, parts, strict=False):
            for name in PARTS:
                model.rows[name] += int(getattr(part, name).sum())
        if self._rows < SEEN_ROWS:
            self._compare(batch)
        self._rows += batch.num_rows

    def _compare(self, batch: pa.RecordBatch) -> None:
        if self._unique is None:
            kinds = (pa.int64(), column_types.TEXT)
            names = [field.name for field in batch.schema if field.type in kinds and field.name != job_io.ROW]
            self._unique = {name: [] for name in names if name not in self._used}
        for name in list(self._unique):
            values = batch.column(name)
            head = values.slice(0, 1000)
            if not _all_different([head]) or not _all_different([values]) or _are_long(head):
                del self._unique[name]
            else:
                self._unique[name].append(values)

    def identifiers(self, dates: set[str]) -> list[str]:
        if self._rows < LEAST_ROWS:
            return []
        place = "each row" if self._rows <= SEEN_ROWS else f"each of the first {SEEN_ROWS:,} rows"
        return [
            f"{shown(name)} is different in {place}: an identifier? A model learns nothing from one; put it in drop."
            for name, values in (self._unique or {}).items()
            if name not in dates and _all_different(values)
        ]


class ModelSeen:
    """A model's rows."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._model = model
        self.rows = dict.fromkeys(PARTS, 0)

    def profile(self) -> dict[str, Any]:
        rows = {f"rows_{name}": count for name, count in self.rows.items()}
        return {key: self._model[key] for key in ("name", "label", "where")} | rows


def _all_different(values: list[pa.Array]) -> bool:
    joined = pa.chunked_array(values)
    return bool(joined.null_count == 0 and pc.count_distinct(joined).as_py() == len(joined))


def _are_long(values: pa.Array) -> bool:
    return values.type == column_types.TEXT and bool(pc.max(pc.utf8_length(values)).as_py() > TEXT)


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
