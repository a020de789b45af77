"""Executions that have ended, in the next server."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from local_aws import ROLE, may_do_everything, settings, until

from localaws.server.aws import LocalAws

DEFINITION = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})


def machine(aws: LocalAws) -> Any:
    may_do_everything(aws)
    made = aws.client("stepfunctions").create_state_machine(name="m", definition=DEFINITION, roleArn=ROLE)
    return made["stateMachineArn"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder in which two executions have ended, the one that is first in the alphabet last."""
    with LocalAws(settings(tmp_path)) as aws:
        arn = machine(aws)
        for name in ("b", "a"):
            begun = aws.client("stepfunctions").start_execution(stateMachineArn=arn, name=name, input=f'"{name}"')
            until(lambda begun=begun: aws.objects.document("execution's header", begun["executionArn"]))
    return tmp_path


class Reads:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.histories = 0
        plain = zlib.decompress

        def decompress(content: bytes) -> bytes:
            self.histories += 1
            return plain(content)

        monkeypatch.setattr(zlib, "decompress", decompress)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def listed(aws: LocalAws) -> list[str]:
    told = aws.client("stepfunctions").list_executions(stateMachineArn=machine(aws))["executions"]
    assert {one["status"] for one in told} == {"SUCCEEDED"}
    return [one["executionArn"] for one in told]


def test_a_history_is_read_when_it_is_asked_for_and_not_at_the_start(work: Path, reads: Reads) -> None:
    with LocalAws(settings(work)) as aws:
        arn = listed(aws)[0]
        assert reads.histories == 0
        states = aws.client("stepfunctions")
        assert states.describe_execution(executionArn=arn)["output"] == json.dumps(arn[-1])
        assert len(states.get_execution_history(executionArn=arn)["events"]) == 4
        assert reads.histories > 0


def test_an_execution_that_cannot_begin_fails_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

    def full(worker: ExecutionWorker) -> None:
        raise OSError(28, "No space left on device")

    with LocalAws(settings(tmp_path)) as aws, monkeypatch.context() as patch:
        api, arn = aws.client("stepfunctions"), machine(aws)
        patch.setattr(ExecutionWorker, "_get_evaluation_entrypoint", full)
        begun = api.start_execution(stateMachineArn=arn)["executionArn"]
        told = until(lambda: (t := api.describe_execution(executionArn=begun))["status"] != "RUNNING" and t)
        cause = "OSError: [Errno 28] No space left on device"
        assert (told["status"], told["error"], told["cause"]) == ("FAILED", "States.Runtime", cause)
        assert [event["type"] for event in aws.history(begun)] == ["ExecutionStarted", "ExecutionFailed"]
