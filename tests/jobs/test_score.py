"""What a training of XGBoost becomes, and a sentence for each archive that is no such training."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import stat
import tarfile
from pathlib import Path
from typing import Any

import archive
import job_io
import numpy as np
import pyarrow.parquet as pq
import pytest
from job_sandbox import Sandbox, points
from xgboost_archives import fitted, packed, prepared, saved, scored, trained, training_rows


def table(count: int) -> str:
    """y is about 3 a, more in the north."""
    columns = points(count)
    rows = zip(columns["a"], columns["b"], columns["y"], strict=True)
    return "a,b,y,day\n" + "".join(f"{a},{b},{y},2026-03-{1 + n % 28:02}\n" for n, (a, b, y) in enumerate(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder after prepare."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("prepared") / "ml"
        patch.setenv("STEPGLUON_ROOT", str(root))
        return prepared(Sandbox(root), table(400))


@pytest.fixture(scope="module")
def model(folder: Path) -> bytes:
    return saved(trained(folder))


def refused(box: Sandbox, folder: Path, content: bytes) -> str:
    outcome = scored(box, folder, content)
    assert outcome.code == 1 and outcome.message and outcome.final, outcome.log
    assert "Traceback" not in outcome.log
    assert box.written() == []
    return outcome.message


# A model


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_a_trained_model_becomes_a_folder_with_its_errors(sandbox: Sandbox, folder: Path, form: str) -> None:
    booster = trained(folder)
    outcome = scored(sandbox, folder, packed({"./xgboost-model": saved(booster, form), "notes/a.txt": b"x"}))
    assert outcome.code == 0, outcome.log
    assert sandbox.written() == [
        *("encoding.json", "evaluation.json", "manifest.json", "metrics.json", "profile.json"),
        *("program", "program/notes", "program/notes/a.txt", "program/xgboost-model"),
    ]
    found = json.loads((sandbox.out / "metrics.json").read_text())
    assert list(found) == [
        *("model", "mae", "rmse", "r2", "mae_of_median", "metric", "score", "baseline", "rows_train", "rows_test"),
        *("seconds", "best_model", "program", "xgboost", "python", "manifest"),
    ]
    assert (found["program"], found["rows_train"], found["rows_test"]) == ("xgboost", 320, 80)
    assert 0 < found["mae"] < found["mae_of_median"] / 3 and found["score"] == found["mae"]


def test_the_errors_are_those_of_the_booster_on_the_test_rows(sandbox: Sandbox, folder: Path) -> None:
    import encoding
    import xgboost

    booster = trained(folder)
    assert scored(sandbox, folder, packed({"xgboost-model": saved(booster)})).code == 0
    test = pq.read_table(folder / "test")
    answers = booster.predict(xgboost.DMatrix(encoding.load(folder / "encoding.json").matrix(test)))
    found = json.loads((sandbox.out / "metrics.json").read_text())
    assert found["mae"] == pytest.approx(np.abs(answers - test["y"].to_numpy()).mean(), rel=1e-5)
    median = np.median(training_rows(folder)["y"].to_numpy())
    assert found["mae_of_median"] == pytest.approx(np.abs(median - test["y"].to_numpy()).mean(), rel=1e-5)


def test_the_evaluation_has_what_the_report_shows(sandbox: Sandbox, folder: Path, model: bytes) -> None:
    assert scored(sandbox, folder, packed({"xgboost-model": model})).code == 0
    found = json.loads((sandbox.out / "evaluation.json").read_text())
    assert found["held_out"]["of"] == len(found["held_out"]["actual"]) == 80
    assert (found["trees"], found["program"], found["leaderboard"]) == (30, "xgboost", [])
    assert found["importance"][0]["column"] == "a"
    assert sum(each["importance"] for each in found["importance"]) == pytest.approx(1, abs=1e-4)
    worst = found["worst"]
    assert worst["columns"] == [each["column"] for each in found["importance"]]
    test = {f"{row['y']:.6g}": row for row in pq.read_table(folder / "test").to_pylist()}
    for row in worst["rows"]:
        values = dict(zip(worst["columns"], row["values"], strict=True))
        truth = test[f"{row['actual']:.6g}"]
        assert (values["b"], values["day"]) == (truth["b"], str(truth["day"]))
    errors = [abs(row["actual"] - row["predicted"]) for row in worst["rows"]]
    assert len(errors) == 10 and errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(("goal", "order"), [("Minimize", ["b", "a", "c"]), ("Maximize", ["a", "b", "c"])])
def test_the_trainings_of_a_tuning_are_in_the_evaluation(
    sandbox: Sandbox, folder: Path, model: bytes, goal: str, order: list[str]
) -> None:
    tried = [{"job": "c", "set": {}}, {"job": "a", "set": {}, "score": 3.0}, {"job": "b", "set": {}, "score": 2.0}]
    given = sandbox.root / "processing" / "input" / "trials"
    given.mkdir(parents=True)
    (given / "trials.json").write_text(json.dumps({"goal": goal, "chosen": "b", "trials": tried}))
    assert scored(sandbox, folder, packed({"xgboost-model": model})).code == 0
    found = json.loads((sandbox.out / "evaluation.json").read_text())["trials"]
    assert [one["job"] for one in found["trials"]] == order


def test_a_linear_model_has_no_importance(sandbox: Sandbox, folder: Path) -> None:
    outcome = scored(sandbox, folder, packed({"xgboost-model": saved(trained(folder, booster="gblinear"))}))
    assert outcome.code == 0, outcome.log
    found = json.loads((sandbox.out / "evaluation.json").read_text())
    assert {each["importance"] for each in found["importance"]} == {0}


def test_answers_that_are_no_numbers_are_a_reason_and_no_error(sandbox: Sandbox, folder: Path, model: bytes) -> None:
    learner = json.loads(saved(trained(folder, 1), "json"))
    tree = learner["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["split_conditions"] = [float("nan")] * len(tree["split_conditions"])
    outcome = scored(sandbox, folder, packed({"xgboost-model": json.dumps(learner).encode()}))
    assert outcome.code == 0, outcome.log
    found = json.loads((sandbox.out / "metrics.json").read_text())
    assert (found["mae"], found["reason"]) == (None, "80 predictions for the held-out part are not finite")


# Models that are none for this label


def test_a_pickle_is_not_loaded(sandbox: Sandbox, folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.mkdir, (sandbox.root / "it ran",))

    said = refused(sandbox, folder, packed({"xgboost-model": pickle.dumps(Bomb())}))
    assert said.startswith("Model all: xgboost-model is a Python pickle") and not (sandbox.root / "it ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it begins with neither JSON nor UBJSON"),
        (b"binf\0\0", "it begins with neither JSON nor UBJSON"),
        (b'{"learner": {}}', ""),
        (b"{}", ""),
    ],
)
def test_a_file_that_is_no_model_is_one_sentence(sandbox: Sandbox, folder: Path, content: bytes, words: str) -> None:
    said = refused(sandbox, folder, packed({"xgboost-model": content}))
    assert said.startswith("Model all: XGBoost ") and "xgboost-model" in said and words in said


def test_a_model_that_is_cut_off_is_one_sentence(sandbox: Sandbox, folder: Path, model: bytes) -> None:
    assert "XGBoost cannot read xgboost-model" in refused(sandbox, folder, packed({"xgboost-model": model[:-1]}))


def test_a_model_that_crashes_xgboost_is_one_sentence(sandbox: Sandbox, folder: Path) -> None:
    learner = json.loads(saved(trained(folder, 1), "json"))
    tree = learner["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["left_children"][0] = tree["right_children"][0] = 2**30
    said = refused(sandbox, folder, packed({"xgboost-model": json.dumps(learner).encode()}))
    assert said == "Model all: XGBoost crashes when it reads xgboost-model; train it again."


def test_another_number_of_columns_is_named(sandbox: Sandbox, folder: Path) -> None:
    other = saved(fitted(np.zeros((8, 7)), range(8)))
    assert refused(sandbox, folder, packed({"xgboost-model": other})) == (
        "Model all was trained on 7 columns, but its encoding.json has 3; train it again with the channels of this run."
    )


@pytest.mark.parametrize(
    "settings", [{"objective": "binary:logistic"}, {"objective": "multi:softprob", "num_class": 2}]
)
def test_a_classification_is_no_model_for_numbers(sandbox: Sandbox, folder: Path, settings: Any) -> None:
    said = refused(sandbox, folder, packed({"xgboost-model": saved(fitted(np.eye(8)[:, :3], [0, 1] * 4, **settings))}))
    assert said == (
        f"Model all was trained with the objective '{settings['objective']}', which does not predict the label's "
        "numbers; set an objective like reg:squarederror."
    )


# Archives


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def test_an_archive_without_the_model_names_what_it_has(sandbox: Sandbox, folder: Path) -> None:
    assert refused(sandbox, folder, packed({"xgboost-model-0": b"", "b/model.pth": b""})) == (
        "Model all: model.tar.gz has no file xgboost-model, only 'b/model.pth', 'xgboost-model-0'; AWS's XGBoost "
        "container writes it, unless _kfold is set."
    )


def test_without_an_archive_a_retry_may_help(sandbox: Sandbox, folder: Path) -> None:
    sandbox.put_folder(folder, "processing/input/data")
    outcome = sandbox.run("score.py", STEPGLUON_MODEL="all")
    assert outcome.code == 1 and not outcome.final
    assert outcome.message is not None and outcome.message.startswith("model.tar.gz is missing in ")


def unpacked(tmp_path: Path, content: bytes, limits: archive.Limits | None = None) -> str:
    """The sentence that refuses the archive, of which nothing may be outside."""
    place = tmp_path / "in/model.tar.gz"
    place.parent.mkdir()
    place.write_bytes(content)
    with pytest.raises(job_io.JobError) as error:
        archive.unpack(place, tmp_path / "out", "m", limits)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert str(error.value).startswith("Model m: its training's model.tar.gz ")
    return str(error.value).removeprefix("Model m: its training's model.tar.gz ")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x", "a\\b", "new\nline"])
def test_a_path_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    assert unpacked(tmp_path, packed({name: b"x"})).endswith("which leads outside; it is not unpacked.")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]
)
def test_links_and_special_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    said = unpacked(tmp_path, packed({}, entry("program", kind, "/etc")))
    assert said == "has the link or special file 'program'; it is not unpacked."


def test_a_file_through_a_link_is_refused(tmp_path: Path) -> None:
    said = unpacked(tmp_path, packed({"a/x": b"x"}, entry("a", tarfile.SYMTYPE, "/tmp")))
    assert "link or special file 'a'" in said


@pytest.mark.parametrize(
    ("size", "count", "words"), [(2000, 1, "unpacks to more than"), (1, 30, "more than 20 entries")]
)
def test_too_much_is_refused(tmp_path: Path, size: int, count: int, words: str) -> None:
    content = packed({str(n): b"x" * size for n in range(count)})
    assert words in unpacked(tmp_path, content, archive.Limits(20, 1000))


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    assert "has a header of" in unpacked(tmp_path, gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a complete gzipped tar archive"),
        (b"nonsense", "is not a complete gzipped tar archive"),
        (gzip.compress(b"nonsense" * 1000), "is not a complete gzipped tar archive"),
        (packed({"a": b"x" * 1_000_000})[:-500], "is not a complete gzipped tar archive"),
        (packed({}), "is empty: the training saved no model in /opt/ml/model; look at its log."),
        (packed({}, entry("folder", tarfile.DIRTYPE)), "is empty"),
        (packed({"a": b"1", "./a": b"2"}), "has './a' twice"),
        (packed({"a": b"1", "a/b": b"2"}), "has 'a/b' twice"),
    ],
)
def test_what_is_no_archive_of_a_model_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    assert unpacked(tmp_path, content).startswith(words)


def test_files_keep_neither_modes_nor_owners(tmp_path: Path) -> None:
    file = tarfile.TarInfo("x")
    file.mode, file.uid, file.size = 0o7777, 12345, 1
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz") as tar:
        tar.addfile(file, io.BytesIO(b"1"))
    (tmp_path / "model.tar.gz").write_bytes(into.getvalue())
    archive.unpack(tmp_path / "model.tar.gz", tmp_path / "out", "m")
    found = (tmp_path / "out/x").stat()
    assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR) and found.st_uid != 12345
