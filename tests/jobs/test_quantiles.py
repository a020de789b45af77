"""A model that predicts a quantile, from the tables to the prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from job_sandbox import Sandbox, config

MODEL = {"name": "demand", "label": "sold", "metric": "quantile_loss", "quantile": 0.9}
FAST = {"train": {"presets": "medium_quality", "time_limit": 20}}


def sales(count: int) -> str:
    """Sales grow with `a`, and exceed that at random; the label of every tenth is empty."""
    noise = np.random.default_rng(3).exponential(20, count)
    rows = (f"{n % 50},{n % 7},{'' if n % 10 == 9 else round(n % 50 + noise[n], 2)}" for n in range(count))
    return "a,b,sold\n" + "\n".join(rows) + "\n"


def test_autogluon_learns_the_quantile_and_is_judged_by_its_loss(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.write("a.csv", sales(800))
    sandbox.configure(config(MODEL | FAST))
    assert sandbox.run("prepare.py").code == 0
    train = Sandbox(tmp_path / "train")
    train.put_folder(sandbox.out / "models/demand", "input/data/data")
    train.put_json("input/config/hyperparameters.json", {"model": "demand"})
    outcome = train.run("train.py")
    assert outcome.code == 0, outcome.log
    found = json.loads((train.model / "metrics.json").read_text())
    assert found["metric"] == "quantile_loss" and 0 < found["score"] < found["baseline"]
    board = json.loads((train.model / "evaluation.json").read_text())["leaderboard"]
    assert board[0]["quantile_loss_val"] > 0, "a loss, not AutoGluon's negative score"
    predict = Sandbox(tmp_path / "predict")
    predict.put_folder(sandbox.out / "predict/demand", "processing/input/rows")
    predict.put_folder(train.model, "processing/input/model")
    outcome = predict.run("predict.py", STEPGLUON_MODEL="demand")
    assert outcome.code == 0, outcome.log
    answers, rows = predict.table(".")["prediction"].to_numpy(), sandbox.table("predict/demand")["a"].to_numpy()
    assert len(answers) == 80 and np.isfinite(answers).all()
    # the quantile of the noise is 20 * ln(10) = 46; its median would be 14
    assert 28 < np.mean(answers - rows) < 70
