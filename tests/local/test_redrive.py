"""RedriveExecution, called by the ordinary command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forks
import pytest
from jsonata_checks import a_pass, branch
from local_aws import make_bucket, may_do_everything, settings, until
from test_moto_fixes import ROLE

from localaws.notifications import eventbridge
from localaws.server.aws import LocalAws

CONTEXT = "$states.context.Execution"


class Shell:
    def __init__(self, aws: LocalAws) -> None:
        self.local, self.s3 = aws, aws.client("s3")

    def aws(self, *words: str) -> Any:
        done = self._called(*words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        done = self._called(*words)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def _called(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = os.fspath(Path(sys.executable).parent / "aws")
        command = [sys.executable, program, "--endpoint-url", self.local.endpoint, "--output", "json"]
        return forks.run([*command, "stepfunctions", *words], capture_output=True, text=True)

    def started(self, states: Any) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        api = self.local.client("stepfunctions")
        made = api.create_state_machine(name="machine", definition=json.dumps(definition), roleArn=ROLE)
        given = json.dumps({"key": "a"})
        return str(api.start_execution(stateMachineArn=made["stateMachineArn"], name="x", input=given)["executionArn"])

    def ended(self, arn: str) -> Any:
        def archived() -> bool:  # not asked with the command line, of which each call is a process
            told = self.local.client("stepfunctions").describe_execution(executionArn=arn)
            return told["status"] != "RUNNING" and "RUNNING" not in told.get("redriveStatusReason", "")

        until(archived)
        return self.aws("describe-execution", "--execution-arn", arn)

    def redriven(self, arn: str) -> Any:
        self.aws("redrive-execution", "--execution-arn", arn)
        return self.ended(arn)

    def events(self, arn: str) -> list[Any]:
        return list(self.aws("get-execution-history", "--execution-arn", arn)["events"])

    def put(self, key: str, content: str = "1") -> None:
        self.s3.put_object(Bucket="data", Key=key, Body=content.encode())


@contextmanager
def server(work: Path) -> Iterator[Shell]:
    with LocalAws(settings(work)) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        yield Shell(aws)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with server(tmp_path) as running:
        yield running


def get(key: str, **fields: Any) -> Any:
    arguments = {"Bucket": "data", "Key": f"{{% {key} %}}"}
    return {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Arguments": arguments, **fields}


def begun(events: list[Any]) -> list[str]:
    return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]


STATES = {
    "First": {
        "Type": "Pass",
        "Assign": {"when": "{% $uuid() %}", "key": "{% $states.input.key %}"},
        "Output": {"from": "first"},
        "Next": "Read",
    },
    "Read": get("$key", Output={"body": "{% $states.result.Body %}", "in": "{% $states.input %}"}, Next="Last"),
    "Last": a_pass(
        Output={"got": "{% $states.input %}", "count": f"{{% {CONTEXT}.RedriveCount %}}", "w": "{% $when %}"}
    ),
}


def test_an_execution_continues_where_it_failed(shell: Shell) -> None:
    arn = shell.started(STATES)
    failed = shell.ended(arn)
    assert (failed["status"], failed["redriveStatus"], failed["redriveCount"]) == ("FAILED", "REDRIVABLE", 0)
    before = shell.events(arn)
    assert shell.redriven(arn)["status"] == "FAILED", "the file is still missing"
    shell.put("a", "content")
    told = shell.redriven(arn)
    assert (told["status"], told["redriveCount"], told["redriveStatus"]) == ("SUCCEEDED", 2, "NOT_REDRIVABLE")
    assert told["startDate"] == failed["startDate"] and told["redriveDate"] > told["startDate"]
    assert "error" not in told
    exited = next(event["stateExitedEventDetails"] for event in before if event["type"] == "PassStateExited")
    assert json.loads(told["output"]) == {
        "got": {"body": "content", "in": {"from": "first"}},
        "count": 2,
        "w": json.loads(exited["assignedVariables"]["when"]),
    }
    events = shell.events(arn)
    assert events[: len(before)] == before
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert begun(events) == ["First", "Read", "Last"], "a state that continues is not entered again"
    redriven = [event for event in events if event["type"] == "ExecutionRedriven"]
    assert [event["executionRedrivenEventDetails"] for event in redriven] == [{"redriveCount": 1}, {"redriveCount": 2}]


def test_of_a_parallel_only_what_did_not_end_continues(shell: Shell) -> None:
    def half(name: str, key: str) -> Any:
        return branch(
            **{
                f"Begin {name}": {"Type": "Pass", "Assign": {"own": f"{{% '{name}' & $key %}}"}, "Next": name},
                name: get(key, Output="{% $own & $states.result.Body %}", End=True),
            }
        )

    parallel = {"Type": "Parallel", "Branches": [half("A", "'there'"), half("B", "'missing'")], "End": True}
    shell.put("there", "1")
    arn = shell.started({"First": {**STATES["First"], "Next": "Both"}, "Both": parallel})
    assert shell.ended(arn)["status"] == "FAILED"  # with A, or before it has begun
    shell.put("missing", "2")
    told = shell.redriven(arn)
    assert (told["status"], told.get("output")) == ("SUCCEEDED", '["Aa1", "Ba2"]')
    assert sorted(begun(shell.events(arn))) == ["A", "B", "Begin A", "Begin B", "Both", "First"]


def test_a_stopped_execution_continues_after_the_server_was_started_again(tmp_path: Path) -> None:
    wait = {"Type": "Wait", "Seconds": "{% $count($states.input) > 0 ? 100000000 : 0 %}", "Next": "Read"}
    states = {**STATES, "First": {**STATES["First"], "Next": "Sleep"}, "Sleep": wait}
    with server(tmp_path) as shell:
        arn = shell.started(states)
        until(lambda: "Sleep" in begun(shell.events(arn)))
        shell.aws("stop-execution", "--execution-arn", arn)
        assert shell.ended(arn)["status"] == "ABORTED"
    with server(tmp_path) as shell:
        changed = {"QueryLanguage": "JSONata", "StartAt": "Last", "States": {"Last": a_pass()}}
        shell.local.client("stepfunctions").create_state_machine(
            name="machine", definition=json.dumps(changed), roleArn=ROLE
        )
        shell.aws("redrive-execution", "--execution-arn", arn)
        told = shell.aws("describe-execution", "--execution-arn", arn)
        assert (told["status"], told["redriveStatusReason"]) == (
            "RUNNING",
            "Execution is RUNNING and cannot be redriven",
        )
        assert "ExecutionNotRedrivable" in shell.refused("redrive-execution", "--execution-arn", arn)
        shell.aws("stop-execution", "--execution-arn", arn)
        assert shell.ended(arn)["status"] == "ABORTED"
        assert begun(shell.events(arn)) == ["First", "Sleep"]


def test_each_end_of_a_redriven_execution_is_an_event_with_its_count(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated failure is mailed again: the count tells it from a repeated event."""
    ends: list[Any] = []
    monkeypatch.setattr(eventbridge, "put_event", ends.append)
    patches = eventbridge.install(print)
    arn = shell.started(STATES)
    shell.ended(arn)
    shell.redriven(arn)
    shell.put("a")
    shell.redriven(arn)
    patches.undo()
    counted = [(end["detail"]["status"], end["detail"]["redriveCount"]) for end in ends]
    assert counted == [("FAILED", 0), ("FAILED", 1), ("SUCCEEDED", 2)]


def test_what_cannot_be_redriven_is_refused(shell: Shell) -> None:
    shell.put("a")
    arn = shell.started(STATES)
    told = shell.ended(arn)
    assert told["redriveStatusReason"] == "Execution is SUCCEEDED and cannot be redriven"
    said = shell.refused("redrive-execution", "--execution-arn", arn)
    assert "ExecutionNotRedrivable" in said and "Execution is SUCCEEDED and cannot be redriven" in said
    assert "ExecutionDoesNotExist" in shell.refused("redrive-execution", "--execution-arn", f"{arn}y")
