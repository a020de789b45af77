"""The command `train` of sagemaker-xgboost.

Reads  input/config/{hyperparameters,inputdataconfig,resourceconfig}.json, input/data/{train,validation}/
Writes model/xgboost-model; after an error output/failure, and exits with 1
"""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow
import xgboost

from localaws.containers.xgboost.data import check_content_type, columns, delimiter_of, matrix
from localaws.containers.xgboost.errors import AlgorithmError, ToolkitError, UserError, unknown_locally
from localaws.containers.xgboost.hyperparameters import MAXIMIZE, validated
from localaws.containers.xgboost.metrics import custom_metric, is_own

MODEL = "xgboost-model"
DEPTH = 3  # of folders in a channel


def log(text: str, level: str = "INFO") -> None:
    print(f"[{time.strftime('%Y-%m-%d:%H:%M:%S', time.gmtime())}:{level}] {text}", flush=True)


def train(root: Path) -> None:
    log("Imported framework sagemaker_xgboost_container.training")
    log("No GPUs detected (normal if no gpus installed)")
    config = root / "input" / "config"
    hyperparameters = json.loads((config / "hyperparameters.json").read_text("utf-8"))
    if "sagemaker_program" in hyperparameters:
        raise unknown_locally("script mode (sagemaker_program)", "leave it out to train in algorithm mode")
    log("Running XGBoost Sagemaker in algorithm mode")
    settings = validated(hyperparameters)
    channels = _checked(json.loads((config / "inputdataconfig.json").read_text("utf-8")))
    if len(json.loads((config / "resourceconfig.json").read_text("utf-8"))["hosts"]) > 1:
        raise unknown_locally("distributed training", "use one instance")
    log("Determined 0 GPU(s) available on the instance.")
    matrices = {name: _matrix(root / "input" / "data" / name, root) for name in channels}
    log("Single node training.")
    log(f"Train matrix has {matrices['train'].num_row()} rows and {matrices['train'].num_col()} columns")
    if "validation" in matrices:
        log(f"Validation matrix has {matrices['validation'].num_row()} rows")
    _booster(settings, matrices, root / "model").save_model(root / "model" / f"{MODEL}.ubj")
    # The extension chooses the container's format, and the container's name has none.
    (root / "model" / f"{MODEL}.ubj").rename(root / "model" / MODEL)


# Data


def _checked(channels: dict[str, dict[str, str]]) -> list[str]:
    """The channels in the order in which their metrics are printed."""
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    for name, channel in channels.items():
        if name == "code":
            raise unknown_locally("script mode (the channel code)", "leave it out to train in algorithm mode")
        if name not in ("train", "validation"):
            raise UserError(f"Extraneous channel found: {name}")
        check_content_type(channel.get("ContentType"))
        if ";" in channel["ContentType"]:
            raise UserError(f"Channel configuration for '{name}' channel is not supported: {channel}")
    return sorted(channels)


def _matrix(folder: Path, root: Path) -> Any:
    shown = f"/opt/ml/{folder.relative_to(root).as_posix()}"
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    if any(file.name.startswith(".") for file in files):
        raise UserError("Hidden file found in the data path! Remove that before training.")
    files = [file for file in files if len(file.relative_to(folder).parts) <= DEPTH and file.stat().st_size]
    if not files:
        raise UserError(f"No data in {'training' if folder.name == 'train' else 'validation'} channel path {shown}")
    parts = [_columns(file) for file in files]
    log(f"files path: {shown}")
    if len({len(part) for part in parts}) > 1:
        raise UserError("Failed to load csv data with exception:\nThe files have different numbers of columns.")
    label, *features = parts[0] if len(parts) == 1 else [_joined(column) for column in zip(*parts, strict=True)]
    if not features:
        raise UserError("Failed to load csv data with exception:\nThe only column is the label.")
    return xgboost.DMatrix(matrix(features), label=label)


def _columns(file: Path) -> list[Any]:
    with file.open(encoding="utf-8", errors="ignore") as text:
        line = text.readline()
    try:
        log(f"Determined delimiter of CSV input is '{delimiter_of(line)}'")
    except csv.Error as problem:
        raise UserError(f"Could not determine delimiter on line {line[:50]}:\n{problem}") from None
    try:
        return columns(file, line)
    except pyarrow.ArrowInvalid as problem:
        raise UserError(f"Failed to load csv data with exception:\n{file.name}: {problem}") from None


def _joined(parts: tuple[Any, ...]) -> Any:
    import numpy

    return numpy.concatenate(parts)


# Training


class _Keep(xgboost.callback.TrainingCallback):
    """Saves the model after each round, for a job that is stopped."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        part = self._place / f".{MODEL}.ubj"
        model.save_model(part)
        part.replace(self._place / MODEL)
        return False


def _booster(settings: dict[str, Any], matrices: dict[str, Any], place: Path) -> Any:
    rounds, wanted = settings.pop("num_round"), settings.pop("eval_metric", [])
    tuned = settings.pop("_tuning_objective_metric", "").partition(":")[2]
    stopping, kept = settings.pop("early_stopping_rounds", None), settings.pop("save_model_on_termination", "false")
    for name in ("csv_weights", "use_dask_gpu_training", "_num_cv_round"):
        settings.pop(name, None)
    metrics = sorted({*wanted, tuned}) if tuned else wanted
    if of_xgboost := [metric for metric in metrics if not is_own(metric)]:
        settings["eval_metric"] = of_xgboost
    if "updater" in settings:
        settings["updater"] = ",".join(settings["updater"])
    # As in CloudWatch, where a tab is shown as #011; AWS's metric definitions look for that.
    callbacks: list[Any] = [
        xgboost.callback.EvaluationMonitor(logger=lambda line: print(line.strip().replace("\t", "#011")))
    ]
    if kept == "true":
        callbacks.append(_Keep(place))
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    judge = tuned or (wanted[-1] if wanted else "")
    if stopping and judge and "validation" in matrices:
        better = judge in MAXIMIZE.split()
        callbacks.append(
            xgboost.callback.EarlyStopping(
                rounds=stopping, metric_name=judge, data_name="validation", maximize=better, save_best=True
            )
        )
    elif stopping:
        log("Early stopping needs eval_metric and the channel validation; without them all rounds are run.", "WARNING")
    try:
        return xgboost.train(
            settings,
            matrices["train"],
            num_boost_round=rounds,
            evals=[(matrices[name], name) for name in sorted(matrices)],
            custom_metric=custom_metric(metrics),
            callbacks=callbacks,
            verbose_eval=False,
        )
    except (xgboost.core.XGBoostError, ValueError, TypeError) as problem:
        text = str(problem).partition("\nStack trace")[0]
        raise AlgorithmError(f"XGB train call failed with exception:\n {text}") from None


def main() -> int:
    root = Path(os.environ["STEPGLUON_ROOT"])
    try:
        train(root)
    except ToolkitError as problem:
        kind = f"sagemaker_algorithm_toolkit.exceptions.{type(problem).__name__}"
        failure = f"framework error: \n{kind}: {problem}\n\n{problem}"
        (root / "output" / "failure").write_text(failure, "utf-8")
        log("Reporting training FAILURE", "ERROR")
        log(failure, "ERROR")
        return 1
    return 0
