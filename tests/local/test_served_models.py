"""Our images, which buildah does not have here: `train` and `serve` run as processes from code/."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_aws import ROLE, Jobs
from test_transform import log, transformed

from localaws.sagemaker import bubblewrap, images
from localaws.sagemaker.job_cache import code_of
from localaws.sagemaker.job_process import JobFailed, Script
from stepgluon.config.load import loads
from stepgluon.local.left_serving import _words
from stepgluon.names import Names

HOUSE = Path(__file__).resolve().parents[2]
CODE = HOUSE / "code"
AUTOGLUON = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/shop-autogluon:0123456789abcdef"
XGBOOST = AUTOGLUON.replace("autogluon", "xgboost")
ROWS = b"".join(b"%d,%s\n" % (n % 10, (b"north", b"south")[n % 2]) for n in range(200))


@pytest.fixture
def with_code(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setattr(jobs.aws.sagemaker.workshop, "code", CODE)
    monkeypatch.setattr(jobs.aws.sagemaker.workshop, "grace_seconds", 60.0)
    return jobs


def put_parquet(jobs: Jobs, key: str, rows: range) -> None:
    sink = io.BytesIO()
    columns = {"stepgluon_row": list(rows), "a": [n % 10 for n in rows], "b": [("north", "south")[n % 2] for n in rows]}
    pq.write_table(
        pa.table({**columns, "y": [3.0 * (n % 10) + 5 * (n % 2) + n * 104729 % 97 / 50 for n in rows]}), sink
    )
    jobs.s3.put_object(Bucket="data", Key=key, Body=sink.getvalue())


def answers(jobs: Jobs, model: str, rows: bytes = ROWS, **changed: Any) -> list[float]:
    name, described = transformed(jobs, model, {"a.csv": rows}, **changed)
    assert described["TransformJobStatus"] == "Completed", (described, log(jobs, name))
    return [float(line) for line in jobs.text(f"out/{name}/a.csv.out").split()]


def test_a_model_of_autogluon_is_trained_and_transforms(with_code: Jobs) -> None:
    jobs, place = with_code, "served"
    model = {"name": "all", "label": "y", "train": {"presets": "medium_quality", "time_limit": 60}}
    jobs.s3.put_object(Bucket="data", Key=f"{place}/config.json", Body=json.dumps({"models": [model]}).encode())
    put_parquet(jobs, f"{place}/train/part-00000.parquet", range(160))
    put_parquet(jobs, f"{place}/test/part-00000.parquet", range(160, 200))
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/{place}/"}}
    job = jobs.training(
        "",
        HyperParameters={"model": "all"},
        AlgorithmSpecification={"TrainingImage": AUTOGLUON, "TrainingInputMode": "File"},
        InputDataConfig=[{"ChannelName": "data", "DataSource": source}],
        OutputDataConfig={"S3OutputPath": "s3://data/served/models"},
        StoppingCondition={"MaxRuntimeInSeconds": 900},
    )
    assert jobs.ended(job)["status"] == "Completed", jobs.aws.logs.lines("training", job)
    archive = f"s3://data/served/models/{job}/output/model.tar.gz"
    container = {"Image": AUTOGLUON, "ModelDataUrl": archive}
    jobs.api.create_model(ModelName=job, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    found = answers(jobs, job)
    assert len(found) == 200
    assert all(abs(answer - (3 * (n % 10) + 5 * (n % 2))) < 5 for n, answer in enumerate(found))
    few = b"".join(ROWS.splitlines(True)[:8])
    assert answers(jobs, job, few, MaxConcurrentTransforms=2, BatchStrategy="SingleRecord") == pytest.approx(found[:8])


def folder_of_xgboost(folder: Path) -> bytes:
    """A model's folder as score writes it, packed."""
    import numpy as np
    import xgboost

    sys.path.insert(0, str(CODE))
    import encoding
    import model_folder
    from encoding import Encoding, Feature

    features = [Feature("a", "int64"), Feature("b", "string", texts=pa.array(["north", "south"]))]
    rows = np.array([[n % 10, n % 2] for n in range(200)], np.float32)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, rows @ [3, 5]), 20)
    (folder / "program").mkdir(parents=True)
    (folder / "program/xgboost-model").write_bytes(booster.save_raw("ubj"))
    Encoding(features).save(folder / encoding.FILE)
    model_folder.write_manifest(folder, "y", {"a": "int64", "b": "string"}, "xgboost")
    (folder / "metrics.json").write_text('{"model": "all"}')
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path in folder.iterdir():
            tar.add(path, path.name)
    return packed.getvalue()


def test_a_model_of_xgboost_transforms(with_code: Jobs, tmp_path: Path) -> None:
    jobs = with_code
    jobs.s3.put_object(Bucket="data", Key="served/xgboost.tar.gz", Body=folder_of_xgboost(tmp_path / "model"))
    container = {"Image": XGBOOST, "ModelDataUrl": "s3://data/served/xgboost.tar.gz"}
    jobs.api.create_model(ModelName="served-xgboost", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    found = answers(jobs, "served-xgboost")
    assert all(abs(answer - (3 * (n % 10) + 5 * (n % 2))) < 0.5 for n, answer in enumerate(found)), found[:10]


def test_a_model_that_cannot_be_loaded_fails_the_transform_and_its_log_has_the_reason(with_code: Jobs) -> None:
    jobs, packed = with_code, io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("xgboost-model"))
    jobs.s3.put_object(Bucket="data", Key="served/raw.tar.gz", Body=packed.getvalue())
    container = {"Image": XGBOOST, "ModelDataUrl": "s3://data/served/raw.tar.gz"}
    jobs.api.create_model(ModelName="served-raw", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    name, described = transformed(jobs, "served-raw", {"a.csv": ROWS})
    assert "The container ended with exit code 1 before it answered /ping." in described["FailureReason"]
    assert any(line.startswith("metrics.json is missing in ") for line in log(jobs, name))


@pytest.mark.parametrize(
    ("image", "verb", "script"),
    [
        ("autogluon:1", "train", "train.py"),
        ("r/shop-autogluon@sha256:0", "serve", "serve.py"),
        ("r/shop-xgboost:1", "serve", "serve.py"),
        ("r/shop-xgboost:1", "train", None),
        ("r/data:1", "serve", None),
        ("r/myautogluon:1", "serve", None),
    ],
)
def test_our_images_are_known_by_their_names(
    monkeypatch: pytest.MonkeyPatch, image: str, verb: str, script: str | None
) -> None:
    monkeypatch.setattr(bubblewrap, "missing", lambda: "buildah")
    if script is None:
        with pytest.raises(JobFailed, match="is a container, and running it locally needs buildah"):
            images.program(image, [], [], verb, CODE)
    else:
        found = images.program(image, [], [], verb, CODE)
        assert isinstance(found, Script) and found.command == (sys.executable, str(CODE / script))
    with pytest.raises(JobFailed):
        images.program(image, ["sh"], [], verb, CODE)


def test_what_loads_a_model_counts_as_imported() -> None:
    for script in ("predict.py", "serve.py"):
        assert {"predict.py", "xgboost_model.py", "encoding.py", "autogluon_model.py"} <= code_of(CODE / script).keys()


@pytest.mark.parametrize(
    ("data", "kind", "file"),
    [("", "text/csv", "rows.csv"), ("data: {files: true, prepare: pipeline.py}\n", "application/octet-stream", "FILE")],
)
def test_how_to_ask_an_endpoint_fits_its_rows_or_files(data: str, kind: str, file: str) -> None:
    how = "score: {log: 'accuracy: (.*)'}, metric: accuracy" if data else "label: y"
    image = f"{XGBOOST.partition(':')[0]}@sha256:{'0' * 64}"
    model = f"{{name: a, {how}, algorithm: {{image: '{image}'}}, serve: {{instance: {{type: ml.m5.large}}}}}}"
    names = Names(
        loads(f"name: shop\nregion: ap-northeast-1\n{data}models: [{model}]\n", "config.yml", None, {}).config
    )
    said = _words("http://127.0.0.1:1", names, [{"EndpointName": "shop-a", "EndpointStatus": "InService"}])
    assert f"--content-type {kind} --body fileb://{file} answers.csv" in said
    assert (
        f"curl --data-binary @{file} -H 'Content-Type: {kind}' http://127.0.0.1:1/endpoints/shop-a/invocations" in said
    )
