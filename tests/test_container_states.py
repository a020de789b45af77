"""The states of a container of the user's own, run in an interpreter, beside XGBoost and AutoGluon."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from interpreter import Run, Throws, failed_job, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.workflow.compile import compile_definition

IMAGE = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/mine:1"
CONFIG = f"""
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
  - {{name: price, label: price, algorithm: {{xgboost: 3.0-5}}}}
  - {{name: weight, label: weight}}
  - {{name: mine, label: size, algorithm: {{image: {IMAGE}, set: {{depth: 3, fast: true}}}}}}
fallback: {{threshold: 350}}
predict: {{instance: {{type: ml.c5.xlarge, count: 3}}, max_runtime: 30m, environment: {{THREADS: "2"}}}}
postprocess: {{instance: {{type: ml.m5.large}}}}
encryption: {{kms_key: "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"}}
network: {{subnets: [subnet-0123abcd], security_groups: [sg-0123abcd], isolate: true, encrypt_traffic: true}}
"""
ONLY = CONFIG.replace("  - {name: price, label: price, algorithm: {xgboost: 3.0-5}}\n", "").replace(
    "  - {name: weight, label: weight}\n", ""
)
WORK = "s3://shop-work-123456789012-eu-west-1"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
MODELS = ("price", "weight", "mine")
DEFAULT = {"uses": "default", "model_uri": f"{WORK}/promoted/may/mine/job/", "run": "may", "image": "i", "columns": "c"}

PROMOTED = {"Body": json.dumps({"m_mine": DEFAULT})}


@cache
def definition(config: str = CONFIG) -> str:
    return compile_definition(loads(config, "config.yml", None, {}), workflow).text


def answers(**changed: Any) -> dict[str, Any]:
    prints = [{"name": m, "train": m, "predict": m, "files": ["0.parquet"], "rows": 2} for m in MODELS]
    prints[2]["columns"] = "c"
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 4, "models": prints})}, "Post-process": {}}
    for model in MODELS:
        good[f"Look up {model}"] = good[f"Look up {model} result"] = NO_FILE
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        good[f"Read score of {model}"] = {"Body": json.dumps({"mae": 200, "mae_of_median": 612, "manifest": "5" * 64})}
        good[f"Predict {model}"] = good[f"Remember {model}"] = good[f"Remember {model} result"] = {}
        good[f"Score {model}"] = {}
    for kind in ("model", "chosen model"):
        good[f"Create {kind} of mine"] = {"ModelArn": "arn:aws:sagemaker:eu-west-1:123456789012:model/m"}
        good[f"Delete {kind} of mine"] = {}
    good |= {"Test mine": {"TransformJobName": "t"}, "Check answers of mine": {}}
    return good | {state.replace("_", " "): answer for state, answer in changed.items()}


def mine(ended: Run) -> dict[str, Any]:
    (found,) = [one for one in ended.output["models"] if one["name"] == "mine"]
    return dict(found)


@pytest.mark.parametrize("config", [CONFIG, ONLY], ids=["beside others", "alone"])
def test_a_container_is_trained_tested_measured_and_predicts(config: str) -> None:
    ended = run(definition(config), answers())
    states = [state for state in ended.states if state.endswith("mine") or "mine " in state]
    assert states == [
        *("Look up mine", "Train mine", "Create model of mine", "Test mine", "Delete model of mine", "Judge mine"),
        *("Score mine", "Read score of mine", "Remember mine", "Judge mine", "Accept mine", "Look up mine result"),
        *("Create chosen model of mine", "Predict mine", "Delete chosen model of mine"),
        *("Check answers of mine", "Remember mine result", "Report mine"),
    ]
    assert (mine(ended)["verdict"], mine(ended)["outcome"], mine(ended)["image"]) == ("accepted", "predicted", IMAGE)
    train = ended.call("Train mine")
    assert train["AlgorithmSpecification"] == {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
    assert train["HyperParameters"] == {"depth": "3", "fast": "true"}
    assert [channel["ChannelName"] for channel in train["InputDataConfig"]] == ["train"]
    assert train["OutputDataConfig"]["CompressionType"] == "GZIP"


def test_sagemaker_s_models_have_the_archive_the_image_and_the_network() -> None:
    ended = run(definition(), answers())
    trained, chosen = ended.call("Create model of mine"), ended.call("Create chosen model of mine")
    folder = mine(ended)["model_uri"]
    assert trained["PrimaryContainer"]["ModelDataUrl"] == f"{folder.removesuffix('model/')}model.tar.gz"
    assert chosen["PrimaryContainer"]["ModelDataUrl"] == f"{folder}model.tar.gz"
    for model in (trained, chosen):
        assert model["PrimaryContainer"]["Image"] == IMAGE
        assert model["PrimaryContainer"]["Environment"] == {"THREADS": "2"}
        assert model["VpcConfig"]["Subnets"] == ["subnet-0123abcd"] and model["EnableNetworkIsolation"] is True
        assert model["ModelName"].startswith("shop-model-mine-")
    assert trained["ModelName"] != chosen["ModelName"]
    assert ended.call("Test mine")["ModelName"] == trained["ModelName"]
    assert ended.call("Predict mine")["ModelName"] == chosen["ModelName"]


def test_each_of_its_jobs_reads_what_the_one_before_wrote() -> None:
    ended = run(definition(), answers())
    test, predict = ended.call("Test mine"), ended.call("Predict mine")
    source = test["TransformInput"]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == f"{WORK}/runs/june-go/prepared/models/mine/asked/"
    source = predict["TransformInput"]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == f"{WORK}/runs/june-go/prepared/predict/mine/"
    for job in (test, predict):
        assert (job["TransformInput"]["SplitType"], job["TransformOutput"]["AssembleWith"]) == ("Line", "Line")
        resources = job["TransformResources"]
        assert (resources["InstanceType"], resources["InstanceCount"]) == ("ml.c5.xlarge", 3)
        assert resources["VolumeKmsKeyId"] and job["TransformOutput"]["KmsKeyId"]
    score, check = ended.call("Score mine"), ended.call("Check answers of mine")
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in score["ProcessingInputs"]}
    assert inputs["answers"] == test["TransformOutput"]["S3OutputPath"]
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in check["ProcessingInputs"]}
    assert inputs["answers"] == predict["TransformOutput"]["S3OutputPath"]
    assert inputs["manifest"] == f"{mine(ended)['model_uri']}manifest.json"
    assert inputs["numbers"] == f"{WORK}/runs/june-go/prepared/numbers/mine/"
    assert check["Environment"] == {"STEPGLUON_MODEL": "mine", "STEPGLUON_MANIFEST": "5" * 64}
    for job, script in ((score, "score_answers"), (check, "check_answers")):
        assert job["AppSpecification"]["ImageUri"].endswith("/shop-data@${DataDigest}"), "no code of the user's"
        assert job["AppSpecification"]["ContainerEntrypoint"] == ["python3", f"/opt/program/{script}.py"]
        assert job["ProcessingResources"]["ClusterConfig"]["InstanceType"] == "ml.m5.large"


def test_each_algorithm_is_measured_in_its_own_image() -> None:
    ended = run(definition(), answers())
    images = {model: ended.call(f"Score {model}")["AppSpecification"]["ImageUri"] for model in ("price", "mine")}
    assert "-xgboost@" in images["price"] and "-data@" in images["mine"]


def test_a_lost_test_is_repeated_without_a_training_and_a_wrong_answer_is_not() -> None:
    lost = failed_job("InternalServerError: lost", "Transform")
    ended = run(definition(), answers(Test_mine=[lost, {}]))
    assert mine(ended)["verdict"] == "accepted" and ended.states.count("Train mine") == 1
    names = [call["ModelName"] for state, call in ended.calls if state == "Create model of mine"]
    assert len(set(names)) == 2
    assert ended.call("Remember mine")["Body"].keys().isdisjoint({"model", "answered", "trained"})
    ended = run(definition(), answers(Score_mine=[failed_job("InternalServerError: lost", "Processing"), {}]))
    assert (ended.states.count("Train mine"), ended.states.count("Test mine")) == (1, 2)
    assert mine(ended)["verdict"] == "accepted"
    wrong = failed_job("Not retried: Model mine: its container answered 1 line to 2 rows.", "Processing")
    ended = run(definition(), answers(Score_mine=wrong, Choose_models=PROMOTED))
    assert ended.states.count("Train mine") == 1
    assert mine(ended)["reason"] == "rejected. Model mine: its container answered 1 line to 2 rows."


def test_sagemaker_s_models_are_deleted_after_use_whatever_became_of_it() -> None:
    lost, refused = failed_job("InternalServerError: lost", "Transform"), Throws("SageMaker.SageMakerException", "no")
    ended = run(
        definition(), answers(Test_mine=[lost, {}], Predict_mine=[lost, {}], Delete_model_of_mine=[{}, *[refused] * 9])
    )
    for kind in ("model", "chosen model"):
        created, deleted = (
            [call["ModelName"] for state, call in ended.calls if state == f"{verb} {kind} of mine"]
            for verb in ("Create", "Delete")
        )
        assert len(created) == 2 and created == list(dict.fromkeys(deleted)), "one that cannot be deleted is left"
    assert (mine(ended)["verdict"], mine(ended)["outcome"]) == ("accepted", "predicted")
    first = Throws("SageMaker.AmazonSageMakerException", "Could not find model data at s3://w/model.tar.gz.")
    ended = run(definition(), answers(Create_model_of_mine=first, Choose_models=PROMOTED))
    assert "Delete model of mine" not in ended.states, "there is none"


def test_an_archive_that_is_missing_rejects_the_model() -> None:
    said = Throws("SageMaker.AmazonSageMakerException", "Could not find model data at s3://w/model.tar.gz.")
    ended = run(definition(), answers(Create_model_of_mine=said, Choose_models=PROMOTED))
    reason = "rejected. The training saved nothing in /opt/ml/model, so there is no model."
    assert (mine(ended)["verdict"], mine(ended)["reason"]) == ("rejected", reason)
    assert ended.states.count("Train mine") == 1


@pytest.mark.parametrize(("columns", "used"), [("c", "default"), ("other", "trained"), (None, "trained")])
def test_a_default_answers_only_rows_of_the_columns_that_it_learnt(columns: str | None, used: str) -> None:
    bad = {"Body": json.dumps({"mae": 900, "mae_of_median": 612, "manifest": "5" * 64})}
    entry = {key: value for key, value in {**DEFAULT, "columns": columns}.items() if value}
    promoted = {"Body": json.dumps({"m_mine": entry})}
    ended = run(definition(), answers(Read_score_of_mine=bad, Choose_models=promoted))
    assert mine(ended)["uses"] == used
    archive = ended.call("Create chosen model of mine")["PrimaryContainer"]
    said = " The model promoted from run may was not used: it learnt from other columns."
    assert (said in mine(ended)["reason"]) is (used == "trained")
    if used == "default":
        assert archive["ModelDataUrl"] == f"{DEFAULT['model_uri']}model.tar.gz" and archive["Image"] == "i"


TABLES = ONLY.replace(f", algorithm: {{image: {IMAGE}, set: {{depth: 3, fast: true}}}}", "")


@pytest.mark.parametrize(
    ("made_by", "used"),
    [({"program": "container"}, "trained"), ({}, "trained"), ({"program": "xgboost"}, "default")],
    ids=["a container", "an earlier version", "ours, for transform jobs"],
)
def test_a_promoted_container_does_not_run_as_a_job_of_ours(made_by: dict[str, str], used: str) -> None:
    bad = {"Body": json.dumps({"mae": 900, "mae_of_median": 612, "manifest": "5" * 64})}
    given = answers(Read_score_of_mine=bad, Choose_models={"Body": json.dumps({"m_mine": {**DEFAULT, **made_by}})})
    (only,) = [one for one in json.loads(given["Read fingerprints"]["Body"])["models"] if one["name"] == "mine"]
    del only["columns"]  # prepare has it for transform jobs only
    given["Read fingerprints"] = {"Body": json.dumps({"gaps": 2, "models": [only]})}
    ended = run(definition(TABLES), given)
    assert mine(ended)["uses"] == used
    said = (
        "The model promoted from run may was not used: it was made by another algorithm, whose models the jobs of this"
    )
    assert (said in mine(ended)["reason"]) is (used == "trained")
    if used == "trained":
        failing = TABLES.replace("fallback: {threshold: 350}", "fallback: {threshold: 350, if_missing: fail}")
        ended = run(definition(failing), given)
        assert ended.status == "FAILED" and said in ended.cause


def test_wrong_answers_to_the_rows_leave_the_run_incomplete_with_the_others_delivered() -> None:
    wrong = failed_job("Not retried: Model mine: its container answered 1 line to 2 rows.", "Processing")
    ended = run(definition(), answers(Check_answers_of_mine=wrong))
    assert ended.status == "FAILED" and "Post-process" in ended.states
    assert ended.states.count("Predict mine") == 1
    assert "its container answered 1 line to 2 rows." in ended.cause
