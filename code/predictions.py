"""The predictions of one model, as a stream sorted by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import part_files
from job_io import ROW, JobError

Rows = npt.NDArray[np.int64]
Answers = npt.NDArray[np.float64]


class Predictions:
    """Hands out predictions in the rows' order, each once; holds one batch at a time."""

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self._batches = self._read(folder)
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._answers: Answers = np.empty(0)

    def below(self, row: int) -> tuple[Rows, Answers]:
        """All predictions for rows before that one that were not handed out yet."""
        rows, answers = [], []
        while True:
            count = int(np.searchsorted(self._rows, row))
            rows.append(self._rows[:count])
            answers.append(self._answers[:count])
            self._rows, self._answers = self._rows[count:], self._answers[count:]
            if len(self._rows):
                break
            following = next(self._batches, None)
            if following is None:
                break
            self._rows, self._answers = following
        return np.concatenate(rows), np.concatenate(answers)

    def finished(self) -> None:
        """Raises JobError where predictions are left over."""
        if len(self._rows) or next(self._batches, None) is not None:
            raise JobError(f"Model {self.model} predicted rows that the data does not have; run the pipeline again.")

    def _read(self, folder: Path) -> Iterator[tuple[Rows, Answers]]:
        last = -1
        for path in part_files.part_paths(folder):
            for batch in part_files.read_batches(path, [ROW, "prediction"]):
                rows, answers = (
                    batch.column(ROW).to_numpy(),
                    batch.column("prediction").to_numpy(zero_copy_only=False),
                )
                if len(rows) == 0:
                    continue
                if rows[0] <= last or (np.diff(rows) <= 0).any():
                    raise JobError(
                        f"The predictions of model {self.model} are out of order in {path.name}; run it again."
                    )
                if not np.isfinite(answers).all():
                    raise JobError(f"A prediction of model {self.model} in {path.name} is not a number; run it again.")
                last = int(rows[-1])
                yield rows, answers
