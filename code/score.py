"""Score: unpacks a model trained in a container that is not ours, measures it on the held-out rows, writes its folder.

Reads   processing/input/archive/model.tar.gz   the training's output; nothing of it is unpickled or run
        processing/input/data/                  train/, test/, encoding.json and config.json, written by prepare
        processing/input/trials/trials.json     of a tuned model: what its trainings tried
        environment variable STEPGLUON_MODEL
Writes  processing/output/program/              the archive's files
        processing/output/encoding.json         how rows become the model's numbers
        processing/output/evaluation.json       for the report; see evaluation.py
        processing/output/manifest.json  processing/output/metrics.json
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from no_pandas import keep_pandas_out

    keep_pandas_out("sklearn")  # before pyarrow is used

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import archive
import encoding
import job_io
import numpy as np
import part_files
from background import ahead
from evaluation import evaluation_of, tried
from held_out import cells, labels, numbers
from job_io import JobError, counted, log
from metrics import has_classes, metric_of, of_numbers
from model_folder import EVALUATION, METRICS, PROGRAM, XGBOOST, pack, versions, write_manifest
from predict import rows_at_once
from xgboost_model import NAME, Predictor

# XGBoost trusts the numbers in a model's file, so a damaged one may end the process that reads it.
_TRIAL = """
import sys
sys.modules["sklearn"] = sys.modules["pandas"] = None
import numpy, xgboost
model = xgboost.Booster()
model.load_model(bytearray(open(sys.argv[1], "rb").read()))
model.predict(xgboost.DMatrix(numpy.full((1, model.num_features()), numpy.nan)))
"""


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        data = job_io.processing_input("data")
        model = job_io.model_of(job_io.read_config(data), job_io.prediction_model())
        score(model, data, job_io.processing_input("archive") / "model.tar.gz", out)


def score(model: dict[str, Any], data: Path, trained: Path, out: Path) -> None:
    """Write the model's folder to `out`."""
    started = time.monotonic()
    name, label = model["name"], model["label"]
    if has_classes(model):
        raise JobError(f"Model {name}: {metric_of(model)} is for classes, but XGBoost predicts numbers; use another.")
    archive.unpack(trained, out / PROGRAM, name)
    check_readable(out / PROGRAM, name)
    shutil.copyfile(data / encoding.FILE, out / encoding.FILE)
    predictor = Predictor(out, name, {})
    known = labels(data / "train", label)
    truth, answers = measured(data / "test", name, label, predictor)
    metrics = of_numbers(truth, answers, float(np.median(known)) if len(known) else 0.0, metric_of(model))
    log.info("model %s: mean absolute error %s, of the median %s", name, metrics["mae"], metrics["mae_of_median"])
    found = {"model": name, **metrics, "rows_train": len(known), "rows_test": len(truth)}
    seconds = round(time.monotonic() - started, 1)
    job_io.write_json(
        out / EVALUATION,
        {
            **found,
            "label": label,
            PROGRAM: XGBOOST,
            "trees": predictor.booster.num_boosted_rounds(),
            "seconds": {"score": seconds},
            "best_model": "XGBoost",
            "notes": [],
            **tried(job_io.processing_input("trials")),
            **evaluation_of(
                truth, answers, predictor.features, lambda *of: cells(data / "test", *of), [], importance(predictor)
            ),
        },
    )
    found |= {"seconds": seconds, "best_model": "XGBoost", PROGRAM: XGBOOST, **versions(XGBOOST)}
    manifest = write_manifest(out, label, predictor.encoding.types(), XGBOOST)
    job_io.write_json(out / METRICS, {**found, "manifest": manifest})
    if model.get("transform"):
        pack(out)


def check_readable(program: Path, model: str) -> None:
    """Raise JobError if XGBoost's file is missing, or if XGBoost crashes on it; `booster` reports smaller problems."""
    if not (program / NAME).is_file():
        files = sorted(path.relative_to(program).as_posix() for path in program.rglob("*") if path.is_file())
        raise JobError(
            f"Model {model}: model.tar.gz has no file {NAME}, only {job_io.listed(files)}; AWS's XGBoost container "
            "writes it, unless _kfold is set."
        )
    if (program / NAME).read_bytes()[:1] == b"{":
        done = subprocess.run([sys.executable, "-c", _TRIAL, str(program / NAME)], capture_output=True)
        if done.returncode < 0:
            raise JobError(f"Model {model}: XGBoost crashes when it reads {NAME}; train it again.")


def measured(folder: Path, model: str, label: str, predictor: Predictor) -> tuple[Any, Any]:
    """The labels of all held-out rows, and the model's answers."""
    names = [label, *predictor.features]
    rows = rows_at_once(len(names))
    paths = part_files.part_paths(folder)
    batches = (batch for path in paths for batch in part_files.read_batches(path, names, rows) if len(batch))
    truth, answers = [np.empty(0)], [np.empty(0)]
    for known, inputs in ahead((numbers(batch.column(label)), predictor.inputs(batch)) for batch in batches):
        truth.append(known)
        answers.append(predictor.answers(inputs))
        if answers[-1].shape != known.shape:
            given = f"{counted(answers[-1].size, 'number')} for {counted(len(known), 'row')}"
            raise JobError(f"Model {model} predicts {given}; choose an objective that gives one number for each row.")
    return np.concatenate(truth), np.concatenate(answers)


def importance(predictor: Predictor) -> list[dict[str, Any]]:
    """Each column's share of the splits' total gain, the largest first; a linear model has none."""
    gains = predictor.booster.get_score(importance_type="total_gain") if predictor.has_trees else {}
    whole = sum(gains.values()) or 1.0
    shares = {name: gains.get(f"f{place}", 0.0) / whole for place, name in enumerate(predictor.features)}
    ordered = sorted(shares.items(), key=lambda each: -each[1])
    return [{"column": name, "importance": share, "stddev": 0.0} for name, share in ordered]


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
