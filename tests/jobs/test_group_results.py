"""Post-process with thousands of models in groups: each row gets the prediction of its own model, and a failure costs
no more than the models that it concerns.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import job_io
import numpy as np
import postprocess
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from group_layout import HASH, JOB, entries, lay_out_groups
from job_sandbox import Sandbox
from test_prepare_groups import partitioned, prepared, put, shops

GROUP = f"processing/input/predictions/predictions/groups/g0001/{HASH}/{JOB}"


def done(box: Sandbox) -> dict[str, list[Any]]:
    postprocess.main()
    columns: dict[str, list[Any]] = pq.read_table(box.out / "predictions.parquet").to_pydict()
    return columns


def told(box: Sandbox, file: str) -> Any:
    return json.loads((box.out / file).read_text("utf-8"))


def by_name(box: Sandbox) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in told(box, "summary.json")["models"]}


def changed(path: Path, table: pa.Table) -> None:
    """Write the table with a row group for each model again."""
    names = table["stepgluon_model"].cast(pa.string())
    with pq.ParquetWriter(path, table.schema) as file:
        for name in names.unique():
            file.write_table(table.filter(pa.compute.equal(names, name)))


def test_each_row_gets_the_prediction_of_its_own_model_in_the_order_of_the_input(sandbox: Sandbox) -> None:
    models = entries(5)
    lay_out_groups(sandbox.root, models, 41)
    columns = done(sandbox)
    assert list(columns) == ["store", "x", "y", "prediction", "model", "verdict"]
    names = {one["value"]: one["name"] for one in models}
    for row, (store, prediction, model) in enumerate(
        zip(columns["store"], columns["prediction"], columns["model"], strict=True)
    ):
        assert (prediction, model) == ((float(row), names[store]) if row % 2 else (None, None))
    assert set(columns["verdict"]) == {"accepted", None}
    assert sandbox.written() == [
        "_SUCCESS",
        "headline.json",
        "models.csv",
        "predictions.csv",
        "predictions.parquet",
        "report.html",
        "summary.json",
    ]


def test_the_csv_has_the_decimals_of_the_label(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(3), 10, decimals={"y": 0})
    postprocess.main()
    with (sandbox.out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert [row["prediction"] for row in csv.DictReader(file)][:4] == ["", "1", "", "3"]


def test_every_model_has_a_line_in_models_csv_and_an_entry_in_the_summary(sandbox: Sandbox) -> None:
    models = entries(5)
    models[1] |= {"mae": 7.5, "name": "formula", "value": "=1+1"}
    lay_out_groups(sandbox.root, models, 41)
    postprocess.main()
    with (sandbox.out / "models.csv").open(newline="", encoding="utf-8") as file:
        lines = {line["model"]: line for line in csv.DictReader(file)}
    assert set(lines) == {one["name"] for one in models} == set(by_name(sandbox))
    assert lines["formula"]["partition"] == "'=1+1"
    assert [lines["formula"][key] for key in ("group", "verdict", "score", "baseline", "limit", "outcome")] == (
        ["g0000", "rejected", "7.5", "2", "2", "predicted"]
    )
    assert by_name(sandbox)["formula"]["value"] == "=1+1"


def test_a_limit_of_zero_is_a_limit(sandbox: Sandbox) -> None:
    models = entries(2)
    models[0] |= {"mae": 0, "mae_of_median": 0, "threshold": 0}
    lay_out_groups(sandbox.root, models, 41)
    postprocess.main()
    with (sandbox.out / "models.csv").open(newline="", encoding="utf-8") as file:
        lines = {line["model"]: line for line in csv.DictReader(file)}
    assert [lines[models[0]["name"]][key] for key in ("score", "baseline", "limit")] == ["0", "0", "0"]


def test_the_headline_counts_the_models_and_names_the_worst(sandbox: Sandbox) -> None:
    models = entries(60)
    models[40] |= {"mae": 50.0}
    models[41] |= {"mae": None, "verdict": "rejected", "failure": {"Error": "E", "Cause": "Its labels are equal."}}

    models[4] |= {"train": None, "mae": None}

    def change(verdict: dict[str, Any]) -> None:
        if verdict["name"] == "store-00003":
            verdict |= {"uses": "default"}
        if verdict["name"] == "store-00004":
            verdict |= {"uses": "nothing", "reason": "too few rows"}
        if verdict["name"] in ("store-00005", "store-00006"):
            verdict["cached"] = True

    lay_out_groups(sandbox.root, models, 240, 7, change)
    postprocess.main()
    headline = told(sandbox, "headline.json")
    worse = sum((one["mae"] or 9) > 2 for one in models if "train" not in one)
    assert {key: headline[key] for key in ("models", "trained", "cached", "accepted", "rejected", "default")} == {
        "models": 60,
        "trained": 56,
        "cached": 2,
        "accepted": 59 - worse,
        "rejected": worse,
        "default": 1,
    }
    assert (headline["open"], headline["missing"], headline["failed_groups"]) == (1, 0, [])
    assert (headline["gaps"], headline["filled"]) == (120, 118)
    assert len(headline["worst"]) == 20
    assert headline["worst"][0]["name"] == "store-00040"
    assert headline["worst"][0]["score"] == 50.0
    assert by_name(sandbox)["store-00004"]["outcome"] == "open"
    assert by_name(sandbox)["store-00041"]["rows"] == 2, "it predicts anyway"
    assert headline["anyway"] == worse


def test_a_model_without_gaps_fills_none(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(5), 8)  # four gaps
    postprocess.main()
    assert (told(sandbox, "headline.json")["models"], told(sandbox, "headline.json")["predicting"]) == (5, 4)


def test_a_model_that_was_to_be_trained_and_has_no_other_is_missing(sandbox: Sandbox) -> None:
    models = entries(4)
    cause = f"Not retried: Model {models[2]['name']}: its labels are equal."
    models[2] |= {"mae": None, "uses": "nothing", "failure": {"Error": "E", "Cause": cause}}
    models[3] |= {"mae": 7.0, "uses": "nothing", "reason": "rejected. MAE 7 (limit 2)."}
    lay_out_groups(sandbox.root, models, 16)
    postprocess.main()
    assert {one["name"]: one["reason"] for one in told(sandbox, "headline.json")["missing_models"]} == {
        "store-00002": "Its labels are equal.",
        "store-00003": "rejected. MAE 7 (limit 2).",
    }


UNTRAINED: dict[str, Any] = {"mae": None, "failure": {"Error": "E", "Cause": "The machine was lost."}}
REJECTED: dict[str, Any] = {"mae": 7.0, "uses": "nothing", "reason": "rejected. MAE 7 (limit 2)."}


@pytest.mark.parametrize(
    ("changes", "repeatable"),
    [
        ([REJECTED], False),
        ([REJECTED] * 25, False),
        ([REJECTED, UNTRAINED | {"uses": "nothing"}], True),
        ([REJECTED, UNTRAINED | {"uses": "trained"}], False),
        ([{"mae": 1.0, "uses": "nothing"}, REJECTED], False),  # when: any
        ([{"mae": 1.0, "uses": "nothing"}, UNTRAINED], True),
    ],
)
def test_repeating_a_run_helps_unless_all_that_is_missing_was_scored(
    sandbox: Sandbox, changes: list[dict[str, Any]], repeatable: bool
) -> None:
    models = entries(30)
    for model, change in zip(models, changes, strict=False):
        model |= change
    lay_out_groups(sandbox.root, models, 120)
    postprocess.main()
    assert told(sandbox, "headline.json")["repeatable"] is repeatable
    (sandbox.root / "processing/input/choices/g0014/choices.json").unlink()
    shutil.rmtree(sandbox.out)
    postprocess.main()
    assert told(sandbox, "headline.json")["repeatable"] is True, "a group failed"


def test_an_accepted_model_that_another_one_replaced_says_so(sandbox: Sandbox) -> None:
    models = entries(4)
    models[1] |= {"mae": 1.0, "uses": "nothing", "reason": "accepted. MAE 1 (limit 2)."}
    lay_out_groups(sandbox.root, models, 16)
    postprocess.main()
    (missing,) = told(sandbox, "headline.json")["missing_models"]
    assert missing["reason"] == "Another model was rejected, and none is promoted for this partition."


def test_the_headline_fits_into_a_state_whatever_the_reasons_are(sandbox: Sandbox) -> None:
    models = [one | {"reason": "理由" * 5000, "value": "京" * 400} for one in entries(60)]
    lay_out_groups(sandbox.root, models, 240, 20)
    postprocess.main()
    assert (sandbox.out / "headline.json").stat().st_size < 36_000
    assert len(told(sandbox, "headline.json")["worst"]) >= 10


def test_a_group_without_choices_costs_its_own_models(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    (sandbox.root / "processing/input/choices/g0001/choices.json").unlink()
    columns = done(sandbox)
    assert set(columns["model"]) == {None, "store-00000", "store-00001", "store-00004", "store-00005"}
    headline = told(sandbox, "headline.json")
    assert headline["failed_groups"] == ["g0001"]
    assert headline["missing"] == 2
    assert headline["missing_models"] == [
        {"name": name, "value": value, "reason": "Group g0001 ended before its models were judged."}
        for name, value in (("store-00002", "Store 2"), ("store-00003", "Store 3"))
    ]
    assert told(sandbox, "summary.json")["missing"][0] == {
        "name": "store-00002",
        "rows": 2,
        "reason": "Group g0001 ended before its models were judged.",
    }


def test_the_reason_is_that_of_the_groups_child_execution(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    sandbox.put_json("processing/input/choices/g0001/failure.json", {"Error": "E", "Cause": "No machine was free."})
    shutil.rmtree(sandbox.root / GROUP)
    postprocess.main()
    assert {one["reason"] for one in told(sandbox, "headline.json")["missing_models"]} == {"No machine was free."}
    assert told(sandbox, "headline.json")["failed_groups"] == [], "its models were judged"


def test_all_groups_may_fail(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    shutil.rmtree(sandbox.root / "processing/input/choices")
    columns = done(sandbox)
    assert set(columns["prediction"]) == {None}
    assert len(columns["store"]) == 24
    headline = told(sandbox, "headline.json")
    assert (headline["missing"], headline["accepted"], headline["filled"]) == (6, 0, 0)
    assert headline["failed_groups"] == ["g0000", "g0001", "g0002"]


@pytest.mark.parametrize("content", [b"", b"PAR1" + bytes(100), None])
def test_a_damaged_file_of_predictions_costs_its_group(sandbox: Sandbox, content: bytes | None) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    file = sandbox.root / GROUP / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    columns = done(sandbox)
    assert sum(each is not None for each in columns["prediction"]) == 8
    reasons = {one["name"]: one["reason"] for one in told(sandbox, "headline.json")["missing_models"]}
    assert set(reasons) == {"store-00002", "store-00003"}
    assert all(one.startswith("The predictions of group g0001 are damaged: ") for one in reasons.values())
    assert all(one.endswith("; start a fresh run.") for one in reasons.values())


def test_predictions_of_other_models_are_not_taken_for_its_own(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    result = sandbox.root / GROUP / "result.json"
    swapped = {"store-00002": 1, "store-00003": 0}
    result.write_text(json.dumps({"models": [{"name": name, "row_group": at} for name, at in swapped.items()]}))
    columns = done(sandbox)
    assert not {"store-00002", "store-00003"} & set(columns["model"])
    assert told(sandbox, "headline.json")["missing"] == 2


def test_a_model_that_failed_in_its_job_has_its_own_reason(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    file, result = (sandbox.root / GROUP / name for name in ("predictions.parquet", "result.json"))
    table = pq.read_table(file)
    changed(file, table.slice(2))
    failed = {"name": "store-00002", "Error": "JobError", "Cause": "Not retried: The model lacks a column."}
    result.write_text(json.dumps({"models": [failed, {"name": "store-00003", "row_group": 0}]}))
    columns = done(sandbox)
    assert "store-00003" in columns["model"]
    assert told(sandbox, "headline.json")["missing_models"] == [
        {"name": "store-00002", "value": "Store 2", "reason": "The model lacks a column."}
    ]


def test_predictions_that_are_no_numbers_or_too_few_cost_one_model(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(6), 24)
    file = sandbox.root / GROUP / "predictions.parquet"
    table = pq.read_table(file)
    values = table["prediction"].to_numpy().copy()
    values[-1] = np.nan
    changed(file, table.set_column(1, "prediction", pa.array(values)).slice(1))
    columns = done(sandbox)
    assert not {"store-00002", "store-00003"} & set(columns["model"])
    assert {name: one["failure"] for name, one in by_name(sandbox).items() if "failure" in one} == {
        "store-00002": "It has 1 prediction for its 2 rows; start a fresh run.",
        "store-00003": "A prediction is not a number; start a fresh run.",
    }


def test_classes_have_their_probabilities_and_the_labels_type(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(4), 16, classes={"y": ["0", "1"]})
    configured = sandbox.root / "processing/input/config/config.json"
    given = json.loads(configured.read_text())
    given["models"][0]["metric"] = "accuracy"
    configured.write_text(json.dumps(given))
    rows = sandbox.root / "processing/input/rows/part-00000.parquet"
    table = pq.read_table(rows)
    labels = pa.array([None if row % 2 else row // 2 % 2 for row in range(16)], pa.int64())
    pq.write_table(table.set_column(3, "y", labels), rows)
    for path in (sandbox.root / "processing/input/predictions").rglob("predictions.parquet"):
        answers = pq.read_table(path)
        texts = pa.array([str(int(value) // 2 % 2) for value in answers["prediction"].to_pylist()])
        answers = answers.set_column(1, "prediction", texts)
        changed(path, answers.append_column("probability", pa.array([0.75] * len(texts))))
    columns = done(sandbox)
    assert columns["prediction"][:6] == [None, 0, None, 1, None, 0]
    assert columns["probability"][:2] == [None, 0.75]
    assert set(columns["probability_1"]) == {None}, "these models know no other class"


def test_rows_that_two_models_predict_are_refused(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(4), 16)
    shutil.copy(
        sandbox.root / "processing/input/numbers/g0000.parquet", sandbox.root / "processing/input/numbers/g0001.parquet"
    )
    with pytest.raises(job_io.JobError, match="predictions from several models"):
        postprocess.main()
    assert sandbox.written() == []


def test_a_shared_endpoint_gets_the_archives_of_the_models_that_it_serves(sandbox: Sandbox) -> None:
    models = entries(6)
    for one, (error, uses) in zip(
        models,
        [(1, "trained"), (9, "trained"), (9, "default"), (9, "nothing"), (1, "trained"), (1, "trained")],
        strict=True,
    ):
        one |= {"mae": error, "uses": uses, "key": f"models/{one['name']}.tar.gz"}
    lay_out_groups(sandbox.root, models, 24)
    configured = sandbox.root / "processing/input/config/config.json"
    given = json.loads(configured.read_text())
    done(sandbox)
    assert "targets.json" not in sandbox.written()  # nothing serves them
    shutil.rmtree(sandbox.out)
    given["shared"] = True
    configured.write_text(json.dumps(given))
    done(sandbox)
    served = [f"store-{n:05}" for n in (0, 2, 4, 5)]  # neither the rejected one that predicts, nor that without a model
    assert told(sandbox, "targets.json") == {"models": {name: f"models/{name}.tar.gz" for name in served}}
    assert told(sandbox, "headline.json")["served"] == {
        "models": 4,
        "example": served[0],
        "target": f"models/{served[0]}.tar.gz",
    }
    assert told(sandbox, "summary.json")["headline"] == told(sandbox, "headline.json")


def test_it_reads_what_prepare_wrote(sandbox: Sandbox) -> None:
    names = ["a", "B", "東京", "c c", "small"]
    put(sandbox, pa.concat_tables([shops(300, names[:4]), shops(3, names[4:], 2)]))
    resolved = partitioned(per_job=2)
    prepared(sandbox, resolved)
    inputs = sandbox.root / "processing/input"
    for name in ("rows", "numbers"):
        shutil.copytree(sandbox.out / name, inputs / name)
    (inputs / "profile").mkdir()
    shutil.copy(sandbox.out / "profile.json", inputs / "profile/profile.json")
    for file in sorted((inputs / "numbers").glob("*.json")):
        predict_all(sandbox, json.loads(file.read_text()))
    postprocess.main()
    table = pq.read_table(sandbox.out / "predictions.parquet")
    models = by_name(sandbox)
    for shop, label, model, verdict in zip(
        *(table[key].to_pylist() for key in ("shop", "y", "model", "verdict")), strict=True
    ):
        if label is None and shop != "small":
            assert (models[model]["value"], verdict) == (shop, "accepted")
        else:
            assert (model, verdict) == (None, None)
    assert models["small"]["outcome"] == "open"
    headline = told(sandbox, "headline.json")
    assert (headline["models"], headline["open"], headline["missing"]) == (5, 1, 0)
    assert headline["gaps"] - headline["filled"] == models["small"]["rows_predict"] == 2
    report = (sandbox.out / "report.html").read_text("utf-8")
    assert "1 partition of 5 has fewer than 4 rows with a label (&#x27;small&#x27;)" in report


def predict_all(box: Sandbox, group: dict[str, Any]) -> None:
    """Leave the choices and predictions of a group whose models are all good."""
    choices, results, tables = [], [], []
    for model in group["models"]:
        uses = "trained" if model["train"] else "nothing"
        known = {"name": model["name"], "uses": uses, "verdict": "accepted" if model["train"] else "rejected"}
        choices.append(
            {**known, "mae": 1.0 if model["train"] else None, "mae_of_median": 2.0, "reason": "too few rows"}
        )
        if model["train"] and model["rows_predict"]:
            results.append({"name": model["name"], "row_group": len(results)})
            rows = {
                "stepgluon_model": [model["name"]] * model["rows_predict"],
                "prediction": [1.5] * model["rows_predict"],
            }
            tables.append(pa.table(rows))
    box.put_json(f"processing/input/choices/{group['group']}/choices.json", {"models": choices})
    folder = f"processing/input/predictions/predictions/groups/{group['group']}/{HASH}/{JOB}"
    box.put_json(f"{folder}/result.json", {"models": results})
    if tables:
        box.put_parquet(f"{folder}/predictions.parquet", tables[0])
        changed(box.root / folder / "predictions.parquet", pa.concat_tables(tables))
