from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import job_io
import model_folder
import numpy as np
import predict
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sandbox import CODE, Outcome, Sandbox, config, points

FILES = {"part-00000.parquet": (0, 50), "part-00001.parquet": (50, 80)}


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained model that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


def rows_of(start: int, stop: int) -> dict[str, Any]:
    columns = points(stop - start, start)
    return {"a": columns["a"], "b": columns["b"]}


def predicted(box: Sandbox, model: Path, files: dict[str, Any] | None = None, manifest: str = "") -> Outcome:
    """Runs the job with this model, whose manifest has this sha256, on these files of rows."""
    box.configure(config())
    box.put_folder(model, "processing/input/model")
    for name, columns in (files or {name: rows_of(*span) for name, span in FILES.items()}).items():
        box.put_parquet(f"processing/input/rows/{name}", columns)
    return box.run("predict.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST=manifest)


def refused(folder: Path) -> str:
    with pytest.raises(job_io.JobError) as error:
        model_folder.verified(folder, "all")
    return str(error.value)


def relist(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# Predictions


def test_each_file_of_rows_gives_a_file_of_predictions_of_the_same_name(sandbox: Sandbox, trained: Path) -> None:
    outcome = predicted(sandbox, trained)
    assert (outcome.code, outcome.message) == (0, None), outcome.log
    assert sandbox.written() == list(FILES)
    for name, span in FILES.items():
        table = pq.read_table(sandbox.out / name)
        assert table.schema.names == ["prediction"]
        assert len(table) == span[1] - span[0]


def test_predictions_are_close_to_the_truth_and_those_of_autogluon_itself(sandbox: Sandbox, trained: Path) -> None:
    import pandas as pd
    from autogluon.tabular import TabularPredictor

    assert predicted(sandbox, trained).code == 0
    answers = sandbox.table(".")["prediction"].to_numpy()
    columns = points(80)
    assert np.abs(answers - np.array(columns["y"])).mean() < 3
    predictor = TabularPredictor.load(str(trained / "predictor"), verbosity=0)
    alone = predictor.predict(pd.DataFrame({"a": columns["a"], "b": columns["b"]}))
    assert np.allclose(answers, alone, rtol=1e-5)


def test_an_instance_may_have_a_share_of_the_files_and_files_without_rows(sandbox: Sandbox, trained: Path) -> None:
    outcome = predicted(
        sandbox,
        trained,
        {
            "part-00001.parquet": rows_of(50, 80),
            "part-00004.parquet": {"a": pa.array([], pa.float64()), "b": pa.array([], pa.string())},
        },
    )
    assert outcome.code == 0, outcome.log
    assert sandbox.table(".").num_rows == 30
    assert pq.read_table(sandbox.out / "part-00004.parquet").num_rows == 0


class Doubling:
    """Predicts twice the column a, and remembers how many rows it was asked for at once."""

    features = ("a",)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def inputs(self, batch: pa.RecordBatch) -> Any:
        self.sizes.append(batch.num_rows)
        return batch.column("a").to_numpy()

    def answers(self, inputs: Any) -> Any:
        return inputs * 2


def test_rows_are_read_and_predicted_in_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(predict, "rows_at_once", lambda _: 16)
    pq.write_table(pa.table(rows_of(0, 100)), tmp_path / "rows.parquet")
    predictor = Doubling()
    count = predict.predict_file(tmp_path / "rows.parquet", tmp_path / "out/answers.parquet", predictor, "m")
    assert count == 100
    assert max(predictor.sizes) == 16
    table = pq.read_table(tmp_path / "out/answers.parquet")
    assert table["prediction"].to_pylist() == [a * 2 for a in points(100)["a"]]


def test_very_wide_rows_are_predicted_fewer_at_once() -> None:
    assert predict.rows_at_once(10) == 65_536
    assert predict.rows_at_once(200) == 5242
    assert predict.rows_at_once(100_000) == 1024


@pytest.mark.filterwarnings("ignore")  # of AutoGluon about so small a forest
@pytest.mark.parametrize("kind", ["RF", "XT"])
@pytest.mark.parametrize("bagged", [False, True])
def test_a_forest_on_disk_answers_as_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, bagged: bool
) -> None:
    import forest
    import pandas as pd
    from autogluon.tabular import TabularPredictor
    from autogluon.tabular.models import RFModel

    rows = pd.DataFrame(points(60))
    predictor = TabularPredictor("y", problem_type="regression", path=str(tmp_path / "p"), verbosity=0)
    folds = (
        {"num_bag_folds": 2, "ag_args_ensemble": {"fold_fitting_strategy": "sequential_local", "use_child_oof": False}}
        if bagged
        else {}
    )
    predictor.fit(rows, hyperparameters={kind: {"n_estimators": 7}}, num_cpus=1, num_gpus=0, **folds)
    whole = predictor.predict(rows)
    monkeypatch.setattr(RFModel, "load", classmethod(RFModel.load.__func__))  # so that it is put back afterwards
    forest.keep_on_disk(2)
    stored = []
    predict_stored = forest.StoredForest.predict
    monkeypatch.setattr(
        forest.StoredForest, "predict", lambda one, rows: (stored.append(one), predict_stored(one, rows))[1]
    )
    later = TabularPredictor.load(str(tmp_path / "p"), verbosity=0)
    assert np.allclose(later.predict(rows), whole, rtol=1e-6)
    assert len(stored) == (2 if bagged else 1)
    assert {len(each.trees) for each in stored} == {7}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([1.0, float("nan"), 2.0], "Model m predicts nan for row 8 of part-00000.parquet"),
        ([1.0, 2.0, float("inf")], "Model m predicts inf for row 9 of part-00000.parquet"),
        ([1.0, 2.0], "Model m gave 2 predictions for 3 rows"),
    ],
)
def test_a_prediction_that_is_missing_or_no_number_is_an_error(answers: list[float], words: str) -> None:
    with pytest.raises(job_io.JobError, match=words):
        predict.predicted(range(6, 9), np.array(answers), "part-00000.parquet", "m")


# Columns


def test_reordered_and_added_columns_make_no_difference(sandbox: Sandbox, trained: Path) -> None:
    rows = rows_of(0, 20)
    shuffled = {"new": ["?"] * 20, "b": rows["b"], "a": rows["a"]}
    outcome = predicted(sandbox, trained, {"p0.parquet": rows, "p1.parquet": shuffled})
    assert outcome.code == 0, outcome.log
    one, other = (pq.read_table(sandbox.out / name) for name in ("p0.parquet", "p1.parquet"))
    assert one == other


def test_whole_numbers_and_empty_cells_are_as_good_as_others(sandbox: Sandbox, trained: Path) -> None:
    rows = {"a": pa.array([1, None, 3], pa.int64()), "b": [None, "north", "never seen"]}
    outcome = predicted(sandbox, trained, {"p.parquet": rows})
    assert outcome.code == 0, outcome.log


def test_a_missing_column_is_named(sandbox: Sandbox, trained: Path) -> None:
    rows = rows_of(0, 20)
    del rows["b"]
    outcome = predicted(sandbox, trained, {"p.parquet": rows})
    assert outcome.code == 1
    assert outcome.message == (
        "Model all learnt from the column 'b', which the rows do not have; add the column to the tables, "
        "or train the model again without it."
    )
    assert sandbox.written() == []


def test_a_column_of_another_kind_is_named(sandbox: Sandbox, trained: Path) -> None:
    outcome = predicted(sandbox, trained, {"p.parquet": rows_of(0, 20) | {"a": ["x"] * 20}})
    assert outcome.code == 1
    assert outcome.message is not None
    assert outcome.message.startswith("Model all learnt from 'a' as double, but the rows hold string there")


# The model's folder


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.target),))


def test_a_pickle_in_place_of_a_model_is_refused_before_any_of_it_runs(sandbox: Sandbox, folder: Path) -> None:
    target = sandbox.root / "it ran"
    for name in ("predictor.pkl", "learner.pkl", "models/trainer.pkl"):
        (folder / "predictor" / name).write_bytes(pickle.dumps(Bomb(target)))
    outcome = predicted(sandbox, folder)
    assert outcome.code == 1
    assert outcome.message is not None
    assert "was changed after training" in outcome.message
    assert not target.exists()
    assert sandbox.written() == []


def test_the_pickle_of_that_test_does_run_where_the_manifest_agrees(sandbox: Sandbox, folder: Path) -> None:
    target = sandbox.root / "it ran"
    for name in ("predictor.pkl", "learner.pkl", "models/trainer.pkl"):
        (folder / "predictor" / name).write_bytes(pickle.dumps(Bomb(target)))
    (folder / "manifest.json").unlink()
    model_folder.write_manifest(folder, "y", {"a": "double", "b": "string"})
    predicted(sandbox, folder)
    assert target.exists()


def test_a_model_whose_manifest_was_exchanged_too_is_refused_before_any_of_it_runs(
    sandbox: Sandbox, folder: Path
) -> None:
    known = json.loads((folder / "metrics.json").read_text())["manifest"]
    target = sandbox.root / "it ran"
    for name in ("predictor.pkl", "learner.pkl", "models/trainer.pkl"):
        (folder / "predictor" / name).write_bytes(pickle.dumps(Bomb(target)))
    (folder / "manifest.json").unlink()
    model_folder.write_manifest(folder, "y", {"a": "double", "b": "string"})
    outcome = predicted(sandbox, folder, manifest=known)
    assert outcome.code == 1
    assert outcome.message == (
        f"Model all is not loaded: its manifest.json is not the one that training wrote (sha256 {known}); "
        "train the model again."
    )
    assert not target.exists()


def test_a_model_with_the_manifest_that_training_wrote_predicts(sandbox: Sandbox, trained: Path) -> None:
    known = json.loads((trained / "metrics.json").read_text())["manifest"]
    assert predicted(sandbox, trained, manifest=known).code == 0


def test_a_file_that_may_have_been_damaged_on_its_way_is_tried_again_and_a_wrong_table_is_not(
    sandbox: Sandbox, folder: Path
) -> None:
    assert predicted(sandbox, folder, {"p.parquet": {"a": [1.0]}}).final
    (sandbox.root / "processing/input/model/predictor/learner.pkl").write_bytes(b"")
    outcome = sandbox.run("predict.py", STEPGLUON_MODEL="all")
    assert outcome.message is not None
    assert "was changed after training" in outcome.message
    assert not outcome.final


@pytest.mark.parametrize("name", ["predictor/predictor.pkl", "importance.csv", "predictor/version.txt"])
def test_one_changed_byte_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert refused(folder) == (
        f"Model all is not loaded: its file '{name}' was changed after training; train the model again."
    )


def test_a_missing_file_is_noticed(folder: Path) -> None:
    (folder / "predictor/learner.pkl").unlink()
    assert "its file 'predictor/learner.pkl' is missing" in refused(folder)


def test_an_added_file_is_noticed(folder: Path) -> None:
    (folder / "predictor/sitecustomize.py").write_text("")
    assert "its file 'predictor/sitecustomize.py' is not in the manifest" in refused(folder)


def test_a_link_is_noticed(folder: Path) -> None:
    (folder / "predictor/link").symlink_to("/etc/hostname")
    assert "has a link or special file 'link'" in refused(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "predictor/../../x", "a\\b"])
def test_a_path_that_leads_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    relist(folder, files={name: "0" * 64})
    assert "has a bad entry" in refused(folder)


@pytest.mark.parametrize("content", ["[]", "{}", "nonsense", '{"files": {"x": 3}, "features": {}}'])
def test_a_manifest_that_training_did_not_write_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    assert "manifest" in refused(folder)


def test_a_folder_without_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert refused(folder).startswith("manifest.json is missing")


@pytest.mark.parametrize(
    ("what", "version", "words"),
    [
        ("autogluon", "0.8.2", "Model all was trained with AutoGluon 0.8.2 and cannot be loaded with AutoGluon"),
        ("python", "2.7.18", "Model all was trained with Python 2.7.18 and cannot be loaded with Python"),
    ],
)
def test_a_model_of_another_version_is_refused_in_one_sentence(
    sandbox: Sandbox, folder: Path, what: str, version: str, words: str
) -> None:
    relist(folder, **{what: version})
    outcome = predicted(sandbox, folder)
    assert outcome.code == 1
    assert outcome.message is not None
    assert outcome.message.startswith(words)
    assert "Traceback" not in outcome.log


def test_python_versions_may_differ_in_their_last_number(folder: Path) -> None:
    major, minor = model_folder.versions()["python"].split(".")[:2]
    relist(folder, python=f"{major}.{minor}.99")
    assert model_folder.verified(folder, "all")["label"] == "y"


def test_the_model_to_use_must_be_named(sandbox: Sandbox) -> None:
    sandbox.configure(config())
    outcome = sandbox.run("predict.py")
    assert outcome.code == 1
    assert outcome.message is not None
    assert "STEPGLUON_MODEL" in outcome.message


@pytest.mark.parametrize("script", ["train", "predict"])
def test_numeric_libraries_are_limited_to_the_cores_that_are_granted(sandbox: Sandbox, script: str) -> None:
    look = (
        f"import sys; sys.path.insert(0, {str(CODE)!r}); import {script}; from threadpoolctl import threadpool_info\n"
    )
    look += "print(*(library['num_threads'] for library in threadpool_info()))"
    found = subprocess.run(
        [sys.executable, "-c", look], env=sandbox.environment(), capture_output=True, text=True, check=True
    )
    assert set(found.stdout.split()) == {"1"}
