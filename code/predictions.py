"""The predictions of one model, as a stream sorted by row.

A prediction job does not know its rows' position in the input: its files contain only predictions. Prepare has written
the row numbers to files with the same names: number N belongs to prediction N. A file has at most part_files.FILE_ROWS
rows, so whole files are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from job_io import ROW, JobError, RetryableError, counted

Rows = npt.NDArray[np.int64]
NUMBER = pa.schema([("prediction", pa.float64())])


def files_by_model(folder: Path) -> dict[str, list[Path]]:
    """Each model's prediction files, below `folder` as .../predictions/<model>/<fingerprint>/<job>/<file>."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("predictions/*/*/*/*.parquet")):
        files.setdefault(path.parts[-4], []).append(path)
    return files


class Predictions:
    """Returns predictions in the rows' order, each once; holds one file at a time."""

    def __init__(self, model: str, pairs: Mapping[Path, Path] | None = None, schema: pa.Schema = NUMBER) -> None:
        """`pairs` maps files of numbers to files of predictions, in the rows' order; if None, there are none.

        `schema` has the columns of the predictions; those after the first may be missing, and are then empty.
        """
        self.model, self.schema = model, schema
        self._files = self._read(pairs or {})
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._answers = schema.empty_table()

    def below(self, row: int) -> tuple[Rows, pa.Table]:
        """All predictions not yet returned for rows before this one."""
        while not len(self._rows) or self._rows[-1] < row:
            following = next(self._files, None)
            if following is None:
                break
            self._rows = np.concatenate([self._rows, following[0]])
            self._answers = pa.concat_tables([self._answers, following[1]])
        count = int(np.searchsorted(self._rows, row))
        rows, answers = self._rows[:count], self._answers[:count]
        self._rows, self._answers = self._rows[count:], self._answers[count:]
        return rows, answers

    def finished(self) -> None:
        """Raise JobError if predictions are left over."""
        if len(self._rows) or next(self._files, None) is not None:
            raise JobError(f"Model {self.model} predicted rows that the data does not have; run the pipeline again.")

    def _read(self, pairs: Mapping[Path, Path]) -> Iterator[tuple[Rows, pa.Table]]:
        last = -1
        for numbers, predictions in pairs.items():
            rows, answers = _rows(numbers), self._columns(predictions)
            if len(rows) != len(answers):
                raise JobError(
                    f"Model {self.model} has {counted(len(answers), 'prediction')} for the "
                    f"{counted(len(rows), 'row')} of {numbers.name}; run the pipeline again."
                )
            if not _are_whole(answers.column(0)):
                kind = "number" if _words(self.schema) == "numbers" else "class"
                name = predictions.name
                raise JobError(f"A prediction of model {self.model} in {name} is not a {kind}; run it again.")
            if (np.diff(rows, prepend=last) <= 0).any():
                raise JobError(
                    f"The rows of model {self.model} are out of order in {numbers.name}; run the pipeline again."
                )
            if len(rows):
                last = int(rows[-1])
                yield rows, answers

    def _columns(self, path: Path) -> pa.Table:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow
            if _words(there) != _words(self.schema):
                raise JobError(
                    f"The predictions of model {self.model} are {_words(there)}, but its metric needs "
                    f"{_words(self.schema)}: it was promoted when another metric judged it. Loosen the limit until a "
                    "new model is accepted, and promote that."
                )
            table = file.read([name for name in self.schema.names if name in there.names])
        for name in self.schema.names:
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(len(table), self.schema.field(name).type))
        return table.select(self.schema.names).cast(self.schema)


def _words(schema: pa.Schema) -> str:
    return "classes" if pa.types.is_string(schema.field("prediction").type) else "numbers"


def _are_whole(values: pa.ChunkedArray) -> bool:
    if values.null_count:
        return False
    return values.type != pa.float64() or bool(pc.all(pc.is_finite(values), min_count=0).as_py())


def _rows(path: Path) -> Rows:
    with pq.ParquetFile(path) as file:
        column: Rows = file.read([ROW])[ROW].to_numpy()
        return column


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
