"""Train: fits one model, measures its error on the held-out part, and saves what prediction needs.

Reads   input/data/data/                        train/, test/ and config.json, written by prepare
        input/config/hyperparameters.json       {"model": NAME}; with {"group": NAME} see train_group.py
Writes  model/predictor/                        the deployable predictor
        model/metrics.json  model/leaderboard.csv  model/importance.csv  model/manifest.json
        model/evaluation.json                   for the report; see evaluation.py
        model/profile.json                      for the monitor; see row_profile.py

Scores, leaderboard and importance get what is left of 1.2 times the time limit. If the scores of all models would take
longer, the leaderboard has their validation errors alone; and the importance is measured on fewer columns, or on none.
A model of a group is one of thousands, so there they get a twentieth of the time that the fit took.
"""

from __future__ import annotations

import sys
from contextlib import suppress

if __name__ == "__main__":
    import job_io
    import job_model

    with suppress(job_io.JobError):  # raised again by main
        if job_model.training_group():
            job_io.limit_threads(1)  # before numpy is imported: each model of a group has one core

import logging
import time
from pathlib import Path
from typing import Any

import job_io
import job_model
import numpy as np
import pandas as pd
import row_profile
import train_group
from autogluon_fit import check_columns, check_rows, fit
from column_types import class_names
from evaluation import evaluation, notes
from frames import features_of, frame, read_part
from job_io import counted, log
from metrics import METRICS as KNOWN
from metrics import has_classes, in_order, level_of, metric_of, of_classes, of_numbers, say_score
from model_folder import EVALUATION, METRICS, PREDICTOR, pack, versions, write_manifest
from spreadsheet import defused_names
from tracking import track

AFTERWARDS = 0.2  # of the time limit: what scores, leaderboard and importance may take beyond it
AFTERWARDS_SECONDS = 5.0  # the least that they get
BRIEFLY = 0.05  # of the fit, in place of both, for a model of a group
IMPORTANCE_SHARE = 0.1  # of the time limit
IMPORTANCE_SECONDS = 60
IMPORTANCE_LEAST = 2.0  # seconds, for as many columns as they allow
IMPORTANCE_ROWS = (2000, 500, 100)  # fewer if they would take too long


def main() -> None:
    if job_model.training_group():
        train_group.main(train_and_track)
        return
    with job_io.complete_or_absent(job_io.model_output()) as out, job_io.scratch() as scratch:
        data = job_io.channel("data")
        config = job_io.read_config(data)
        model = job_io.model_of(config, job_model.training_model())
        train_and_track(config, model, data, out, scratch)


def train_and_track(
    config: dict[str, Any], model: dict[str, Any], data: Path, out: Path, scratch: Path, brief: bool = False
) -> None:
    train(model, data / "train", data / "test", out, scratch, brief)
    if config.get("track"):
        settings = {key: model["train"][key] for key in ("presets", "time_limit")}
        known = {"model": model["name"], "label": model["label"], **settings}
        files = [file for file in sorted(out.iterdir()) if file.is_file()]
        track(config["track"]["mlflow"], config["name"], known, job_io.read_json(out / METRICS), files)


def train(model: dict[str, Any], train: Path, test: Path, out: Path, scratch: Path, brief: bool = False) -> None:
    """Write the model and its reports to `out`; `scratch` is for temporary files.

    A `brief` training is one of many: it spends little time on reports and writes no profile.json, because partitions
    have no monitor.
    """
    started = time.monotonic()
    name, label = model["name"], model["label"]
    table, held_out = read_part(train), read_part(test)
    features = features_of(table.schema, label)
    sizes = counted(len(table), "row"), len(held_out), counted(len(features), "column")
    log.info("model %s: %s to learn from, %d held out, %s", name, *sizes)
    check_rows(model, len(table))
    known, unknown = (frame(part, [*features, label]) for part in (table, held_out))
    if has_classes(model):
        for part, rows in ((known, table), (unknown, held_out)):
            part[label] = class_names(rows[label]).to_pandas().astype(object)
    del table, held_out
    check_columns(model, known, list(features))
    if len(unknown) and metric_of(model) == "mae":
        guessed = of_numbers(unknown[label].to_numpy(), np.zeros(len(unknown)), known[label].to_numpy())[
            "mae_of_median"
        ]
        log.info("model %s: always guessing the median: mean absolute error %s", name, guessed)  # for the live page
    predictor, fitted = fit(model, known, scratch / "predictor", job_io.cores())
    metrics, answers, tables, evaluated = evaluate(predictor, model, known[label], unknown, fitted, brief)
    for file, written in tables.items():
        write_csv(written, out / file)
    logging.getLogger("autogluon").setLevel(logging.ERROR)
    predictor.clone_for_deployment(str(out / PREDICTOR))
    found = {"model": name, **metrics, "rows_train": len(known), "rows_test": len(unknown)}
    job_io.write_json(out / EVALUATION, {**found, **evaluated})
    if not brief:
        row_profile.write(out, train, features, known[label], unknown[label], answers["predicted"], metrics)
    found |= {"seconds": round(time.monotonic() - started, 1), "best_model": predictor.model_best, **versions()}
    classes = classes_of(predictor) if has_classes(model) else ()
    manifest = write_manifest(out, label, features, classes=classes)
    job_io.write_json(out / METRICS, {**found, "manifest": manifest})
    if model.get("transform") or model.get("archive"):
        pack(out)


def evaluate(
    predictor: Any, model: dict[str, Any], known_labels: Any, unknown: Any, fitted: float, brief: bool = False
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The metrics, the answers to the held-out rows, the tables about the model, and the evaluation.

    `fitted` is how many seconds the fit took.
    """
    label, limit, began = model["label"], model["train"]["time_limit"], time.monotonic()
    end = began + (BRIEFLY * fitted if brief else max((1 + AFTERWARDS) * limit - fitted, AFTERWARDS_SECONDS))
    measured = measure_classes if has_classes(model) else measure_numbers
    metrics, answers = measured(predictor, model, known_labels, unknown)
    scored = time.monotonic()
    say_score(model["name"], metrics)
    kinds = classes_of(predictor) if has_classes(model) else None
    scorable = unknown if kinds is None else unknown[unknown[label].isin(kinds)]
    if kinds is not None and scorable[label].nunique() < 2:
        scorable = scorable[:0]  # AutoGluon scores rows of classes that it knows, and roc_auc needs two of them
    board, all_scored = leaderboard(predictor, scorable, scored - began, (end - scored) / 2, metric_of(model))
    listed = time.monotonic()
    box = max(0 if brief else IMPORTANCE_LEAST, min(IMPORTANCE_SECONDS, IMPORTANCE_SHARE * limit, end - listed))
    columns, all_measured = importance(predictor, scorable, box, (scored - began) / max(len(unknown), 1))
    remarks = notes(board, fitted, limit, all_scored, all_measured)
    for note in remarks:
        log.info("model %s: %s", model["name"], note)
    took = {"fit": fitted, "score": scored - began, "leaderboard": listed - scored}
    took |= {"importance": time.monotonic() - listed}
    evaluated = {
        "label": label,
        "presets": model["train"]["presets"],
        "time_limit": limit,
        "seconds": {key: round(value, 1) for key, value in took.items()},
        "best_model": predictor.model_best,
        "notes": remarks,
        **evaluation(unknown, label, answers, board, columns, metric_of(model)),
    }
    return metrics, answers, {"leaderboard.csv": board, "importance.csv": columns}, evaluated


def measure_numbers(
    predictor: Any, model: dict[str, Any], known: Any, unknown: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics, and the predictions of the held-out rows."""
    label, answers = model["label"], np.empty(0)
    if len(unknown):
        answers = predictor.predict(unknown.drop(columns=label)).to_numpy().reshape(-1)  # a quantile is in a table
    truth = unknown[label].to_numpy()
    metrics = of_numbers(truth, answers, known.to_numpy(), metric_of(model), level_of(model))
    return metrics, {"predicted": answers}


def measure_classes(
    predictor: Any, model: dict[str, Any], known: Any, unknown: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics, and the predicted classes of the held-out rows with the probabilities of all classes."""
    label, classes = model["label"], classes_of(predictor)
    predicted, chances = np.empty(0, object), np.empty((0, 0))
    if len(unknown):
        found = predictor.predict_proba(unknown.drop(columns=label))
        predicted, chances = predictor.predict_from_proba(found).to_numpy(object), found[classes].to_numpy(np.float64)
    truth = unknown[label].to_numpy(object)
    metrics = of_classes(truth, predicted, chances, classes, known.to_numpy(object), metric_of(model))
    return metrics, {"predicted": predicted, "chances": chances, "classes": classes}


def classes_of(predictor: Any) -> list[str]:
    """What the model can predict; the last of two is the positive class."""
    return in_order(predictor.class_labels)


def leaderboard(
    predictor: Any, unknown: Any, best_seconds: float, left: float, metric: str = "mae"
) -> tuple[Any, bool]:
    """One row per tried model, best first; errors are positive, as in metrics.json.

    If scoring all models would take longer than `left`, by the time that the best one took, the scores are those of
    validation alone, and the second value is False.
    """
    board = predictor.leaderboard(silent=True)
    took = board.set_index("model")["pred_time_val"]
    ratio = board["pred_time_val_marginal"].sum() / max(took[predictor.model_best], 1e-9)
    all_scored = len(unknown) == 0 or best_seconds * ratio <= left
    if all_scored and len(unknown):
        board = predictor.leaderboard(unknown, silent=True)
    for column in ("score_test", "score_val"):
        if column in board:
            scores = board.pop(column)
            board[column.replace("score", metric)] = scores if KNOWN[metric].higher else -scores
    first = [column for column in ("model", f"{metric}_test", f"{metric}_val") if column in board]
    return board[first + [column for column in board.columns if column not in first]], all_scored


def importance(predictor: Any, unknown: Any, box: float, row_seconds: float) -> tuple[Any, bool]:
    """How much the error grows if a column is shuffled, of as many columns as the seconds in `box` allow, and whether
    that is all of them. `row_seconds` is about how long the prediction of one row takes.
    """
    kept = ["column", "importance", "stddev", "p_value", "n"]
    used = predictor.features(feature_stage="original")
    if len(unknown) < 2 or not used:
        return pd.DataFrame(columns=kept), True
    turns = len(used) + 1  # one is for the error before shuffling
    if min(len(unknown), IMPORTANCE_ROWS[-1]) * row_seconds * 3 > box:  # of one column
        return pd.DataFrame(columns=kept), False
    rows = next((n for n in IMPORTANCE_ROWS if n * row_seconds * turns <= box), IMPORTANCE_ROWS[-1])
    sample = unknown.sample(min(len(unknown), rows), random_state=0)
    began = time.monotonic()
    predictor.predict(sample)  # for classes, about as slow as predicting probabilities
    once = time.monotonic() - began
    affordable = int((box - once) / max(once, 1e-9)) - 1
    if affordable < 1:
        return pd.DataFrame(columns=kept), False
    # AutoGluon only checks the time after shuffling every column once.
    columns = predictor.feature_importance(
        sample, features=used[:affordable], time_limit=box - once, num_shuffle_sets=5, silent=True
    )
    return columns.rename_axis("column").reset_index()[kept], affordable >= len(used)


def write_csv(table: Any, path: Path) -> None:
    """Write the table; the names in its first column, including the user's, must not be formulas to a spreadsheet."""
    names = table.columns[0]
    table.assign(**{names: defused_names(list(table[names]))}).to_csv(path, index=False)


if __name__ == "__main__":
    sys.exit(job_io.run("training", main))
