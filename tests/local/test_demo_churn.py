"""The demo of classes, with AutoGluon, through the command line and the local AWS."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
CHURN = HOUSE / "demo" / "churn"


def test_the_table_is_what_its_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(CHURN / "make_data.py"), str(tmp_path)], check=True)
    assert (tmp_path / "customers.csv").read_bytes() == (CHURN / "customers.csv").read_bytes()


def test_customers_who_leave_are_predicted_with_their_probability(tmp_path: Path) -> None:
    words = ["run", "--config", str(CHURN / "pipeline-config.yml"), "--data", str(CHURN / "customers.csv")]
    words += ["--work", str(tmp_path), "--json"]
    done = subprocess.run([sys.executable, str(HOUSE / "pipeline.py"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    (model,) = told["models"]
    assert (model["verdict"], model["metric"], model["baseline"], model["at_least"]) == (
        "accepted",
        "roc_auc",
        0.5,
        0.75,
    )
    assert 0.75 <= model["score"] <= 1
    assert model["reason"] == f"accepted. roc_auc {model['score']:.6g}, baseline 0.5, at least 0.75."
    with Path(told["results"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    filled = [row for row in rows if not row["left"]]
    assert len(filled) == told["predictions"] == 96
    assert {row["prediction"] for row in filled} <= {"yes", "no"}
    for row in filled:
        yes = float(row["probability_yes"])
        assert float(row["probability"]) == max(yes, 1 - yes) or abs(float(row["probability"]) + yes - 1) < 1e-6
    mails = [file.read_text() for file in (tmp_path / "outbox").glob("*.eml")]
    assert any("baseline 0.5, at least 0.75" in mail for mail in mails)
