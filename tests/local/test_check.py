"""`check --data` with the jobs' real code, and what `run` does with tables that it refuses."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pytest

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.load import load
from stepgluon.local import data_check
from stepgluon.names import Names

CONFIG = """name: rents
models:
  - {name: bonn, label: rent, where: {Stadt: Bonn}}
  - {name: cologne, label: rent, where: {Stadt: Koln}}
fallback: {threshold: 10}
"""
GOOD = "id,Stadt,rent\n" + "".join(f"{n},{'Köln' if n % 3 else 'Bonn'},{n % 5 or ''}\n" for n in range(60))
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    forks.arrange(monkeypatch.setattr)
    Path("pipeline-config.yml").write_text(CONFIG, "utf-8")

    def call(*words: str) -> tuple[int, str, str]:
        try:
            code = main(workflow, words, {})
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_good_tables_are_described(call: Call) -> None:
    Path("my table.csv").write_text(GOOD, "utf-8")
    code, out, err = call("check", "--data", "my table.csv")
    assert (code, err) == (0, "")
    assert (
        out
        == """my table.csv: 60 rows

model    to train  held out  to predict
bonn           12         4           4
cologne         0         0           0

Model cologne: no row has Stadt = 'Koln'; did you mean 'Köln'?
Stadt = Köln: 8 gaps, no model.
'id' is different in each row: an identifier? A model learns nothing from one; put it in drop.

A run can start: 60 rows, models for 4 of 12 gaps.
"""
    )


def test_a_table_without_labels_starts_no_training(call: Call) -> None:
    Path("a.csv").write_text("Stadt,rent\n" + "Bonn,\n" * 30, "utf-8")
    code, out, _ = call("check", "--data", "a.csv")
    assert code == 0  # with promoted models, the account can predict it
    assert out.endswith("\n\nA run needs promoted models: with these rows, no model can be trained.\n")
    assert json.loads(call("check", "--data", "a.csv", "--json")[1])["can_train"] is False


def test_a_model_whose_name_is_a_hash_has_its_value_beside_it(call: Call) -> None:
    config = "name: rents\nmodels: {partition_by: Stadt, values: [東京, Bonn], label: rent}\n"
    Path("pipeline-config.yml").write_text(config, "utf-8")
    Path("a.csv").write_text("Stadt,rent\n" + "Bonn,5\n東京,6\n" * 20, "utf-8")
    lines = call("check", "--data", "a.csv")[1].splitlines()
    assert [line.endswith("  Stadt = 東京") for line in lines if line.startswith("value-")] == [True]
    assert not [line for line in lines if "Stadt = Bonn" in line]


def test_a_label_with_one_value_is_noted(call: Call) -> None:
    Path("a.csv").write_text("Stadt,rent\n" + "Bonn,5\nBonn,\n" * 20, "utf-8")
    out = call("check", "--data", "a.csv")[1]
    assert "\nThe label 'rent' is 5 in all rows that have one; there is nothing to learn.\n" in out


CLASSES = "name: churn\nmodels:\n  - {name: churn, label: left, metric: accuracy}\n"


@pytest.mark.parametrize(
    ("rare", "can_train", "said"),
    [
        ((), False, "all training rows have the class 'no'; a model needs two classes."),
        (
            ("yes",),
            False,
            "only one training row has the class 'yes', too few to learn it; "
            "a model needs two training rows in each of two classes.",
        ),
        (("yes", *["maybe"] * 20), True, "only one training row has the class 'yes', too few to learn it."),
    ],
)
def test_classes_that_no_model_can_learn_start_no_training(
    call: Call, rare: tuple[str, ...], can_train: bool, said: str
) -> None:
    Path("pipeline-config.yml").write_text(CLASSES, "utf-8")
    labels = [*rare, *["no"] * 30]
    rows = "".join(f"{n % 7},{label}\n" for n, label in enumerate(labels))
    Path("a.csv").write_text(f"x,left\n{rows}", "utf-8")
    code, out, _ = call("check", "--data", "a.csv")
    assert (code, f"\nModel churn: {said}\n" in out) == (0, True), out
    assert ("\nA run can start: " in out) is can_train


def test_what_was_assumed_is_printed(call: Call) -> None:
    Path("a.csv").write_bytes(GOOD.replace(",", ";").encode("cp1252"))
    code, out, _ = call("check", "--data", "a.csv")
    assert code == 0
    assert "a.csv: read with ; as separator (data.separator)\n" in out
    assert "a.csv: read as Windows-1252, as it is not UTF-8 (data.encoding)\n" in out


def test_a_script_gets_all_of_it(call: Call) -> None:
    Path("a.csv").write_text(GOOD, "utf-8")
    code, out, _ = call("check", "--data", "a.csv", "--json")
    told: dict[str, Any] = json.loads(out)
    assert (code, told["problems"], told["rows"], told["gaps"]) == (0, [], 60, 12)
    assert told["open_gaps"] == [{"label": "rent", "rows": 8, "where": {"Stadt": [["Köln", 8]]}}]
    assert {model["name"]: model["rows_train"] for model in told["models"]} == {"bonn": 12, "cologne": 0}


def test_all_problems_are_named_at_once(call: Call) -> None:
    for name, content in {
        "a.csv": b"",
        "b.csv": b"id,Stadt\n1,2\n3\n",
        "c.csv.gz": gzip.compress(b"x" * 900)[:-9],
    }.items():
        Path(name).write_bytes(content)
    code, out, err = call("check", "--data", "a.csv", "b.csv", "c.csv.gz")
    assert (code, err) == (1, "")
    first, *problems = out.splitlines()
    assert first == "A run cannot start:"
    assert [problem.split()[0] for problem in problems] == ["a.csv", "c.csv.gz"]
    assert json.loads(call("check", "--data", "a.csv", "b.csv", "c.csv.gz", "--json")[1])["problems"] == [
        problem.strip() for problem in problems
    ]


def test_labels_and_columns_that_are_wrong_are_named_together(call: Call) -> None:
    Path("a.csv").write_text("Stadt,rent\nBonn,cheap\n", "utf-8")
    Path("b.csv").write_text("Stadt,rent\nBonn,1\n2,dear\n", "utf-8")
    code, out, _ = call("check", "--data", "a.csv", "b.csv")
    assert code == 1
    assert "a.csv: column 'rent' is the label of model cologne and must hold numbers, but 1 row holds text" in out
    assert "b.csv: column 'rent' is the label of model cologne and must hold numbers, but 1 row holds text" in out


@pytest.mark.parametrize("words", [("--data", "no.csv"), ("--data", "."), (), ("--data", "a\x1b[2J.csv")])
def test_bad_usage_is_named(call: Call, words: tuple[str, ...]) -> None:
    Path("a\x1b[2J.csv").write_text(GOOD, "utf-8")
    code, out, err = call("check", *words)
    assert (code, out) == (2, "")
    assert "\x1b" not in err


def test_a_run_does_not_start_with_bad_tables(call: Call) -> None:
    Path("a.csv").write_text("Stadt,rent\nBonn,cheap\n", "utf-8")
    Path("b.csv").write_text("Stadt,rent\nBonn,1,2\n", "utf-8")
    code, out, err = call("run", "--data", "a.csv", "b.csv")
    assert (code, out) == (1, "")
    assert "error: the data:\n  a.csv: column 'rent' is the label of model cologne and must hold numbers" in err
    assert "\n  b.csv, row 1 (line 2) has 3 cells" in err
    assert not list(Path(".local/runs").glob("*"))


def test_a_check_that_is_not_waited_for_leaves_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.csv").write_text(GOOD, "utf-8")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with data_check.started(Names(load(Path("pipeline-config.yml"), None, {}).config), [Path("a.csv")]):
        assert list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


def test_what_a_killed_check_left_is_removed_by_the_next(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.csv").write_text(GOOD, "utf-8")
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    killed, young, other = (places / name for name in ("stepgluon-check-1", "stepgluon-check-2", "of-another"))
    for folder in (killed, young, other):
        (folder / "tmp").mkdir(parents=True)
    names = Names(load(Path("pipeline-config.yml"), None, {}).config)
    with data_check.started(names, [Path("a.csv")]) as found:
        (running,) = set(places.iterdir()) - {killed, young, other}
        for folder in (killed, other, running):
            os.utime(folder, (0, 0))
        assert call("check", "--data", "a.csv")[0] == 0
        assert set(places.iterdir()) == {running, young, other}
        assert found()["problems"] == []


def test_a_temporary_folder_that_cannot_be_used_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.csv").write_text(GOOD, "utf-8")
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert call("check", "--data", "a.csv") == (
        3,
        "",
        "error: the tables cannot be checked: no such file or directory (name another folder with TMPDIR)\n",
    )
