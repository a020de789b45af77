"""Metrics: each equals scikit-learn's, and where there is no value, it is None with a reason."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import metrics
import numpy as np
import pytest
from metrics import METRICS, of_classes, of_numbers

from stepgluon.config import metrics as generators

NUMBERS = {
    "mae": "mean_absolute_error",
    "rmse": "root_mean_squared_error",
    "r2": "r2_score",
    "mape": "mean_absolute_percentage_error",
    "quantile_loss": "mean_pinball_loss",
}
CLASSES = [name for name, metric in METRICS.items() if metric.classes]


def theirs() -> Any:
    """Imported here because every process that collects the tests would take four seconds more otherwise."""
    from sklearn import metrics

    return metrics


def like(value: float) -> Any:
    return pytest.approx(value, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("seed", range(5))
def test_errors_of_numbers_equal_scikit_learn_s(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(50, 20, 200).round(1 if seed else 6)
    answers = truth + rng.normal(0, 5, 200)
    same = partial(getattr(theirs(), NUMBERS[name]), **({"alpha": 0.9} if name == "quantile_loss" else {}))
    found = of_numbers(truth, answers, np.array([48.0]), name, 0.9)
    assert (found["metric"], found["score"]) == (name, like(same(truth, answers)))
    assert found["baseline"] == like(same(truth, np.full(200, 48.0)))
    assert found["mae_of_median"] == like(theirs().mean_absolute_error(truth, np.full(200, 48.0)))
    assert "reason" not in found


def test_errors_are_those_of_the_definition() -> None:
    truth, answers = np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 4.0])
    found = of_numbers(truth, answers, np.array([2.0]))
    assert found["mae"] == 1.33333  # six digits, for the mails
    assert found["rmse"] == pytest.approx(math.sqrt(8 / 3), rel=1e-5)
    assert found["r2"] == pytest.approx(1 - 8 / 14, rel=1e-5)
    assert found["mae_of_median"] == pytest.approx(5 / 3, rel=1e-5)


def test_the_baseline_of_a_quantile_is_that_of_the_training_rows() -> None:
    known, truth = np.arange(101.0), np.array([10.0, 95.0])
    found = of_numbers(truth, np.array([90.0, 90.0]), known, "quantile_loss", 0.9)
    assert found["score"] == found["baseline"] == like((0.1 * 80 + 0.9 * 5) / 2)


def test_predictions_that_are_not_numbers_have_no_error_but_a_reason() -> None:
    found = of_numbers(np.array([1.0, 2.0]), np.array([1.0, np.nan]), np.ones(1))
    assert found["mae"] is None
    assert found["reason"] == "1 prediction for the held-out part is not finite"


def test_an_error_too_large_for_a_number_is_null_and_never_infinite() -> None:
    found = of_numbers(np.array([1e308, -1e308]), np.array([-1e308, 1e308]), np.zeros(1))
    assert found["mae"] is None
    assert found["rmse"] is None


def drawn(seed: int, classes: int) -> tuple[Any, Any, Any, list[str], Any]:
    """Rows of classes with probabilities that are better than chance; the last class is rare."""
    rng = np.random.default_rng(seed)
    names = [f"class {place}" for place in range(classes)]
    weights = np.arange(classes, 0, -1) / np.arange(1, classes + 1).sum()
    truth = np.array(rng.choice(names, 300, p=weights), object)
    raw = rng.random((300, classes)).round(1 if seed % 2 else 6) + 0.01  # also with ties
    raw[np.arange(300), [names.index(one) for one in truth]] += 0.3
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    predicted = np.array(names, object)[probabilities.argmax(axis=1)]
    return truth, predicted, probabilities, names, np.array(rng.choice(names, 500, p=weights), object)


def expected(name: str, truth: Any, predicted: Any, probabilities: Any, names: list[str]) -> float:
    two = len(names) == 2
    scores = probabilities[:, 1] if two else probabilities
    found = {
        "accuracy": lambda: theirs().accuracy_score(truth, predicted),
        "balanced_accuracy": lambda: theirs().balanced_accuracy_score(truth, predicted),
        "f1": lambda: (
            theirs().f1_score(truth, predicted, pos_label=names[-1], zero_division=0)
            if two
            else theirs().f1_score(truth, predicted, average="macro", zero_division=0)
        ),
        "roc_auc": lambda: theirs().roc_auc_score(truth, scores, multi_class="ovr", labels=None if two else names),
        "log_loss": lambda: theirs().log_loss(truth, probabilities, labels=names),
    }
    return float(found[name]())


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(4))
def test_metrics_of_classes_equal_scikit_learn_s(name: str, classes: int, seed: int) -> None:
    truth, predicted, probabilities, names, known = drawn(seed, classes)
    found = of_classes(truth, predicted, probabilities, names, known, name)
    assert {each: found[each] for each in CLASSES} == {
        each: like(expected(each, truth, predicted, probabilities, names)) for each in CLASSES
    }
    values, counts = np.unique(known, return_counts=True)
    shares = np.tile([dict(zip(values, counts / 500, strict=True))[one] for one in names], (300, 1))
    guess = np.full(300, values[counts.argmax()], object)
    assert (found["metric"], found["score"]) == (name, found[name])
    assert found["baseline"] == like(expected(name, truth, guess, shares, names))
    assert "reason" not in found


def test_the_baseline_of_accuracy_is_the_share_of_the_most_frequent_class() -> None:
    truth = np.array(["no", "no", "no", "yes"], object)
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = of_classes(truth, np.array(["no", "no", "yes", "yes"], object), chances, ["no", "yes"], truth, "accuracy")
    assert (found["score"], found["baseline"], found["roc_auc"]) == (0.75, 0.75, 1.0)
    assert found["f1"] == like(2 / 3)


def test_there_is_no_roc_auc_of_one_class_and_the_reason_says_so() -> None:
    truth = np.array(["no"] * 3, object)
    known = np.array(["no", "yes"], object)
    found = of_classes(truth, truth, np.full((3, 2), 0.5), ["no", "yes"], known, "roc_auc")
    assert (found["score"], found["baseline"], found["accuracy"]) == (None, None, 1.0)
    assert found["reason"] == "the held-out part has only one class, so roc_auc is undefined"


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c"]])
@pytest.mark.parametrize("name", CLASSES)
def test_a_class_that_training_has_not_seen_counts_as_wrong(name: str, classes: list[str]) -> None:
    known = np.array(classes * 5, object)
    truth = np.array(["a", "b", "new", "a"], object)
    predicted = np.array(["a", "b", "a", "a"], object)
    chances = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1]])[:, : len(classes)]
    found = of_classes(truth, predicted, chances, classes, known, name)
    assert found["accuracy"] == 0.75 and found["balanced_accuracy"] == like(2 / 3)
    assert all(math.isfinite(found[each]) for each in CLASSES)
    assert found["log_loss"] > 5  # its probability was 0


@pytest.mark.parametrize(
    ("metric", "truth", "reason"),
    [
        ("mape", [0.0, 1.0], "the held-out part has labels of 0, so mape is undefined"),
        ("r2", [2.0, 2.0], "all labels of the held-out part are equal, so r2 is undefined"),
        ("rmse", [1e200, -1e200], "rmse is too large"),
        ("mae", [], "the held-out part has no rows"),
    ],
)
def test_a_score_is_never_nan_and_its_absence_has_a_reason(metric: str, truth: list[float], reason: str) -> None:
    found = of_numbers(np.array(truth), np.full(len(truth), 1.0), np.ones(1), metric)
    assert (found["score"], found["reason"]) == (None, reason)
    assert all(value is None or isinstance(value, str) or math.isfinite(value) for value in found.values())


def test_probabilities_that_are_not_finite_give_no_score() -> None:
    truth = np.array(["a", "b"], object)
    chances = np.array([[0.5, 0.5], [np.nan, 1.0]])
    found = of_classes(truth, truth, chances, ["a", "b"], truth, "accuracy")
    assert (found["score"], found["reason"]) == (None, "1 prediction for the held-out part is not finite")


def test_classes_that_are_numbers_are_sorted_by_value() -> None:
    assert metrics.in_order(["10", "9", "1.5"]) == ["1.5", "9", "10"]
    assert metrics.in_order(["yes", "no", "no"]) == ["no", "yes"]


def test_autogluon_knows_each_metric_by_the_name_that_is_given_to_it() -> None:
    of_autogluon = pytest.importorskip("autogluon.core.metrics").METRICS
    for each, metric in METRICS.items():
        of_numbers = "quantile" if each == "quantile_loss" else "regression"
        kinds = ("binary", "multiclass") if metric.classes else (of_numbers,)
        names = (metric.autogluon, metric.of_many or metric.autogluon)
        for kind, name in zip(kinds, names, strict=False):
            assert of_autogluon[kind][name].greater_is_better_internal == metric.higher, name


def test_the_config_knows_the_same_metrics() -> None:
    assert {name: metric[:4] for name, metric in METRICS.items()} == generators.METRICS
