"""The metrics that judge a model, measured on the held-out rows, and the baseline of each.

A score is a number or None, never NaN; `reason` says why there is none. Numbers have six significant digits, for the
mails. Baselines guess from the training rows alone: their median or quantile for numbers; for classes the most frequent
one, or for log_loss the classes' shares. A constant guess has a roc_auc of 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from job_io import counted, log

Array = npt.NDArray[Any]


class Metric(NamedTuple):
    higher: bool  # whether a higher score is better
    classes: bool  # whether it judges predicted classes, not numbers
    lowest: float
    highest: float
    autogluon: str
    of_many: str = ""  # AutoGluon's name for more than two classes, if it differs


METRICS = {
    "mae": Metric(False, False, 0, math.inf, "mean_absolute_error"),
    "rmse": Metric(False, False, 0, math.inf, "root_mean_squared_error"),
    "r2": Metric(True, False, -math.inf, 1, "r2"),
    "mape": Metric(False, False, 0, math.inf, "mean_absolute_percentage_error"),
    "quantile_loss": Metric(False, False, 0, math.inf, "pinball_loss"),
    "accuracy": Metric(True, True, 0, 1, "accuracy"),
    "balanced_accuracy": Metric(True, True, 0, 1, "balanced_accuracy"),
    "f1": Metric(True, True, 0, 1, "f1", "f1_macro"),
    "roc_auc": Metric(True, True, 0, 1, "roc_auc", "roc_auc_ovr_macro"),
    "log_loss": Metric(False, True, 0, math.inf, "log_loss"),
}
ERRORS = ("mae", "rmse", "r2", "mae_of_median")
_SMALLEST = float(np.finfo(np.float64).eps)  # a probability of 0 would make the log loss infinite; as scikit-learn does
_NO_VALUE = {
    "r2": "all labels of the held-out part are equal, so r2 is undefined",
    "mape": "the held-out part has labels of 0, so mape is undefined",
    "roc_auc": "the held-out part has only one class, so roc_auc is undefined",
}


def metric_of(model: Mapping[str, Any]) -> str:
    """The name of the metric that judges a model of the config."""
    return str(model.get("metric") or "mae")


def has_classes(model: Mapping[str, Any]) -> bool:
    return METRICS[metric_of(model)].classes


def level_of(model: Mapping[str, Any]) -> float:
    """The quantile that the model predicts, if quantile_loss judges it."""
    return float(model.get("quantile") or 0.5)


def of_numbers(truth: Array, answers: Array, known: Array, metric: str = "mae", level: float = 0.5) -> dict[str, Any]:
    """ERRORS, and the metric's score and baseline; `known` has the labels of the training rows."""
    reason = _unusable(truth, answers)
    median, quantile = np.quantile(known, [0.5, level]) if len(known) else (0.0, 0.0)

    def value(name: str, given: Any) -> float | None:
        given = np.broadcast_to(given, truth.shape)
        with np.errstate(all="ignore"):
            found = _quantile_loss(truth, given, level) if name == "quantile_loss" else _OF_NUMBERS[name](truth, given)
            return six_digits(found)

    if reason:
        return {**dict.fromkeys(ERRORS), **_judged(metric, None, None, reason)}
    found = {name: value(name, answers) for name in ("mae", "rmse", "r2")}
    found |= {"mae_of_median": value("mae", median)}
    return found | _judged(metric, value(metric, answers), value(metric, quantile), reason)


def of_classes(
    truth: Array, predicted: Array, probabilities: Array, classes: list[str], known: Array, metric: str
) -> dict[str, Any]:
    """All metrics of classes, and of `metric` the score and baseline.

    Args:
        truth, predicted: the classes of the held-out rows, as text. A class may be missing in `classes`, if training
            has not seen it: its rows count as wrong.
        probabilities: of the held-out rows, a column for each of `classes`.
        classes: what the model can predict, in the order of `in_order`: the last of two is the positive one.
        known: the classes of the training rows.
    """
    names = [name for name, each in METRICS.items() if each.classes]
    if reason := _unusable(truth, probabilities):
        return {**dict.fromkeys(names), **_judged(metric, None, None, reason)}
    values, counts = np.unique(known, return_counts=True)
    guess = np.full(len(truth), values[counts.argmax()], dtype=object)
    shares = dict(zip(values.tolist(), counts / counts.sum(), strict=True))
    guessed = np.tile([shares.get(one, 0.0) for one in classes], (len(truth), 1))
    found = {name: six_digits(_OF_CLASSES[name](truth, predicted, probabilities, classes)) for name in names}
    baseline = six_digits(_OF_CLASSES[metric](truth, guess, guessed, classes))
    return found | _judged(metric, found[metric], baseline, "")


def of_own_class(truth: Array, probabilities: Array, classes: Sequence[str]) -> Array:
    """Each row's probability of its own class; 0 if training has not seen it."""
    found = np.zeros(len(truth))
    for place, one in enumerate(classes):
        found = np.where(truth == one, probabilities[:, place], found)
    return found


def say_score(model: str, metrics: dict[str, Any]) -> None:
    if metrics["metric"] == "mae":
        log.info("model %s: mean absolute error %s, of the median %s", model, metrics["mae"], metrics["mae_of_median"])
    elif metrics["score"] is None:
        log.info("model %s: no score: %s", model, metrics["reason"])
    else:
        log.info("model %s: %s %s, baseline %s", model, *(metrics[key] for key in ("metric", "score", "baseline")))


def in_order(classes: Iterable[str]) -> list[str]:
    """The classes sorted, by value if all are numbers; the last of two is the positive one."""
    found = set(classes)
    try:
        return sorted(found, key=lambda one: (float(one), one))
    except ValueError:
        return sorted(found)


def six_digits(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _judged(metric: str, score: float | None, baseline: float | None, reason: str) -> dict[str, Any]:
    found = {"metric": metric, "score": score, "baseline": baseline}
    return (
        found if score is not None else {**found, "reason": reason or _NO_VALUE.get(metric, f"{metric} is too large")}
    )


def _unusable(truth: Array, answers: Array) -> str:
    """Why nothing can be measured; empty if it can."""
    if len(truth) == 0:
        return "the held-out part has no rows"
    finite = np.isfinite(answers)
    count = int((~(finite if finite.ndim == 1 else finite.all(axis=1))).sum())
    if count:
        return f"{counted(count, 'prediction')} for the held-out part {'is' if count == 1 else 'are'} not finite"
    return ""


def _mae(truth: Array, answers: Array) -> float:
    return float(np.abs(truth - answers).mean())


def _rmse(truth: Array, answers: Array) -> float:
    return float(np.sqrt(np.square(truth - answers).mean()))


def _quantile_loss(truth: Array, answers: Array, level: float) -> float:
    """An answer that is too low costs `level` of the difference, one that is too high the rest."""
    low = truth - answers
    return float(np.maximum(level * low, (level - 1) * low).mean())


def _r2(truth: Array, answers: Array) -> float:
    spread = np.square(truth - truth.mean()).sum()
    return float(1 - np.square(truth - answers).sum() / spread) if spread > 0 else math.nan


def _mape(truth: Array, answers: Array) -> float:
    return float(np.abs((truth - answers) / truth).mean()) if truth.all() else math.nan


_OF_NUMBERS = {"mae": _mae, "rmse": _rmse, "r2": _r2, "mape": _mape}


def _accuracy(truth: Array, predicted: Array, *_: Any) -> float:
    return float((truth == predicted).mean())


def _balanced_accuracy(truth: Array, predicted: Array, *_: Any) -> float:
    return float(np.mean([(predicted[truth == one] == one).mean() for one in np.unique(truth)]))


def _f1(truth: Array, predicted: Array, probabilities: Array, classes: list[str]) -> float:
    """Of the positive class if there are two, else the mean of all classes."""
    ones = classes[-1:] if len(classes) == 2 else np.unique(np.concatenate([truth, predicted]))
    found = []
    for one in ones:
        hits, claimed, there = (
            ((truth == one) & (predicted == one)).sum(),
            (predicted == one).sum(),
            (truth == one).sum(),
        )
        found.append(2 * hits / (claimed + there) if claimed + there else 0.0)
    return float(np.mean(found))


def _roc_auc(truth: Array, predicted: Array, probabilities: Array, classes: list[str]) -> float:
    """Of the positive class if there are two, else the mean of each class against the others."""
    first = 1 if len(classes) == 2 else 0
    found = [_area(truth == one, probabilities[:, place]) for place, one in enumerate(classes) if place >= first]
    known = [area for area in found if not math.isnan(area)]
    return float(np.mean(known)) if known else math.nan


def _area(positive: Array, scores: Array) -> float:
    """How often a positive row has a higher score than another one; ties count half."""
    ones, others = int(positive.sum()), int((~positive).sum())
    if not ones or not others:
        return math.nan
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * others))


def _log_loss(truth: Array, predicted: Array, probabilities: Array, classes: list[str]) -> float:
    of_truth = of_own_class(truth, probabilities, classes)
    return float(-np.log(np.clip(of_truth, _SMALLEST, 1.0)).mean())


_OF_CLASSES = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
}
