"""Histories as Step Functions keeps them, made from the machine's contract, and the events that tell of their ends."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

REGION, ACCOUNT = "eu-west-1", "123456789012"
RUN = "20250131-120000-go-0123456789abcdef0123"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:penguins"
NOON = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)
NOT_SAID = "AlgorithmError: See job logs for more information"


def training(name: str, sentence: str) -> str:
    """The cause of a training job that failed, as `.sync` gives it."""
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"
    reason = f"AlgorithmError: {sentence}, exit code: 1"
    return json.dumps({"TrainingJobName": name, "TrainingJobArn": arn, "FailureReason": reason, "Tags": []})


def processing(name: str, sentence: str) -> str:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/{name}"
    told = {"ProcessingJobName": name, "ProcessingJobArn": arn, "ExitMessage": sentence, "FailureReason": NOT_SAID}
    return json.dumps(told)


def evaluation(state: str, number: int, message: str) -> str:
    return (
        f"An error occurred while executing the state '{state}' (entered at the event id #{number}). The JSONata "
        f"expression '$error($said)' specified for the field 'Condition' threw an error during evaluation. {message}"
    )


class History:
    """Grows event by event; each follows the last one of its branch."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.last = 0
        self.add("ExecutionStarted", "executionStarted", input="{}")

    def add(self, type_: str, about: str = "", **details: Any) -> int:
        number = len(self.events) + 1
        event: dict[str, Any] = {"id": number, "previousEventId": self.last, "type": type_, "timestamp": NOON}
        if about:
            event[f"{about}EventDetails"] = details
        self.events.append(event)
        self.last = number
        return number

    def enter(self, state: str, kind: str = "Task") -> int:
        return self.add(f"{kind}StateEntered", "stateEntered", name=state, input="{}")

    def leave(self, state: str, output: Any = None, kind: str = "Task") -> int:
        return self.add(f"{kind}StateExited", "stateExited", name=state, output=json.dumps(output))

    def passed(self, state: str, output: Any = None, kind: str = "Pass") -> None:
        self.enter(state, kind)
        self.leave(state, output, kind)

    def task(self, state: str, resource_type: str = "aws-sdk:s3", **asked: Any) -> None:
        """A Task that has begun."""
        self.enter(state)
        self.add("TaskScheduled", "taskScheduled", resourceType=resource_type, parameters=json.dumps(asked))
        self.add("TaskStarted", "taskStarted", resourceType=resource_type)

    def succeeded(self, state: str, resource_type: str = "aws-sdk:s3", **asked: Any) -> None:
        self.task(state, resource_type, **asked)
        self.add("TaskSucceeded", "taskSucceeded", resourceType=resource_type, output="{}")
        self.leave(state)

    def job(self, state: str, kind: str, name: str) -> None:
        """A job that runs."""
        self.task(state, "sagemaker", **{f"{kind}JobName": name})
        self.add("TaskSubmitted", "taskSubmitted", resourceType="sagemaker", output=json.dumps({f"{kind}JobArn": "x"}))

    def failed(self, error: str, cause: str, resource_type: str = "aws-sdk:s3") -> None:
        self.add("TaskFailed", "taskFailed", resourceType=resource_type, error=error, cause=cause)

    def failed_job(self, state: str, cause: str) -> None:
        told = json.loads(cause)
        kind = "Training" if "TrainingJobName" in told else "Processing"
        self.job(state, kind, told[f"{kind}JobName"])
        self.failed("States.TaskFailed", cause, "sagemaker")

    def end(self, status: str, error: str | None = None, cause: str | None = None) -> None:
        name = {"FAILED": "Failed", "TIMED_OUT": "TimedOut", "ABORTED": "Aborted"}[status]
        told = {key: value for key, value in (("error", error), ("cause", cause)) if value is not None}
        self.add(f"Execution{name}", f"execution{name}", **told)


def event(status: str, error: str | None = None, cause: str | None = None, **changed: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
    detail = {
        "executionArn": f"{MACHINE.replace(':stateMachine:', ':execution:')}:{RUN}",
        "stateMachineArn": MACHINE,
        "name": RUN,
        "status": status,
        "startDate": 1738324800000,
        "stopDate": 1738325023000,
        "input": "{}",
        "output": None,
        "redriveCount": 0,
        "error": error,
        "cause": cause,
    }
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT,
        "time": "2025-01-31T12:03:43Z",
        "region": REGION,
        "resources": [detail["executionArn"]],
        "detail": {**detail, **changed},
    }
