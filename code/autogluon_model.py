"""A model that AutoGluon trained, for predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import job_io
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from forest import keep_in_memory, keep_on_disk
from frames import frame
from model_folder import PREDICTOR


def predict_with_group(predict: Any) -> None:
    """Groups have only models of AutoGluon, so only its image has what they need."""
    import predict_group

    predict_group.main(predict)


class Predictor:
    """AutoGluon's predictor; its two steps can run in parallel."""

    def __init__(self, folder: Path, model: str, manifest: dict[str, Any], in_memory: bool = False) -> None:
        from autogluon.tabular import TabularPredictor

        self.features, self._classes = list(manifest["features"]), list(manifest.get("classes", []))
        if in_memory:
            keep_in_memory()
        else:
            keep_on_disk(job_io.cores())
        self._predictor: Any = TabularPredictor.load(str(folder / PREDICTOR), verbosity=0)
        self._predictor.persist(max_memory=None)

    def inputs(self, batch: pa.RecordBatch) -> Any:
        return self._predictor.transform_features(frame(batch, self.features))

    def answers(self, inputs: Any) -> npt.NDArray[np.float64] | dict[str, npt.NDArray[Any]]:
        if not self._classes:
            found = self._predictor.predict(inputs, transform_features=False)
            return np.asarray(found, np.float64).reshape(-1)  # a quantile is in a table
        chances = self._predictor.predict_proba(inputs, transform_features=False)
        predicted = self._predictor.predict_from_proba(chances)  # for f1 with the threshold that training chose
        numbers = chances[self._classes].to_numpy(np.float64)
        places = pd.Index(self._classes).get_indexer(predicted)
        own = numbers[np.arange(len(places)), places]
        positive = {f"probability_{self._classes[-1]}": numbers[:, -1]}
        return {"prediction": predicted.to_numpy(object), "probability": own, **positive}
