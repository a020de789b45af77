"""Predict: applies one model to its rows, file by file, in bounded memory.

Reads   processing/input/rows/         this instance's share of the model's predict part
        processing/input/model/        a folder that train wrote
        processing/input/config/config.json; the environment's STEPGLUON_MODEL
Writes  processing/output/             for each file of rows one of the same name: `stepgluon_row`, `prediction`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import job_io
import numpy as np
import numpy.typing as npt
import part_files
import pyarrow as pa
import pyarrow.parquet as pq
from job_io import ROW, JobError, log

ROWS = 65_536  # predicted at once
SCHEMA = pa.schema([(ROW, pa.int64()), ("prediction", pa.float64())])
Answer = Callable[[pa.RecordBatch], npt.NDArray[np.float64]]


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        model = job_io.prediction_model()
        job_io.model_of(job_io.read_config(job_io.processing_input("config")), model)
        job_io.limit_threads(job_io.cores())
        rows = predict(job_io.processing_input("rows"), job_io.processing_input("model"), model, out)
    log.info("%d rows predicted in %.1f s", rows, time.monotonic() - started)


def predict(rows: Path, folder: Path, model: str, out: Path) -> int:
    import model_folder

    manifest = model_folder.verified(folder, model)
    paths = part_files.part_paths(rows)
    import frames

    for path in paths:
        frames.check_columns(manifest["features"], part_files.read_schema(path), model)
    answer = answerer(folder / model_folder.PREDICTOR, manifest["features"])
    return sum(predict_file(path, rows, out, answer, manifest["features"], model) for path in paths)


def answerer(folder: Path, features: dict[str, str]) -> Answer:
    import frames
    from autogluon.tabular import TabularPredictor

    predictor: Any = TabularPredictor.load(str(folder), verbosity=0)
    predictor.persist()

    def answer(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
        answers: npt.NDArray[np.float64] = predictor.predict(frames.frame(batch, features)).to_numpy(np.float64)
        return answers

    return answer


def predict_file(path: Path, rows: Path, out: Path, answer: Answer, features: dict[str, str], model: str) -> int:
    target = out / path.relative_to(rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with pq.ParquetWriter(target, SCHEMA) as writer:
        for batch in part_files.read_batches(path, [ROW, *features], ROWS):
            writer.write_batch(predicted(batch, answer, model))
            count += batch.num_rows
    expected = pq.read_metadata(path).num_rows
    if count != expected:
        raise JobError(f"Model {model}: {count} of {expected} rows of {path.name} were predicted; run the job again.")
    log.info("%s: %d rows", path.name, count)
    return count


def predicted(batch: pa.RecordBatch, answer: Answer, model: str) -> pa.RecordBatch:
    """The predictions of a batch: as many as rows, each a finite number."""
    numbers = batch.column(ROW)
    answers = answer(batch) if batch.num_rows else np.empty(0)
    if len(answers) != batch.num_rows:
        raise JobError(f"Model {model} gave {len(answers)} predictions for {batch.num_rows} rows; train it again.")
    wrong = np.flatnonzero(~np.isfinite(answers))
    if len(wrong):
        row = numbers[int(wrong[0])].as_py()
        raise JobError(f"Model {model} predicts {answers[wrong[0]]} for row {row + 1} of the data; train it again.")
    return pa.RecordBatch.from_arrays([numbers, pa.array(answers)], schema=SCHEMA)


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
