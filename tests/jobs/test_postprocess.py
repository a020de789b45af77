from __future__ import annotations

import csv
import json
import shutil
from typing import Any

import job_io
import part_files
import postprocess
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spreadsheet
from job_sandbox import Sandbox, config

FILE = "part-00000.parquet"
PREDICTIONS = "processing/input/predictions"
ROWS = {"t": ["a", "b", "c", "d"], "x": [1.5, -2.0, None, 4.0], "y": [10, None, 30, None]}


def lay_out(
    box: Sandbox,
    rows: dict[str, Any],
    predictions: dict[str, dict[int, float]],
    models: list[dict[str, Any]] | None = None,
    labels: dict[str, str] | None = None,
) -> None:
    """What the jobs before left: rows, each model's predictions by row, and the papers about them."""
    chosen = models or [{"name": name} for name in predictions]
    box.configure(config(*chosen))
    count = len(next(iter(rows.values())))
    box.put_parquet("processing/input/rows/part-00000.parquet", {"stepgluon_row": list(range(count)), **rows})
    for name, answers in predictions.items():
        box.put_predictions(name, FILE, list(answers), list(answers.values()))
    box.put_json(f"{PREDICTIONS}/runs/test/prepared/profile.json", {})  # so that the input is never empty
    box.put_json(
        "processing/input/verdicts/verdicts.json",
        [
            {"name": name, "mae": 1.5, "threshold": 2, "verdict": "accepted", "reason": None, "uses": "trained"}
            | {"model_uri": "s3://b/m", "outcome": "predicted", "outcome_failure": {"Error": "", "Cause": ""}}
            for name in predictions
        ],
    )
    box.put_json(
        "processing/input/profile/profile.json",
        {
            "rows": count,
            "rows_no_model_selects": 0,
            "gaps": 2,
            "seconds": 1.0,
            "models": [
                {"name": name, "label": (labels or {}).get(name, "y")}
                | {"rows_train": 1, "rows_test": 1, "rows_predict": len(answers), "predict_files": [FILE]}
                for name, answers in predictions.items()
            ],
        },
    )


def result(box: Sandbox) -> dict[str, list[Any]]:
    postprocess.main()
    columns: dict[str, list[Any]] = pq.read_table(box.out / "predictions.parquet").to_pydict()
    return columns


def sentence(box: Sandbox) -> str:
    with pytest.raises(job_io.JobError) as refused:
        postprocess.main()
    assert box.written() == [], "a result is complete or absent"
    return str(refused.value)


def csv_rows(box: Sandbox) -> list[list[str]]:
    with (box.out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_model_without_gaps_needs_no_predictions(sandbox: Sandbox) -> None:
    models = [{"name": name, "label": "y"} for name in ("all", "none")]
    lay_out(sandbox, ROWS, {"all": {1: 7.5, 3: 8.5}, "none": {}}, models)
    for folder in list((sandbox.root / PREDICTIONS).rglob("none")):
        shutil.rmtree(folder)
    assert result(sandbox)["model"] == [None, "all", None, "all"]


@pytest.mark.parametrize(
    ("decimals", "cells"),
    [(0, ["22", "4000"]), (1, ["22.5", "4000.1"]), (None, ["22.46", "4000.123"])],
)
def test_predictions_in_the_csv_have_the_decimals_of_their_label_and_those_in_parquet_all(
    sandbox: Sandbox, decimals: int | None, cells: list[str]
) -> None:
    lay_out(sandbox, ROWS, {"one": {3: 4000.123}, "two": {1: 22.46}})
    profile = sandbox.root / "processing/input/profile/profile.json"
    profile.write_text(json.dumps({**json.loads(profile.read_text()), "decimals": {"y": decimals}}))
    assert result(sandbox)["prediction"] == [None, 22.46, None, 4000.123]
    assert [row[3] for row in csv_rows(sandbox)[1:]] == ["", cells[0], "", cells[1]]


def test_a_table_with_semicolons_and_decimal_commas_comes_back_with_them(sandbox: Sandbox) -> None:
    rows = {"t": ["a;b", "-1.5"], "x": [-1.25, 1e20], "y": [2.5, None]}
    lay_out(sandbox, rows, {"one": {1: 22.46}})
    profile = sandbox.root / "processing/input/profile/profile.json"
    told = json.loads(profile.read_text()) | {"decimals": {"y": 1}}
    profile.write_text(json.dumps({**told, "csv": {"separator": ";", "decimal": ","}}))
    postprocess.main()
    with (sandbox.out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file, delimiter=";")) == [
            ["t", "x", "y", "prediction", "model", "verdict"],
            ["a;b", "-1,25", "2,5", "", "", ""],
            ["'-1.5", "1e+20", "", "22,5", "one", "accepted"],
        ]
    assert json.loads((sandbox.out / "summary.json").read_text())["separator"] == ";"
    assert pq.read_table(sandbox.out / "predictions.parquet")["prediction"].to_pylist() == [None, 22.46]


def test_rows_keep_their_order_and_columns_and_get_their_predictions(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {3: 44.0}, "two": {1: 22.5}})
    assert result(sandbox) == {
        **ROWS,
        "prediction": [None, 22.5, None, 44.0],
        "model": [None, "two", None, "one"],
        "verdict": [None, "accepted", None, "accepted"],
    }
    assert csv_rows(sandbox)[0] == ["t", "x", "y", "prediction", "model", "verdict"]
    assert csv_rows(sandbox)[2] == ["b", "-2", "", "22.5", "two", "accepted"]


def test_the_marker_is_there_when_all_else_is(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    postprocess.main()
    assert sandbox.written() == ["_SUCCESS", "predictions.csv", "predictions.parquet", "report.html", "summary.json"]


def test_the_marker_comes_last(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    rename = type(sandbox.out).rename
    monkeypatch.setattr(type(sandbox.out), "rename", lambda path, to: (moved.append(path.name), rename(path, to))[1])
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    postprocess.main()
    assert moved[-1] == "_SUCCESS"
    assert len(moved) == 5


def test_the_summary_says_what_became_of_every_model_and_row(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    evaluation = sandbox.root / "processing/input/predictions/models/one/f/job/output/model/evaluation.json"
    evaluation.parent.mkdir(parents=True)
    evaluation.write_text('{"r2": 0.5, "best_model": "LightGBM"}')
    postprocess.main()
    summary = json.loads((sandbox.out / "summary.json").read_text())
    assert summary["rows"] == 4
    assert summary["predictions"] == summary["gaps"] == 2
    assert summary["rows_no_model_selects"] == 0
    assert summary["columns"] == [{"label": "y", "prediction": "prediction", "model": "model", "verdict": "verdict"}]
    assert summary["models"] == [
        {
            "name": "one",
            "label": "y",
            "rows": 2,
            "rows_train": 1,
            "rows_test": 1,
            "rows_predict": 2,
            "mae": 1.5,
            "threshold": 2,
            "verdict": "accepted",
            "reason": None,
            "uses": "trained",
            "model_uri": "s3://b/m",
            "outcome": "predicted",
            "failure": None,
            "r2": 0.5,
            "learner": "LightGBM",
        }
    ]
    assert summary["missing"] == []
    assert set(summary["seconds"]) == {"prepare", "postprocess"}


def test_several_labels_have_their_own_columns(sandbox: Sandbox) -> None:
    rows = {"y": [None, 2], "z": [None, None]}
    rows = {"y": pa.array([None, 2], pa.int64()), "z": pa.array([None, None], pa.float64())}
    models = [{"name": "my", "label": "y"}, {"name": "mz", "label": "z"}]
    lay_out(sandbox, rows, {"my": {0: 1.0}, "mz": {0: 5.0, 1: 6.0}}, models, {"my": "y", "mz": "z"})
    columns = result(sandbox)
    assert list(columns) == [
        "y",
        "z",
        *(f"{label}_{name}" for label in "yz" for name in ("prediction", "model", "verdict")),
    ]
    assert columns["y_prediction"] == [1.0, None]
    assert columns["z_prediction"] == [5.0, 6.0]
    assert columns["z_model"] == ["mz", "mz"]


def test_a_column_of_the_users_keeps_its_name(sandbox: Sandbox) -> None:
    lay_out(sandbox, {"model": ["T", "S"], "y": [1, None]}, {"one": {1: 5.0}})
    assert result(sandbox) == {
        "model": ["T", "S"],
        "y": [1, None],
        "prediction": [None, 5.0],
        "stepgluon_model": [None, "one"],
        "verdict": [None, "accepted"],
    }
    summary = json.loads((sandbox.out / "summary.json").read_text())
    assert summary["columns"][0]["model"] == "stepgluon_model"


def test_a_name_that_no_added_column_can_have_is_named(sandbox: Sandbox) -> None:
    lay_out(sandbox, {"model": ["T"], "stepgluon_model": ["S"], "y": pa.array([None], pa.int64())}, {"one": {0: 5.0}})
    assert sentence(sandbox) == "The tables already have a column stepgluon_model, which the result needs; rename it."


# Spreadsheets


DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "\nx",
    " =1",
    "\0=1",
    "\ufeff=1",
    "\u3000@x",
    "＝1",
    "＋1",
    "－1",
    "＠x",
]
HARMLESS = ["a=1", "", "'=1", " a", "(1-2)", "\0a", "é-1"]


def test_cells_that_a_spreadsheet_would_run_are_made_text_in_the_csv_alone(sandbox: Sandbox) -> None:
    texts = [*DANGEROUS, *HARMLESS]
    count = len(texts)
    rows = {"t": texts, "n": [-1.5] * count, "y": pa.array([None] * count, pa.int64())}
    lay_out(sandbox, rows, {"one": dict.fromkeys(range(count), -3.0)})
    assert result(sandbox)["t"] == texts
    lines = csv_rows(sandbox)[1:]
    assert [line[0] for line in lines] == [*(f"'{text}" for text in DANGEROUS), *HARMLESS]
    assert {line[1] for line in lines} == {"-1.5"}
    assert {line[3] for line in lines} == {"-3"}


def test_headers_that_a_spreadsheet_would_run_are_made_text_in_the_csv_alone(sandbox: Sandbox) -> None:
    lay_out(sandbox, {"=cmd()": [1], "y": pa.array([None], pa.int64())}, {"one": {0: 1.0}})
    assert "=cmd()" in result(sandbox)
    assert csv_rows(sandbox)[0][0] == "'=cmd()"


def test_text_without_danger_is_handed_on_as_it_is() -> None:
    values = pa.array(["a", None, "b-1"])
    assert spreadsheet.defused(values) is values


# Results that would be wrong


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ({"one": {1: 1.0, 3: 2.0}, "two": {3: 2.0}}, "Row 4 of the data has predictions of the models one and two"),
        ({"one": {0: 1.0}}, "Row 1 of the data has a 'y' and a prediction"),
        ({"one": {1: 1.0, 9: 2.0}}, "Model one predicted rows that the data does not have"),
        ({"one": {3: 1.0, 1: 2.0}}, "The rows of model one are out of order"),
        ({"one": {1: float("nan"), 3: 1.0}}, "A prediction of model one in part-00000.parquet is not a number"),
    ],
)
def test_predictions_that_do_not_belong_to_the_rows_are_refused(
    sandbox: Sandbox, predictions: dict[str, dict[int, float]], words: str
) -> None:
    lay_out(sandbox, ROWS, predictions)
    assert words in sentence(sandbox)


def test_a_prediction_too_few_is_refused(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    sandbox.put_predictions("one", FILE, [1, 3], [1.0])
    assert sentence(sandbox) == (
        "Model one has 1 prediction for the 2 rows of part-00000.parquet; run the pipeline again."
    )
    sandbox.put_predictions("one", FILE, [1], [1.0])
    assert sentence(sandbox) == "Model one predicted 1 of its 2 rows; the job's inputs are not complete."


def test_predictions_by_two_jobs_are_refused(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    sandbox.put_predictions("one", FILE, [1, 3], [1.0, 2.0], job="other")
    assert sentence(sandbox) == "There are predictions of model one by two jobs, job and other."


def test_a_missing_verdict_is_named(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    sandbox.put_json("processing/input/verdicts/verdicts.json", [])
    assert sentence(sandbox) == "verdicts.json has no verdict of model one; run the pipeline again."


def test_verdicts_may_be_a_json_text(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    path = sandbox.root / "processing/input/verdicts/verdicts.json"
    path.write_text(json.dumps(path.read_text()))
    assert result(sandbox)["verdict"] == [None, "accepted", None, "accepted"]
    path.write_text(json.dumps("nonsense"))
    assert "verdicts.json is not a list of models" in sentence(sandbox)


def test_missing_predictions_of_a_model_are_named(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    shutil.rmtree(sandbox.root / PREDICTIONS / "predictions/one")
    outcome = sandbox.run("postprocess.py")
    assert (outcome.message, outcome.final) == (
        "The predictions of model one lack part-00000.parquet; the job's inputs are not complete.",
        False,
    )
    (sandbox.root / "processing/input/numbers/one" / FILE).unlink()
    assert sentence(sandbox) == "The rows of model one lack part-00000.parquet; the job's inputs are not complete."


# Predictions that failed


def fail(box: Sandbox, name: str, cause: str) -> None:
    """As if the prediction of the model had failed."""
    path = box.root / "processing/input/verdicts/verdicts.json"
    verdicts = json.loads(path.read_text())
    for verdict in verdicts:
        if verdict["name"] == name:
            verdict |= {"outcome": "failed", "outcome_failure": {"Error": "States.TaskFailed", "Cause": cause}}
    path.write_text(json.dumps(verdicts))
    shutil.rmtree(box.root / PREDICTIONS / "predictions" / name)


def test_the_rows_of_a_failed_prediction_stay_open_and_the_summary_names_the_model(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {3: 44.0}, "two": {1: 22.5}})
    fail(sandbox, "two", "The job's disk is full; raise volume_gb of its instance.")
    assert result(sandbox) == {
        **ROWS,
        "prediction": [None, None, None, 44.0],
        "model": [None, None, None, "one"],
        "verdict": [None, None, None, "accepted"],
    }
    summary = json.loads((sandbox.out / "summary.json").read_text())
    assert summary["predictions"] == 1
    assert summary["missing"] == [
        {"name": "two", "rows": 1, "reason": "The job's disk is full; raise volume_gb of its instance."}
    ]
    assert [(model["outcome"], model["failure"], model["rows"]) for model in summary["models"]] == [
        ("predicted", None, 1),
        ("failed", "The job's disk is full; raise volume_gb of its instance.", 0),
    ]


def test_a_run_whose_predictions_all_failed_has_its_rows_and_no_prediction(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    fail(sandbox, "one", "")
    assert result(sandbox)["prediction"] == [None] * 4
    summary = json.loads((sandbox.out / "summary.json").read_text())
    assert summary["missing"] == [{"name": "one", "rows": 2, "reason": "Its prediction job failed."}]


def test_a_verdict_without_an_outcome_is_one_of_a_model_that_predicted(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    path = sandbox.root / "processing/input/verdicts/verdicts.json"
    path.write_text(json.dumps([{"name": "one", "verdict": "rejected"}]))
    assert result(sandbox)["verdict"] == [None, "rejected", None, "rejected"]
    assert json.loads((sandbox.out / "summary.json").read_text())["models"][0]["outcome"] == "predicted"


# Files


def test_predictions_belong_to_the_rows_at_the_same_place_of_the_file_of_the_same_name(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("part_files.GROUP_ROWS", 3)
    monkeypatch.setattr(part_files.read_batches, "__defaults__", (None, 3))
    count = 40
    lay_out(sandbox, {"y": pa.array([None] * count, pa.float64())}, {"one": {n: n / 2 for n in range(count)}})
    sizes = {"part-00000.parquet": 7, "part-00001.parquet": 0, "part-00002.parquet": 33}
    profile = json.loads((sandbox.root / "processing/input/profile/profile.json").read_text())
    profile["models"][0]["predict_files"] = list(sizes)
    sandbox.put_json("processing/input/profile/profile.json", profile)
    start = 0
    for name, size in sizes.items():
        numbers = list(range(start, start + size))
        sandbox.put_predictions("one", name, numbers, [])
        table = pa.table({"prediction": pa.array([n / 2 for n in numbers], pa.float64())})
        path = sandbox.root / PREDICTIONS / "predictions/one" / ("f" * 64) / "job" / name
        pq.write_table(table, path, row_group_size=5)  # the groups of a prediction job are not those of prepare
        start += size
    assert result(sandbox)["prediction"] == [n / 2 for n in range(count)]


def test_what_an_earlier_try_left_is_replaced(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    (sandbox.out / ".unfinished").mkdir(parents=True)
    (sandbox.out / "predictions.csv").write_text("old")
    (sandbox.out / "_SUCCESS").touch()
    postprocess.main()
    assert csv_rows(sandbox)[1][0] == "a"
    assert ".unfinished" not in sandbox.written()


def test_the_job_runs_as_a_process_and_reports_its_failure(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    assert sandbox.run("postprocess.py").code == 0
    (sandbox.root / "processing/input/verdicts/verdicts.json").write_text("{nonsense")
    outcome = sandbox.run("postprocess.py")
    assert outcome.code == 1
    assert outcome.message is not None
    assert outcome.message.startswith("verdicts.json in ")
    assert sandbox.written() == []
