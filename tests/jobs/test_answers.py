"""What a container answers, measured on the held-out rows and made into predictions, and a sentence for each answer
that is none."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sandbox import Outcome, Sandbox, config

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/mine:1"
CONTAINER: dict[str, Any] = {"name": "container", "image": IMAGE, "set": {}, "channels": ["train"], "encoded": False}
ROWS = "a,b,y,kind\n" + "".join(
    f"{n},{'north' if n % 3 else ''},{2 * n if n % 5 else ''},{'bad' if n % 4 else 'good'}\n" for n in range(100)
)


def prepared(box: Sandbox, rows: str = ROWS, **model: Any) -> Path:
    box.write("rows.csv", rows)
    box.configure(config({"algorithm": CONTAINER, "transform": True} | model))
    prepare.main()
    return box.out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("prepared") / "ml"
        patch.setenv("STEPGLUON_ROOT", str(root))
        return prepared(Sandbox(root))


def asked(folder: Path, part: str = "models/all/asked") -> list[list[str]]:
    with (folder / part / "part-00000.csv").open(newline="") as file:
        return list(csv.reader(file))


def scored(box: Sandbox, folder: Path, said: str, **model: Any) -> Outcome:
    box.put_folder(folder / "models/all", "processing/input/data")
    box.put_json("processing/input/data/config.json", config({"algorithm": CONTAINER} | model))
    for place, content in (("archive/model.tar.gz", "not ours to open"), ("answers/part-00000.csv.out", said)):
        path = box.root / "processing/input" / place
        path.parent.mkdir(parents=True)
        path.write_text(content)
    return box.run("score_answers.py", STEPGLUON_MODEL="all")


def metrics(box: Sandbox) -> Any:
    return json.loads((box.out / "metrics.json").read_text())


# What the container is asked


def test_it_is_asked_with_rows_without_header_and_label_and_no_test_row_is_in_a_channel(folder: Path) -> None:
    test = pq.read_table(folder / "models/all/test")
    rows = asked(folder)
    assert [row[0] for row in rows] == [str(a) for a in test["a"].to_pylist()]
    assert {len(row) for row in rows} == {3} and rows[0][2] in ("bad", "good")
    with (folder / "models/all/channels/train/part-00000.csv").open(newline="") as file:
        header, *train = csv.reader(file)
    assert header == ["y", "a", "b", "kind"] and not {row[1] for row in train} & {row[0] for row in rows}
    waiting = asked(folder, "predict/all")
    assert [row[0] for row in waiting] == [str(n) for n in range(0, 100, 5)]
    assert sorted(path.name for path in (folder / "predict/all").iterdir()) == ["part-00000.csv"]


def test_a_line_break_in_a_text_does_not_make_two_rows(sandbox: Sandbox) -> None:
    out = prepared(sandbox, 'a,note,y\n1,"x\ny",1\n2,"x\r\n\r\ny",2\n3,z,3\n4,"p\nq",\n5,,5\n')
    files = [*(out / "models/all/asked").iterdir(), *(out / "predict/all").iterdir()]
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert '4,"p q"' in lines and all(line.count(",") == 1 for line in lines)


def test_other_columns_or_types_or_another_order_is_another_question(sandbox: Sandbox) -> None:
    found = set()
    for rows in (ROWS, ROWS.replace("a,b,y", "a,c,y"), ROWS.replace("\n7,", "\nseven,"), ROWS + "1,,,good\n"):
        prepared(sandbox, rows)
        found.add(json.loads((sandbox.out / "fingerprints.json").read_text())["models"][0]["columns"])
    assert len(found) == 3


# Its score


def test_its_answers_are_measured_on_the_held_out_rows(sandbox: Sandbox, folder: Path) -> None:
    test = pq.read_table(folder / "models/all/test")
    outcome = scored(sandbox, folder, "".join(f"{y + 1.5}\n" for y in test["y"].to_pylist()))
    assert outcome.code == 0, outcome.log
    found = metrics(sandbox)
    assert (found["mae"], found["score"], found["rows_test"], found["best_model"]) == (1.5, 1.5, 16, "mine:1")
    assert sandbox.written() == ["evaluation.json", "manifest.json", "metrics.json", "model.tar.gz", "profile.json"]
    assert (sandbox.out / "model.tar.gz").read_text() == "not ours to open"
    manifest = json.loads((sandbox.out / "manifest.json").read_text())
    assert manifest["features"] == {"a": "int64", "b": "string", "kind": "string"}
    evaluation = json.loads((sandbox.out / "evaluation.json").read_text())
    assert evaluation["held_out"]["of"] == 16 and len(evaluation["worst"]["rows"]) == 10


def test_the_manifest_names_the_script_that_trained_the_model(sandbox: Sandbox, folder: Path) -> None:
    said = "".join(f"{y}\n" for y in pq.read_table(folder / "models/all/test")["y"].to_pylist())
    outcome = scored(sandbox, folder, said, algorithm={**CONTAINER, "script": "5" * 64})
    assert outcome.code == 0, outcome.log
    assert json.loads((sandbox.out / "manifest.json").read_text())["script"] == "5" * 64


KINDS = {"label": "kind", "metric": "accuracy"}


@pytest.mark.parametrize("chances", [False, True])
def test_classes_are_answered_with_or_without_probabilities(sandbox: Sandbox, chances: bool) -> None:
    out = prepared(sandbox, ROWS + "7,north,1,\n", **KINDS)
    truth = pq.read_table(out / "models/all/test")["kind"].to_pylist()
    lines = [f"{one},{0.9 if one == 'bad' else 0.1},{0.1 if one == 'bad' else 0.9}" for one in truth[:-1]]
    lines += ["good,0.2,0.8" if truth[-1] == "bad" else "bad,0.8,0.2"]
    folder = sandbox.root.parent / "folder"
    out.rename(folder)
    said = "".join(f"{line if chances else line.partition(',')[0]}\n" for line in lines)
    outcome = scored(sandbox, folder, said, **KINDS)
    assert outcome.code == 0, outcome.log
    found = metrics(sandbox)
    assert found["accuracy"] == found["score"] == pytest.approx(1 - 1 / len(truth), rel=1e-5)
    assert (found["log_loss"] is not None) == chances
    assert json.loads((sandbox.out / "manifest.json").read_text())["classes"] == ["bad", "good"]


def test_a_metric_of_probabilities_needs_them(sandbox: Sandbox) -> None:
    out = prepared(sandbox, **KINDS)
    folder = sandbox.root.parent / "folder"
    out.rename(folder)
    outcome = scored(sandbox, folder, "bad\n" * 20, **{**KINDS, "metric": "roc_auc"})
    assert (outcome.code, outcome.final) == (1, True)
    expected = "roc_auc needs probabilities; its container must return, after the class, those of bad, good."
    assert outcome.message == f"Model all: {expected}"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("1\n" * 15, "its container returned 15 lines for 16 rows of part-00000.csv; it must return one line for each"),
        ("1\n" * 17, "its container returned 17 lines for 16 rows"),
        ("", "its container returned 0 lines for 16 rows"),
        ("1\n\n" * 8, "no number for row 2 of part-00000.csv"),
        ("1\n" * 15 + "[2.5]\n", "its container returned '[2.5]' for row 16 of part-00000.csv, which is not a number."),
        ("1,2\n" * 16, "its container returned 2 columns for the rows of part-00000.csv; 1 is expected."),
        ("1\n" * 15 + "1,2\n", "its container did not return CSV"),
        ("\udcff\n" * 16, "its container did not return CSV"),
        ("9" * 100_000, "its container returned 100,000 bytes for 16 rows of part-00000.csv."),
    ],
)
def test_answers_that_are_none_have_a_sentence(sandbox: Sandbox, folder: Path, said: str, sentence: str) -> None:
    outcome = scored(sandbox, folder, "", name="all")
    (sandbox.root / "processing/input/answers/part-00000.csv.out").write_bytes(said.encode("utf-8", "surrogateescape"))
    outcome = sandbox.run("score_answers.py", STEPGLUON_MODEL="all")
    assert (outcome.code, outcome.final) == (1, True), outcome.log
    assert outcome.message and sentence in outcome.message, outcome.message
    assert "Traceback" not in outcome.log and sandbox.written() == []


# Its predictions


def checked(box: Sandbox, said: str, classes: tuple[str, ...] = (), rows: int = 3) -> Outcome:
    learnt = {"classes": list(classes)} if classes else {}
    box.put_json(
        "processing/input/manifest/manifest.json", {"program": "container", "files": {}, "features": {}, **learnt}
    )
    box.put_parquet("processing/input/numbers/part-00000.parquet", {"stepgluon_row": pa.array(range(rows), pa.int64())})
    path = box.root / "processing/input/answers/part-00000.csv.out"
    path.parent.mkdir(parents=True)
    path.write_text(said)
    return box.run("check_answers.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST="")


def test_its_answers_become_predictions_in_the_rows_order(sandbox: Sandbox) -> None:
    assert checked(sandbox, "1.5\n 2\n-3e2\n").code == 0
    assert sandbox.table(".").to_pydict() == {"prediction": [1.5, 2.0, -300.0]}


def test_a_class_that_no_training_row_has_is_no_prediction(sandbox: Sandbox) -> None:
    outcome = checked(sandbox, "0\n1\nunknown\n", ("0", "1"))
    assert (outcome.code, outcome.final) == (1, True), outcome.log
    assert "returned the class 'unknown' for row 3 of part-00000.csv; its classes are '0', '1'." in outcome.message


def test_probabilities_become_those_of_the_answer_and_of_the_positive_class(sandbox: Sandbox) -> None:
    outcome = checked(sandbox, '"a,b",0.7,0.3\nz,0.2,0.8\nother,0.5,0.5\n', ("a,b", "z"))
    assert outcome.code == 1 and outcome.message
    assert outcome.message == (
        "Model all: its container returned the class 'other' for row 3 of part-00000.csv; its classes are 'a,b', 'z'."
    )
    path = sandbox.root / "processing/input/answers/part-00000.csv.out"
    path.write_text('"a,b",0.7,0.3\nz,0.2,0.8\nz,0.5,0.5\n')
    assert sandbox.run("check_answers.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST="").code == 0
    assert sandbox.table(".").to_pydict() == {
        "prediction": ["a,b", "z", "z"],
        "probability": [0.7, 0.8, 0.5],
        "probability_z": [0.3, 0.8, 0.5],
    }


def test_our_own_server_answers_with_the_columns_of_predict(sandbox: Sandbox) -> None:
    checked(sandbox, "no,0.8,0.2\nyes,0.7,0.7\nno,0.9,0.1\n")
    sandbox.put_json("processing/input/manifest/manifest.json", {"files": {}, "features": {}, "classes": ["no", "yes"]})
    assert sandbox.run("check_answers.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST="").code == 0
    assert sandbox.table(".").to_pydict() == {
        "prediction": ["no", "yes", "no"],
        "probability": [0.8, 0.7, 0.9],
        "probability_yes": [0.2, 0.7, 0.1],
    }


@pytest.mark.parametrize(
    ("said", "classes", "sentence"),
    [
        ("1\n2\n", (), "its container returned 2 lines for 3 rows of part-00000.csv"),
        ("1\nnan\n3\n", (), "Model all predicts nan for row 2 of part-00000.csv"),
        ("a\n\nb\n", ("a", "b"), "its container returned no class for row 2 of part-00000.csv."),
        ("a,1,1\nb,0,1\nb,0,1\n", ("a", "b"), "returned, after the class, 1, 1 for row 1 of part-00000.csv"),
        ("a,1\nb,0\nb,0\n", ("a", "b"), "returned, after the class, 1 column for the rows of part-00000.csv; 2 are"),
    ],
)
def test_a_wrong_answer_fails_the_model_alone_with_a_sentence(
    sandbox: Sandbox, said: str, classes: tuple[str, ...], sentence: str
) -> None:
    outcome = checked(sandbox, said, classes)
    assert (outcome.code, outcome.final) == (1, True), outcome.log
    assert outcome.message and sentence in outcome.message
    assert sandbox.written() == []


def test_a_model_that_was_changed_after_it_was_judged_does_not_predict(sandbox: Sandbox) -> None:
    checked(sandbox, "1\n2\n3\n")
    outcome = sandbox.run("check_answers.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST="0" * 64)
    assert outcome.code == 1 and "manifest.json is not the one that training wrote" in (outcome.message or "")
