"""Models that learn classes, from the tables to the result."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import autogluon_fit
import evaluation
import job_io
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sandbox import Sandbox, config

CHURN = {"name": "churn", "label": "left", "metric": "roc_auc", "at_least": 0.7}
# All kinds of medium_quality, which take four times as long, learn classes in local/test_other_demos.py.
TWO_KINDS = {"presets": {"hyperparameters": {"GBM": {}, "RF": {}}}, "time_limit": 60}


def customers(count: int, labels: tuple[str, ...] = ("no", "yes")) -> str:
    """A CSV file: who pays much and calls often leaves, but for some; the label of every tenth is empty."""
    lines = ["months,price,calls,left"]
    for n in range(count):
        price, calls = (n * 7919) % 101, (n * 31) % 7
        label = labels[min(int((price / 34 + calls / 7) * len(labels) / 4.2), len(labels) - 1) if n % 13 else 0]
        lines.append(f"{n % 60},{price},{calls},{'' if n % 10 == 9 else label}")
    return "\n".join(lines) + "\n"


def prepared(box: Sandbox, table: str, **model: Any) -> Any:
    """Runs prepare and returns its outcome."""
    box.write("a.csv", table)
    box.configure(config(CHURN | {"train": TWO_KINDS} | model))
    return box.run("prepare.py")


def trained(box: Sandbox, later: Path) -> Sandbox:
    """Trains with what prepare wrote."""
    next_ = Sandbox(later)
    next_.put_folder(box.out / "models/churn", "input/data/data")
    next_.put_json("input/config/hyperparameters.json", {"model": "churn"})
    outcome = next_.run("train.py")
    assert outcome.code == 0, outcome.log
    return next_


def predicted(box: Sandbox, model: Sandbox, later: Path) -> Sandbox:
    next_ = Sandbox(later)
    next_.put_folder(box.out / "predict/churn", "processing/input/rows")
    next_.put_folder(model.model, "processing/input/model")
    outcome = next_.run("predict.py", STEPGLUON_MODEL="churn")
    assert outcome.code == 0, outcome.log
    return next_


def assembled(box: Sandbox, predictions: Sandbox, model: Sandbox, later: Path) -> Sandbox:
    next_ = Sandbox(later)
    next_.put_json("processing/input/config/config.json", config(CHURN))
    for part in ("rows", "numbers"):
        next_.put_folder(box.out / part, f"processing/input/{part}")
    next_.put_json("processing/input/profile/profile.json", json.loads((box.out / "profile.json").read_text()))
    metrics = json.loads((model.model / "metrics.json").read_text())
    verdict = {"name": "churn", "mae": None, "threshold": None, "at_least": 0.7, "verdict": "accepted", "reason": "r"}
    verdict |= {key: metrics[key] for key in ("metric", "score", "baseline")} | {
        "uses": "trained",
        "model_uri": "s3://",
    }
    next_.put_json("processing/input/verdicts/verdicts.json", [verdict])
    next_.put_folder(predictions.out, f"processing/input/predictions/predictions/churn/{'f' * 64}/job")
    place = "processing/input/predictions/models/churn/f/job/output/model/evaluation.json"
    next_.put_json(place, json.loads((model.model / "evaluation.json").read_text()))
    outcome = next_.run("postprocess.py")
    assert outcome.code == 0, outcome.log
    return next_


def test_two_classes_are_learnt_and_predicted_with_their_probabilities(sandbox: Sandbox, tmp_path: Path) -> None:
    assert prepared(sandbox, customers(300)).code == 0
    profile = json.loads((sandbox.out / "profile.json").read_text())
    assert profile["classes"] == {"left": ["no", "yes"]}
    model = trained(sandbox, tmp_path / "train")
    metrics = json.loads((model.model / "metrics.json").read_text())
    assert (metrics["metric"], metrics["baseline"]) == ("roc_auc", 0.5)
    assert 0.8 < metrics["score"] == metrics["roc_auc"] <= 1 and metrics["accuracy"] > 0.7
    manifest = json.loads((model.model / "manifest.json").read_text())
    assert manifest["classes"] == ["no", "yes"]
    found = json.loads((model.model / "evaluation.json").read_text())
    assert found["confusion"]["classes"] == ["no", "yes"]
    assert sum(map(sum, found["confusion"]["rows"])) == metrics["rows_test"]
    assert {"model", "roc_auc_test", "roc_auc_val"} <= found["leaderboard"][0].keys()
    assert found["worst"]["rows"][0]["probability"] <= found["worst"]["rows"][-1]["probability"] <= 1
    assert next(one["column"] for one in found["importance"]) in ("price", "calls")

    predictions = predicted(sandbox, model, tmp_path / "predict")
    table = predictions.table(".")
    assert table.column_names == ["prediction", "probability", "probability_yes"]
    for row in table.to_pylist():
        own = row["probability_yes"] if row["prediction"] == "yes" else 1 - row["probability_yes"]
        assert row["prediction"] in ("no", "yes") and row["probability"] == pytest.approx(own)

    result = assembled(sandbox, predictions, model, tmp_path / "post")
    with (result.out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-6:] == ["left", "prediction", "probability", "probability_yes", "model", "verdict"]
    for row in rows:
        assert (row["prediction"] in ("no", "yes")) is (row["left"] == "") is (row["model"] == "churn")
    summary = json.loads((result.out / "summary.json").read_text())
    assert summary["predictions"] == 30
    assert summary["models"][0]["metric"] == "roc_auc" and summary["models"][0]["score"] == metrics["score"]
    assert "ROC AUC of left" in (result.out / "report.html").read_text()


def test_three_classes_of_numbers_are_learnt_as_classes(sandbox: Sandbox, tmp_path: Path) -> None:
    outcome = prepared(sandbox, customers(300, ("1", "2", "10")), metric="accuracy", at_least=0.5)
    assert outcome.code == 0, outcome.log
    model = trained(sandbox, tmp_path / "train")
    metrics = json.loads((model.model / "metrics.json").read_text())
    assert json.loads((model.model / "manifest.json").read_text())["classes"] == ["1", "2", "10"]
    assert metrics["baseline"] < metrics["score"] == metrics["accuracy"]
    assert all(isinstance(metrics[name], float) for name in ("balanced_accuracy", "f1", "roc_auc", "log_loss"))
    table = predicted(sandbox, model, tmp_path / "predict").table(".")
    assert table.column_names == ["prediction", "probability"]
    assert set(table["prediction"].to_pylist()) <= {"1", "2", "10"}


@pytest.mark.parametrize(
    ("table", "metric", "said"),
    [
        (customers(40), "mae", "and must hold numbers, but 36 rows hold text"),
        (
            "x,left\n1,true\n2,false\n",
            "mae",
            "not numbers; choose a column of numbers, or set metric: accuracy to learn",
        ),
        ("x,left\n1,2024-01-01\n2,2024-01-02\n", "accuracy", "its label 'left' holds dates, which are not classes"),
        (
            "x,left\n" + "".join(f"1,c{n}\n" for n in range(200)),
            "f1",
            "has more than 100 classes; choose another column",
        ),
    ],
)
def test_a_label_that_does_not_suit_the_metric_is_refused(sandbox: Sandbox, table: str, metric: str, said: str) -> None:
    outcome = prepared(sandbox, table, metric=metric)
    assert outcome.code == 1 and outcome.final
    assert outcome.message is not None and said in outcome.message


def test_classes_that_are_hardly_learnt_are_noted(sandbox: Sandbox) -> None:
    rows = "".join(f"{n},{label}\n" for n, label in enumerate(["a", "b"] * 10 + ["rare"] + ["a", "b"] * 3))
    outcome = prepared(sandbox, "x,left\n" + rows, metric="accuracy")
    assert outcome.code == 0
    assert "has the class 'rare'" in outcome.log


def test_a_model_needs_two_classes() -> None:
    model = config(CHURN)["models"][0]
    with pytest.raises(job_io.JobError, match="all training rows have the class 'no'; add rows of another class"):
        autogluon_fit.problem(model, _Labels(["no"]))
    assert autogluon_fit.problem(model, _Labels(["yes", "no"])) == {
        "problem_type": "binary",
        "eval_metric": "roc_auc",
        "positive_class": "yes",
    }
    assert autogluon_fit.problem(model, _Labels(["a", "b", "c"]))["eval_metric"] == "roc_auc_ovr_macro"


class _Labels(list[str]):
    def unique(self) -> list[str]:
        return list(self)


def test_the_rarest_of_many_classes_are_one_in_the_confusion_matrix() -> None:
    actual = np.array([str(n) for n in range(15) for _ in range(20 - n)], object)
    found = evaluation.confusion(actual, actual)
    assert found["classes"] == [*map(str, range(12)), None]
    assert [row[place] for place, row in enumerate(found["rows"])] == [*range(20, 8, -1), 8 + 7 + 6]


def to_assemble(sandbox: Sandbox, root: Path, table: str) -> tuple[Sandbox, Path]:
    """Post-process's inputs, and the file of predictions to write."""
    assert prepared(sandbox, table, metric="accuracy").code == 0
    next_ = Sandbox(root)
    next_.put_json("processing/input/config/config.json", config(CHURN))
    for part in ("rows", "numbers"):
        next_.put_folder(sandbox.out / part, f"processing/input/{part}")
    next_.put_json("processing/input/profile/profile.json", json.loads((sandbox.out / "profile.json").read_text()))
    next_.put_json("processing/input/verdicts/verdicts.json", [{"name": "churn", "verdict": "accepted"}])
    (file,) = json.loads((sandbox.out / "profile.json").read_text())["models"][0]["predict_files"]
    place = next_.root / f"processing/input/predictions/predictions/churn/{'f' * 64}/job/{file}"
    place.parent.mkdir(parents=True)
    return next_, place


@pytest.mark.parametrize(
    ("labels", "kind"), [(("0", "1"), pa.int64()), (("true", "false"), pa.bool_()), (("0.5", "2"), pa.float64())]
)
def test_a_predicted_class_has_the_labels_type(
    sandbox: Sandbox, tmp_path: Path, labels: tuple[str, str], kind: pa.DataType
) -> None:
    first, other = labels
    table = f"x,left\n1,{first}\n2,{other}\n3,\n4,{first}\n5,{other}\n"
    next_, place = to_assemble(sandbox, tmp_path / "post", table)
    pq.write_table(pa.table({"prediction": [first]}), place)
    outcome = next_.run("postprocess.py")
    assert outcome.code == 0, outcome.log
    found = pq.read_table(next_.out / "predictions.parquet")
    assert found.schema.field("prediction").type == found.schema.field("left").type == kind
    with (next_.out / "predictions.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == ["", "", first, "", ""]

    pq.write_table(pa.table({"prediction": ["gone"]}), place)  # by a model promoted when the label held texts
    outcome = next_.run("postprocess.py")
    assert outcome.message is not None
    assert "The promoted models of left predict classes such as 'gone', but the column holds " in outcome.message


def test_predictions_of_the_other_kind_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    next_, place = to_assemble(sandbox, tmp_path / "post", "x,left\n1,a\n2,b\n3,\n4,a\n5,b\n")
    file = place.name
    pq.write_table(pa.table({"prediction": [1.5]}), place)
    outcome = next_.run("postprocess.py")
    assert outcome.message is not None and outcome.message.startswith(
        "The predictions of model churn are numbers, but its metric needs classes"
    )
    pq.write_table(pa.table({"prediction": pa.array([None], pa.string())}), place)
    outcome = next_.run("postprocess.py")
    assert outcome.message is not None and f"A prediction of model churn in {file} is not a class" in outcome.message
