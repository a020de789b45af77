"""The eval_metrics that the container computes itself, besides XGBoost's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

_OF_CLASSES: dict[str, tuple[str, dict[str, str]]] = {
    "accuracy": ("accuracy_score", {}),
    "balanced_accuracy": ("balanced_accuracy_score", {}),
    "f1": ("f1_score", {"average": "macro"}),
    **{f"f1_{average}": ("f1_score", {"average": average}) for average in ("binary", "macro")},
    "precision": ("precision_score", {}),
    **{f"precision_{average}": ("precision_score", {"average": average}) for average in ("macro", "micro")},
    "recall": ("recall_score", {}),
    **{f"recall_{average}": ("recall_score", {"average": average}) for average in ("macro", "micro")},
}
_OF_NUMBERS: dict[str, Callable[[Any, Any], float]] = {
    "mae": lambda labels, values: float(numpy.abs(labels - values).mean()),
    "mse": lambda labels, values: float(((labels - values) ** 2).mean()),
    "rmse": lambda labels, values: float(((labels - values) ** 2).mean()) ** 0.5,
    "r2": lambda labels, values: float(1 - ((labels - values) ** 2).sum() / ((labels - labels.mean()) ** 2).sum()),
}


def is_own(metric: str) -> bool:
    return metric in _OF_CLASSES or metric in _OF_NUMBERS


def custom_metric(names: list[str]) -> Callable[[Any, Any], list[tuple[str, float]]] | None:
    """What xgboost.train calls after each round; None if XGBoost computes all metrics."""
    own = [name for name in names if is_own(name)]

    def computed(predictions: Any, matrix: Any) -> list[tuple[str, float]]:
        labels = matrix.get_label().astype(float)
        return [(name, _value(name, labels, predictions.astype(float))) for name in own]

    return computed if own else None


def _value(name: str, labels: Any, predictions: Any) -> float:
    if name in _OF_NUMBERS:
        return _OF_NUMBERS[name](labels, predictions)
    import sklearn.metrics

    function, options = _OF_CLASSES[name]
    classes = predictions.argmax(axis=-1) if predictions.ndim > 1 else (predictions > 0).astype(int)  # as there
    return float(getattr(sklearn.metrics, function)(labels, classes, **options))
