"""Score: unpacks a model trained in a container that is not ours, measures it on the held-out rows, writes its folder.

Reads   processing/input/archive/model.tar.gz   the training's output; nothing of it is unpickled or run
        processing/input/data/                  train/, test/, encoding.json and config.json, written by prepare
        processing/input/trials/trials.json     of a tuned model: what its trainings tried
        environment variable STEPGLUON_MODEL
Writes  processing/output/program/              the archive's files
        processing/output/encoding.json         how rows become the model's numbers
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

import archive
import encoding
import job_io
import job_model
import numpy as np
import part_files
import programs
import row_profile
from background import ahead
from evaluation import evaluation_of
from held_out import as_labels, cells, joined, labels
from job_io import JobError, counted, shown
from metrics import level_of, metric_of, of_classes, of_numbers, of_own_class, say_score
from model_folder import EVALUATION, METRICS, PROGRAM, pack, versions, write_manifest
from predict import rows_at_once


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        data = job_io.processing_input("data")
        model = job_io.model_of(job_io.read_config(data), job_model.prediction_model())
        score(model, data, job_io.processing_input("archive") / "model.tar.gz", out)


def score(model: dict[str, Any], data: Path, trained: Path, out: Path) -> None:
    """Write the model's folder to `out`."""
    started = time.monotonic()
    name, label, program = model["name"], model["label"], model["algorithm"]["name"]
    module, title = programs.library_of(program), programs.PROGRAMS[program].title
    archive.unpack(trained, out / PROGRAM, name)
    module.check_readable(out / PROGRAM, name)
    shutil.copyfile(data / encoding.FILE, out / encoding.FILE)
    predictor = module.Predictor(out, name, {})
    known = labels(data / "train", model)
    metrics, evaluation, truth, predicted = judged(model, data / "test", known, predictor)
    seconds = round(time.monotonic() - started, 1)
    found = {"model": name, **metrics, "rows_train": len(known), "rows_test": len(truth)}
    more = {"label": label, PROGRAM: program, **predictor.facts(), "seconds": {"score": seconds}, "best_model": title}
    trials = job_model.tried(job_io.processing_input("trials"))
    job_io.write_json(out / EVALUATION, {**found, **more, "notes": [], **trials, **evaluation})
    found |= {"seconds": seconds, "best_model": title, PROGRAM: program, **versions(program)}
    row_profile.write(out, data / "train", predictor.features, known, truth, predicted, metrics)
    manifest = write_manifest(out, label, predictor.encoding.types(), program, predictor.encoding.classes)
    job_io.write_json(out / METRICS, {**found, "manifest": manifest})
    if model.get("transform") or model.get("archive"):
        pack(out)


def judged(
    model: dict[str, Any], held_out: Path, known: Any, predictor: Any
) -> tuple[dict[str, Any], dict[str, Any], Any, Any]:
    """The metrics, the evaluation, and the labels and predictions of the held-out rows."""
    name, metric, classes = model["name"], metric_of(model), list(predictor.encoding.classes)
    if len(classes) == 1:
        raise JobError(
            f"Model {name}: all training rows have the class {shown(classes[0])}; add rows of another class."
        )
    truth, answers = measured(held_out, model, predictor)
    if classes:
        predicted = np.array(classes, object)[answers.argmax(axis=1)]
        own = of_own_class(truth, answers, classes)
        metrics = of_classes(truth, predicted, answers, classes, known, metric)
    else:
        predicted, own = answers, None
        metrics = of_numbers(truth, answers, known, metric, level_of(model))
    say_score(name, metrics)

    def cells_of(names: list[str], rows: list[int]) -> list[list[Any]]:
        return cells(held_out, names, rows)

    columns = predictor.importance()
    found = evaluation_of(truth, predicted, predictor.features, cells_of, [], columns, metric, own)
    return metrics, found, truth, predicted


def measured(folder: Path, model: dict[str, Any], predictor: Any) -> tuple[Any, Any]:
    """The labels of all held-out rows, and the model's answers: numbers, or for classes their probabilities."""
    classes = predictor.encoding.classes
    label, names = model["label"], [model["label"], *predictor.features]
    asked = predictor.chances if classes else predictor.answers
    rows = rows_at_once(len(names))
    paths = part_files.part_paths(folder)
    batches = (batch for path in paths for batch in part_files.read_batches(path, names, rows) if len(batch))
    truth, answers = [], [np.empty((0, len(classes)) if classes else 0)]
    pairs = ((as_labels(batch.column(label), bool(classes)), predictor.inputs(batch)) for batch in batches)
    for known, inputs in ahead(pairs):
        truth.append(known)
        answers.append(asked(inputs))
        if answers[-1].shape != (len(known), *answers[0].shape[1:]):
            given = f"{counted(answers[-1].size, 'number')} for {counted(len(known), 'row')}"
            wanted = f"one for each of {counted(len(classes), 'class')}" if classes else "one"
            raise JobError(f"Model {model['name']} predicts {given}; choose an objective that gives {wanted} per row.")
    return joined(truth, bool(classes)), np.concatenate(answers)


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
