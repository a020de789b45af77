"""Finds the partitions in the rows: one model for each value of the config's `partitioned.column`.

Values are compared as text: 7 and 7.0 are one partition, "A" and "a" are two. Rows with an empty value, or one of only
blanks, belong to none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import partitions
import pyarrow as pa
import pyarrow.compute as pc
from column_types import class_names
from job_io import LEAST_ROWS, JobError, counted, listed, shown
from model_parts import Parts, Splitter, check_column, held_out_places, splitter
from partitions import MOST_PARTITIONS, OTHERS
from row_counts import RowCounts

EXAMPLES = 5
ALIKE = 3  # examples of values that differ only in case or blanks
VALUE = 60  # characters of a value, for people; group.json has a size limit

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PartitionParts(Parts):
    """All models' rows in a batch; which ones are held out is decided when the rows of each are together."""

    codes: npt.NDArray[np.int32]  # the partition of each row, -1 for none
    found: Partitions


@dataclass(frozen=True)
class PartitionModel:
    name: str
    value: str  # shortened; empty for the shared model
    codes: list[int]
    rows: Mapping[str, int]  # by part
    few: bool  # too few rows with a label to be trained

    @property
    def labelled(self) -> int:
        return self.rows["train"] + self.rows["test"]


@dataclass
class Partitions:
    """The values seen so far, by their codes, and their numbers of rows."""

    column: str
    min_rows: int
    otherwise: str
    test_fraction: float
    seed: int
    rows: int = 0  # seen, including those of no partition
    values: dict[str, int] = field(default_factory=dict)  # the value's code
    labelled: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    gaps: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, column: pa.Array, labelled: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
        """Count a batch, and return its codes; raises JobError if there are too many values for models."""
        encoded = column.dictionary_encode()
        found = [self._code(value) for value in class_names(encoded.dictionary).to_pylist()]
        places = pc.fill_null(encoded.indices, len(found)).to_numpy()
        codes: npt.NDArray[np.int32] = np.array([*found, -1], np.int32)[places]
        self.rows += len(codes)
        if len(self.values) > MOST_PARTITIONS:
            raise JobError(
                f"partition_by: {shown(self.column)} has more than {MOST_PARTITIONS:,} different values in "
                f"{self.rows:,} rows, and each would be a model; choose a column with fewer values."
            )
        for name, chosen in (("labelled", labelled), ("gaps", ~labelled)):
            counts = np.bincount(codes[chosen & (codes >= 0)], minlength=len(self.values))
            counts[: len(getattr(self, name))] += getattr(self, name)
            setattr(self, name, counts)
        return codes

    def _code(self, value: str) -> int:
        return self.values.setdefault(value, len(self.values)) if value and not value.isspace() else -1

    @cached_property
    def models(self) -> list[PartitionModel]:
        """Sorted by name; call it after all rows. Raises JobError if two values have the same name."""
        found, few = [], []
        for name, value in partitions.names_of(self.values).items():
            code = self.values[value]
            is_small = bool(self.labelled[code] < self.min_rows)
            if is_small and self.otherwise == "shared":
                few.append(code)
            else:
                found.append(self._model(name, value, [code], is_small))
        if few:
            found.append(self._model(OTHERS, "", few, self._share_too_few))
        return sorted(found, key=lambda model: model.name)

    def _model(self, name: str, value: str, codes: list[int], few: bool) -> PartitionModel:
        labelled = int(self.labelled[codes].sum())
        test = int(held_out_places(0, labelled, self.test_fraction, self.seed).sum())
        rows = {"train": labelled - test, "test": test, "predict": int(self.gaps[codes].sum())}
        return PartitionModel(name, value if len(value) <= VALUE else f"{value[: VALUE - 1]}…", codes, rows, few)

    @cached_property
    def small(self) -> list[str]:
        """The values with too few rows for a model of their own."""
        return [value for value, code in self.values.items() if self.labelled[code] < self.min_rows]

    @property
    def _share_too_few(self) -> bool:
        """Whether the small partitions have too few rows even for the model that they share."""
        labelled = sum(int(self.labelled[self.values[value]]) for value in self.small)
        return self.otherwise == "shared" and labelled < LEAST_ROWS

    def profile(self) -> dict[str, Any]:
        gaps = sum(int(self.gaps[self.values[value]]) for value in self.small)
        few = {"count": len(self.small), "otherwise": self.otherwise, "rows_predict": gaps}
        few["promoted_only"] = self.otherwise == "promoted" or self._share_too_few
        to_train = sum(not model.few for model in self.models)
        return {
            "column": self.column,
            "count": len(self.models),
            "to_train": to_train,
            **{f"rows_{part}": sum(model.rows[part] for model in self.models) for part in ("train", "test", "predict")},
            "small": {**few, "examples": [short(value) for value in self.small[:EXAMPLES]]},
            "can_train": to_train > 0,
        }

    def notes(self) -> list[str]:
        return [*self._about_alike(), *self._about_small(), *self._about_giant()]

    def _about_alike(self) -> list[str]:
        alike: dict[str, list[str]] = {}
        for value in self.values:
            alike.setdefault("".join(value.split()).casefold(), []).append(value)
        several = [sorted(values) for values in alike.values() if len(values) > 1]
        if not several:
            return []
        examples = ", ".join(" and ".join(map(shown, values[:ALIKE])) for values in several[:ALIKE])
        more = f" and {len(several) - ALIKE:,} more" if len(several) > ALIKE else ""
        return [
            f"Some values of {shown(self.column)} differ only in case or blanks, and get different models: "
            f"{examples}{more}."
        ]

    def _about_small(self) -> list[str]:
        if not self.small:
            return []
        count = self.profile()["small"]["rows_predict"]
        gaps = f"{count:,} {'gap' if count == 1 else 'gaps'}"
        ends = {
            "leave_open": f"no model predicts their {gaps}",
            "promoted": f"only promoted models can predict their {gaps}",
            "shared": f"the model {OTHERS} learns from their rows together, and predicts their {gaps}",
        }
        if self._share_too_few:
            few = f"together, they have fewer than the {LEAST_ROWS} that the model {OTHERS} needs"
            ends["shared"] = f"{few}, so only a promoted one can predict their {gaps}"
        end = ends[self.otherwise] if count else "they have no gaps"
        have = "has" if len(self.small) == 1 else "have"
        return [
            f"{counted(len(self.small), 'partition')} of {len(self.values):,} {have} fewer than {self.min_rows:,} rows "
            f"with a label ({listed(self.small, 3)}); {end}."
        ]

    def _about_giant(self) -> list[str]:
        rows = self.labelled + self.gaps
        if len(rows) < 3 or rows.max() * 2 <= rows.sum():
            return []
        value = short(list(self.values)[int(rows.argmax())])
        return [f"{value} has {rows.max():,} of {rows.sum():,} rows; the jobs of its group take as long as its model."]


class PartitionSplitter(Splitter):
    """Splits a table for all models at once."""

    def __init__(self, one: Splitter, found: Partitions) -> None:
        super().__init__(one.name, one.label, {}, one.test_fraction, one.seed)
        self.found = found

    def split(self, batch: pa.RecordBatch) -> PartitionParts:
        labelled = pc.is_valid(batch.column(self.label)).to_numpy(zero_copy_only=False)
        codes = self.found.add(batch.column(self.found.column), labelled)
        has_model = codes >= 0
        none = np.zeros(len(codes), dtype=bool)
        return PartitionParts(labelled & has_model, none, ~labelled & has_model, codes, self.found)


class PartitionCounts(RowCounts):
    """What prepare counts and notes if the models are found in the data."""

    def __init__(self, config: Mapping[str, Any], kinds: Mapping[str, pa.DataType]) -> None:
        (template,), data, given = config["models"], config["data"], config["partitioned"]
        check_column(template["name"], "partition_by", given["column"], kinds)
        one = splitter(template, kinds, data["test_fraction"], data["seed"])
        self.found = Partitions(**given, test_fraction=one.test_fraction, seed=one.seed)
        self._models_per_job = config["fan_out"]["models_per_job"]
        super().__init__([PartitionSplitter(one, self.found)], config["models"])

    def selects_nothing(self) -> list[str]:
        return [f"partition_by: {shown(self.found.column)} has no value in any row; choose another column."]

    def too_many(self) -> list[str]:
        # Raises JobError if the names or the groups are impossible, before anything is written.
        partitions.grouped(dict.fromkeys((model.name for model in self.found.models), 0), self._models_per_job)
        return super().too_many()

    def in_profile(self, models: Sequence[Mapping[str, Any]]) -> Any:
        return {**self.found.profile(), **(models[0] if models else {})}

    def _about_models(self, profiles: Sequence[Mapping[str, Any]]) -> list[str]:
        notes = self.found.notes()
        if self.unselected:
            rows = "row has" if self.unselected == 1 else "rows have"
            notes.insert(
                0,
                f"{self.unselected:,} {rows} an empty {shown(self.found.column)}; no model learns from or predicts "
                "them.",
            )
        for gone in (profile["vanished"] for profile in profiles if "vanished" in profile):
            more = ", …" if gone["count"] > len(gone["examples"]) else ""
            models = counted(gone["count"], "promoted model")
            have = "belongs to a partition" if gone["count"] == 1 else "belong to partitions"
            notes.append(f"{models} {have} without rows in these tables: {', '.join(gone['examples'])}{more}.")
        return notes


def short(value: str) -> str:
    """A value in a list of examples."""
    return value if value.isprintable() and len(value) <= VALUE else shown(value)
