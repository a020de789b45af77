"""The equivalent of AWS's image sagemaker-xgboost, as jobs and clients meet it."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import xgboost
from local_aws import MINUTES, ROLE, Jobs

from localaws.containers.xgboost.data import check_content_type
from localaws.containers.xgboost.errors import UserError
from localaws.containers.xgboost.hyperparameters import validated
from localaws.containers.xgboost.serve import Refused, encoded, loaded, predicted

IMAGE = "354813040037.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-xgboost:3.0-5"
RECORDED = (Path(__file__).parent / "recorded" / "sagemaker-xgboost.txt").read_text("utf-8")


def table(rows: int, seed: int) -> Any:
    """The label and three columns, in which the label is a sum of two of them."""
    columns = numpy.random.default_rng(seed).normal(size=(rows, 3))
    return numpy.column_stack([3 * columns[:, 0] + columns[:, 1], columns])


def csv(rows: Any) -> bytes:
    text = io.StringIO()
    numpy.savetxt(text, rows, delimiter=",", fmt="%.5f")
    return text.getvalue().encode()


def put(jobs: Jobs, **files: bytes) -> None:
    for name, body in files.items():
        jobs.s3.put_object(Bucket="data", Key=f"xgb/{name.replace('__', '/')}.csv", Body=body)


def channels(*names: str, kind: str | None = "text/csv") -> list[dict[str, Any]]:
    return [
        {
            "ChannelName": name,
            "DataSource": {"S3DataSource": {"S3Uri": f"s3://data/xgb/{name}/", "S3DataType": "S3Prefix"}},
            **({"ContentType": kind} if kind else {}),
        }
        for name in names
    ]


def trained(jobs: Jobs, settings: dict[str, str], *names: str, **changed: Any) -> tuple[str, dict[str, Any]]:
    usual = {
        "HyperParameters": {"num_round": "4", **settings},
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": channels(*(names or ("train",))),
        "OutputDataConfig": {"S3OutputPath": "s3://data/m"},
    }
    name = jobs.training("", **{**usual, **changed})
    return name, jobs.ended(name)


def model(jobs: Jobs, name: str) -> xgboost.Booster:
    body = jobs.s3.get_object(Bucket="data", Key=f"m/{name}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert tar.getnames() == ["xgboost-model"]
        return xgboost.Booster(model_file=bytearray(tar.extractfile("xgboost-model").read()))  # type: ignore[union-attr]


@pytest.fixture
def data(jobs: Jobs) -> Jobs:
    put(jobs, train__a=csv(table(200, 1)), train__deep__b=csv(table(100, 2)), validation__a=csv(table(80, 3)))
    return jobs


def test_it_trains_the_model_that_xgboost_trains(data: Jobs) -> None:
    name, described = trained(data, {"max_depth": "3", "eval_metric": "rmse"}, "train", "validation")
    assert described["status"] == "Completed", described
    rows = numpy.vstack([table(200, 1), table(100, 2)]).round(5).astype(numpy.float32)
    mine = xgboost.train({"max_depth": 3}, xgboost.DMatrix(rows[:, 1:], label=rows[:, 0]), 4)
    test = xgboost.DMatrix(table(50, 4)[:, 1:])
    numpy.testing.assert_allclose(model(data, name).predict(test), mine.predict(test), rtol=1e-5)


def test_its_log_reads_as_the_container_s(data: Jobs) -> None:
    name, described = trained(data, {"eval_metric": "rmse"}, "train", "validation")
    lines = data.aws.logs.lines("training", name)
    said = [re.sub(r"^\[\d{4}(-\d\d){2}(:\d\d){3}:INFO\]", "[TIME]", line) for line in lines]
    recorded = [re.sub(r"^\[2022\S+\]", "[TIME]", line) for line in RECORDED.splitlines() if line.startswith("[2022")]
    assert [line for line in said if line in recorded][: len(recorded)] == recorded[:3] + [
        line for line in said if line in recorded[3:]
    ][: len(recorded) - 3]
    assert set(recorded) <= set(said)
    rounds = [line for line in lines if re.fullmatch(r"\[\d\]#011train-rmse:[\d.]+#011validation-rmse:[\d.]+", line)]
    assert len(rounds) == 4
    final = {one["MetricName"]: one["Value"] for one in described["FinalMetricDataList"]}
    assert final == {
        "train:rmse": pytest.approx(float(rounds[-1].split(":")[1].split("#")[0])),
        "validation:rmse": pytest.approx(float(rounds[-1].split(":")[2])),
    }


def test_early_stopping_keeps_the_best_rounds_only(data: Jobs) -> None:
    put(data, validation__a=csv(table(80, 3)[:, [1, 0, 2, 3]]))  # another label: more rounds only make it worse
    settings = {"num_round": "100", "early_stopping_rounds": "3", "eval_metric": "rmse", "eta": "0.9"}
    name, _ = trained(data, settings, "train", "validation")
    lines = [line for line in data.aws.logs.lines("training", name) if "#011" in line]
    best = min(range(len(lines)), key=lambda number: float(lines[number].rpartition(":")[2]))
    assert len(lines) == best + 1 + 3
    assert model(data, name).num_boosted_rounds() == best + 1


def test_without_a_metric_early_stopping_does_nothing_as_in_the_container_and_says_so(data: Jobs) -> None:
    name, _ = trained(data, {"early_stopping_rounds": "1"}, "train", "validation")
    lines = data.aws.logs.lines("training", name)
    assert sum("#011" in line for line in lines) == 4
    assert any("Early stopping needs eval_metric" in line for line in lines)


def test_the_container_s_own_metrics_are_computed(data: Jobs) -> None:
    _, described = trained(data, {"eval_metric": "mae,r2"}, "train", "validation")
    final = {one["MetricName"]: one["Value"] for one in described["FinalMetricDataList"]}
    assert {"validation:mae", "validation:r2", "train:mae"} <= final.keys()
    assert 0 < final["validation:r2"] < 1


def test_the_user_is_told_that_an_equivalent_ran(data: Jobs) -> None:
    name, _ = trained(data, {})
    version = ".".join(xgboost.__version__.split(".")[:2])
    said = f"sagemaker-xgboost:3.0-5 is AWS's image; locally an equivalent trains with xgboost {version}."
    assert data.aws.sagemaker.job("training", name).note == said


FAILURES = {
    "Missing required hyperparameter: num_round": {"HyperParameters": {"eta": "0.1"}},
    "Missing required channel: train": {"InputDataConfig": channels("validation")},
    "Extraneous channel found: test": {"InputDataConfig": channels("train", "test")},
    "text/plain is not an accepted ContentType": {"InputDataConfig": channels("train", kind="text/plain")},
    "libsvm (the default) is not available locally; use text/csv": {"InputDataConfig": channels("train", kind=None)},
    "script mode (sagemaker_program) is not available locally": {
        "HyperParameters": {"num_round": "1", "sagemaker_program": "train.py"}
    },
    "distributed training is not available locally; use one instance": {
        "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
    },
    "XGB train call failed with exception:\n": {
        "HyperParameters": {"num_round": "1", "objective": "binary:logistic", "base_score": "0.5"}
    },
}


@pytest.mark.parametrize("sentence", FAILURES)
def test_a_failure_has_the_container_s_words(data: Jobs, sentence: str) -> None:
    put(data, test__a=b"1,2\n")
    _, described = trained(data, {}, **FAILURES[sentence])
    assert described["status"] == "Failed"
    assert described["FailureReason"].startswith("AlgorithmError: framework error: \nsagemaker_algorithm_toolkit.")
    assert sentence in described["FailureReason"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"1,2\n3,x\n", "Failed to load csv data with exception:\na.csv: In CSV column #1"),
        (b"1,2\n3,4,5\n", "Failed to load csv data with exception:\na.csv: CSV parse error"),
        (b"", "No data in training channel path /opt/ml/input/data/train"),
    ],
)
def test_bad_data_is_named(jobs: Jobs, body: bytes, sentence: str) -> None:
    jobs.s3.put_object(Bucket="data", Key="bad/train/a.csv", Body=body)
    source = {"S3DataSource": {"S3Uri": "s3://data/bad/train/", "S3DataType": "S3Prefix"}}
    given = [{"ChannelName": "train", "DataSource": source, "ContentType": "text/csv"}]
    _, described = trained(jobs, {}, InputDataConfig=given)
    assert sentence in described["FailureReason"]


# Without a process

WRONG = [
    ({"eta": "2"}, "Hyperparameter eta: 2.0 is not in [0, 1]"),
    ({"subsample": "0"}, "Hyperparameter subsample: 0.0 is not in (0, 1]"),
    ({"max_depth": "-1"}, "Hyperparameter max_depth: -1 is not in [0, +inf)"),
    ({"max_depth": "6.5"}, "Hyperparameter max_depth: could not parse value (caused by ValueError)"),
    ({"silent": "1"}, "Extraneous hyperparameter found: silent"),
    ({"booster": "tree"}, "Hyperparameter booster: tree is not in ['gbtree', 'gblinear', 'dart']"),
    ({"verbosity": "4"}, "Hyperparameter verbosity: 4 is not in [0, 3]"),
    ({"num_parallel_tree": "0"}, "Hyperparameter num_parallel_tree: 0 is not in [1, +inf)"),
    ({"save_model_on_termination": "x"}, "Hyperparameter save_model_on_termination: x is not in ['true', 'false']"),
    ({"objective": "multi:softmax"}, "Require input for parameter 'num_class' for multi-classification"),
    ({"eval_metric": "auc", "objective": "reg:gamma"}, "Metric 'auc' can only be applied for"),
    ({"eval_metric": "aft-nloglik", "objective": "reg:gamma"}, "Metric 'aft-nloglik' can only be applied for"),
    ({"eval_metric": "rmse@1"}, "Metric 'rmse@1' is not supported."),
    ({"eval_metric": "error@x"}, "Threshold value 't' in 'error@t' expects float input."),
    ({"monotone_constraints": "(1,0)"}, "monotone_constraints can be used only when the tree_method"),
    ({"csv_weights": "1"}, "csv_weights is not available locally"),
    ({"_kfold": "5"}, "_kfold (cross validation) is not available locally"),
    ({"tree_method": "gpu_hist"}, "training on a GPU is not available locally"),
    ({"updater": "grow_histmaker,grow_colmaker"}, "Only one tree grow plugin can be selected."),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_a_hyperparameter_is_checked_by_name_type_and_range(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        validated({"num_round": "1", **given})


def test_hyperparameters_get_their_types_and_names() -> None:
    given = {"num_round": "10", "learning_rate": "0.3", "eval_metric": "rmse,mae", "monotone_constraints": "(1,0,-1)"}
    assert validated({**given, "tree_method": "hist"}) == {
        "num_round": 10,
        "eta": 0.3,
        "eval_metric": ["rmse", "mae"],
        "monotone_constraints": (1, 0, -1),
        "tree_method": "hist",
    }


@pytest.mark.parametrize("given", ["text/x-libsvm", "application/x-parquet", "application/x-recordio-protobuf", None])
def test_other_formats_are_refused_by_name(given: str | None) -> None:
    with pytest.raises(UserError, match=r"is not available locally; use text/csv\."):
        check_content_type(given)


def test_a_label_of_two_columns_is_refused() -> None:
    with pytest.raises(UserError, match="Optional parameter label_size must be equal to 1"):
        check_content_type("text/csv; label_size=2")


# Transform


def a_model(jobs: Jobs, archive: str) -> str:
    name = jobs.name()
    container = {"Image": IMAGE, "ModelDataUrl": archive}
    jobs.api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return name


def test_a_transform_gives_the_model_s_predictions(data: Jobs) -> None:
    name, described = trained(data, {})
    rows = table(500, 7)[:, 1:].round(5)
    data.s3.put_object(Bucket="data", Key=f"ask/{name}/rows.csv", Body=csv(rows))
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/ask/{name}/"}}
    data.api.create_transform_job(
        TransformJobName=name,
        ModelName=a_model(data, described["ModelArtifacts"]["S3ModelArtifacts"]),
        TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://data/said/{name}", "AssembleWith": "Line", "Accept": "text/csv"},
        TransformResources={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"},
    )
    job = data.aws.sagemaker.job("transform", name)
    assert job.done.wait(MINUTES)
    assert data.keys(f"said/{name}/") == [f"said/{name}/rows.csv.out"], data.aws.logs.lines("transform", name)
    said = [float(line) for line in data.text(f"said/{name}/rows.csv.out").splitlines()]
    mine = model(data, name).predict(xgboost.DMatrix(rows.astype(numpy.float32)))
    numpy.testing.assert_allclose(said, mine, rtol=1e-6)
    assert "locally an equivalent predicts with xgboost" in job.note


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    rows = table(200, 1)
    return xgboost.train({"max_depth": 2}, xgboost.DMatrix(rows[:, 1:], label=rows[:, 0]), 2)


def test_a_request_s_empty_fields_are_missing_values(booster: xgboost.Booster) -> None:
    answers = predicted(booster, b"1,2,3\n,2,3\n", "text/csv")
    mine = booster.predict(xgboost.DMatrix(numpy.array([[1, 2, 3], [numpy.nan, 2, 3]])))
    assert answers == mine.tolist()


def test_a_request_s_rows_may_be_longer_than_what_decides_the_delimiter() -> None:
    rows = numpy.arange(3 * 300).reshape(3, 300)
    wide = xgboost.train({}, xgboost.DMatrix(rows, label=rows[:, 0]), 2)
    body = "\n".join(",".join(map(str, row)) for row in rows).encode()
    assert predicted(wide, body, "text/csv") == wide.predict(xgboost.DMatrix(rows)).tolist()


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (b"1,x,3\n", "text/csv", 415, "Loading csv data failed with Exception"),
        (b"1 2:3\n", "text/x-libsvm", 415, "libsvm is not available locally; use text/csv"),
        (b"1,2,3\n", None, 415, "libsvm (the default) is not available locally"),
        (b"1,2,3,4\n", "text/csv", 400, "Unable to evaluate payload provided"),
    ],
)
def test_a_bad_request_gets_the_container_s_status(
    booster: xgboost.Booster, body: bytes, kind: str | None, status: int, sentence: str
) -> None:
    with pytest.raises(Refused, match=re.escape(sentence)) as caught:
        predicted(booster, body, kind)
    assert caught.value.status == status


def test_answers_have_the_container_s_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    assert encoded([0.5, 1.25], "application/json") == (
        "application/json",
        '{"predictions": [{"score": 0.5}, {"score": 1.25}]}',
    )
    assert encoded([[0.5, 0.25], [1.0, 2.0]], "") == ("text/csv", "0.5,0.25\n1.0,2.0\n")
    with pytest.raises(Refused, match="Accept type text/html is not supported"):
        encoded([1.0], "text/html")
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    assert encoded([[0.5, 0.25]], "text/csv") == ("text/csv", "[0.5, 0.25]\n")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "/opt/ml/model is empty"),
        ({"xgboost-model": b"\x80\x04"}, "cannot be loaded: pickles are not loaded locally"),
        ({"xgboost-model": b"text"}, "Model /opt/ml/model/xgboost-model cannot be loaded"),
        ({"a": b"", "b": b""}, "ensembles are not available locally; the archive must hold xgboost-model alone"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(sentence)):
        loaded(tmp_path)
