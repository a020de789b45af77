from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import autogluon_fit
import evaluation
import job_io
import job_model
import numpy as np
import pandas as pd
import pytest
import train
from job_sandbox import CODE, MINUTES, Sandbox, config, points

from stepgluon.runs.fit_log import fit_of


def fitted(box: Sandbox, known: dict[str, Any], held_out: dict[str, Any], **settings: Any) -> Any:
    """Runs the job on these rows and returns its outcome."""
    model = {"train": {"presets": "medium_quality", "time_limit": 300} | settings}
    box.configure(config(model))
    box.put_json("input/config/hyperparameters.json", {"model": "all"})
    for part, rows in (("train", known), ("test", held_out)):
        count = len(next(iter(rows.values())))
        box.put_parquet(f"input/data/data/{part}/part-00000.parquet", {"stepgluon_row": list(range(count)), **rows})
    return box.run("train.py")


def metrics(box: Sandbox) -> dict[str, Any]:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    found: dict[str, Any] = json.loads((box.model / "metrics.json").read_text(), parse_constant=refuse)
    return found


# A model that was really fitted


def test_metrics_have_positive_errors_and_say_how_they_came_about(trained: Path) -> None:
    found = json.loads((trained / "metrics.json").read_text())
    assert list(found) == [
        *("model", "mae", "rmse", "r2", "mae_of_median", "metric", "score", "baseline", "rows_train", "rows_test"),
        *("seconds", "best_model", "autogluon", "python", "manifest"),
    ]
    assert 0 < found["mae"] < found["mae_of_median"] / 3
    assert found["mae"] <= found["rmse"]
    assert 0.8 < found["r2"] <= 1
    assert (found["model"], found["rows_train"], found["rows_test"]) == ("all", 160, 40)


def test_the_manifest_has_the_sum_of_every_file(trained: Path) -> None:
    manifest = json.loads((trained / "manifest.json").read_text())
    files = {path.relative_to(trained).as_posix(): path for path in trained.rglob("*") if path.is_file()}
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    del sums["metrics.json"]
    assert json.loads((trained / "metrics.json").read_text())["manifest"] == sums.pop("manifest.json")
    assert manifest["files"] == sums
    assert manifest["label"] == "y"
    assert manifest["features"] == {"a": "double", "b": "string"}
    assert manifest["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_leaderboard_has_positive_errors_and_the_importance_every_column(trained: Path) -> None:
    with (trained / "leaderboard.csv").open() as file:
        board = list(csv.DictReader(file))
    assert len(board) > 3
    assert all(float(line["mae_test"]) > 0 for line in board)
    with (trained / "importance.csv").open() as file:
        assert {line["column"] for line in csv.DictReader(file)} == {"a", "b"}


def test_a_column_named_like_a_formula_is_text_in_the_tables_about_the_model(tmp_path: Path) -> None:
    path = tmp_path / "importance.csv"
    train.write_csv(pd.DataFrame({"column": ["=1+1", "a"], "importance": [-1.5, 2]}), path)
    assert path.read_text() == "column,importance\n'=1+1,-1.5\na,2.0\n"


def test_only_what_prediction_needs_is_kept(trained: Path) -> None:
    with (trained / "leaderboard.csv").open() as file:
        tried = {line["model"] for line in csv.DictReader(file)}
    kept = {path.name for path in (trained / "predictor/models").iterdir() if path.is_dir()}
    assert kept < tried | {"trainer.pkl"}
    assert not list(trained.rglob("*utils/data*"))


def test_the_evaluation_has_what_the_report_shows(trained: Path) -> None:
    found = json.loads((trained / "evaluation.json").read_text())
    held_out, worst = found["held_out"], found["worst"]
    assert len(held_out["actual"]) == len(held_out["predicted"]) == held_out["of"] == 40
    errors = [abs(a - b) for a, b in zip(held_out["actual"], held_out["predicted"], strict=True)]
    assert sum(errors) / 40 == pytest.approx(found["mae"], rel=1e-4)
    assert [abs(row["actual"] - row["predicted"]) for row in worst["rows"]] == pytest.approx(
        sorted(errors, reverse=True)[:10], rel=1e-4
    )
    assert set(worst["columns"]) == {"a", "b"}
    place = worst["columns"].index("b")
    assert {row["values"][place] for row in worst["rows"]} <= {"north", "south"}
    assert {column["column"] for column in found["importance"]} == {"a", "b"}
    assert len(found["leaderboard"]) > 3 and found["leaderboard"][0]["mae_test"] > 0
    assert set(found["seconds"]) == {"fit", "score", "leaderboard", "importance"}
    assert (found["rows_train"], found["time_limit"], found["notes"]) == (160, 300, [])


def test_fast_presets_fit_two_kinds_of_models(sandbox: Sandbox) -> None:
    outcome = fitted(sandbox, points(60), points(20, 60), presets="fast")
    assert outcome.code == 0, outcome.log
    with (sandbox.model / "leaderboard.csv").open() as file:
        tried = {line["model"] for line in csv.DictReader(file)}
    assert tried == {"LightGBM", "XGBoost", "WeightedEnsemble_L2"}
    assert metrics(sandbox)["mae"] < metrics(sandbox)["mae_of_median"]


class Slow:
    """A predictor whose best model took 1 s for the held-out rows, and all models together 10 s."""

    model_best = "LightGBMXT"

    def __init__(self) -> None:
        self.scored: list[int] = []

    def leaderboard(self, data: Any = None, **_: object) -> pd.DataFrame:
        if data is not None:
            self.scored.append(len(data))
        board = {
            "model": ["LightGBMXT", "LightGBM"],
            "score_val": [-1.0, -2.0],
            "pred_time_val": [1.0, 9.0],
            "pred_time_val_marginal": [1.0, 9.0],
        }
        return pd.DataFrame(board | ({} if data is None else {"score_test": [-1.5, -2.5]}))

    def features(self, **_: object) -> list[str]:
        return ["a", "b"]

    def predict(self, rows: Any) -> None:
        self.rows = len(rows)

    def feature_importance(self, sample: Any, features: list[str], **_: object) -> pd.DataFrame:
        return pd.DataFrame(dict.fromkeys(("importance", "stddev", "p_value", "n"), 1.0), index=features)


def test_only_a_leaderboard_that_its_time_allows_scores_all_models() -> None:
    predictor, rows = Slow(), pd.DataFrame({"a": [1.0, 2.0]})
    board, complete = train.leaderboard(predictor, rows, best_seconds=1.0, left=9.0)
    assert (predictor.scored, complete, list(board["mae_val"])) == ([], False, [1.0, 2.0])
    assert "mae_test" not in board
    board, complete = train.leaderboard(predictor, rows, best_seconds=1.0, left=11.0)
    assert (predictor.scored, complete, list(board["mae_test"])) == ([2], True, [1.5, 2.5])


def test_importance_is_measured_on_as_many_rows_and_columns_as_its_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, rows = Slow(), pd.DataFrame({"a": range(5000), "b": range(5000)})
    found = []
    for box, row_seconds in ((60, 0.001), (2, 0.001), (2, 0.005), (2, 0.1)):
        clock = iter([0.0, 0.5])
        monkeypatch.setattr(train.time, "monotonic", lambda clock=clock: next(clock))
        columns, complete = train.importance(predictor, rows, box, row_seconds)
        found.append((predictor.rows, list(columns["column"]), complete))
    assert found[:2] == [(2000, ["a", "b"], True), (500, ["a", "b"], True)]
    assert found[2:] == [(100, ["a", "b"], True), (100, [], False)]  # with few seconds, not even 100 rows
    clock = iter([0.0, 1.9])
    monkeypatch.setattr(train.time, "monotonic", lambda: next(clock))
    columns, complete = train.importance(predictor, rows, 2, 0.1)
    assert (len(columns), complete) == (0, False)


def test_one_kind_of_model_at_the_time_limit_is_said() -> None:
    board = Slow().leaderboard()
    said = "In 60 s AutoGluon could fit only one kind of model, LightGBM; a higher time_limit lets it try others."
    assert evaluation.notes(board, 59, 60, True, True) == [said]
    assert evaluation.notes(board, 5, 60, True, True) == [], "only these were wanted"
    two = pd.concat([board, pd.DataFrame({"model": ["CatBoost", "WeightedEnsemble_L2"]})])
    assert evaluation.notes(two, 59, 60, True, True) == []
    assert len(evaluation.notes(two, 59, 60, False, False)) == 2


def test_cells_of_the_worst_rows_are_written_as_people_write_them() -> None:
    held_out = pd.DataFrame(
        {
            "n": [5.0, np.nan],
            "x": [0.125, 1e300],
            "t": pd.to_datetime(["2026-11-30 00:00", "2026-11-30 06:00"]),
            "y": [1, 9],
        }
    )
    found = evaluation.evaluation(
        held_out,
        "y",
        {"predicted": np.array([1.0, np.nan])},
        Slow().leaderboard(),
        pd.DataFrame(columns=["column", "importance", "stddev"]),
    )
    assert found["worst"]["rows"] == [
        {"values": ["5", "0.125", "2026-11-30"], "actual": 1.0, "predicted": 1.0},
        {"values": [None, "1e+300", "2026-11-30 06:00:00"], "actual": 9.0, "predicted": None},
    ]


# Data that is hard to learn from


def test_two_labelled_rows_are_one_sentence(sandbox: Sandbox) -> None:
    outcome = fitted(sandbox, {"a": [1.0], "y": [2.0]}, {"a": [2.0], "y": [3.0]})
    assert outcome.code == 1
    assert outcome.message == (
        "Model all has 1 row to learn from besides the held-out ones, and needs 4; "
        "give it more rows with a value in 'y'."
    )
    assert list(sandbox.model.iterdir()) == []


def test_a_models_where_is_named_only_if_it_has_one() -> None:
    model = {"name": "all", "label": "y", "where": {"species": "Adelie"}}
    with pytest.raises(job_io.JobError, match=r"with a value in 'y', or check its where\.$"):
        autogluon_fit.check_rows(model, 1)
    with pytest.raises(job_io.JobError, match=r"no row has a value in 'y'\. "):
        autogluon_fit.check_rows(model | {"where": {}}, 0)


def test_a_handful_of_rows_and_none_held_out_gives_a_model_without_an_error(sandbox: Sandbox) -> None:
    outcome = fitted(sandbox, {"a": [1.0, 2.0, 3.0, 5.0], "y": [2.0, 3.0, 4.0, 6.0]}, {"a": [], "y": []})
    assert outcome.code == 0, outcome.log
    found = metrics(sandbox)
    assert (found["mae"], found["reason"]) == (None, "the held-out part has no rows")


def test_a_constant_label_has_an_error_of_zero_and_no_r2(sandbox: Sandbox) -> None:
    rows = points(60)
    outcome = fitted(sandbox, rows | {"y": [4] * 60}, points(10) | {"y": [4] * 10})
    fit = fit_of(outcome.log.splitlines())
    assert (fit.median, fit.best, fit.learner) == (0, 0, "") and len(fit.scores) > 1, "the live page shows them"
    assert outcome.code == 0, outcome.log
    assert metrics(sandbox)["mae"] == pytest.approx(0, abs=1e-5)
    assert metrics(sandbox)["r2"] is None


def test_strange_columns_do_not_stop_the_training(sandbox: Sandbox) -> None:
    def strange(rows: dict[str, Any]) -> dict[str, Any]:
        count = len(rows["a"])
        return rows | {
            "empty": [None] * count,
            "infinite": [float("inf"), float("-inf"), *[1.0] * (count - 2)],
            "__class__": rows["a"],
            '{"x": [1], <é>}': [n % 3 for n in range(count)],
            "long": ["é" * 100_000] * count,
            "flag": [True, None, *[False] * (count - 2)],
        }

    outcome = fitted(sandbox, strange(points(80)), strange(points(20, 80)))
    assert outcome.code == 0, outcome.log
    assert metrics(sandbox)["mae"] < metrics(sandbox)["mae_of_median"]


def test_only_useless_columns_are_one_sentence(sandbox: Sandbox) -> None:
    outcome = fitted(sandbox, {"a": [None] * 30, "y": list(range(30))}, {"a": [None], "y": [1]})
    assert outcome.code == 1
    assert outcome.message == (
        "Model all: no column distinguishes its rows (a constant or empty column says nothing); drop fewer columns."
    )


def test_two_thousand_columns_are_learnt_from(sandbox: Sandbox) -> None:
    generator = np.random.default_rng(1)

    def wide(count: int) -> dict[str, Any]:
        columns = {f"c{number}": generator.normal(size=count) for number in range(2000)}
        return {**columns, "y": columns["c7"] * 3}

    one_kind = {"hyperparameters": {"GBM": {}}}  # soon done, and so far from its limit on a slow machine, too
    outcome = fitted(sandbox, wide(60), wide(10), presets=one_kind, time_limit=200)
    assert outcome.code == 0 and "PerformanceWarning" not in outcome.log, outcome.log
    assert len(json.loads((sandbox.model / "manifest.json").read_text())["features"]) == 2000


@pytest.mark.parametrize(
    "problem",
    [RuntimeError("No models were trained successfully during fit()."), AssertionError("Learner is already fit.")],
)
def test_a_time_limit_too_small_for_any_model_is_one_sentence(problem: Exception) -> None:
    class Predictor:
        def fit(self, *_: object, **__: object) -> None:
            raise problem

    with pytest.raises(job_io.JobError, match=r"no model to 5 rows in 1 s; raise time_limit or give it more rows"):
        autogluon_fit.fit_or_say_why(
            Predictor(), config({"train": {"presets": "x", "time_limit": 1}})["models"][0], range(5), 1
        )


def test_a_class_of_one_row_is_named_when_no_model_can_be_fitted() -> None:
    class Predictor:
        def fit(self, *_: object, **__: object) -> None:
            raise RuntimeError("No models were trained successfully during fit().")

    (model,) = config({"train": {"presets": "x", "time_limit": 1}})["models"]
    known = pd.DataFrame({model["label"]: ["no", "no", "no", "yes"]})
    with pytest.raises(job_io.JobError, match=r"no model to 4 rows: the class 'yes' has only one; add more"):
        autogluon_fit.fit_or_say_why(Predictor(), model | {"metric": "roc_auc"}, known, 1)


# The surroundings


def test_a_quoted_model_name_is_the_same_as_a_plain_one(sandbox: Sandbox) -> None:
    for written in ("all", '"all"'):
        sandbox.put_json("input/config/hyperparameters.json", {"model": written})
        assert job_model.training_model() == "all"


def test_an_unknown_model_is_named(sandbox: Sandbox) -> None:
    sandbox.configure(config())
    sandbox.put_json("input/config/hyperparameters.json", {"model": "other"})
    outcome = sandbox.run("train.py")
    assert outcome.code == 1
    assert outcome.message == "The config has no model 'other'; it has all."


def test_cores_are_those_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPGLUON_CORES", "3")
    assert job_io.cores() == 3
    monkeypatch.setenv("STEPGLUON_CORES", "0")
    with pytest.raises(job_io.JobError, match="STEPGLUON_CORES"):
        job_io.cores()
    monkeypatch.delenv("STEPGLUON_CORES")
    assert job_io.cores() >= 1


def test_a_stopped_job_ends_at_once_and_leaves_no_output(sandbox: Sandbox) -> None:
    waiting = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import job_io\n"
        "def job():\n"
        "    with job_io.complete_or_absent(job_io.model_output()) as out:\n"
        "        with job_io.scratch() as scratch:\n"
        "            (out / 'half').write_text('x'); (scratch / 'x').mkdir()\n"
        "            print(scratch, flush=True); time.sleep(60)\n"
        "sys.exit(job_io.run('training', job))"
    )
    command = [sys.executable, "-c", waiting, str(CODE)]
    with subprocess.Popen(command, env=sandbox.environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        scratch = Path(process.stdout.readline().decode().strip())
        assert (scratch / "x").is_dir()
        process.send_signal(signal.SIGTERM)
        assert process.wait(MINUTES) == 143
    assert list(sandbox.model.iterdir()) == []
    assert not scratch.exists()


def test_a_bug_is_called_a_bug_and_its_traceback_goes_to_the_log(sandbox: Sandbox) -> None:
    failing = (
        "import sys; sys.path.insert(0, sys.argv[1]); import job_io\nsys.exit(job_io.run('training', lambda: 1 / 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", failing, str(CODE)],
        env=sandbox.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert (sandbox.root / "output/failure").read_text() == (
        "This is a bug in stepgluon, please report it with the job's log: ZeroDivisionError: division by zero"
    )
