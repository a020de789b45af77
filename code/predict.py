"""Predict: applies one model to its rows, file by file, in bounded memory.

Reads   processing/input/rows/         this instance's share of the model's predict part
        processing/input/model/        a folder that train wrote
        processing/input/config/config.json; the environment's STEPGLUON_MODEL
Writes  processing/output/             for each file of rows one of the same name: `stepgluon_row`, `prediction`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import job_io
import numpy as np
import numpy.typing as npt
import part_files
import pyarrow as pa
import pyarrow.parquet as pq
from job_io import ROW, JobError, log

ROWS = 262_144  # predicted at once, or fewer of very many columns
CELLS = 4_194_304
SCHEMA = pa.schema([(ROW, pa.int64()), ("prediction", pa.float64())])
Answer = Callable[[Callable[[], Iterator[pa.RecordBatch]]], list[npt.NDArray[np.float64]]]


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        model = job_io.prediction_model()
        job_io.model_of(job_io.read_config(job_io.processing_input("config")), model)
        job_io.limit_threads(job_io.cores())
        rows = predict(job_io.processing_input("rows"), job_io.processing_input("model"), model, out)
    log.info("%d rows predicted in %.1f s", rows, time.monotonic() - started)


def predict(rows: Path, folder: Path, model: str, out: Path) -> int:
    """Writes the predictions of all files in `rows` into `out` and returns how many there are."""
    import model_folder

    manifest = model_folder.verified(folder, model)
    import frames
    from ensemble import Ensemble

    paths = part_files.part_paths(rows)
    for path in paths:
        frames.check_columns(manifest["features"], part_files.read_schema(path), model)
    features = list(manifest["features"])
    answer = Ensemble(folder / model_folder.PREDICTOR, features, job_io.cores()).answers
    return sum(predict_file(path, out / path.relative_to(rows), features, answer, model) for path in paths)


def predict_file(path: Path, target: Path, features: list[str], answer: Answer, model: str) -> int:
    """One file of predictions for one of rows; files are small enough for all numbers of one to be held at once."""
    target.parent.mkdir(parents=True, exist_ok=True)

    def batches() -> Iterator[pa.RecordBatch]:
        return (
            batch for batch in part_files.read_batches(path, features, rows_at_once(len(features))) if batch.num_rows
        )

    answers = answer(batches)
    table = predicted(pq.read_table(path, columns=[ROW])[ROW].combine_chunks(), answers, model)
    pq.write_table(table, target)
    log.info("%s: %d rows", path.name, table.num_rows)
    return table.num_rows


def rows_at_once(columns: int) -> int:
    return max(1024, min(ROWS, CELLS // columns))


def predicted(rows: pa.Array, answers: list[npt.NDArray[np.float64]], model: str) -> pa.Table:
    """The predictions with their rows: as many as rows, each a finite number."""
    numbers = np.concatenate(answers) if answers else np.empty(0)
    if len(numbers) != len(rows):
        raise JobError(f"Model {model} gave {len(numbers)} predictions for {len(rows)} rows; train it again.")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        row = rows[int(wrong[0])].as_py()
        raise JobError(f"Model {model} predicts {numbers[wrong[0]]} for row {row + 1} of the data; train it again.")
    return pa.Table.from_arrays([rows, pa.array(numbers)], schema=SCHEMA)


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
