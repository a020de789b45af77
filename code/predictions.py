"""The predictions of one model, as a stream sorted by row.

A prediction job does not know its rows' position in the input: its files contain only predictions. Prepare has written
the row numbers to files with the same names: number N belongs to prediction N.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import part_files
import pyarrow.parquet as pq
from job_io import ROW, JobError, RetryableError, counted

Rows = npt.NDArray[np.int64]
Answers = npt.NDArray[np.float64]


def found(folder: Path) -> dict[str, list[Path]]:
    """Each model's prediction files, below `folder` as .../predictions/<model>/<fingerprint>/<job>/<file>."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        place = path.relative_to(folder).parts[-5:]
        if len(place) == 5 and place[0] == "predictions":
            files.setdefault(place[1], []).append(path)
    return files


class Predictions:
    """Returns predictions in the rows' order, each once; holds one batch at a time."""

    def __init__(self, model: str, pairs: Mapping[Path, Path] | None = None) -> None:
        """`pairs` maps files of numbers to files of predictions, in the rows' order; if None, there are none."""
        self.model = model
        self._batches = self._read(pairs or {})
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._answers: Answers = np.empty(0)

    def below(self, row: int) -> tuple[Rows, Answers]:
        """All predictions not yet returned for rows before this one."""
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
        """Raise JobError if predictions are left over."""
        if len(self._rows) or next(self._batches, None) is not None:
            raise JobError(f"Model {self.model} predicted rows that the data does not have; run the pipeline again.")

    def _read(self, pairs: Mapping[Path, Path]) -> Iterator[tuple[Rows, Answers]]:
        last = -1
        for numbers, predictions in pairs.items():
            self._check_count(numbers, predictions)
            following, answers = self._answers_of(predictions), np.empty(0)
            for batch in part_files.read_batches(numbers, [ROW]):
                rows = batch.column(ROW).to_numpy()
                if len(rows) == 0:
                    continue
                if rows[0] <= last or (np.diff(rows) <= 0).any():
                    raise JobError(
                        f"The rows of model {self.model} are out of order in {numbers.name}; run the pipeline again."
                    )
                last = int(rows[-1])
                while len(answers) < len(rows):
                    answers = np.concatenate([answers, next(following)])
                yield rows, answers[: len(rows)]
                answers = answers[len(rows) :]

    def _check_count(self, numbers: Path, predictions: Path) -> None:
        expected, count = (pq.read_metadata(path).num_rows for path in (numbers, predictions))
        if count != expected:
            raise JobError(
                f"Model {self.model} has {counted(count, 'prediction')} for the {counted(expected, 'row')} of "
                f"{numbers.name}; run the pipeline again."
            )

    def _answers_of(self, path: Path) -> Iterator[Answers]:
        for batch in part_files.read_batches(path, ["prediction"]):
            answers = batch.column("prediction").to_numpy(zero_copy_only=False)
            if not np.isfinite(answers).all():
                raise JobError(f"A prediction of model {self.model} in {path.name} is not a number; run it again.")
            yield answers


def paired(model: str, numbers: Path, predictions: list[Path], expected: list[str]) -> dict[Path, Path]:
    """Pairs of files of numbers and predictions, in the rows' order; `expected` has the files' names."""
    jobs = sorted({path.parent.name for path in predictions})
    if len(jobs) > 1:
        raise JobError(f"There are predictions of model {model} by two jobs, {jobs[0]} and {jobs[1]}.")
    answers = {path.name: path for path in predictions}
    for name in expected:
        for what, there in (("rows", (numbers / name).is_file()), ("predictions", name in answers)):
            if not there:
                raise RetryableError(f"The {what} of model {model} lack {name}; the job's inputs are not complete.")
    more = sorted(answers.keys() - set(expected))
    if more:
        raise JobError(f"Model {model} has predictions {more[0]} for which there are no rows; run the pipeline again.")
    return {numbers / name: answers[name] for name in expected}
