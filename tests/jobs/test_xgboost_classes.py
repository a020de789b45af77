"""Classes that XGBoost learns: from the tables to its channels, from its archive to probabilities."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import encoding
import metrics
import numpy as np
import part_files
import prepare
import programs
import pyarrow.parquet as pq
import pytest
import xgboost
from job_io import JobError
from job_sandbox import Sandbox, config
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from xgboost_archives import ALGORITHM, fitted, packed, saved, scored

TWO, THREE = ("no", "yes"), ("10", "9", "2.5")
SETTINGS = {"num_round": 20}


def rows(labels: tuple[str, ...], count: int = 400) -> str:
    """The class follows `a`; every eleventh label is empty, and some are wrong."""
    lines = ["a,b,y"]
    for n in range(count):
        a = (n * 7919) % 101
        label = labels[a * len(labels) // 101 if n % 9 else 0]
        lines.append(f"{a},{n % 7},{'' if n % 11 == 10 else label}")
    return "\n".join(lines) + "\n"


def prepared(box: Sandbox, labels: tuple[str, ...], metric: str = "log_loss", **algorithm: Any) -> Path:
    box.write("rows.csv", rows(labels))
    model = {"metric": metric, "algorithm": ALGORITHM | {"set": SETTINGS} | algorithm}
    box.configure(config(model))
    prepare.main()
    return box.out / "models/all"


def set_by_classes(box: Sandbox) -> dict[str, Any]:
    (model,) = json.loads((box.out / "fingerprints.json").read_text())["models"]
    return dict(model)


def channel(folder: Path, name: str = "train") -> Any:
    files = sorted((folder / "channels" / name).iterdir())
    lines = [[float(cell) for cell in line] for file in files for line in csv.reader(file.read_text().splitlines())]
    return np.array(lines)


def trained(folder: Path, found: dict[str, str]) -> xgboost.Booster:
    """What AWS's container trains from the channel, with the hyperparameters that the machine gives."""
    table = channel(folder)
    return fitted(table[:, 1:], table[:, 0], 20, **found)


@pytest.mark.parametrize(
    ("labels", "order", "given"),
    [
        (TWO, ["no", "yes"], {"objective": "binary:logistic"}),
        (THREE, ["2.5", "9", "10"], {"objective": "multi:softprob", "num_class": "3"}),
    ],
)
def test_the_label_is_encoded_and_the_machine_gets_the_objective(
    sandbox: Sandbox, labels: tuple[str, ...], order: list[str], given: dict[str, str]
) -> None:
    folder = prepared(sandbox, labels)
    assert set_by_classes(sandbox)["set"] == given
    assert encoding.load(folder / "encoding.json").classes == tuple(order)
    truth = [
        metrics.in_order(labels).index(str(one).removesuffix(".0"))
        for path in part_files.part_paths(folder / "train")
        for one in pq.read_table(path)["y"].to_pylist()
    ]
    assert channel(folder)[:, 0].tolist() == truth


@pytest.mark.parametrize(
    ("labels", "metric", "given", "found"),
    [
        (TWO, "accuracy", {"early_stopping_rounds": 5}, {"objective": "binary:logistic", "eval_metric": "error"}),
        (TWO, "f1", {"objective": "multi:softprob"}, {"objective": "multi:softprob", "num_class": "2"}),
        (TWO, "accuracy", {"early_stopping_rounds": 5, "eval_metric": "auc"}, {"objective": "binary:logistic"}),
    ],
)
def test_what_the_config_sets_is_kept(
    sandbox: Sandbox, labels: tuple[str, ...], metric: str, given: dict[str, Any], found: dict[str, str]
) -> None:
    prepared(sandbox, labels, metric, set=SETTINGS | given)
    assert set_by_classes(sandbox)["set"] == found


def test_an_objective_for_two_classes_is_refused_for_three(sandbox: Sandbox) -> None:
    with pytest.raises(JobError, match="binary:logistic is for two classes, but 'y' has 3"):
        prepared(sandbox, THREE, set=SETTINGS | {"objective": "binary:logistic"})


@pytest.mark.parametrize(
    ("metric", "classes", "objective"),
    [
        ("roc_auc", ["a", "b"], ("validation:auc", "Maximize")),
        ("roc_auc", ["a", "b", "c"], ("validation:mlogloss", "Minimize")),
        ("accuracy", ["a", "b"], ("validation:error", "Minimize")),
        ("f1", ["a", "b", "c"], ("validation:f1_macro", "Maximize")),
    ],
)
def test_a_tuning_is_judged_by_the_metric_that_suits_the_number_of_classes(
    metric: str, classes: list[str], objective: tuple[str, str]
) -> None:
    model = {"name": "m", "label": "y", "metric": metric, "algorithm": ALGORITHM, "tune": {"jobs": 3}}
    assert programs.for_classes(model, classes)["objective"] == dict(
        zip(("MetricName", "Type"), objective, strict=True)
    )
    assert "objective" not in programs.for_classes(model | {"tune": {"objective": {"metric": "auc"}}}, classes)


@pytest.mark.parametrize("labels", [TWO, THREE])
def test_the_model_answers_with_probabilities_and_is_judged_on_the_held_out_rows(
    sandbox: Sandbox, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    folder = prepared(sandbox, labels)
    booster = trained(folder, set_by_classes(sandbox)["set"])
    judge = Sandbox(tmp_path / "judge")
    outcome = scored(judge, folder, packed({"xgboost-model": saved(booster)}))
    assert outcome.code == 0, outcome.log
    found = json.loads((judge.out / "metrics.json").read_text())
    test = pq.read_table(folder / "test")
    order = metrics.in_order(labels)
    chances = booster.predict(xgboost.DMatrix(encoding.load(folder / "encoding.json").matrix(test)))
    chances = np.stack([1 - chances, chances], axis=1) if chances.ndim == 1 else chances
    truth = [order.index(str(one).removesuffix(".0")) for one in test["y"].to_pylist()]
    assert found["log_loss"] == pytest.approx(log_loss(truth, chances), rel=1e-4)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, chances.argmax(axis=1)), rel=1e-5)
    area = roc_auc_score(truth, chances[:, 1] if len(labels) == 2 else chances, multi_class="ovr")
    assert found["roc_auc"] == pytest.approx(area, rel=1e-4)
    assert found["score"] == found["log_loss"] < found["baseline"]
    assert json.loads((judge.out / "manifest.json").read_text())["classes"] == order
    report = json.loads((judge.out / "evaluation.json").read_text())
    assert report["confusion"]["classes"] == order and report["trees"] == 20

    asked = Sandbox(tmp_path / "asked")
    asked.put_folder(sandbox.out / "predict/all", "processing/input/rows")
    asked.put_folder(judge.out, "processing/input/model")
    outcome = asked.run("predict.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST=found["manifest"])
    assert outcome.code == 0, outcome.log
    answers = asked.table(".")
    assert set(answers["prediction"].to_pylist()) <= set(order) and len(answers) == 36
    assert answers.column_names == ["prediction", "probability", *(["probability_yes"] if labels == TWO else [])]
    matrix = encoding.load(folder / "encoding.json").matrix(pq.read_table(sandbox.out / "predict/all"))
    highest = booster.predict(xgboost.DMatrix(matrix))
    highest = np.maximum(highest, 1 - highest) if highest.ndim == 1 else highest.max(axis=1)
    np.testing.assert_allclose(answers["probability"].to_numpy(), highest, rtol=1e-6)


def test_a_model_of_one_class_or_of_numbers_is_rejected_with_the_reason(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = prepared(sandbox, ("same",))
    booster = trained(folder, set_by_classes(sandbox)["set"])
    outcome = scored(Sandbox(tmp_path / "one"), folder, packed({"xgboost-model": saved(booster)}))
    assert outcome.message == "Model all: all training rows have the class 'same'; add rows of another class."
    shutil.rmtree(sandbox.out)
    folder = prepared(sandbox, TWO)
    numbers = saved(trained(folder, {"objective": "reg:squarederror"}))
    outcome = scored(Sandbox(tmp_path / "numbers"), folder, packed({"xgboost-model": numbers}))
    assert "does not predict the label's classes; set binary:logistic or multi:softprob" in str(outcome.message)
