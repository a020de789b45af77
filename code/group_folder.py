"""A group of partitions, as prepare wrote it: group.json, config.json, and the rows of all models, a row group each.

All models share one template in the config.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import job_io
import pyarrow as pa
import pyarrow.parquet as pq
from job_io import JobError, RetryableError, shown
from partitions import OTHERS

GROUP = "group.json"


class Group:
    def __init__(self, folder: Path) -> None:
        self._folder, found = folder, job_io.read_json(folder / GROUP)
        self.config = job_io.read_config(folder)
        try:
            self.name: str = found["group"]
            self.entries: dict[str, dict[str, Any]] = {each["name"]: each for each in found["models"]}
            (self.template,) = self.config["models"]
            self._column: str = self.config["partitioned"]["column"]
        except (KeyError, TypeError, ValueError):
            raise JobError(f"{GROUP} and config.json in {folder} do not describe a group of models.") from None

    def __getitem__(self, name: str) -> dict[str, Any]:
        try:
            return self.entries[name]
        except KeyError:
            raise JobError(f"The group {self.name} has no model {shown(name)}.") from None

    def model(self, name: str) -> dict[str, Any]:
        """The model as the config would have it."""
        return {**self.template, "name": name, "where": {}}

    def rows(self, name: str, part: str) -> pa.Table:
        """The model's rows of train, test or predict: none if it has no row group."""
        file, place = self._folder / f"{part}.parquet", self[name]["row_groups"][part]
        if not file.is_file():
            raise RetryableError(f"{file.name} is missing in {file.parent}; the job's inputs are not complete.")
        with pq.ParquetFile(file) as rows:
            if place is None:
                table = rows.schema_arrow.empty_table()
            elif place < rows.num_row_groups:
                table = rows.read_row_group(place)
            else:
                raise RetryableError(f"{file.name} in {file.parent} ends before the rows of model {name}.")
        if len(table) != self[name][f"rows_{part}"]:
            said = f"does not have as many rows of model {name} as {GROUP} says"
            raise RetryableError(f"{file.name} in {file.parent} {said}.")
        # Only the model of all small partitions learns from partition_by: in the others it has a single value.
        kept = name == OTHERS or part == "predict" or self._column not in table.schema.names
        return table if kept else table.drop_columns([self._column])
