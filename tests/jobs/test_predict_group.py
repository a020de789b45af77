from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from group_sandbox import choose, predict_with_stand_in, results, to_predict
from job_sandbox import Sandbox, points


def test_each_model_predicts_its_rows_in_a_row_group(sandbox: Sandbox) -> None:
    to_predict(sandbox, ["a", "bb", "ccc"])
    outcome = predict_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    assert sandbox.written() == ["predictions.parquet", "result.json"]
    assert [results(sandbox)[name]["row_group"] for name in ("a", "bb", "ccc")] == [0, 1, 2]
    rows = pq.ParquetFile(sandbox.root / "processing/input/group/predict.parquet")
    written = pq.ParquetFile(sandbox.out / "predictions.parquet")
    assert written.num_row_groups == 3
    for place, name in enumerate(["a", "bb", "ccc"]):
        found = written.read_row_group(place).to_pydict()
        asked = rows.read_row_group(place)["a"].to_pylist()
        assert found == {"stepgluon_model": [name] * 5, "prediction": [len(name) + a for a in asked]}
        assert f"{name} | predicted {name}" in outcome.log
    assert "progress: 3 of 3 models" in outcome.log
    assert "group g0007: 3 models predicted" in outcome.log


def test_models_that_were_not_chosen_do_not_predict(sandbox: Sandbox) -> None:
    choices = to_predict(sandbox, ["a", "b", "c"])
    choices["a"]["uses"] = "nothing"
    del choices["c"]
    choose(sandbox, choices)
    assert predict_with_stand_in(sandbox).code == 0
    assert {name: one["row_group"] for name, one in results(sandbox).items()} == {"b": 0}


def test_a_model_without_rows_to_predict_has_no_row_group(sandbox: Sandbox) -> None:
    to_predict(sandbox, ["a"], rows={"predict": 0})
    assert predict_with_stand_in(sandbox).code == 0
    assert {name: one["row_group"] for name, one in results(sandbox).items()} == {"a": None}
    assert pq.read_table(sandbox.out / "predictions.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ("crashed", "Model crashed: its process crashed (SIGSEGV); look at the job's log."),
        (
            "broken",
            "This is a bug in stepgluon, please report it with the job's log: ZeroDivisionError: one over nothing",
        ),
        (
            "classes",
            "Not retried: Model classes predicts classes, but the metric of 'y' needs numbers; train it again.",
        ),
        ("cut", "Not retried: Model cut: its training's cut.tar.gz is not a complete gzipped tar archive"),
        ("missing", "Model missing: its archive 'models/groups/g0007/missing.tar.gz' is missing from the inputs."),
        ("outside", "Model outside: its archive '../outside.tar.gz' is missing from the inputs."),
        ("other", "Model other is not loaded: its manifest.json is not the one that training wrote"),
        ("none", "Not retried: Model none is not loaded: choices.json does not have the sha256 of its manifest."),
    ],
)
def test_a_failure_costs_one_model_s_predictions(sandbox: Sandbox, damage: str, cause: str) -> None:
    choices = to_predict(sandbox, ["a", damage, "z"])
    path = sandbox.root / "processing/input/models" / choices[damage]["key"]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    if damage == "missing":
        path.unlink()
    if damage == "outside":
        choices[damage]["key"] = "../outside.tar.gz"
        path.rename(sandbox.root / "processing/input/outside.tar.gz")
    if damage in ("other", "none"):
        choices[damage]["manifest"] = choices["a"]["manifest"] if damage == "other" else ""
    choose(sandbox, choices)
    outcome = predict_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    found = results(sandbox)
    assert set(found[damage]) == {"name", "Error", "Cause"}
    assert found[damage]["Cause"].startswith(cause)
    assert sorted(found[name]["row_group"] for name in ("a", "z")) == [0, 1]
    assert pq.read_table(sandbox.out / "predictions.parquet").num_rows == 10
    assert "2 models predicted" in outcome.log and "1 failed" in outcome.log


def as_earlier_job(box: Sandbox) -> Path:
    """Make the output of the last job an input of the next one."""
    folder = box.root / "processing/input/models/predictions/groups/g0007/0123/job"
    shutil.copytree(box.out, folder)
    return folder


@pytest.mark.parametrize(("kind", "gone"), [("a", "more"), ("classes", "more"), ("classes", "two")])
def test_only_models_that_changed_predict_again(sandbox: Sandbox, kind: str, gone: str) -> None:
    settings = {"metric": "accuracy"} if kind == "classes" else {}
    names = [f"{kind}-{which}" for which in ("same", "model", "rows", "two", "more")]
    choices = to_predict(sandbox, names, **settings)
    assert predict_with_stand_in(sandbox).code == 0
    before = pq.read_table(sandbox.out / "predictions.parquet").to_pylist()
    as_earlier_job(sandbox)
    del choices[f"{kind}-{gone}"]
    choices[names[1]]["key"] += ".gz"
    archive = sandbox.root / "processing/input/models" / choices[names[0]]["key"]
    (archive.parent / f"{names[1]}.tar.gz").rename(archive.parent / f"{names[1]}.tar.gz.gz")
    choose(sandbox, choices)
    group = json.loads((sandbox.root / "processing/input/group/group.json").read_text())
    group["models"][2]["predict"] = "f" * 64
    sandbox.put_json("processing/input/group/group.json", group)
    outcome = predict_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    assert sorted(re.findall(r"\| predicted (\S+)", outcome.log)) == sorted(names[1:3])
    assert "group g0007: 2 models as in the last run" in outcome.log
    after = pq.read_table(sandbox.out / "predictions.parquet")
    kept = [row for row in before if row["stepgluon_model"] != f"{kind}-{gone}"]
    assert after.to_pylist() == [{name: row[name] for name in after.column_names} for row in kept]
    assert ("probability_yes" in after.column_names) == (kind == "classes" and gone != "two")
    assert [one["row_group"] for one in results(sandbox).values()] == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", ["no table", "cut table", "no list", "other rows"])
def test_damaged_predictions_of_the_last_job_are_made_again(sandbox: Sandbox, damage: str) -> None:
    to_predict(sandbox, ["a", "b"])
    assert predict_with_stand_in(sandbox).code == 0
    earlier = as_earlier_job(sandbox)
    table = earlier / "predictions.parquet"
    if damage == "no table":
        table.unlink()
    if damage == "cut table":
        table.write_bytes(table.read_bytes()[:-20])
    if damage == "no list":
        (earlier / "result.json").write_text('{"models": 5}')
    if damage == "other rows":
        pq.write_table(pq.read_table(table), table, row_group_size=2)
    outcome = predict_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    assert sorted(re.findall(r"\| predicted (\S+)", outcome.log)) == ["a", "b"]
    assert [one["row_group"] for one in results(sandbox).values()] == [0, 1]


def test_models_are_unpacked_while_the_library_is_imported(sandbox: Sandbox) -> None:
    choices = to_predict(sandbox, ["cut", "a", "b"])
    cut = sandbox.root / "processing/input/models" / choices["cut"]["key"]
    cut.write_bytes(cut.read_bytes()[:200])
    (sandbox.root / "processing/input/ahead.txt").write_text("a b")
    outcome = predict_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    found = results(sandbox)
    assert (found["a"]["row_group"], found["b"]["row_group"]) == (0, 1)
    assert "cut.tar.gz is not a complete gzipped tar archive" in found["cut"]["Cause"]


def test_the_columns_are_those_of_all_models_of_classes(sandbox: Sandbox) -> None:
    to_predict(sandbox, ["classes-one", "classes-two", "numbers"], metric="accuracy")
    predict_with_stand_in(sandbox)
    table = pq.read_table(sandbox.out / "predictions.parquet")
    assert table.column_names == ["stepgluon_model", "prediction", "probability", "probability_yes"]
    assert table["probability_yes"].to_pylist() == [None] * 5 + [0.75] * 5
    assert results(sandbox)["numbers"]["Cause"].startswith("Not retried: Model numbers predicts numbers")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "Not retried: choices.json has no list of models that each have a name and what it uses."),
        ('{"models": [{"name": "x", "uses": "default"}]}', "Not retried: The group g0007 has no model 'x'."),
    ],
)
def test_choices_that_do_not_fit_fail_the_job(sandbox: Sandbox, content: str, sentence: str) -> None:
    to_predict(sandbox, ["a"])
    (sandbox.root / "processing/input/choices/choices.json").write_text(content)
    outcome = predict_with_stand_in(sandbox)
    assert (outcome.code, outcome.message) == (1, sentence)
    assert sandbox.written() == []


def test_the_files_of_a_group_are_those_of_its_models(sandbox: Sandbox) -> None:
    """The sandbox's own group, which other tests rely on: rows depend on the model's name alone."""
    to_predict(sandbox, ["b", "a"])
    group = json.loads((sandbox.root / "processing/input/group/group.json").read_text())
    assert [each["row_groups"]["predict"] for each in group["models"]] == [0, 1]
    rows = pq.ParquetFile(sandbox.root / "processing/input/group/predict.parquet").read_row_group(1)
    assert rows["a"].to_pylist() == points(5, 97_000 + 200)["a"]
