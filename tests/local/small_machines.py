"""Small machines in place of the workflow, deployed by the pipeline's templates, and the mails of their ends."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_aws import MINUTES, until
from whole import Whole, whole

ROLE = "arn:aws:iam::123456789012:role/penguins-job-eu-west-1"
JOB = {
    "ProcessingJobName": "{% $states.input.job %}",
    "RoleArn": ROLE,
    "ProcessingResources": {
        "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
    },
    "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "/opt/program/act.py"]},
    "ProcessingInputs": [
        {
            "InputName": "do",
            "S3Input": {
                "S3Uri": "{% $states.input.do %}",
                "LocalPath": "/opt/ml/processing/input/do",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ],
    "Tags": [{"Key": "stepgluon", "Value": "penguins"}],
}


def one_of(**states: dict[str, Any]) -> str:
    """A machine that does what its input's `state` says."""
    rules = [{"Condition": f"{{% $states.input.state = '{name}' %}}", "Next": name} for name in states]
    machine = {"QueryLanguage": "JSONata", "StartAt": "Which", "TimeoutSeconds": 60}
    return json.dumps({**machine, "States": {"Which": {"Type": "Choice", "Choices": rules}, **states}})


MACHINE = one_of(
    Fails={"Type": "Fail", "Error": "Odd", "Cause": "The input is odd."},
    Waits={"Type": "Wait", "Seconds": 10_000_000, "End": True},
    Succeeds={"Type": "Succeed"},
    Prepare={
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
        "Arguments": JOB,
        "End": True,
    },
    Slow={
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
        "Arguments": JOB,
        "TimeoutSeconds": 2,
        "End": True,
    },
)


class Place:
    def __init__(self, it: Whole) -> None:
        self.it, self.names, self.client = it, it.place.names, it.place.aws.client
        self.steps, self.functions = self.client("stepfunctions"), it.place.functions

    def start(self, run: str, state: str, **given: str) -> str:
        told = json.dumps({"state": state, **given})
        return str(self.steps.start_execution(stateMachineArn=self.names.live, name=run, input=told)["executionArn"])

    def ended(self, arn: str) -> None:
        until(lambda: self.it.place.journal.ended(arn), MINUTES)
        assert self.functions.drain(MINUTES, self.names.tell_function)

    def mails(self, about: str) -> list[tuple[str, str]]:
        return [mail for mail in letters(self.it.place.outbox) if about in mail[0] + mail[1]]

    def in_queue(self) -> list[dict[str, Any]]:
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=self.names.queue)["QueueUrl"]
        return list(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", []))


def letters(outbox: Path) -> list[tuple[str, str]]:
    found = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in sorted(outbox.glob("*.eml"))
    ]
    return [(str(letter["Subject"]), letter.get_content()) for letter in found]


@contextmanager
def a_place(work: Path, **changed: Any) -> Iterator[Place]:
    with whole(work, MACHINE, **changed) as it:
        yield Place(it)
