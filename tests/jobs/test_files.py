"""Files in place of tables: what the user's scripts may leave, and the sentence for each that does not fit."""

from __future__ import annotations

import ast
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import archive
import file_results
import pytest
from job_io import JobError
from job_sandbox import CODE, Outcome, Sandbox, config

PREPARE = """
import os, pathlib, shutil
root = pathlib.Path(os.environ["STEPGLUON_ROOT"]) / "processing"
for name, file in [("train", "a/1.png"), ("validation", "2.png"), ("test", "3.png"), ("predict", "4.png")]:
    (root / "output" / name / file).parent.mkdir(parents=True)
    shutil.copy(root / "input/raw/images.bin", root / "output" / name / file)
"""
MEASURE = """
import json, os, pathlib
root = pathlib.Path(os.environ["STEPGLUON_ROOT"]) / "processing"
known = len((root / "input/model/weights").read_bytes())
files = sorted(path.name for path in (root / "input/test").iterdir())
(root / "output/metrics.json").write_text(json.dumps({"accuracy": known / 10, "files": len(files), "note": "x"}))
"""
MODEL = {"name": "digits", "label": "digits", "metric": "accuracy", "score": {"with": "mine/evaluate.py", "log": None}}


def configured(box: Sandbox, scripts: dict[str, str], **model: Any) -> None:
    told = config(MODEL | model, files=True, prepare="mine/preprocess.py")
    told["scripts"] = {"preprocess.py": "0" * 64}
    box.configure(told)
    for name, text in scripts.items():
        path = box.root / "processing/input/code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def prepared(box: Sandbox, script: str = PREPARE, content: str = "pixels", **model: Any) -> Outcome:
    configured(box, {"preprocess.py": script}, **model)
    box.write("images.bin", content)
    box.write("go.run", "")
    return box.run("prepare_files.py")


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def scored(
    box: Sandbox, script: str = MEASURE, logged: str = "0.875", content: bytes | None = None, **model: Any
) -> Outcome:
    configured(box, {"evaluate.py": script}, **model)
    archive = box.root / "processing/input/archive/model.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(packed({"weights": b"nine byte"}) if content is None else content)
    (box.root / "processing/input/test").mkdir()
    (box.root / "processing/input/test/3.png").write_text("pixels")
    return box.run("score_files.py", STEPGLUON_MODEL="digits", STEPGLUON_LOGGED=logged)


def written(box: Sandbox, name: str) -> Any:
    return json.loads((box.out / name).read_text())


# Prepare


def test_the_folders_of_the_script_are_kept_and_hashed(sandbox: Sandbox) -> None:
    outcome = prepared(sandbox)
    assert outcome.code == 0, outcome.log
    files = [name for name in sandbox.written() if (sandbox.out / name).is_file()]
    assert files == [
        *(f"files/{name}" for name in ("predict/4.png", "test/3.png", "train/a/1.png", "validation/2.png")),
        "fingerprints.json",
        "profile.json",
    ]
    told = written(sandbox, "fingerprints.json")
    (model,) = told["models"]
    assert (model["name"], model["rows"]) == ("digits", 1)
    assert "files" not in model, "100,000 names would not fit into a state"
    assert written(sandbox, "profile.json")["models"][0]["predict_files"] == ["4.png.out"]
    assert model["channels"] == ["train", "validation"]
    assert len(model["train"]) == len(model["predict"]) == 64


def test_the_fingerprint_changes_with_what_is_learnt_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    def of(name: str, **changed: Any) -> tuple[str, str]:
        box = Sandbox(tmp_path / name)
        monkeypatch.setenv("STEPGLUON_ROOT", str(box.root))
        assert prepared(box, **changed).code == 0
        (model,) = written(box, "fingerprints.json")["models"]
        return model["train"], model["predict"]

    first = of("first")
    assert of("same", at_least=0.9) == first
    assert of("content", content="other")[0] != first[0]
    settings = of("settings", algorithm={"name": "files", "set": {"epochs": 3}})
    assert settings[0] != first[0] and settings[1] == first[1]


def test_validation_and_predict_may_be_missing(sandbox: Sandbox) -> None:
    script = PREPARE.replace('("validation", "2.png"), ', "").replace(', ("predict", "4.png")', "")
    assert prepared(sandbox, script).code == 0
    told = written(sandbox, "fingerprints.json")
    assert (told["models"][0]["rows"], told["models"][0]["channels"]) == (0, ["train"])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("raise SystemExit", "preprocess.py left no files in"),
        ("shutil.rmtree(root / 'output/test')", "preprocess.py left no files in"),
        ("1 / 0", "preprocess.py failed: ZeroDivisionError: division by zero (exit code 1). Its log has more."),
        ("os.symlink('/etc', root / 'output/train/etc')", "preprocess.py wrote 'train/etc', which is not a plain file"),
        ("os.mkfifo(root / 'output/test/pipe')", "preprocess.py wrote 'test/pipe', which is not a plain file"),
        ("(root / 'output/notes.txt').write_text('x')", "preprocess.py wrote 'notes.txt'; only the folders"),
        ("(root / 'output/predict/a').mkdir(); (root / 'output/predict/a/b').touch()", "must be in predict itself"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_sentence(sandbox: Sandbox, more: str, sentence: str) -> None:
    outcome = prepared(sandbox, more if more == "raise SystemExit" else f"{PREPARE}\n{more}\n")
    assert outcome.code == 1 and outcome.final and outcome.message
    assert sentence in outcome.message
    assert sandbox.written() == []
    assert "stepgluon, please report" not in outcome.log


def test_a_script_that_is_killed_is_tried_again(sandbox: Sandbox) -> None:
    outcome = prepared(sandbox, "import os; os.kill(os.getpid(), 9)")
    assert outcome.code == 1 and not outcome.final
    assert outcome.message and outcome.message.startswith("preprocess.py was killed")


def test_the_script_s_output_is_in_the_log(sandbox: Sandbox) -> None:
    outcome = prepared(sandbox, f"import sys\nprint('hello')\nprint('careful', file=sys.stderr)\n{PREPARE}")
    assert outcome.code == 0 and "hello\n" in outcome.log and "careful\n" in outcome.log


# Score


def test_the_script_s_metrics_become_a_model_s_folder(sandbox: Sandbox) -> None:
    outcome = scored(sandbox)
    assert outcome.code == 0, outcome.log
    assert sandbox.written() == ["evaluation.json", "manifest.json", "metrics.json", "model.tar.gz"]
    told = written(sandbox, "metrics.json")
    assert (told["metric"], told["score"], told["baseline"]) == ("accuracy", 0.9, None)
    assert len(told["manifest"]) == 64 and "mae" not in told
    assert written(sandbox, "evaluation.json")["metrics"] == {"accuracy": 0.9, "files": 1}
    assert set(written(sandbox, "manifest.json")["files"]) == {"model.tar.gz", "evaluation.json"}


def test_a_config_without_a_metric_means_the_mean_absolute_error(sandbox: Sandbox) -> None:
    outcome = scored(sandbox, MEASURE.replace('"accuracy"', '"mae"'), metric=None)
    assert outcome.code == 0, outcome.log
    told = written(sandbox, "metrics.json")
    assert (told["metric"], told["score"], told["mae"]) == ("mae", 0.9, 0.9)


def test_the_training_s_own_metric_needs_no_script(sandbox: Sandbox) -> None:
    outcome = scored(sandbox, score={"with": None, "log": "acc=(.*)"})
    assert outcome.code == 0, outcome.log
    assert written(sandbox, "metrics.json")["score"] == 0.875


def test_only_a_script_needs_the_archive_unpacked(sandbox: Sandbox, tmp_path: Path, monkeypatch: Any) -> None:
    outcome = scored(sandbox, score={"with": None, "log": "acc=(.*)"}, content=b"not an archive")
    assert outcome.code == 0, outcome.log
    assert (sandbox.out / "model.tar.gz").read_bytes() == b"not an archive"
    assert not (sandbox.root / "processing/input/model").exists()
    other = Sandbox(tmp_path / "other")
    monkeypatch.setenv("STEPGLUON_ROOT", str(other.root))
    outcome = scored(other, content=b"not an archive")
    assert outcome.code == 1 and outcome.message and "is not a complete gzipped tar archive" in outcome.message


def test_a_folder_of_checkpoints_is_measured(sandbox: Sandbox) -> None:
    files = {"weights": b"nine byte"} | {f"checkpoints/{number}/shard": b"x" for number in range(2_000)}
    outcome = scored(sandbox, content=packed(files))
    assert outcome.code == 0, outcome.log


def test_an_archive_that_does_not_fit_on_the_disk_is_refused_before_it_is_full(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 2, 8))
    (tmp_path / "model.tar.gz").write_bytes(packed({"weights": b"nine byte"}))
    with pytest.raises(JobError, match=r"unpacks to more than .* GiB; give the job a larger disk \(predict.instance"):
        archive.unpack(tmp_path / "model.tar.gz", tmp_path / "out", "digits", archive.limits_of_disk(tmp_path))


# Post-process


def test_each_file_has_its_answer_or_the_key_of_a_long_one(tmp_path: Path) -> None:
    names = [f"{number:05}.png.out" for number in range(5_000)]
    counts = {"label": "y", "rows_train": 1, "rows_test": 1, "rows_predict": len(names), "predict_files": names}
    profile = {"rows": len(names), "models": [{"name": "digits", **counts}, {"name": "masks", **counts}]}
    verdicts = {name: {"place": f"predictions/{name}/0a", "folder": "id"} for name in ("digits", "masks")}
    (tmp_path / "answers/digits").mkdir(parents=True)
    for number, name in enumerate(names):
        (tmp_path / "answers/digits" / name).write_text("7\n" if number else "long" * 1000)
    (tmp_path / "out").mkdir()
    failures = {"digits": None, "masks": "it failed"}
    told = file_results.results(verdicts, profile, tmp_path / "answers", failures, tmp_path / "out")
    assert [one["rows"] for one in told["models"]] == [5_000, 0]
    lines = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert len(lines) == 5_001
    assert [line.replace('"', "") for line in lines[1:3]] == [
        "00000.png,predictions/digits/0a/id/00000.png.out,",
        "00001.png,7,",
    ]
    (tmp_path / "answers/digits" / names[7]).unlink()
    with pytest.raises(JobError, match=r"Model digits has no answer for 00007.png.out"):
        file_results.results(verdicts, profile, tmp_path / "answers", failures, tmp_path / "out")


def test_a_training_that_logs_no_metric_is_refused(sandbox: Sandbox) -> None:
    outcome = scored(sandbox, logged="", score={"with": None, "log": "acc=(.*)"})
    assert outcome.code == 1 and outcome.message == "The training's log has no metric 'accuracy'."


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ("None", "evaluate.py wrote no "),
        ("'{'", "evaluate.py wrote metrics.json, which is not JSON"),
        ("'[0.9]'", "evaluate.py wrote metrics.json, which is not an object"),
        ("'{}'", "evaluate.py has no metric 'accuracy'."),
        ("json.dumps({'f1': 0.5})", "evaluate.py has no metric 'accuracy', only 'f1'."),
        ("json.dumps({'accuracy': float('nan')})", "evaluate.py: accuracy is nan, which is not a finite number."),
        ("json.dumps({'accuracy': True})", "evaluate.py: accuracy is True, which is not a finite number."),
        ("json.dumps({'accuracy': 'high'})", "evaluate.py: accuracy is 'high', which is not a finite number."),
        ("json.dumps({'accuracy': 10 ** 400})", "evaluate.py: accuracy is 1000"),
        ("exit('no GPU')", "evaluate.py failed: no GPU (exit code 1). Its log has more."),
    ],
)
def test_a_measurement_that_is_none_is_refused(sandbox: Sandbox, metrics: str, sentence: str) -> None:
    script = f"{MEASURE.rpartition('(root')[0]}\ntext = {metrics}\n"
    script += "if text is not None:\n    (root / 'output/metrics.json').write_text(text)\n"
    outcome = scored(sandbox, script)
    assert outcome.code == 1 and outcome.final and outcome.message and sentence in outcome.message, outcome.log
    assert sandbox.written() == []


@pytest.mark.parametrize(
    "name", ["prepare_files", "score_files", "user_script", "job_io", "job_model", "usage", "archive"]
)
def test_what_runs_in_the_user_s_container_needs_no_package(name: str) -> None:
    tree = ast.parse((CODE / f"{name}.py").read_text(), feature_version=(3, 9))
    imported = {part.name for node in ast.walk(tree) if isinstance(node, ast.Import) for part in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    import sys

    ours = {"job_io", "job_model", "archive", "usage", "user_script"}
    assert {one.partition(".")[0] for one in imported} <= {*sys.stdlib_module_names, *ours}
