"""AutoGluon's fit of a model: which rows it needs, its settings, and why it failed, as sentences for the user."""

from __future__ import annotations

import importlib.util
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import job_io
from job_io import JobError, counted, log
from metrics import METRICS, in_order, level_of, metric_of

FAST = "fast"  # our own among AutoGluon's presets: for thousands of small tables
FAST_MODELS: dict[str, dict[str, Any]] = {"GBM": {}, "XGB": {}}  # for quantiles AutoGluon fits the first alone
NEED_TORCH = [
    "NN_TORCH", "FASTAI", "AG_AUTOMM", "MITRA", "REALMLP", "TABDPT", "TABICL", "TABM", "TABPFNMIX", "TABPFNV2",
]  # fmt: skip


def check_rows(model: dict[str, Any], rows: int) -> None:
    label = job_io.shown(model["label"])
    if rows == 0:
        selected = " that its where selects" if model["where"] else ""
        raise JobError(
            f"Model {model['name']} has no rows to learn from: no row{selected} has a value in {label}. "
            "`python pipeline.py check --data` shows each model's rows."
        )
    if rows < job_io.LEAST_ROWS:
        raise JobError(
            f"Model {model['name']} has {counted(rows, 'row')} to learn from besides the held-out ones, and needs "
            f"{job_io.LEAST_ROWS}; give it more rows with a value in {label}{or_its_where(model)}."
        )


def check_columns(model: dict[str, Any], known: Any, features: list[str]) -> None:
    if all(known[name].nunique(dropna=False) < 2 for name in features):
        raise JobError(
            f"Model {model['name']}: no column distinguishes its rows (a constant or empty column says nothing); "
            f"drop fewer columns{or_its_where(model)}."
        )


def or_its_where(model: dict[str, Any]) -> str:
    return ", or check its where" if model["where"] else ""


def fit(model: dict[str, Any], known: Any, path: Path, cores: int) -> tuple[Any, float]:
    """The predictor, and how many seconds the fit took, without importing AutoGluon."""
    from autogluon.tabular import TabularPredictor

    quiet()
    settings = model["train"]
    limit = settings["time_limit"]
    log.info("fitting with presets %s for at most %d s on %d cores", settings["presets"], limit, cores)
    predictor = TabularPredictor(
        model["label"],
        **problem(model, known[model["label"]]),
        path=str(path),
        verbosity=2,
        log_to_file=False,
    )
    began = time.monotonic()
    fit_or_say_why(predictor, model, known, cores)
    return predictor, time.monotonic() - began


def problem(model: dict[str, Any], labels: Any) -> dict[str, Any]:
    """AutoGluon's settings for the metric; without a type, it would take an integer label for classes."""
    metric = METRICS[metric_of(model)]
    if metric_of(model) == "quantile_loss":
        return {"problem_type": "quantile", "quantile_levels": [level_of(model)], "eval_metric": metric.autogluon}
    if not metric.classes:
        return {"problem_type": "regression", "eval_metric": metric.autogluon}
    classes = in_order(labels.unique())
    if len(classes) < 2:
        raise JobError(
            f"Model {model['name']}: all training rows have the class {job_io.shown(classes[0])}; add rows of another "
            f"class{or_its_where(model)}."
        )
    if len(classes) == 2:
        return {"problem_type": "binary", "eval_metric": metric.autogluon, "positive_class": classes[-1]}
    return {"problem_type": "multiclass", "eval_metric": metric.of_many or metric.autogluon}


def fit_or_say_why(predictor: Any, model: dict[str, Any], known: Any, cores: int) -> None:
    settings = model["train"]
    kinds = {"presets": settings["presets"]} if settings["presets"] != FAST else {"hyperparameters": FAST_MODELS}
    try:
        predictor.fit(
            known,
            **kinds,
            time_limit=settings["time_limit"],
            num_cpus=cores,
            num_gpus=0,
            excluded_model_types=excluded(model),
        )
    except (RuntimeError, AssertionError) as problem:
        # With bagging presets, a trial that finds no model makes AutoGluon fit the same learner again.
        if not any(words in str(problem) for words in ("No models were trained", "Learner is already fit")):
            raise
        done = f"Model {model['name']}: AutoGluon could fit no model to {counted(len(known), 'row')}"
        if METRICS[metric_of(model)].classes and (rows := known[model["label"]].value_counts()).min() == 1:
            # None is left to validate with, or none to learn from.
            rare = job_io.shown(rows.idxmin())
            raise JobError(f"{done}: the class {rare} has only one; add more.") from None
        raise JobError(f"{done} in {settings['time_limit']} s; raise time_limit or give it more rows.") from None


def excluded(model: dict[str, Any]) -> list[str]:
    """Kinds of models that need torch without it, and those that AutoGluon calls experimental for quantiles."""
    of_quantiles = ["RF", "XT"] if metric_of(model) == "quantile_loss" else []
    return of_quantiles + ([] if importlib.util.find_spec("torch") else NEED_TORCH)


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
