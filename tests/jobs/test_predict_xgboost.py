"""Prediction with a model of XGBoost: through the encoding, and without AutoGluon."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import encoding
import job_io
import model_folder
import numpy as np
import programs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
import xgboost_model
from job_sandbox import CODE, Outcome, Sandbox
from xgboost_archives import packed, prepared, saved, scored, trained

ROWS = "a,t,day,y\n" + "".join(
    f"{n % 37},{'often' if n % 3 else 'rare'},2026-03-{1 + n % 28:02},{n % 37 * 2 + n % 3 if n % 9 else ''}\n"
    for n in range(300)
)


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What prepare wrote, and the model's folder that score wrote; a test copies it before it spoils it."""
    with pytest.MonkeyPatch.context() as patch:
        box = Sandbox(tmp_path_factory.mktemp("taken_in") / "ml")
        patch.setenv("STEPGLUON_ROOT", str(box.root))
        folder = Path(shutil.copytree(prepared(box, ROWS).parents[1], box.root / "prepared"))
        model = folder / "models/all"
        assert scored(box, model, packed({"xgboost-model": saved(trained(model))})).code == 0
        return folder, box.out


def predicted(box: Sandbox, model: Path, rows: dict[str, Any] | Path) -> Outcome:
    box.put_folder(model, "processing/input/model")
    if isinstance(rows, Path):
        box.put_folder(rows, "processing/input/rows")
    else:
        box.put_parquet("processing/input/rows/part-00000.parquet", rows)
    manifest = json.loads((model / "metrics.json").read_text())["manifest"]
    return box.run("predict.py", STEPGLUON_MODEL="all", STEPGLUON_MANIFEST=manifest)


def test_the_rows_of_prepare_get_the_predictions_of_the_booster(sandbox: Sandbox, taken_in: tuple[Path, Path]) -> None:
    prepared_folder, model = taken_in
    outcome = predicted(sandbox, model, prepared_folder / "predict/all")
    assert outcome.code == 0, outcome.log
    rows = pq.read_table(prepared_folder / "predict/all")
    booster = xgboost.Booster(model_file=bytearray((model / "program/xgboost-model").read_bytes()))
    alone = booster.predict(xgboost.DMatrix(encoding.load(model / "encoding.json").matrix(rows)))
    answers = sandbox.table(".")["prediction"].to_numpy()
    assert len(answers) == len(rows) == 34
    assert np.array_equal(answers, alone.astype(float))


def test_unseen_texts_missing_values_and_other_orders_of_columns_are_predicted(
    sandbox: Sandbox, taken_in: tuple[Path, Path]
) -> None:
    rows = {
        "new": ["?", "?"],
        "day": pa.array([None, 20_000], pa.date32()),
        "t": ["never seen", None],
        "a": pa.array([1.5, None]),
    }
    outcome = predicted(sandbox, taken_in[1], rows)
    assert outcome.code == 0, outcome.log
    assert sandbox.table(".").num_rows == 2


def test_a_missing_column_is_named(sandbox: Sandbox, taken_in: tuple[Path, Path]) -> None:
    outcome = predicted(sandbox, taken_in[1], {"a": [1], "t": ["often"]})
    assert outcome.message is not None and outcome.message.startswith("Model all learnt from the column 'day', which")


def test_only_xgboost_is_imported(sandbox: Sandbox, taken_in: tuple[Path, Path]) -> None:
    """Neither image has the other's packages; XGBoost's has no pandas either."""
    sandbox.put_folder(taken_in[1], "processing/input/model")
    sandbox.put_folder(taken_in[0] / "predict/all", "processing/input/rows")
    look = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name in ('pandas', 'autogluon', 'sklearn', 'lightgbm'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        f"sys.meta_path.insert(0, Absent); sys.path.insert(0, {str(CODE)!r})\n"
        "import predict, score; predict.main(); print('xgboost' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=sandbox.environment(STEPGLUON_MODEL="all"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("True\n")


@pytest.fixture
def folder(taken_in: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(taken_in[1], tmp_path / "model"))


def relist(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("changes", [{"xgboost": "3.0.5"}, {"xgboost": "1.7.6"}, {"python": "2.7.18"}])
def test_an_older_xgboost_and_any_python_are_as_good(folder: Path, changes: dict[str, str]) -> None:
    relist(folder, **changes)
    assert model_folder.verified(folder, "all")["program"] == "xgboost"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"xgboost": "99.1.0"}, "Model all was trained with XGBoost 99.1.0 and cannot be loaded with XGBoost "),
        (
            {"program": "prophet"},
            "Model all was trained by 'prophet', which this version of stepgluon does not support",
        ),
        ({"program": "autogluon"}, "Model all was trained with AutoGluon None and cannot be loaded with AutoGluon "),
    ],
)
def test_another_program_or_a_newer_one_is_refused(folder: Path, changes: dict[str, str], words: str) -> None:
    relist(folder, **changes)
    with pytest.raises(job_io.JobError) as error:
        model_folder.verified(folder, "all")
    assert str(error.value).startswith(words)


def test_without_its_library_the_image_is_the_wrong_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        programs.PROGRAMS, "xgboost", replace(programs.PROGRAMS["xgboost"], packages=("not-installed",))
    )
    with pytest.raises(job_io.JobError, match=r"trained with XGBoost, which this job's image does not have; predict"):
        model_folder.verified(folder, "all")


def test_a_changed_encoding_is_noticed(folder: Path) -> None:
    with (folder / "encoding.json").open("a") as file:
        file.write(" ")
    with pytest.raises(job_io.RetryableError, match=r"'encoding\.json' was changed after training"):
        model_folder.verified(folder, "all")


def test_a_model_that_kept_trees_after_its_best_one_predicts_without_them(folder: Path) -> None:
    path = folder / "program" / xgboost_model.NAME
    booster = xgboost.Booster(model_file=bytearray(path.read_bytes()))
    booster.set_attr(best_iteration="4")
    path.write_bytes(saved(booster))
    rows = np.array([[1, 0, 3], [30, 1, 5]], np.float32)
    answers = xgboost_model.Predictor(folder, "all", {}).answers(rows)
    assert np.array_equal(answers, booster[:5].predict(xgboost.DMatrix(rows)).astype(float))
    assert not np.array_equal(answers, booster.predict(xgboost.DMatrix(rows)).astype(float))
