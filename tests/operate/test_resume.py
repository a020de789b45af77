"""A run that takes up another one: the definition in an interpreter, the services answering as each test says."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from interpreter import Run, Throws, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.workflow.compile import compile_definition

WORK = "s3://penguins-work-123456789012-eu-west-1"
CONFIG = """
name: penguins
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {partition_by: species, values: [adelie, gentoo], label: body_mass_g}
fallback: {threshold: 350, if_missing: %s}
"""


@cache
def definition(if_missing: str = "fail") -> str:
    return compile_definition(loads(CONFIG % if_missing, "config.yml", None, {}), workflow).text


def verdict(name: str, **changed: Any) -> dict[str, Any]:
    place = f"{WORK}/runs/old/models/{name}/job/output/model/"
    good = {"name": name, "mae": 200, "threshold": 350, "verdict": "accepted", "reason": "good enough"}
    return {**good, "failure": {"Error": "", "Cause": ""}, "uses": "trained", "model_uri": place, **changed}


VERDICTS = [verdict("adelie"), verdict("gentoo")]
REJECTED = [verdict("adelie"), verdict("gentoo", verdict="rejected", uses="nothing", model_uri="")]


def taken_up(stage: str, verdicts: Any = VERDICTS, name: str = "new", **changed: Any) -> Run:
    """A run that takes up the run `old`; only what the test says is answered."""
    body = verdicts if isinstance(verdicts, Throws) else {"Body": json.dumps(verdicts)}
    answers: dict[str, Any] = {"Read verdicts": body, "Record verdicts": {}}
    answers["Post-process"] = {"ProcessingJobName": "post"}
    for model in ("adelie", "gentoo"):
        answers[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        answers[f"Read score of {model}"] = {"Body": '{"mae": 200}'}
        answers[f"Predict {model}"] = {"ProcessingJobName": f"predict-{model}"}
    answers |= {state.replace("_", " "): answer for state, answer in changed.items()}
    return run(definition(), answers, {"resume": {"run": "old", "from": stage}}, name)


def jobs(ended: Run) -> list[str]:
    return [state for state, asked in ended.calls if "RoleArn" in asked]


def subjects(ended: Run) -> list[str]:
    return [mail["Subject"].split(": ")[1] for mail in ended.mails]


def test_only_the_stages_from_the_given_one_on_run() -> None:
    assert jobs(taken_up("postprocess")) == ["Post-process"]
    assert sorted(jobs(taken_up("predict"))) == ["Post-process", "Predict adelie", "Predict gentoo"]
    trained = sorted(jobs(taken_up("train")))
    assert trained == ["Post-process", "Predict adelie", "Predict gentoo", "Train adelie", "Train gentoo"]


@pytest.mark.parametrize("stage", ["train", "predict", "postprocess"])
def test_it_works_in_the_folder_of_the_run_that_it_takes_up(stage: str) -> None:
    ended = taken_up(stage)
    assert ended.status == "SUCCEEDED"
    assert f"{WORK}/runs/old/" in json.dumps(ended.calls)
    assert "runs/new" not in json.dumps(ended.calls)
    assert [model["model_uri"].split("/models/")[0] for model in ended.output["models"]] == [f"{WORK}/runs/old"] * 2


def test_its_mails_tell_its_own_name_and_what_it_takes_up() -> None:
    ended = taken_up("predict")
    assert subjects(ended) == ["started", "models", "finished"]
    assert "Run new of the pipeline penguins has started." in ended.mail("started")
    assert "Stages: from predict on, in s3://penguins-work-123456789012-eu-west-1/runs/old/" in ended.mail("started")
    assert "python pipeline.py promote old" in ended.mail("finished")
    assert subjects(taken_up("postprocess")) == ["started", "finished"]


def test_its_jobs_have_names_of_their_own() -> None:
    first, second = taken_up("postprocess"), taken_up("postprocess")
    assert first.call("Post-process")["ProcessingJobName"] != second.call("Post-process")["ProcessingJobName"]


def test_verdicts_that_were_written_as_a_text_are_read() -> None:
    ended = taken_up("predict", json.dumps(VERDICTS))
    assert (ended.status, ended.output["models"]) == ("SUCCEEDED", VERDICTS)


def test_a_model_that_was_missing_may_have_been_promoted_since() -> None:
    place = f"{WORK}/promoted/good/gentoo/"
    promoted = {"Body": json.dumps({"m_gentoo": {"uses": "default", "model_uri": place}})}
    ended = taken_up("predict", REJECTED, Read_promoted_models=promoted)
    assert ended.status == "SUCCEEDED"
    assert ended.call("Predict gentoo")["ProcessingInputs"][1]["S3Input"]["S3Uri"] == place
    assert json.loads(json.dumps(ended.call("Record verdicts")))["Body"][1]["uses"] == "default"


def test_a_run_that_failed_again_is_mailed_once_and_says_how_to_go_on() -> None:
    ended = taken_up("postprocess", **{"Post-process": Throws("SageMaker.AmazonSageMakerException", "no")})
    assert (ended.status, subjects(ended)) == ("FAILED", ["started", "failed"])
    assert "python pipeline.py redrive new\n" in ended.mail("failed")
    assert "/runs/old/\n" in ended.mail("failed")


def test_verdicts_that_are_not_there_fail_the_run_with_that_state() -> None:
    ended = taken_up("postprocess", Throws("S3.NoSuchKeyException", "The specified key does not exist."))
    assert (ended.status, ended.error) == ("FAILED", "S3.NoSuchKeyException")
    assert "failed in the state Read verdicts" in ended.mail("failed")


@pytest.mark.parametrize(
    "verdicts",
    [[verdict("adelie")], [*VERDICTS, verdict("chinstrap")], [*reversed(VERDICTS)], [], {}, "[]", 7, [7, 7]],
)
def test_verdicts_of_other_models_are_refused_with_a_mail(verdicts: Any) -> None:
    ended = taken_up("predict", verdicts)
    assert (ended.status, ended.error) == ("FAILED", "OtherModels")
    assert "Start a new run." in ended.mail("failed")


def test_the_trained_models_can_be_used_only_when_their_verdicts_name_them() -> None:
    answers = {"Read verdicts": {"Body": json.dumps(REJECTED)}}
    ended = run(definition("use_trained"), answers, {"resume": {"run": "old", "from": "predict"}})
    assert (ended.status, ended.error) == ("FAILED", "OtherModels")


@pytest.mark.parametrize(
    "resume",
    [
        "old",
        None,
        [],
        7,
        {},
        {"run": "old"},
        {"from": "train"},
        {"run": "", "from": "train"},
        {"run": 7, "from": "train"},
        {"run": None, "from": "train"},
        {"run": "../other", "from": "train"},
        {"run": "old", "from": "trains"},
        {"run": "old", "from": ["train"]},
        {"run": "old", "from": None},
    ],
)
def test_a_resume_that_is_not_usable_is_bad_input(resume: Any) -> None:
    ended = run(definition(), {}, {"resume": resume})
    assert (ended.status, ended.error, subjects(ended)) == ("FAILED", "BadInput", ["failed"])
