"""Train: fits one model, measures its error on the held-out part, and saves what prediction needs.

Reads   input/data/data/                        train/, test/ and config.json, written by prepare
        input/config/hyperparameters.json       {"model": NAME}
Writes  model/predictor/                        the deployable predictor
        model/metrics.json  model/leaderboard.csv  model/importance.csv  model/manifest.json
"""

from __future__ import annotations

import importlib.util
import logging
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import job_io
from job_io import JobError, counted, log

LEAST_ROWS = 4  # with fewer, AutoGluon 1.6 fits no model at medium_quality: it holds some back for validation
IMPORTANCE_SHARE = 0.1  # of the time limit
IMPORTANCE_SECONDS = 60
IMPORTANCE_ROWS = 2000
NEED_TORCH = [
    "NN_TORCH",
    "FASTAI",
    "AG_AUTOMM",
    "MITRA",
    "REALMLP",
    "TABDPT",
    "TABICL",
    "TABM",
    "TABPFNMIX",
    "TABPFNV2",
]


def main() -> None:
    with job_io.complete_or_absent(job_io.model_output()) as out, job_io.scratch() as scratch:
        data = job_io.channel("data")
        config = job_io.read_config(data)
        model = job_io.model_of(config, job_io.training_model())
        train(model, data / "train", data / "test", out, scratch)


def train(model: dict[str, Any], train: Path, test: Path, out: Path, scratch: Path) -> None:
    """Write the model and its reports to `out`; `scratch` is for temporary files."""
    started = time.monotonic()
    cores = job_io.cores()
    job_io.limit_threads(cores)
    import frames
    import model_folder

    name, label = model["name"], model["label"]
    table, held_out = frames.read_part(train), frames.read_part(test)
    features = frames.features_of(table.schema, label)
    sizes = counted(len(table), "row"), len(held_out), counted(len(features), "column")
    log.info("model %s: %s to learn from, %d held out, %s", name, *sizes)
    check_rows(name, label, len(table))
    known, unknown = labelled_frame(table, features, label), labelled_frame(held_out, features, label)
    del table, held_out
    check_columns(name, known, list(features))
    predictor = fit(model, known, scratch / "predictor", cores)
    metrics = score(predictor, known[label], unknown, label)
    log.info("model %s: mean absolute error %s, of the median %s", name, metrics["mae"], metrics["mae_of_median"])
    write_csv(leaderboard(predictor, unknown), out / "leaderboard.csv")
    write_csv(importance(predictor, unknown, model["train"]["time_limit"]), out / "importance.csv")
    logging.getLogger("autogluon").setLevel(logging.ERROR)
    predictor.clone_for_deployment(str(out / model_folder.PREDICTOR))
    manifest = model_folder.write_manifest(out, label, features)
    job_io.write_json(
        out / model_folder.METRICS,
        {
            "model": name,
            **metrics,
            "rows_train": len(known),
            "rows_test": len(unknown),
            "seconds": round(time.monotonic() - started, 1),
            "best_model": predictor.model_best,
            **model_folder.versions(),
            "manifest": manifest,
        },
    )


def check_rows(model: str, label: str, rows: int) -> None:
    if rows < LEAST_ROWS:
        raise JobError(
            f"Model {model} has {counted(rows, 'row')} to learn from besides the held-out ones, and needs "
            f"{LEAST_ROWS}; give it more rows with a value in {job_io.shown(label)}, or look at its where."
        )


def check_columns(model: str, known: Any, features: list[str]) -> None:
    if all(known[name].nunique(dropna=False) < 2 for name in features):
        raise JobError(
            f"Model {model}: no column distinguishes its rows (a constant or empty column says nothing); "
            "drop fewer columns or look at its where."
        )


def labelled_frame(table: Any, features: dict[str, str], label: str) -> Any:
    import frames

    return frames.frame(table, [*features, label])


def fit(model: dict[str, Any], known: Any, path: Path, cores: int) -> Any:
    from autogluon.tabular import TabularPredictor

    quiet()
    settings = model["train"]
    limit = settings["time_limit"]
    log.info("fitting with presets %s for at most %d s on %d cores", settings["presets"], limit, cores)
    predictor = TabularPredictor(
        model["label"],
        problem_type="regression",  # otherwise an integer label would be taken for classes
        eval_metric="mean_absolute_error",
        path=str(path),
        verbosity=2,
        log_to_file=False,
    )
    fit_or_say_why(predictor, model, known, cores)
    return predictor


def fit_or_say_why(predictor: Any, model: dict[str, Any], known: Any, cores: int) -> None:
    settings = model["train"]
    try:
        predictor.fit(
            known,
            presets=settings["presets"],
            time_limit=settings["time_limit"],
            num_cpus=cores,
            num_gpus=0,
            excluded_model_types=excluded(),
        )
    except RuntimeError as problem:
        if "No models were trained" not in str(problem):
            raise
        raise JobError(
            f"Model {model['name']}: AutoGluon could fit no model to {counted(len(known), 'row')} in "
            f"{settings['time_limit']} s; raise time_limit or give it more rows."
        ) from None


def excluded() -> list[str]:
    """The model types that cannot run: without torch, those that need it."""
    return [] if importlib.util.find_spec("torch") else NEED_TORCH


def quiet() -> None:
    """Reduce AutoGluon's log to progress and errors."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    progress = ("Fitting model:", "AutoGluon training complete")

    def wanted(record: logging.LogRecord) -> bool:
        text = record.getMessage().strip()
        if "torch" in text or "CUDA" in text:
            return False
        return record.levelno >= logging.WARNING or text.startswith(progress) or "= Validation score" in text

    for handler in logging.getLogger("autogluon").handlers:
        handler.addFilter(wanted)


def score(predictor: Any, known_labels: Any, unknown: Any, label: str) -> dict[str, Any]:
    """The errors on the held-out part, and that of always guessing the median; null if there is no number."""
    if len(unknown) == 0:
        nothing = dict.fromkeys(["mae", "rmse", "r2", "mae_of_median"])
        return {**nothing, "reason": "the held-out part has no rows"}
    truth = unknown[label].to_numpy()
    return errors(truth, predictor.predict(unknown.drop(columns=label)).to_numpy(), float(known_labels.median()))


def errors(truth: Any, answers: Any, median: float) -> dict[str, Any]:
    import numpy as np

    if not np.isfinite(answers).all():
        count = int((~np.isfinite(answers)).sum())
        reason = f"{counted(count, 'prediction')} for the held-out part {'is' if count == 1 else 'are'} not finite"
        return {**dict.fromkeys(["mae", "rmse", "r2", "mae_of_median"]), "reason": reason}
    with np.errstate(over="ignore", invalid="ignore"):
        values = _errors(truth, answers, median)
    return {name: rounded(value) for name, value in values.items()}


def rounded(value: float | None) -> float | None:
    """Round to six significant digits, for the mails; null if there is no number."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _errors(truth: Any, answers: Any, median: float) -> dict[str, float | None]:
    import numpy as np

    spread = float(np.sum((truth - truth.mean()) ** 2))
    return {
        "mae": float(np.mean(np.abs(truth - answers))),
        "rmse": float(np.sqrt(np.mean((truth - answers) ** 2))),
        "r2": 1 - float(np.sum((truth - answers) ** 2)) / spread if spread > 0 else None,
        "mae_of_median": float(np.mean(np.abs(truth - median))),
    }


def leaderboard(predictor: Any, unknown: Any) -> Any:
    """One row per tried model, best first; errors are positive, as in metrics.json."""
    board = predictor.leaderboard(unknown if len(unknown) else None, silent=True)
    for column in ("score_test", "score_val"):
        if column in board:
            board[column.replace("score", "mae")] = -board.pop(column)
    first = [column for column in ("model", "mae_test", "mae_val") if column in board]
    return board[first + [column for column in board.columns if column not in first]]


def importance(predictor: Any, unknown: Any, time_limit: int) -> Any:
    """How much the error grows if a column is shuffled; of very many columns, as many as the time allows."""
    import pandas as pd

    kept = ["column", "importance", "stddev", "p_value", "n"]
    used = predictor.features(feature_stage="original")
    if len(unknown) < 2 or not used:
        return pd.DataFrame(columns=kept)
    sample = unknown.sample(min(len(unknown), IMPORTANCE_ROWS), random_state=0)
    began = time.monotonic()
    predictor.predict(sample)
    once = time.monotonic() - began
    box = max(1.0, min(IMPORTANCE_SECONDS, IMPORTANCE_SHARE * time_limit))
    affordable = max(1, int(box / once))  # AutoGluon only checks the time after shuffling every column once
    columns = predictor.feature_importance(
        sample, features=used[:affordable], time_limit=box, num_shuffle_sets=5, silent=True
    )
    return columns.rename_axis("column").reset_index()[kept]


def write_csv(table: Any, path: Path) -> None:
    """Write the table; the names in its first column, including the user's, must not be formulas to a spreadsheet."""
    import spreadsheet

    names = table.columns[0]
    table.assign(**{names: spreadsheet.defused_names(list(table[names]))}).to_csv(path, index=False)


if __name__ == "__main__":
    sys.exit(job_io.run("training", main))
