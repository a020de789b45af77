"""A model that XGBoost trained, for score and predict: rows reach it through the encoding.

AWS's container writes the single file `xgboost-model`, as XGBoost saves it (UBJ, or JSON). Containers before 1.3-1
pickled it; unpickling runs code, so that file is refused.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import encoding
import job_io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from encoding import Encoding
from job_io import JobError, counted, shown
from model_folder import PROGRAM

NAME = "xgboost-model"


class Predictor:
    """XGBoost's booster; its two steps can run in parallel."""

    def __init__(self, folder: Path, model: str, manifest: dict[str, Any], in_memory: bool = True) -> None:
        self.encoding: Encoding = encoding.load(folder / encoding.FILE)
        self.features = self.encoding.names()
        self.booster = booster(folder / PROGRAM / NAME, model)
        check_features(self.booster, self.features, model)
        self.booster.set_param({"nthread": job_io.cores()})
        self.has_trees = settings(self.booster)["gradient_booster"]["name"] != "gblinear"
        # A model that stopped early and kept its later trees predicts with the best ones.
        best = self.booster.attr("best_iteration")
        self._trees = (0, int(best) + 1) if best is not None else (0, 0)

    def inputs(self, batch: pa.RecordBatch) -> encoding.Numbers:
        return self.encoding.matrix(batch)

    def answers(self, inputs: encoding.Numbers) -> npt.NDArray[np.float64]:
        from xgboost import DMatrix

        rows = DMatrix(inputs, nthread=job_io.cores())
        return np.asarray(self.booster.predict(rows, iteration_range=self._trees), np.float64)


def booster(path: Path, model: str) -> Any:
    """XGBoost's model in this file; raises JobError if it is not one that predicts numbers."""
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
    if objective.startswith(("binary:", "multi:", "rank:")):
        raise JobError(
            f"Model {model} was trained with the objective {shown(objective)}, which does not predict the label's "
            "numbers; set an objective like reg:squarederror."
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
