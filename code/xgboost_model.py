"""A model that XGBoost trained: rows reach it through the encoding. See programs.py.

AWS's container writes the single file `xgboost-model`, as XGBoost saves it (UBJ, or JSON). Containers before 1.3-1
pickled it; unpickling runs code, so that file is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import encoding
import job_io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from encoding import Encoding
from job_io import JobError, counted, listed, shown
from metrics import metric_of
from model_folder import PROGRAM

NAME = "xgboost-model"
TWO, MANY = "binary:logistic", "multi:softprob"  # the objectives that give probabilities
# What early stopping and tuning are judged by, for two classes and for more. AWS's container compares its own metrics,
# like accuracy and f1, with log-odds; but of two classes XGBoost 3 gives it probabilities, and it counts each row as
# positive. It refuses auc for more than two.
JUDGES = {
    "accuracy": ("error", "merror"),
    "balanced_accuracy": ("logloss", "balanced_accuracy"),
    "f1": ("logloss", "f1_macro"),
    "roc_auc": ("auc", "mlogloss"),
    "log_loss": ("logloss", "mlogloss"),
}
_HIGHER = ("auc", "balanced_accuracy", "f1_macro")
# XGBoost trusts the numbers in a model's file, so a damaged one may end the process that reads it.
_TRIAL = """
import sys
sys.modules["sklearn"] = sys.modules["pandas"] = None
import numpy, xgboost
model = xgboost.Booster()
model.load_model(bytearray(open(sys.argv[1], "rb").read()))
model.predict(xgboost.DMatrix(numpy.full((1, model.num_features()), numpy.nan)))
"""


class Predictor:
    """XGBoost's booster; its two steps can run in parallel."""

    def __init__(self, folder: Path, model: str, manifest: dict[str, Any], in_memory: bool = True) -> None:
        self.encoding: Encoding = encoding.load(folder / encoding.FILE)
        self.features, self._classes = self.encoding.names(), self.encoding.classes
        self.booster = booster(folder / PROGRAM / NAME, model, bool(self._classes))
        check_features(self.booster, self.features, model)
        self.booster.set_param({"nthread": job_io.cores()})
        self.has_trees = settings(self.booster)["gradient_booster"]["name"] != "gblinear"
        # A model that stopped early and kept its later trees predicts with the best ones.
        best = self.booster.attr("best_iteration")
        self._trees = (0, int(best) + 1) if best is not None else (0, 0)

    def inputs(self, batch: pa.RecordBatch) -> encoding.Numbers:
        return self.encoding.matrix(batch)

    def answers(self, inputs: encoding.Numbers) -> npt.NDArray[np.float64] | dict[str, npt.NDArray[Any]]:
        if not self._classes:
            return self._raw(inputs)
        chances = self.chances(inputs)
        places = chances.argmax(axis=1)
        names = np.array(self._classes, object)
        positive = {f"probability_{names[-1]}": chances[:, -1]}
        return {"prediction": names[places], "probability": chances[np.arange(len(places)), places], **positive}

    def chances(self, inputs: encoding.Numbers) -> npt.NDArray[np.float64]:
        """The probability of each class."""
        found = self._raw(inputs)
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found

    def importance(self) -> list[dict[str, Any]]:
        """Each column's share of the splits' total gain, the largest first; a linear model has none."""
        gains = self.booster.get_score(importance_type="total_gain") if self.has_trees else {}
        whole = sum(gains.values()) or 1.0
        shares = {name: gains.get(f"f{place}", 0.0) / whole for place, name in enumerate(self.features)}
        ordered = sorted(shares.items(), key=lambda each: -each[1])
        return [{"column": name, "importance": share, "stddev": 0.0} for name, share in ordered]

    def facts(self) -> dict[str, Any]:
        """What the report says of the training."""
        return {"trees": self.booster.num_boosted_rounds()}

    def _raw(self, inputs: encoding.Numbers) -> npt.NDArray[np.float64]:
        from xgboost import DMatrix

        rows = DMatrix(inputs, nthread=job_io.cores())
        return np.asarray(self.booster.predict(rows, iteration_range=self._trees), np.float64)


def check_readable(program: Path, model: str) -> None:
    """Raise JobError if XGBoost's file is missing, or if XGBoost crashes on it; `booster` reports smaller problems."""
    if not (program / NAME).is_file():
        files = sorted(path.relative_to(program).as_posix() for path in program.rglob("*") if path.is_file())
        raise JobError(
            f"Model {model}: model.tar.gz has no file {NAME}, only {listed(files)}; AWS's XGBoost container "
            "writes it, unless _kfold is set."
        )
    if (program / NAME).read_bytes()[:1] == b"{":
        done = subprocess.run([sys.executable, "-c", _TRIAL, str(program / NAME)], capture_output=True)
        if done.returncode < 0:
            raise JobError(f"Model {model}: XGBoost crashes when it reads {NAME}; train it again.")


def for_classes(model: Mapping[str, Any], classes: list[str]) -> dict[str, Any]:
    """The hyperparameters that the label's classes decide; and for a tuning the metric that compares its trainings."""
    given = model["algorithm"]["set"]
    several = len(classes) > 2
    objective = given.get("objective") or (MANY if several else TWO)
    if several and objective == TWO:
        raise JobError(
            f"Model {model['name']}: the objective {TWO} is for two classes, but {shown(model['label'])} has "
            f"{len(classes)} ({listed(classes)}); remove objective, or set it to {MANY}."
        )
    found = {"objective": objective} | ({"num_class": str(len(classes))} if objective == MANY else {})
    judge = JUDGES[metric_of(model)][objective == MANY]
    if "early_stopping_rounds" in given and "eval_metric" not in given:
        found["eval_metric"] = judge
    tune = model.get("tune")
    if tune is None or tune.get("objective"):
        return {"set": found}
    goal = {"MetricName": f"validation:{judge}", "Type": "Maximize" if judge in _HIGHER else "Minimize"}
    return {"set": found, "objective": goal}


def booster(path: Path, model: str, classes: bool = False) -> Any:
    """XGBoost's model in this file; raises JobError if it predicts neither numbers nor, if wanted, classes."""
    import xgboost

    content = path.read_bytes()
    if content[:1] == b"\x80":
        raise JobError(
            f"Model {model}: {NAME} is a Python pickle, as old versions of XGBoost's container write; it is not "
            "loaded, because unpickling runs code. Train with container version 1.3-1 or later."
        )
    found = xgboost.Booster()
    try:
        if content[:1] != b"{":
            raise ValueError("it begins with neither JSON nor UBJSON")
        with warnings.catch_warnings(), xgboost.config_context(verbosity=0):
            warnings.simplefilter("ignore")
            found.load_model(bytearray(content))
        objective = settings(found)["objective"]["name"]
    except (ValueError, KeyError, xgboost.core.XGBoostError) as problem:
        reason = str(problem).strip().splitlines()[0][:200]
        raise JobError(f"Model {model}: XGBoost cannot read {NAME} ({reason}); train it again.") from None
    fits = objective in (TWO, MANY) if classes else not objective.startswith(("binary:", "multi:", "rank:"))
    if not fits:
        raise JobError(
            f"Model {model} was trained with the objective {shown(objective)}, which does not predict the label's "
            f"{f'classes; set {TWO} or {MANY}' if classes else 'numbers; set an objective like reg:squarederror'}."
        )
    return found


def settings(found: Any) -> dict[str, Any]:
    learner: dict[str, Any] = json.loads(found.save_config())["learner"]
    return learner


def check_features(found: Any, features: list[str], model: str) -> None:
    if found.num_features() != len(features):
        raise JobError(
            f"Model {model} was trained on {counted(found.num_features(), 'column')}, but its {encoding.FILE} has "
            f"{len(features)}; train it again with the channels of this run."
        )
