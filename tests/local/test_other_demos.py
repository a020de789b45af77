"""The demos of classes and of XGBoost, through the command line and the local AWS."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import demo_runs
import pytest

HOUSE = Path(__file__).resolve().parents[2]
DEMOS = HOUSE / "demo"


@pytest.mark.parametrize("table", sorted(DEMOS.glob("*/*.csv")), ids=lambda table: table.stem)
def test_a_demos_table_is_what_its_script_makes(table: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(table.parent / "make_data.py"), str(tmp_path)], check=True)
    assert (tmp_path / table.name).read_bytes() == table.read_bytes()


def ran(demo: str, work: Path, config: Path | None = None) -> dict[str, Any]:
    (table,) = (DEMOS / demo).glob("*.csv")
    config = config or DEMOS / demo / "pipeline-config.yml"
    return demo_runs.told("run", "--config", str(config), "--data", str(table), "--work", str(work))


def rows_of(told: dict[str, Any]) -> list[dict[str, str]]:
    with Path(told["results"]).open(newline="") as file:
        return list(csv.DictReader(file))


def test_customers_who_leave_are_predicted_with_their_probability(tmp_path: Path) -> None:
    told = ran("churn", tmp_path)
    (model,) = told["models"]
    assert (model["verdict"], model["metric"], model["baseline"], model["at_least"]) == (
        "accepted",
        "roc_auc",
        0.5,
        0.75,
    )
    assert 0.75 <= model["score"] <= 1
    assert model["reason"] == f"accepted. roc_auc {model['score']:.6g} (at least 0.75; baseline 0.5)."
    filled = [row for row in rows_of(told) if not row["left"]]
    assert len(filled) == told["predictions"] == 96
    assert {row["prediction"] for row in filled} <= {"yes", "no"}
    for row in filled:
        yes = float(row["probability_yes"])
        assert float(row["probability"]) == max(yes, 1 - yes) or abs(float(row["probability"]) + yes - 1) < 1e-6
    mails = [file.read_text() for file in (tmp_path / "outbox").glob("*.eml")]
    assert any("(at least 0.75; baseline 0.5)" in mail for mail in mails)


def test_prices_are_predicted_by_a_tuned_xgboost_with_the_encoding_of_its_training(tmp_path: Path) -> None:
    told = ran("houses-xgboost", tmp_path)
    (model,) = told["models"]
    assert (model["verdict"], model["learner"]) == ("accepted", "XGBoost")
    assert model["mae"] < 0.2 * model["mae_of_median"] and model["r2"] > 0.95
    filled = [float(row["prediction"]) for row in rows_of(told) if not row["price_eur"]]
    assert len(filled) == told["predictions"] == told["gaps"] > 100 and len(set(filled)) > 50
    job = next(job for job in told["jobs"] if "-train-" in job["name"])
    log = (tmp_path / "runs" / told["run"] / "logs" / f"{job['name']}.log").read_text()
    assert "Trial 5 of 5: validation:mae " in log and "train-rmse:" in log
    page = Path(told["report"]).read_text("utf-8")
    assert "Tuning: 5 trainings with other hyperparameters, best first" in page


CLASSES = """
name: churn
models:
  - name: leaves
    label: left
    drop: [customer]
    metric: roc_auc
    at_least: 0.7
    algorithm: {xgboost: 3.0-5, set: {num_round: 30}}
    tune: {max_depth: 2..5, eta: 0.05..0.3 log, jobs: 3, parallel: 1}
  - name: contract
    label: contract
    drop: [customer, left]
    metric: accuracy
    algorithm: {xgboost: 3.0-5, set: {num_round: 20, early_stopping_rounds: 5}}
predict: {with: transform}
"""


def test_xgboost_learns_two_classes_and_three_and_answers_with_probabilities(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(CLASSES)
    told = ran("churn", tmp_path / "work", config)
    leaves, contract = told["models"]
    assert (leaves["verdict"], leaves["metric"], leaves["learner"]) == ("accepted", "roc_auc", "XGBoost")
    assert 0.7 <= leaves["score"] <= 1
    assert 0.33 < contract["score"] < 1 and contract["learner"] == "XGBoost"
    filled = [row for row in rows_of(told) if not row["left"]]
    assert len(filled) == 96 and {row["left_prediction"] for row in filled} == {"yes", "no"}
    for row in filled:
        yes = float(row["left_probability_yes"])
        assert row["left_prediction"] == ("yes" if yes > 0.5 else "no")
        assert float(row["left_probability"]) == pytest.approx(max(yes, 1 - yes), abs=1e-6)
    logs = [file.read_text() for file in (tmp_path / "work/runs" / told["run"] / "logs").glob("*-train-*.log")]
    assert any("Trial 3 of 3: validation:auc " in log for log in logs), "the best tuning of two classes"
    assert any("#011validation-merror:" in log for log in logs), "three classes stop early"
