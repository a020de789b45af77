"""Which model a job is for, and what its tuning tried, as SageMaker and the state machine tell it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from job_io import JobError, read_json, root


def training_model() -> str:
    """The name of this training job's model."""
    if name := _hyperparameter("model"):
        return name
    raise JobError('hyperparameters.json names no model; it must be like {"model": "NAME"}.')


def training_group() -> str:
    """The group of models that this training job trains; empty if it trains one model."""
    return _hyperparameter("group")


def _hyperparameter(name: str) -> str:
    given = read_json(root() / "input" / "config" / "hyperparameters.json")
    value = given.get(name) if isinstance(given, dict) else None
    if not isinstance(value, str):
        return ""
    # SageMaker's SDK sends hyperparameters as JSON strings, its API as plain text.
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def prediction_model() -> str:
    """The name of this prediction job's model."""
    value = os.environ.get("STEPGLUON_MODEL")
    if not value:
        raise JobError("The environment variable STEPGLUON_MODEL is not set; it must name the model to predict with.")
    return value


def prediction_manifest() -> str:
    """The sha256 of the model's manifest; empty for a default model from the config."""
    return os.environ.get("STEPGLUON_MANIFEST", "")


def tried(folder: Path) -> dict[str, Any]:
    """What the trainings of a tuned model tried, from the state machine's trials.json; nothing without that file.

    Each has the values of its hyperparameters in `set`, and the score by `metric`, or the reason of its failure.
    """
    file = folder / "trials.json"
    if not file.is_file():
        return {}
    found = read_json(file)
    better = -1 if found["goal"] == "Maximize" else 1
    found["trials"].sort(key=lambda one: better * one["score"] if "score" in one else math.inf)
    return {"trials": found}
