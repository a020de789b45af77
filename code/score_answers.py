"""Score a container's answers: measures them on the held-out rows, and writes the model's folder.

Reads   processing/input/archive/model.tar.gz   the training's output, which only the container itself opens
        processing/input/answers/               the answers to the held-out rows; see answers.py
        processing/input/data/                  train/, test/ and config.json, written by prepare
        processing/input/trials/trials.json     of a tuned model: what its trainings tried
        environment variable STEPGLUON_MODEL
Writes  processing/output/model.tar.gz          the same archive
        processing/output/evaluation.json       for the report; see evaluation.py
        processing/output/profile.json          for the monitor; see row_profile.py
        processing/output/manifest.json  processing/output/metrics.json
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from no_pandas import keep_pandas_out

    keep_pandas_out()  # before pyarrow is used

import shutil
import time
from pathlib import Path
from typing import Any

import answers
import held_out
import job_io
import job_model
import numpy as np
import part_files
import pyarrow.parquet as pq
import row_profile
from answers import Answers
from evaluation import evaluation_of
from job_io import ROW, JobError, RetryableError
from metrics import Array, has_classes, in_order, level_of, metric_of, of_classes, of_numbers, of_own_class, say_score
from model_folder import ARCHIVE, EVALUATION, METRICS, PROGRAM, write_manifest
from programs import CONTAINER

NEED_CHANCES = ("roc_auc", "log_loss")


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        data = job_io.processing_input("data")
        model = job_io.model_of(job_io.read_config(data), job_model.prediction_model())
        score(model, data, job_io.processing_input("answers"), job_io.processing_input("archive") / ARCHIVE, out)


def score(model: dict[str, Any], data: Path, answered: Path, trained: Path, out: Path) -> None:
    """Write the model's folder to `out`."""
    started = time.monotonic()
    if not trained.is_file():
        raise RetryableError(f"{ARCHIVE} of model {model['name']} is missing; the job's inputs are not complete.")
    shutil.copyfile(trained, out / ARCHIVE)
    label, metric, folder = model["label"], metric_of(model), data / "test"
    known, classes = held_out.labels(data / "train", model), None
    if has_classes(model):
        classes = in_order(known.tolist())
    truth, given = held_out.labels(folder, model), measured(folder, answered, model["name"], classes)
    metrics, own = judged(truth, given, known, classes, model)
    say_score(model["name"], metrics)
    image = model["algorithm"]["image"].rpartition("/")[2].partition("@")[0]
    found = {"model": model["name"], **metrics, "rows_train": len(known), "rows_test": len(truth)}
    schema = part_files.read_schema(part_files.part_paths(folder)[0])
    features = {field.name: str(field.type) for field in schema if field.name not in (ROW, label)}

    def cells(names: list[str], rows: list[int]) -> list[list[Any]]:
        return held_out.cells(folder, names, rows)

    seconds = round(time.monotonic() - started, 1)
    more = {"label": label, PROGRAM: CONTAINER, "best_model": image, "seconds": {"score": seconds}, "notes": []}
    evaluation = evaluation_of(truth, given.predicted, list(features), cells, [], [], metric, own)
    job_io.write_json(
        out / EVALUATION, {**found, **more, **evaluation, **job_model.tried(job_io.processing_input("trials"))}
    )
    row_profile.write(out, data / "train", features, known, truth, given.predicted, metrics)
    manifest = write_manifest(out, label, features, CONTAINER, classes or (), model["algorithm"].get("script", ""))
    found |= {"seconds": seconds, "best_model": image, PROGRAM: CONTAINER, "manifest": manifest}
    job_io.write_json(out / METRICS, found)


def measured(folder: Path, answered: Path, model: str, classes: list[str] | None) -> Answers:
    """The answers to all held-out rows."""
    paths = part_files.part_paths(folder)
    found = [answers.read(answered, path.stem, pq.read_metadata(path).num_rows, model, classes) for path in paths]
    if len({one.chances is None for one in found}) > 1:
        raise JobError(f"Model {model}: its container returned probabilities for only some of the rows.")
    chances = None if found[0].chances is None else np.concatenate([one.chances for one in found])
    return Answers(np.concatenate([one.predicted for one in found]), chances)


def judged(
    truth: Array, given: Answers, known: Array, classes: list[str] | None, model: dict[str, Any]
) -> tuple[dict[str, Any], Array | None]:
    """The metrics, and for classes each row's probability of its own class."""
    metric = metric_of(model)
    if classes is None:
        return of_numbers(truth, given.predicted, known, metric, level_of(model)), None
    chances = given.chances
    if chances is None:
        if metric in NEED_CHANCES:
            raise JobError(
                f"Model {model['name']}: {metric} needs probabilities; its container must return, after the class, "
                f"those of {', '.join(classes)}."
            )
        chances = np.stack([(given.predicted == one).astype(float) for one in classes], axis=1)
    found = of_classes(truth, given.predicted, chances, classes, known, metric)
    if given.chances is None:
        found |= dict.fromkeys(NEED_CHANCES)
    return found, of_own_class(truth, chances, classes)


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
