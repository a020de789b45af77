"""A model that AutoGluon trained, for predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import job_io
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from forest import keep_on_disk
from frames import frame
from model_folder import PREDICTOR


class Predictor:
    """AutoGluon's predictor; its two steps can run in parallel."""

    def __init__(self, folder: Path, model: str, manifest: dict[str, Any]) -> None:
        from autogluon.tabular import TabularPredictor

        self.features = list(manifest["features"])
        keep_on_disk(job_io.cores())
        self._predictor: Any = TabularPredictor.load(str(folder / PREDICTOR), verbosity=0)
        self._predictor.persist(max_memory=None)

    def inputs(self, batch: pa.RecordBatch) -> Any:
        return self._predictor.transform_features(frame(batch, self.features))

    def answers(self, inputs: Any) -> npt.NDArray[np.float64]:
        found = self._predictor.predict(inputs, transform_features=False)
        return np.asarray(found, np.float64)
