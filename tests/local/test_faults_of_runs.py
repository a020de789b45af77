"""Faults around the jobs: scores and default models, mails that cannot be sent, a run that is stopped, events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from local_aws import MINUTES, stop_jobs, until
from whole import MODELS, Whole, whole

from stepgluon.runs.view import details


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("work")) as running:
        yield running


@pytest.fixture
def pipeline(made: Whole) -> Iterator[Whole]:
    made.promote()
    yield made
    stop_jobs(made.place.aws)


# Scores: each row has one for each of the three models


@pytest.mark.parametrize(
    ("scores", "accepted"),
    [
        (["NaN", '{"mae": NaN}', '{"mae": "12"}'], []),
        (["{}", '{"mae": -1}', '{"mae": 350.1}'], []),
        (['{"mae": 3', '{"mae": null}', '{"mae": Infinity}'], []),
        (['{"mae": 350}', '{"mae": 0}', '{"mae": 350.0000001}'], ["adelie", "chinstrap"]),
    ],
)
def test_only_a_good_number_is_a_good_score(pipeline: Whole, scores: list[str], accepted: list[str]) -> None:
    pipeline.promote(*MODELS)
    ended = pipeline.run(**{f"train_{name}": f"score {score}" for name, score in zip(MODELS, scores, strict=True)})
    assert (ended.code, ended.kinds) == (0, ["started", "models", "finished"])
    assert [name for name in MODELS if ended.uses[name] == "trained"] == accepted


def test_a_score_of_an_older_run_counts_for_nothing(pipeline: Whole) -> None:
    older = pipeline.run(train_adelie='score {"mae": 1}')
    assert older.told["models"][0]["mae"] == 1
    pipeline.promote("adelie")
    ended = pipeline.run(train_adelie="no output")
    assert (ended.code, ended.uses["adelie"], ended.told["models"][0]["mae"]) == (0, "default", None)


@pytest.mark.parametrize(("promoted", "code"), [(MODELS, 0), ((), 1)])
def test_all_trainings_fail(pipeline: Whole, promoted: tuple[str, ...], code: int) -> None:
    pipeline.promote(*promoted)
    ended = pipeline.run(train_adelie="exit 1", train_chinstrap="SIGKILL", train_gentoo="no output")
    assert ended.code == code
    assert set(ended.uses.values()) == {"default" if promoted else None}
    assert ended.kinds == (["started", "failed"] if code else ["started", "models", "finished"])
    assert not code or ended.told["failure"]["state"] == "Choose models"
    assert bool(pipeline.result(ended)) is not bool(code)
    text = ended.mails[1][1]
    assert "train-adelie does not like the data" in text, "the mail says of each model why it was rejected"


# Default models; the stand-in gives whatever has a manifest to the real predict.py


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"other_place": "x"}, "No S3 objects found"),
        ({"manifest_json": {"files": {"model.bin": "0" * 64}}, "model_bin": "adelie"}, "'model.bin' was changed after"),
        ({"manifest_json": {"files": {}}, "added_pkl": "x"}, "'added.pkl' is not in the manifest"),
        ({"manifest_json": {"autogluon": "0.8.2"}}, "was trained with AutoGluon 0.8.2 and cannot be loaded with"),
        ({"manifest_json": {"python": "2.7.18"}}, "was trained with Python 2.7.18 and cannot be loaded with"),
        ({"manifest_json": "no JSON"}, "manifest.json"),
    ],
)
def test_a_default_model_that_cannot_be_used(pipeline: Whole, files: dict[str, Any], sentence: str) -> None:
    from importlib.metadata import version
    from platform import python_version

    usual = {"files": {}, "features": {}, "autogluon": version("autogluon.tabular"), "python": python_version()}
    texts = {
        name: json.dumps({**usual, **content}) if isinstance(content, dict) else content
        for name, content in files.items()
    }
    pipeline.promote("adelie", **texts)
    if "other_place" in files:
        pipeline.s3.delete_object(Bucket=pipeline.bucket, Key="promoted/adelie/other.place")
    ended = pipeline.run(train_adelie="exit 1")
    assert (ended.code, ended.kinds) == (1, ["started", "models", "incomplete"])
    assert ended.told["failure"]["state"] == "Incomplete"
    assert json.loads(pipeline.result(ended)["summary.json"])["predicted"] == ["chinstrap", "gentoo"]
    assert sentence in ended.told["failure"]["sentence"] and sentence in ended.mails[-1][1]
    done = {job["state"] for job in ended.told["jobs"] if job["status"] == "Completed"}
    assert done >= {"Predict chinstrap", "Predict gentoo"}, "the others go on"


# Mails that cannot be sent


@pytest.mark.parametrize(
    ("stage", "then", "gone", "kinds", "code"),
    [
        ("prepare", "", "from the start", ["models", "finished"], 0),
        ("post", "", "to the end", ["started", "models"], 0),
        ("post", "exit 1", "to the end", ["started", "models"], 1),
    ],
)
def test_a_topic_that_is_gone(
    pipeline: Whole, tmp_path: Path, stage: str, then: str, gone: str, kinds: list[str], code: int
) -> None:
    topic = Topic(pipeline)
    gate = tmp_path / "gate"
    if gone == "from the start":
        topic.delete()
    folder = pipeline.upload(**{stage: f"wait for {gate}, then {then}"})
    pipeline.hanging(f"-{stage}-")
    topic.restore() if gone == "from the start" else topic.delete()
    gate.touch()
    try:
        ended = pipeline.ended(folder, holds=False)
    finally:
        topic.restore()
    assert (ended.code, ended.kinds) == (code, kinds)
    assert bool(pipeline.result(ended)) is (code == 0), "a mail that cannot be sent neither stops nor hides a run"
    shown = details(ended.told)
    if not code:
        assert "failed: Sns.NotFoundException" in shown or "failed: SNS.NotFoundException" in shown, shown
    else:
        assert "failed in the state Post-process" in shown
        assert "post does not like the data" in shown


class Topic:
    """The topic of the pipeline with its policy and subscriptions, which can be deleted and made again."""

    def __init__(self, pipeline: Whole) -> None:
        self._sns = pipeline.place.aws.client("sns")
        self._arn = pipeline.place.names.topic_arn
        found = self._sns.list_subscriptions_by_topic(TopicArn=self._arn)["Subscriptions"]
        self._policy = self._sns.get_topic_attributes(TopicArn=self._arn)["Attributes"]["Policy"]
        self._addresses = [one["Endpoint"] for one in found if one["Protocol"] == "email"]

    def delete(self) -> None:
        self._sns.delete_topic(TopicArn=self._arn)

    def restore(self) -> None:
        self._sns.create_topic(Name=self._arn.rpartition(":")[2])
        self._sns.set_topic_attributes(TopicArn=self._arn, AttributeName="Policy", AttributeValue=self._policy)
        for address in self._addresses:
            self._sns.subscribe(TopicArn=self._arn, Protocol="email", Endpoint=address)


# Stopped by hand


def test_a_run_that_is_stopped_by_hand(pipeline: Whole) -> None:
    folder = pipeline.upload(train_adelie="hang", train_gentoo="hang")
    waiting = [pipeline.hanging("-train-adelie-"), pipeline.hanging("-train-gentoo-")]
    pipeline.machines.stop_execution(executionArn=pipeline.begun(folder).arn, error="Mine", cause="I changed my mind")
    until(lambda: all(job.done.is_set() for job in waiting))
    ended = pipeline.ended(folder)
    assert (ended.code, ended.told["status"], ended.kinds) == (1, "ABORTED", ["started", "stopped"])
    assert {job.state.status for job in waiting} == {"Stopped"}
    assert "I changed my mind" in ended.told["failure"]["sentence"]


# Events


class Trigger:
    """The function that uploads start, called as S3 calls it."""

    def __init__(self, pipeline: Whole) -> None:
        self._pipeline = pipeline
        self._client = pipeline.place.aws.client("lambda")
        found = self._client.list_functions()["Functions"]
        (self._name,) = [one["FunctionName"] for one in found if one["FunctionName"].endswith("-start")]

    def event(self, key: str, sequencer: str) -> dict[str, Any]:
        thing = {"key": key, "size": 0, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": sequencer}
        bucket = {"name": self._pipeline.raw}
        return {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2025-01-31T12:00:00.000Z",
            "s3": {"bucket": bucket, "object": thing},
        }

    def gets(self, *records: dict[str, Any]) -> dict[str, int]:
        answer = self._client.invoke(FunctionName=self._name, Payload=json.dumps({"Records": records}))
        told: dict[str, int] = json.loads(answer["Payload"].read())
        return told


def started_for(pipeline: Whole, key: str) -> int:
    uri = f"s3://{pipeline.raw}/{key}"
    return len([begun for begun in pipeline.place.journal.begun() if begun.run_file == uri])


def test_the_same_event_64_times_at_once_starts_one_run(pipeline: Whole) -> None:
    folder = pipeline.upload(prepare="exit 1")
    pipeline.ended(folder)
    trigger = Trigger(pipeline)
    event = trigger.event(f"{folder}/again.run", "0055AED6DCD90281E5")
    with ThreadPoolExecutor(16) as many:
        answers = list(many.map(lambda _: trigger.gets(event), range(64)))
    assert answers == [{"started": 1, "ignored": 0}] * 64
    assert started_for(pipeline, f"{folder}/again.run") == 1
    (begun,) = [one for one in pipeline.place.journal.begun() if one.run_file.endswith(f"{folder}/again.run")]
    until(lambda: pipeline.place.journal.ended(begun.arn))
    assert pipeline.place.journal.wait_for_end(begun.arn, MINUTES)
    assert pipeline.place.functions.drain(MINUTES, pipeline.place.names.tell_function)
    assert [kind for kind, _ in pipeline.mails(begun.name)] == ["started", "failed"]


def test_events_in_any_order_start_one_run_for_each_upload(pipeline: Whole) -> None:
    folder = pipeline.upload(prepare="exit 1")
    pipeline.ended(folder)
    trigger, key = Trigger(pipeline), f"{folder}/again.run"
    first, second, third = (trigger.event(key, f"0055AED6DCD90281E{n}") for n in range(3))
    for record in (third, first, third, second, first):
        assert trigger.gets(record) == {"started": 1, "ignored": 0}
    assert started_for(pipeline, key) == 3
