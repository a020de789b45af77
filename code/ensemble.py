"""A loaded predictor that answers for many rows in little memory.

AutoGluon's best model is an ensemble. Its forests can take gigabytes, so either all models are loaded for each batch of
rows, again and again, or kept in memory together. Here the models are loaded in groups that fit into memory together,
and each group answers for a span of many batches before the next is loaded: the same answers, with the memory of the
largest group, and each model loaded once per span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import frames
import numpy as np
import numpy.typing as npt
import pyarrow as pa

GROUP_BYTES = 64 * 1024 * 1024  # of the models' files that are loaded together, unless one alone has more
Answers = npt.NDArray[np.float64]
T = TypeVar("T")


class Ensemble:
    def __init__(self, folder: Path, features: list[str], cores: int) -> None:
        from autogluon.tabular import TabularPredictor

        self._predictor: Any = TabularPredictor.load(str(folder), verbosity=0)
        self._trainer: Any = self._predictor._trainer
        self._features, self._cores = features, cores
        self._best = self._predictor.model_best
        self._groups = grouped({name: _size(folder / "models" / name) for name in self._order()})
        self._loaded: list[str] = []

    def answers(self, batches: Callable[[], Iterator[pa.RecordBatch]]) -> list[Answers]:
        """The predictions for each batch; `batches` begins anew for each group of models."""
        known: list[dict[str, Any]] = []
        for group in self._groups:
            self._load(group)
            for number, inputs in enumerate(ahead(map(self._inputs, batches()))):
                if number == len(known):
                    known.append({})
                self._trainer.get_model_pred_proba_dict(inputs, models=group, model_pred_proba_dict=known[number])
        return [self._finished(each[self._best]) for each in known]

    def _order(self) -> list[str]:
        """The models that the best one needs and itself, each after those that it needs."""
        order: list[str] = self._trainer._construct_model_pred_order([self._best])
        return order

    def _load(self, group: list[str]) -> None:
        if group != self._loaded:
            self._predictor.unpersist()
            self._predictor.persist(group, with_ancestors=False, max_memory=None)
            for name in group:
                use_cores(self._trainer.load_model(name), self._cores)
            self._loaded = group

    def _inputs(self, batch: pa.RecordBatch) -> Any:
        return self._predictor.transform_features(frames.frame(batch, self._features))

    def _finished(self, answers: Any) -> Answers:
        finished = self._predictor._learner._post_process_predict(y_pred=answers, as_pandas=False)
        return np.asarray(finished, dtype=np.float64)


def use_cores(model: Any, cores: int) -> None:
    """A forest would otherwise use as many as there were when it was trained."""
    for part in (model, *getattr(model, "models", [])):
        fitted = getattr(part, "model", None)
        if hasattr(fitted, "n_jobs"):
            fitted.n_jobs = cores


def grouped(sizes: dict[str, int]) -> list[list[str]]:
    """The models in their order, as many together as have at most GROUP_BYTES."""
    groups: list[list[str]] = []
    together = 0
    for name, size in sizes.items():
        if groups and together + size <= GROUP_BYTES:
            groups[-1].append(name)
            together += size
        else:
            groups.append([name])
            together = size
    return groups


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; the next one is made while the last one is used."""
    with ThreadPoolExecutor(1) as side:
        end = object()
        waiting = side.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = side.submit(next, items, end)
            yield item  # type: ignore[misc]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
