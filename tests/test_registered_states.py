"""The states of models that become versions in SageMaker's registry, run in an interpreter."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from interpreter import Run, Throws, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.runs.history import verdict
from stepgluon.workflow.compile import compile_definition

CONFIG = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
  - {name: Price_1, label: price, register: {}}
  - {name: kind, label: kind, metric: accuracy, at_least: 0.8, register: {approval: automatic}}
  - {name: rent, label: rent}
fallback: {threshold: 350}
"""
WORK = "s3://shop-work-123456789012-eu-west-1/"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
REFUSED = Throws("SageMaker.SageMakerException", "not authorized to perform: sagemaker:CreateModelPackage")
MODELS = ("Price_1", "kind", "rent")


@cache
def definition() -> str:
    return compile_definition(loads(CONFIG, "config.yml", None, {}), workflow).text


def answers(**changed: Any) -> dict[str, Any]:
    prints = [{"name": m, "train": f"rows of {m}", "predict": m, "files": ["0.parquet"], "rows": 2} for m in MODELS]
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 4, "models": prints})}, "Post-process": {}}
    for model in MODELS:
        good[f"Look up {model}"] = good[f"Look up {model} result"] = NO_FILE
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        score = {"mae": 200, "mae_of_median": 612, "score": 0.9, "baseline": 0.5, "manifest": "5" * 64}
        good[f"Read score of {model}"] = {"Body": json.dumps(score)}
        good[f"Predict {model}"] = good[f"Remember {model}"] = good[f"Remember {model} result"] = {}
        good[f"Register {model}"] = {"ModelPackageArn": f"{ARN}/shop-model-{model.lower()}/3"}
        good[f"Remember version of {model}"] = {}
    return good | changed


def model(ended: Run, name: str) -> dict[str, Any]:
    (found,) = [one for one in ended.output["models"] if one["name"] == name]
    return dict(found)


def asked(ended: Run, state: str) -> list[Any]:
    return [parameters for name, parameters in ended.calls if name == state]


def test_an_accepted_model_becomes_a_version_of_its_group() -> None:
    ended = run(definition(), answers(), {}, "june")
    (request,) = asked(ended, "Register Price_1")
    place = next(p for s, p in ended.calls if s == "Train Price_1")["OutputDataConfig"]["S3OutputPath"]
    assert request["ModelPackageGroupName"] == "shop-model-price-1"
    assert request["ModelApprovalStatus"] == "PendingManualApproval"
    (container,) = request["InferenceSpecification"]["Containers"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == f"{place}/train-Price_1/output/model/"
    assert container["Image"].startswith("123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-autogluon@")
    assert request["CustomerMetadataProperties"] == {
        **{"metric": "mae", "score": "200", "baseline": "612", "run": "june", "job": "train-Price_1"},
        **{"data": "rows of Price_1", "manifest": "5" * 64, "program": "autogluon"},
    }
    (other,) = asked(ended, "Register kind")
    assert other["ModelApprovalStatus"] == "Approved"
    assert other["CustomerMetadataProperties"]["score"] == "0.9"
    assert not asked(ended, "Register rent")


def test_the_marker_keeps_the_version_and_the_mails_name_it() -> None:
    ended = run(definition(), answers(), {})
    (kept,) = asked(ended, "Remember version of Price_1")
    assert kept["Body"]["version"] == 3
    assert kept["Key"].startswith("markers/models/Price_1/")
    assert kept["Key"] == asked(ended, "Remember Price_1")[0]["Key"]
    judged = model(ended, "Price_1")
    assert judged["reason"].endswith("always guessing the median: 612). Registered as version 3.")
    assert judged["reason"] == verdict(judged)
    assert (
        model(ended, "kind")["reason"]
        == "accepted. accuracy 0.9 (at least 0.8; baseline 0.5). Registered as version 3."
    )
    assert "version" not in model(ended, "rent")
    for mail in ("Announce models", "Announce results"):
        assert "Price_1: accepted." in asked(ended, mail)[0]["Message"]
        assert "Registered as version 3." in asked(ended, mail)[0]["Message"]


def test_a_cached_model_gets_no_second_version_but_one_that_has_none_gets_its_first() -> None:
    marker = {
        "job": "may-train",
        "mae": 200,
        "mae_of_median": 612,
        "manifest": "5" * 64,
        "run": "may",
        "image": "of may",
    }
    cached = {"Look up Price_1": {"Body": json.dumps({**marker, "version": 2})}}
    ended = run(definition(), answers(**cached), {})
    assert not asked(ended, "Register Price_1")
    assert model(ended, "Price_1")["version"] == 2

    ended = run(definition(), answers(**{"Look up Price_1": {"Body": json.dumps(marker)}}), {}, "june")
    (request,) = asked(ended, "Register Price_1")
    assert request["CustomerMetadataProperties"]["run"] == "may"
    assert request["InferenceSpecification"]["Containers"][0]["Image"] == "of may"


def test_the_same_model_has_the_same_token_in_every_run_and_another_model_another() -> None:
    marker = {"job": "train-Price_1", "mae": 200, "manifest": "5" * 64, "run": "june"}
    first, again, other = (
        asked(run(definition(), answers(**changed), {}, name), "Register Price_1")[0]["ClientToken"]
        for name, changed in (
            ("june", {}),
            ("july", {"Look up Price_1": {"Body": json.dumps(marker)}}),
            ("august", {"Train Price_1": {"TrainingJobName": "another"}}),
        )
    )
    assert first == again != other
    assert len(first) == 36


@pytest.mark.parametrize("score", [{"mae": 900}, {"mae": None}, {}])
def test_a_rejected_model_is_not_registered_even_if_it_was_before(score: dict[str, Any]) -> None:
    marker = {"job": "may-train", "run": "may", "version": 2, **score}
    ended = run(definition(), answers(**{"Look up Price_1": {"Body": json.dumps(marker)}}), {})
    assert not asked(ended, "Register Price_1")
    assert model(ended, "Price_1")["verdict"] == "rejected"


def test_a_model_that_cannot_be_registered_predicts_all_the_same() -> None:
    ended = run(definition(), answers(**{"Register Price_1": [REFUSED] * 9}), {})
    assert ended.status == "SUCCEEDED"
    judged = model(ended, "Price_1")
    assert judged["verdict"] == "accepted"
    assert judged["reason"].endswith("Not registered: SageMaker.SageMakerException: " + str(REFUSED.cause))
    assert judged["reason"] == verdict(judged)
    assert not asked(ended, "Remember version of Price_1")


def test_a_version_that_cannot_be_remembered_is_still_one() -> None:
    ended = run(definition(), answers(**{"Remember version of Price_1": NO_FILE}), {})
    assert model(ended, "Price_1")["version"] == 3


def test_group_names_fit_and_differ() -> None:
    long = "a-name-of-a-model-whose-end-differs-" + "x" * 20
    config = f"""
name: a-name-of-20-letters
models:
  - {{name: {long}1, label: a, register: {{}}}}
  - {{name: {long}2, label: b, register: {{}}}}
"""
    loaded = loads(config, "config.yml", None, {}).config
    groups = [Names(loaded).model_group(one) for one in loaded.models]
    assert len(set(groups)) == 2
    assert max(map(len, groups)) <= 63
