"""The predictions of thousands of models, by row: in scratch files that are mapped into memory."""

from __future__ import annotations

from pathlib import Path

import job_io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from column_types import words
from job_io import JobError
from result_files import Addition

CHUNK = 1 << 20  # rows to read at once, unless one model has more


class Damaged(Exception):
    """A group's predictions cannot be used; the message is shown to the user."""


class MappedAnswers:
    """The model and the prediction of each row."""

    def __init__(self, folder: Path, rows: int, kinds: dict[str, pa.DataType]) -> None:
        self.rows, self.kinds = rows, kinds
        self.noun = "number" if kinds["prediction"] == pa.float64() else "class"
        self._classes: dict[str, int] = {}  # the number of each predicted class
        self._model = np.memmap(folder / "model", np.int32, "w+", shape=max(rows, 1))  # numbered from 1; 0 is none
        self._columns = {
            name: np.memmap(
                folder / f"column-{number}", np.float64 if kind == pa.float64() else np.int32, "w+", shape=max(rows, 1)
            )
            for number, (name, kind) in enumerate(kinds.items())
        }

    def count(self) -> int:
        return sum(int(np.count_nonzero(self._model[at : at + CHUNK])) for at in range(0, self.rows, CHUNK))

    def usable(self, read: pa.Table) -> npt.NDArray[np.bool_]:
        """Whether each prediction is a finite number, or a class."""
        values = read["prediction"]
        if pa.types.is_floating(values.type) != (self.noun == "number"):
            needed = "numbers" if self.noun == "number" else "classes"
            raise Damaged(f"The predictions have the type {values.type}, but the metric needs {needed}.")
        good = pc.is_finite(values) if self.noun == "number" else pc.is_valid(values)
        usable: npt.NDArray[np.bool_] = pc.fill_null(good, False).to_numpy()
        return usable

    def keep(self, places: npt.NDArray[np.int64], models: npt.NDArray[np.int32], read: pa.Table) -> None:
        self._model[places] = models + 1
        for name, column in self._columns.items():
            if name not in read.column_names:
                column[places] = np.nan  # a probability that the model does not know
            elif column.dtype == np.float64:
                column[places] = read[name].to_numpy()
            else:
                coded = read[name].combine_chunks().dictionary_encode()
                known = [self._classes.setdefault(one, len(self._classes)) for one in coded.dictionary.to_pylist()]
                column[places] = np.array(known, np.int32)[coded.indices.to_numpy()]

    def columns(self, start: int, stop: int, added: Addition, names: pa.Array, said: pa.Array) -> list[pa.Array]:
        """The columns to add to some rows; empty for rows without a prediction."""
        chosen = self._model[start:stop]
        none = chosen == 0
        found = []
        for column in self._columns.values():
            values = column[start:stop]
            if column.dtype == np.float64:
                found.append(pa.array(values, mask=none | np.isnan(values)))
            else:
                found.append(self._as(added).take(pa.array(values, mask=none)))
        models = pa.array(chosen - 1, mask=none)
        return [*found, names.take(models), said.take(models)]

    def _as(self, added: Addition) -> pa.Array:
        """The classes, in the label's type."""
        classes, kind = pa.array(list(self._classes), pa.string()), added.kinds["prediction"]
        try:
            return classes.cast(kind)
        except pa.ArrowInvalid:
            known = ", ".join(map(job_io.shown, list(self._classes)[:3]))
            raise JobError(
                f"The promoted models of {added.label} predict classes such as {known}, but the column holds "
                f"{words(kind)}; promote models that were trained with such a column."
            ) from None
