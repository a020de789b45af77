"""Predict: applies one model to its rows, file by file, in bounded memory.

Reads   processing/input/rows/         this instance's share of the model's predict part
        processing/input/model/        a folder written by train or score
        environment variables STEPGLUON_MODEL, and STEPGLUON_MANIFEST, the sha256 of the model's manifest.json
Writes  processing/output/             for each file of rows, one with the same name and the column `prediction`: a
                                       number; or the class as text, and then `probability`, and for two classes
                                       `probability_<positive class>`

With processing/input/group/, it predicts with all models of a group; see predict_group.py.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    import job_io

    if job_io.processing_input("group").is_dir():
        job_io.limit_threads(1)  # before numpy is imported: each model of a group has one core

import time
from pathlib import Path
from typing import Any, Protocol

import job_io
import job_model
import numpy as np
import numpy.typing as npt
import part_files
import programs
import pyarrow as pa
import pyarrow.parquet as pq
from background import ahead
from job_io import JobError, RetryableError, counted, log
from model_folder import check_columns, program_of, verified

ROWS = 65_536  # predicted at once; fewer if there are very many columns
CELLS = 1_048_576
Answers = dict[str, npt.NDArray[Any]]  # by column of the output
NUMBER = pa.schema([("prediction", pa.float64())])


def main() -> None:
    if job_io.processing_input("group").is_dir():
        programs.library_of(programs.AUTOGLUON).predict_with_group(predict)
        return
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        model = job_model.prediction_model()
        manifest = job_model.prediction_manifest()
        rows = predict(job_io.processing_input("rows"), job_io.processing_input("model"), model, manifest, out)
    log.info("%s predicted in %.1f s", counted(rows, "row"), time.monotonic() - started)


def predict(rows: Path, folder: Path, model: str, expected: str, out: Path, in_memory: bool = False) -> int:
    """Write the predictions for all files in `rows` to `out` and return their number."""
    manifest = verified(folder, model, expected)
    paths = part_files.part_paths(rows)
    for path in paths:
        check_columns(manifest["features"], part_files.read_schema(path), model)
    predictor = load(folder, model, manifest, in_memory)
    schema = schema_of(manifest.get("classes", []))
    return sum(predict_file(path, out / path.relative_to(rows), predictor, model, schema) for path in paths)


class Predictor(Protocol):
    """A loaded model. Its two steps can run in parallel, so that a batch is read while the last one is predicted."""

    @property
    def features(self) -> list[str]: ...

    def inputs(self, batch: pa.RecordBatch) -> Any:
        """The model's inputs from the rows."""

    def answers(self, inputs: Any) -> npt.NDArray[np.float64] | Answers:
        """Numbers, or for classes the columns of `schema_of`."""


def load(folder: Path, model: str, manifest: dict[str, Any], in_memory: bool = False) -> Predictor:
    """The predictor of the program that trained the model: each is in the image of its own library alone.

    `in_memory` is for small models, and for a server, whose many small requests cannot each read large parts of the
    model from disk.
    """
    found: Predictor = programs.library_of(program_of(manifest)).Predictor(folder, model, manifest, in_memory)
    return found


def schema_of(classes: list[str]) -> pa.Schema:
    """The columns of the output."""
    if not classes:
        return NUMBER
    positive = [(f"probability_{classes[-1]}", pa.float64())] if len(classes) == 2 else []
    return pa.schema([("prediction", pa.string()), ("probability", pa.float64()), *positive])


def predict_file(path: Path, target: Path, predictor: Predictor, model: str, schema: pa.Schema = NUMBER) -> int:
    """Predict one file of rows, reading and writing in pieces."""
    target.parent.mkdir(parents=True, exist_ok=True)
    columns = list(predictor.features)
    pieces = (piece for piece in part_files.read_batches(path, columns, rows_at_once(len(columns))) if piece.num_rows)
    count = 0
    with pq.ParquetWriter(target, schema) as writer:
        for rows, inputs in ahead((piece.num_rows, predictor.inputs(piece)) for piece in pieces):
            answers = predictor.answers(inputs)
            writer.write_batch(predicted(range(count, count + rows), answers, path.name, model, schema))
            count += rows
    expected = pq.read_metadata(path).num_rows
    if count != expected:
        raise RetryableError(
            f"Model {model}: only {count} of the {counted(expected, 'row')} of {path.name} could be read."
        )
    log.info("%s: %s", path.name, counted(count, "row"))
    return count


def rows_at_once(columns: int) -> int:
    return max(1024, min(ROWS, CELLS // columns))


def predicted(
    rows: range, found: npt.NDArray[np.float64] | Answers, file: str, model: str, schema: pa.Schema = NUMBER
) -> pa.RecordBatch:
    """The predictions for these rows of the file, checked: as many as rows, and each number finite."""
    answers = found if isinstance(found, dict) else {"prediction": found}
    count = len(answers["prediction"])
    if count != len(rows):
        given = counted(count, "prediction")
        raise JobError(f"Model {model} gave {given} for {counted(len(rows), 'row')}; train it again.")
    for field in schema:
        if not pa.types.is_floating(field.type):
            continue
        wrong = np.flatnonzero(~np.isfinite(answers[field.name]))
        if len(wrong):
            row = rows[int(wrong[0])] + 1
            value = answers[field.name][wrong[0]]
            raise JobError(f"Model {model} predicts {value} for row {row} of {file}; train it again.")
    return pa.RecordBatch.from_arrays([pa.array(answers[f.name], f.type) for f in schema], schema=schema)


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
