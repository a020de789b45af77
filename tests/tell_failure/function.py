"""The function as a module, with its services: S3, SNS and logs are moto's, the rest is what a test says."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
from botocore.exceptions import ClientError
from tell_failure.histories import ACCOUNT, REGION

from stepgluon.deploy.release import TELL, zipped

BUCKET = "penguins-work"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:penguins-mail"
VARIABLES = {
    "PIPELINE": "penguins",
    "WORK_BUCKET": BUCKET,
    "TOPIC_ARN": TOPIC,
    "COMMAND": "python pipeline.py {} --env prod",
    "CONSOLE": "https://console.example/",
}


def fresh() -> ModuleType:
    """A fresh copy from the zip that is deployed, as in a cold start."""
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(zipped(*TELL))
        file.flush()
        sys.path.insert(0, file.name)
        try:
            for name in ("tell_failure", "history", "job_log"):
                sys.modules.pop(name, None)
            return importlib.import_module("tell_failure")
        finally:
            sys.path.remove(file.name)


def refused(operation: str, code: str = "AccessDeniedException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not authorized\x1b[31m here"}}, operation)


class Cloud:
    """What the function finds, and what it did."""

    def __init__(self, function: ModuleType) -> None:
        self.function = function
        self.events: list[dict[str, Any]] = []
        self.description: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pages: list[dict[str, Any]] = []
        self.left = 120_000
        self.begun = int(time.time() * 1000) - 60_000  # [logs] nothing is taken that is older than 14 days
        self.mails: list[tuple[str, str]] = []
        self.refuses: set[str] = set()
        self.logs, self.s3 = boto3.client("logs"), boto3.client("s3")
        clients = {
            "stepfunctions": SimpleNamespace(
                describe_execution=self._answer("DescribeExecution", lambda **given: self.description),
                get_execution_history=self._answer("GetExecutionHistory", self._page),
            ),
            "sagemaker": SimpleNamespace(
                describe_training_job=self._answer("DescribeTrainingJob", lambda **g: self.jobs[g["TrainingJobName"]]),
                describe_processing_job=self._answer(
                    "DescribeProcessingJob", lambda **g: self.jobs[g["ProcessingJobName"]]
                ),
            ),
            "logs": SimpleNamespace(
                exceptions=self.logs.exceptions,
                describe_log_streams=self._answer("DescribeLogStreams", self.logs.describe_log_streams),
                get_log_events=self._answer("GetLogEvents", self.logs.get_log_events),
            ),
            "s3": SimpleNamespace(
                put_object=self._answer("PutObject", self.s3.put_object),
                get_object=self._answer("GetObject", self.s3.get_object),
            ),
            "sns": SimpleNamespace(publish=self._answer("Publish", self._publish)),
        }
        function.client = clients.__getitem__  # type: ignore[attr-defined]  # the seam

    def _answer(self, operation: str, real: Any) -> Any:
        def answered(**given: Any) -> Any:
            if operation in self.refuses:
                raise refused(operation)
            return real(**given)

        return answered

    def _page(self, **given: Any) -> dict[str, Any]:
        self.pages.append(given)
        events = self.events[::-1] if given["reverseOrder"] else self.events
        start = int(given.get("nextToken", 0))
        end = start + given["maxResults"]
        return {"events": events[start:end], **({"nextToken": str(end)} if end < len(events) else {})}

    def _publish(self, **given: Any) -> None:
        boto3.client("sns").publish(**given)  # moto refuses what SNS does
        assert given["TopicArn"] == TOPIC and len(given["Message"].encode()) <= 256 * 1024
        self.mails.append((given["Subject"], given["Message"]))

    def tell(self, event: dict[str, Any]) -> str:
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: self.left)
        return str(self.function.handler(event, context)["outcome"])

    def mail(self, event: dict[str, Any]) -> tuple[str, str]:
        """Subject and text of the one mail that an event leads to."""
        assert self.tell(event) == "mailed"
        (sent,) = self.mails
        return sent

    def said(self, group: str, stream: str, *lines: tuple[int, str]) -> None:
        if not self.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            self.logs.create_log_group(logGroupName=group)
        self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": self.begun + after, "message": text} for after, text in lines]
        self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
