"""What becomes of a run: the compiled definition in an interpreter, the services answering as each test says."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from interpreter import Run, Throws, failed_job, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.workflow.compile import compile_definition

MODELS = {"adelie": 231.5, "chinstrap": 300, "gentoo": 349.99}
OLD = "s3://penguins-work-123456789012-eu-west-1/runs/old/models/gentoo/job/output/model/"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
CONFIG = """
name: penguins
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {partition_by: species, values: [adelie, chinstrap, gentoo], label: body_mass_g}
fallback: {threshold: 350, %s}
"""


@cache
def definition(fallback: str = "when: each") -> str:
    return compile_definition(loads(CONFIG % fallback, "config.yml", None, {}), workflow).text


def answers(**changed: Any) -> dict[str, Any]:
    """Every job does what it should; `changed` says otherwise, by the state's name with _ for spaces."""
    good: dict[str, Any] = {"Prepare data": {"ProcessingJobName": "prepare"}, "Record verdicts": {}}
    good |= {"Post-process": {"ProcessingJobName": "post"}, "Read promoted models": NO_FILE}
    for model, error in MODELS.items():
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        good[f"Read score of {model}"] = {"Body": json.dumps({"mae": error})}
        good[f"Predict {model}"] = {"ProcessingJobName": f"predict-{model}"}
    return good | {state.replace("_", " "): answer for state, answer in changed.items()}


def score(body: str) -> dict[str, Any]:
    return {"Body": body}


PROMOTED = {"Body": json.dumps({"m_gentoo": {"uses": "default", "model_uri": OLD, "run": "old"}})}


def models(ended: Run) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in ended.output["models"]}


def test_good_models_predict_and_three_mails_tell_of_it() -> None:
    ended = run(definition(), answers(), {"data": "s3://raw/june/", "note": "first try"})
    assert ended.status == "SUCCEEDED"
    assert [mail["Subject"].split(": ")[1] for mail in ended.mails] == ["started", "models", "finished"]
    assert {m["verdict"] for m in models(ended).values()} == {"accepted"}
    assert models(ended)["adelie"] == {
        "name": "adelie",
        "mae": 231.5,
        "threshold": 350,
        "verdict": "accepted",
        "reason": "good enough",
        "failure": {"Error": "", "Cause": ""},
        "uses": "trained",
        "model_uri": "s3://penguins-work-123456789012-eu-west-1/runs/june-go/models/adelie/train-adelie/output/model/",
    }
    assert "s3://raw/june/" in ended.mail("started")
    assert "first try" in ended.mail("started")
    assert "- adelie: accepted, good enough (231.5, at most 350), uses trained." in ended.mail("models")
    assert "/runs/june-go/result/" in ended.mail("finished")


def test_jobs_get_this_runs_places_and_fresh_names() -> None:
    first, second = (run(definition(), answers(), {"data": "s3://raw/june/"}) for _ in range(2))
    names = [
        call["ProcessingJobName"] for ended in (first, second) for _, call in ended.calls if "ProcessingJobName" in call
    ]
    assert len(set(names)) == len(names) == 10
    prepare = first.call("Prepare data")
    assert prepare["ProcessingInputs"][0]["S3Input"]["S3Uri"] == "s3://raw/june/"
    train = first.call("Train gentoo")
    assert train["HyperParameters"] == {"model": "gentoo"}
    assert train["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].endswith(
        "/runs/june-go/prepared/models/gentoo/"
    )
    assert train["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"
    predict = first.call("Predict gentoo")
    assert predict["ProcessingInputs"][1]["S3Input"]["S3Uri"] == models(first)["gentoo"]["model_uri"]


def test_a_model_that_is_not_good_enough_is_replaced_by_the_promoted_one() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score('{"mae": 350.01}'), Read_promoted_models=PROMOTED))
    assert ended.status == "SUCCEEDED"
    assert (models(ended)["gentoo"]["verdict"], models(ended)["gentoo"]["uses"]) == ("rejected", "default")
    assert ended.call("Predict gentoo")["ProcessingInputs"][1]["S3Input"]["S3Uri"] == OLD
    assert models(ended)["adelie"]["uses"] == "trained"
    assert "- gentoo: rejected, not good enough (350.01, at most 350), uses default." in ended.mail("models")


def test_a_failed_training_job_is_replaced_by_the_promoted_model_and_its_sentence_is_mailed() -> None:
    broken = failed_job("AlgorithmError: column 'sex' of gentoo has no value (fill it or drop it)")
    ended = run(definition(), answers(Train_gentoo=broken, Read_promoted_models=PROMOTED))
    assert ended.status == "SUCCEEDED"
    assert models(ended)["gentoo"]["uses"] == "default"
    assert "column 'sex' of gentoo has no value (fill it or drop it)" in ended.mail("models")
    assert "JobArn" not in ended.mail("models")
    assert {"Judge adelie", "Judge chinstrap", "Accept adelie", "Accept chinstrap"} <= set(ended.states)


def test_an_error_of_exactly_the_threshold_is_good_enough() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score('{"mae": 350}')))
    assert models(ended)["gentoo"]["verdict"] == "accepted"


@pytest.mark.parametrize(
    "body",
    [
        *('{"mae": -1}', '{"mae": null}', '{"mae": "12"}', '{"mae": [1]}', '{"mae": {"a": 1}}', '{"mae": true}', "{}"),
        *("[1]", "3", '"text"', "", "{", '{"mae": NaN}', '{"mae": Infinity}', '{"mae": 1', "null"),
    ],
)
def test_only_a_number_is_a_score(body: str) -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score(body), Read_promoted_models=PROMOTED))
    assert ended.status == "SUCCEEDED"
    assert models(ended)["gentoo"]["verdict"] == "rejected"
    assert "- gentoo: rejected, " in ended.mail("models")
    if body not in ('{"mae": -1}', '{"mae": NaN}', '{"mae": Infinity}'):  # moto reads the last two, AWS does not
        assert "no score" in ended.mail("models")


def test_a_score_that_is_not_there_rejects_the_model() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=NO_FILE, Read_promoted_models=PROMOTED))
    assert models(ended)["gentoo"]["verdict"] == "rejected"
    assert "S3.NoSuchKeyException The specified key does not exist." in ended.mail("models")


def test_without_a_default_the_run_fails_after_the_models_were_announced() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score('{"mae": 999}')))
    assert (ended.status, ended.error) == ("FAILED", "NoDefaultModel")
    assert [mail["Subject"].split(": ")[1] for mail in ended.mails] == ["started", "models", "failed"]
    assert "- gentoo: rejected, not good enough (999, at most 350), uses nothing." in ended.mail("models")
    assert "python pipeline.py promote RUN" in ended.mail("failed")
    assert "Predict" not in ended.states


def test_without_a_default_the_trained_model_is_used_where_the_config_says_so() -> None:
    ended = run(definition("if_missing: use_trained"), answers(Read_score_of_gentoo=score('{"mae": 999}')))
    assert ended.status == "SUCCEEDED"
    assert (models(ended)["gentoo"]["verdict"], models(ended)["gentoo"]["uses"]) == ("rejected", "trained")
    assert ended.call("Predict gentoo")["ProcessingInputs"][1]["S3Input"]["S3Uri"].endswith(
        "/train-gentoo/output/model/"
    )


def test_a_training_that_failed_leaves_no_model_to_use_anyway() -> None:
    ended = run(definition("if_missing: use_trained"), answers(Train_gentoo=failed_job("gone")))
    assert (ended.status, ended.error) == ("FAILED", "NoDefaultModel")


def test_one_bad_model_replaces_all_where_the_config_says_any() -> None:
    promoted = {f"m_{m}": {"uses": "default", "model_uri": f"s3://w/{m}/"} for m in MODELS}
    bad = answers(Read_score_of_gentoo=score('{"mae": 999}'), Read_promoted_models={"Body": json.dumps(promoted)})
    ended = run(definition("when: any"), bad)
    assert ended.status == "SUCCEEDED"
    assert {m["uses"] for m in models(ended).values()} == {"default"}
    assert models(ended)["adelie"]["verdict"] == "accepted"


def test_no_bad_model_replaces_none_where_the_config_says_any() -> None:
    ended = run(definition("when: any"), answers())
    assert {m["uses"] for m in models(ended).values()} == {"trained"}


@pytest.mark.parametrize("text", ["[]", "3", '{"m_gentoo": 3}', '{"m_gentoo": {}}', '{"m_gentoo": {"model_uri": 3}}'])
def test_a_promoted_model_without_a_place_is_none(text: str) -> None:
    bad = answers(Read_score_of_gentoo=score('{"mae": 999}'), Read_promoted_models={"Body": text})
    assert run(definition(), bad).error == "NoDefaultModel"


@pytest.mark.parametrize("text", ["{", "no JSON"])
def test_a_damaged_list_of_promoted_models_fails_the_run(text: str) -> None:
    bad = answers(Read_score_of_gentoo=score('{"mae": 999}'), Read_promoted_models={"Body": text})
    assert "Read promoted models failed" in run(definition(), bad).states


def test_a_default_named_in_the_config_is_used() -> None:
    ended = run(definition(f"default_model: '{OLD}'"), answers(Read_score_of_gentoo=score('{"mae": 999}')))
    assert models(ended)["gentoo"]["model_uri"] == OLD


def test_the_run_file_can_change_the_threshold() -> None:
    ended = run(definition(), answers(Read_promoted_models=PROMOTED), {"overrides": {"threshold": 349}})
    assert models(ended)["gentoo"]["verdict"] == "rejected"
    assert models(ended)["chinstrap"]["threshold"] == 349


@pytest.mark.parametrize(
    "given",
    [
        *("text", 3, True, [1, 2], {"data": 3}, {"note": {"a": 1}}, {"overrides": None}, {"overrides": "x"}),
        *({"overrides": [1]}, {"overrides": {"threshold": "9999"}}, {"overrides": {"threshold": None}}),
    ],
)
def test_an_input_that_is_not_usable_is_refused_with_a_mail(given: Any) -> None:
    ended = run(definition(), answers(), given)
    assert (ended.status, ended.error) == ("FAILED", "BadInput")
    assert "overrides (an object with threshold, a number)" in ended.mail("failed")
    assert "Prepare data" not in ended.states


def test_promoted_models_that_cannot_be_read_are_not_taken_for_none() -> None:
    denied = Throws("S3.S3Exception", "Access Denied (Service: S3, Status Code: 403)")
    ended = run(
        definition("if_missing: use_trained"),
        answers(Read_score_of_gentoo=score('{"mae": 999}'), Read_promoted_models=denied),
    )
    assert (ended.status, ended.error) == ("FAILED", "S3.S3Exception")
    assert "failed in the state Read promoted models." in ended.mail("failed")
    assert "Access Denied" in ended.mail("failed")


def test_a_good_model_without_a_default_is_kept_where_any_bad_one_replaces_all() -> None:
    bad = answers(Read_score_of_gentoo=score('{"mae": 999}'))
    ended = run(definition("when: any, if_missing: use_trained"), bad)
    assert ended.status == "SUCCEEDED"
    assert {m["uses"] for m in models(ended).values()} == {"trained"}


@pytest.mark.parametrize("stage", ["Prepare data", "Post-process"])
def test_a_failed_stage_is_mailed_once_with_its_name_and_the_jobs_sentence(stage: str) -> None:
    broken = failed_job("AlgorithmError: exit code 1", "june/a.csv has no column body_mass_g (add it or change label)")
    ended = run(definition(), answers() | {stage: broken})
    assert (ended.status, ended.error) == ("FAILED", "SageMaker.JobFailed")
    assert "june/a.csv has no column body_mass_g" in ended.cause
    assert f"failed in the state {stage}." in ended.mail("failed")
    assert "june/a.csv has no column body_mass_g (add it or change label)" in ended.mail("failed")
    assert "python pipeline.py show june-go" in ended.mail("failed")
    assert not [mail for mail in ended.mails if mail["Subject"].endswith("finished")]


def test_a_service_that_refuses_is_told_in_its_own_words() -> None:
    refused = Throws("SageMaker.ResourceLimitExceededException", "The limit for ml.m5.xlarge is 0 {Instances}.")
    ended = run(definition(), answers(Prepare_data=refused))
    assert ended.error == "SageMaker.ResourceLimitExceededException"
    assert "The limit for ml.m5.xlarge is 0 {Instances}." in ended.mail("failed")


def test_a_failed_prediction_lets_the_others_finish_and_then_fails_the_run() -> None:
    ended = run(definition(), answers(Predict_adelie=failed_job("AlgorithmError", "The model is of AutoGluon 1.4.")))
    assert (ended.status, ended.error) == ("FAILED", "PredictionFailed")
    assert "- adelie: failed. SageMaker.JobFailed The model is of AutoGluon 1.4. AlgorithmError" in ended.mail("failed")
    assert "- gentoo: predicted." in ended.mail("failed")
    assert {"Predict gentoo", "Predict chinstrap"} <= set(ended.states)
    assert "Post-process" not in ended.states


def test_all_trainings_may_fail() -> None:
    broken = {f"Train {model}": failed_job("CapacityError") for model in MODELS}
    ended = run(definition(), answers() | broken)
    assert ended.error == "NoDefaultModel"
    assert ended.mail("models").count("CapacityError") == 3


@pytest.mark.parametrize("mail", ["Announce start", "Announce models", "Announce results"])
def test_a_mail_that_cannot_be_sent_stops_nothing(mail: str) -> None:
    ended = run(definition(), answers() | {mail: Throws("SNS.NotFoundException", "Topic does not exist")})
    assert ended.status == "SUCCEEDED"
    assert len(ended.mails) == 3


def test_a_failure_that_cannot_be_mailed_still_ends_with_its_own_reason() -> None:
    gone = Throws("SNS.NotFoundException", "Topic does not exist")
    ended = run(definition(), answers(Prepare_data=failed_job("no data"), Announce_failure=gone))
    assert (ended.status, ended.error, ended.cause.strip()) == ("FAILED", "SageMaker.JobFailed", "no data")


def test_a_cause_says_that_it_was_mailed_so_that_the_failure_rule_mails_it_not_again() -> None:
    ended = run(definition(), answers(Prepare_data=failed_job("", "no data")))
    assert ended.cause.strip() == "Mailed: no data"
    assert "Mailed: " not in ended.mail("failed")
