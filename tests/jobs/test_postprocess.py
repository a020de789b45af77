from __future__ import annotations

import csv
import json
from typing import Any

import job_io
import postprocess
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spreadsheet
from conftest import Sandbox, config

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
        columns = {
            "stepgluon_row": pa.array(answers, pa.int64()),
            "prediction": pa.array(answers.values(), pa.float64()),
        }
        box.put_parquet(f"processing/input/predictions/{name}/part-00000.parquet", columns)
    box.put_json(
        "processing/input/verdicts/verdicts.json",
        [
            {"name": name, "mae": 1.5, "threshold": 2, "verdict": "accepted", "reason": None, "uses": "trained"}
            | {"model_uri": "s3://b/m"}
            for name in predictions
        ],
    )
    box.put_json(
        "processing/input/profile/profile.json",
        {
            "rows": count,
            "rows_no_model_selects": 0,
            "seconds": 1.0,
            "models": [
                {"name": name, "label": (labels or {}).get(name, "y")}
                | {"rows_train": 1, "rows_test": 1, "rows_predict": len(answers)}
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
    assert sandbox.written() == ["_SUCCESS", "predictions.csv", "predictions.parquet", "summary.json"]


def test_the_marker_comes_last(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    rename = type(sandbox.out).rename
    monkeypatch.setattr(type(sandbox.out), "rename", lambda path, to: (moved.append(path.name), rename(path, to))[1])
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    postprocess.main()
    assert moved[-1] == "_SUCCESS"
    assert len(moved) == 4


def test_the_summary_says_what_became_of_every_model_and_row(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    postprocess.main()
    summary = json.loads((sandbox.out / "summary.json").read_text())
    assert summary["rows"] == 4
    assert summary["predictions"] == 2
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
        }
    ]
    assert set(summary["seconds"]) == {"prepare", "postprocess"}


def test_several_labels_have_their_own_columns(sandbox: Sandbox) -> None:
    rows = {"y": [None, 2], "z": [None, None]}
    rows = {"y": pa.array([None, 2], pa.int64()), "z": pa.array([None, None], pa.float64())}
    models = [{"name": "my", "label": "y"}, {"name": "mz", "label": "z"}]
    lay_out(sandbox, rows, {"my": {0: 1.0}, "mz": {0: 5.0, 1: 6.0}}, models, {"my": "y", "mz": "z"})
    columns = result(sandbox)
    assert list(columns) == ["y", "z", *(f"{label}_{name}" for label in "yz" for name in postprocess.ADDED)]
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


DANGEROUS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx"]


def test_cells_that_a_spreadsheet_would_run_are_made_text_in_the_csv_alone(sandbox: Sandbox) -> None:
    texts = [*DANGEROUS, "a=1", "", "'=1"]
    rows = {"t": texts, "n": [-1.5] * 9, "y": pa.array([None] * 9, pa.int64())}
    lay_out(sandbox, rows, {"one": dict.fromkeys(range(9), -3.0)})
    assert result(sandbox)["t"] == texts
    lines = csv_rows(sandbox)[1:]
    assert [line[0] for line in lines] == [*(f"'{text}" for text in DANGEROUS), "a=1", "", "'=1"]
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
        ({"one": {3: 1.0, 1: 2.0}}, "The predictions of model one are out of order"),
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
    sandbox.put_parquet(
        "processing/input/predictions/one/part-00000.parquet", {"stepgluon_row": [1], "prediction": [1.0]}
    )
    assert sentence(sandbox) == "Model one predicted 1 of its 2 rows; run the pipeline again."


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
    assert sentence(sandbox) == "verdicts.json holds a text that is not JSON; run the pipeline again."


def test_missing_predictions_of_a_model_are_named(sandbox: Sandbox) -> None:
    lay_out(sandbox, ROWS, {"one": {1: 1.0, 3: 2.0}})
    (sandbox.root / "processing/input/predictions/one/part-00000.parquet").unlink()
    assert "There are no Parquet files in" in sentence(sandbox)


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
