"""The compiled workflow as a whole in the local AWS: a real process for each job. Faults have files of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from configs import penguins
from local_aws import MINUTES, Scripted, stop_jobs, until

from localaws.server.aws import LocalAws
from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.release import release
from stepgluon.local.deployed import bring
from stepgluon.names import Names
from stepgluon.runs.history import read
from stepgluon.runs.watch import History
from stepgluon.workflow.compile import compile_definition

CONFIG = penguins(
    "fallback: {threshold: 350, if_missing: fail}",
    "retries: {throttling: 3, quota: 3, job: 1}",
    region="ap-northeast-1",
)


@cache
def compiled() -> tuple[LoadedConfig, str]:
    loaded = loads(CONFIG, "config.yml", None, {})
    return loaded, compile_definition(loaded, workflow).text


@dataclass
class Run:
    arn: str
    status: str
    error: str
    cause: str
    output: Any
    states: list[str]
    mails: list[str]

    def ended_as(self) -> tuple[str, str]:
        return self.status, self.error


class Pipeline:
    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.stack = Names(compiled()[0].config)
        bring(release(*compiled()), aws)
        self.machines = aws.client("stepfunctions")
        self._count = 0

    def start(self, **orders: str) -> str:
        """Starts a run; `orders` say how a stage misbehaves, with _ for -."""
        self._count += 1
        folder = f"run-{self._count}"
        content = json.dumps({stage.replace("_", "-"): order for stage, order in orders.items()})
        # The number makes each run's data its own: what a job did in another test is not remembered for this one.
        content = content[:-1] + (", " if orders else "") + f'"": "{self._count}"}}'
        self.aws.client("s3").put_object(
            Bucket=self.stack.raw_bucket, Key=f"{folder}/orders.json", Body=content.encode()
        )
        given = json.dumps({"data": f"s3://{self.stack.raw_bucket}/{folder}/"})
        started = self.machines.start_execution(stateMachineArn=self.stack.machine_arn, name=folder, input=given)
        return str(started["executionArn"])

    def run(self, **orders: str) -> Run:
        return self.ended(self.start(**orders))

    def ended(self, arn: str) -> Run:
        told = until(lambda: (d := self.machines.describe_execution(executionArn=arn))["status"] != "RUNNING" and d)
        events = self.machines.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        states = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
        tasks = [event["taskScheduledEventDetails"] for event in events if "taskScheduledEventDetails" in event]
        sent = [json.loads(task["parameters"]) for task in tasks if task["resource"] == "publish"]
        mails = [mail["Subject"].split(": ")[1] for mail in sent]
        output = json.loads(told["output"]) if "output" in told else None
        return Run(arn, told["status"], told.get("error", ""), told.get("cause", ""), output, states, mails)

    def uses(self, ended: Run) -> dict[str, str]:
        return {model["name"]: model["uses"] for model in ended.output["models"]}

    def result(self, name: str) -> str:
        key = f"runs/{name}/result/predictions.csv"
        found = self.aws.client("s3").get_object(Bucket=self.stack.work_bucket, Key=key)
        return str(found["Body"].read().decode())

    def promote(self, *models: str) -> None:
        entries = {}
        for model in models:
            place = f"promoted/{model}/"
            self.aws.client("s3").put_object(
                Bucket=self.stack.work_bucket, Key=f"{place}model.bin", Body=model.encode()
            )
            uri = f"s3://{self.stack.work_bucket}/{place}"
            entries[f"m_{model}"] = {"uses": "default", "model_uri": uri, "run": "old", "default_mae": 1}
        self.aws.client("s3").put_object(
            Bucket=self.stack.work_bucket, Key="promoted.json", Body=json.dumps(entries).encode()
        )

    def jobs(self, part: str, run: Run) -> list[Any]:
        names = self.machines.get_execution_history(executionArn=run.arn)["events"]
        asked = json.dumps(names, default=str)
        return [job for job in self.aws.sagemaker.jobs() if part in job.name and job.name in asked]


@pytest.fixture(scope="module")
def made(aws: LocalAws) -> Pipeline:
    return Pipeline(aws)


@pytest.fixture
def pipeline(made: Pipeline, faults: Scripted) -> Iterator[Pipeline]:
    made.aws.client("s3").delete_object(Bucket=made.stack.work_bucket, Key="promoted.json")
    yield made
    stop_jobs(made.aws)


def test_the_whole_pipeline_runs_and_leaves_a_result(pipeline: Pipeline) -> None:
    ended = pipeline.run()
    assert ended.ended_as() == ("SUCCEEDED", "")
    assert ended.mails == ["started", "models", "finished"]
    assert pipeline.uses(ended) == {"adelie": "trained", "gentoo": "trained"}
    assert pipeline.result(ended.arn.split(":")[-1]) == "adelie\ngentoo"


def test_two_runs_at_once_do_not_meet(pipeline: Pipeline) -> None:
    first, second = pipeline.start(), pipeline.start(**{"train_adelie": 'score {"mae": 1}'})
    outputs = [pipeline.ended(arn).output["models"][0]["mae"] for arn in (first, second)]
    assert outputs == [200, 1]


def test_a_stopped_execution_stops_its_jobs_and_is_aborted(pipeline: Pipeline) -> None:
    arn = pipeline.start(train_adelie="hang", train_gentoo="hang")

    def alive() -> list[Any]:
        return [job for job in pipeline.aws.sagemaker.jobs() if job.kind == "training" and not job.done.is_set()]

    running = until(lambda: len(jobs := alive()) == 2 and jobs)
    until(lambda: any(pipeline.aws.logs.lines("training", job.name) for job in running))
    pipeline.machines.stop_execution(executionArn=arn, error="Mine", cause="I changed my mind")
    ended = pipeline.ended(arn)
    assert (ended.status, ended.error, ended.cause) == ("ABORTED", "Mine", "I changed my mind")
    trained = pipeline.jobs("-train", ended)
    assert [job.done.wait(MINUTES) and job.state.status for job in trained] == ["Stopped"] * 2
    history = pipeline.machines.get_execution_history(executionArn=arn, reverseOrder=False)["events"]
    assert history[-1]["type"] == "ExecutionAborted"


@pytest.mark.parametrize("order", ["", "exit 1"])
def test_a_history_that_is_read_here_tells_what_one_does_that_a_client_asks_for(pipeline: Pipeline, order: str) -> None:
    arn = pipeline.start(train_adelie=order)
    begun = until(lambda: pipeline.aws.history(arn))
    pipeline.ended(arn)
    asked, here = History(pipeline.machines, arn).look(), pipeline.aws.history(arn)
    assert read(here) == read(asked)
    told = [
        [(event["id"], event["previousEventId"], event["type"], event["timestamp"]) for event in all_of]
        for all_of in (asked, here)
    ]
    assert told[0] == told[1] and len(here) > len(begun) > 0
    assert [event["type"] for event in here[: len(begun)]] == [event["type"] for event in begun]


def test_a_rerun_repeats_only_what_was_not_finished(pipeline: Pipeline) -> None:
    first = pipeline.run(post="exit 1")
    before = {job.name for job in pipeline.aws.sagemaker.jobs()}
    given = pipeline.machines.describe_execution(executionArn=first.arn)["input"]
    again = pipeline.machines.start_execution(stateMachineArn=pipeline.stack.machine_arn, name="again", input=given)
    ended = pipeline.ended(again["executionArn"])
    assert ended.ended_as() == ("FAILED", "States.QueryEvaluationError")
    run = [job for job in pipeline.aws.sagemaker.jobs() if job.name not in before]
    assert {job.name.split("-")[1] for job in run} == {"prepare", "post"}
    assert {job.name.split("-")[1] for job in run if not job.state.cached} == {"post"}


def test_the_cause_of_a_failed_job_is_its_description(pipeline: Pipeline) -> None:
    ended = pipeline.run(prepare="exit 1")
    events = pipeline.machines.get_execution_history(executionArn=ended.arn)["events"]
    failed = next(event["taskFailedEventDetails"] for event in events if event["type"] == "TaskFailed")
    assert (failed["error"], failed["resource"], failed["resourceType"]) == (
        "States.TaskFailed",
        "createProcessingJob.sync",
        "sagemaker",
    )
    told = json.loads(failed["cause"])
    assert told["ProcessingJobStatus"] == "Failed"
    assert told["ExitMessage"] == "prepare does not like the data"
    assert isinstance(told["CreationTime"], int)
    assert failed["cause"] == json.dumps(told, separators=(",", ":"), ensure_ascii=False)
