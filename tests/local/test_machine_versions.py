"""Versions and aliases of state machines, as Step Functions has them."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, REGION, until

from localaws.server.aws import LocalAws

ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"


class Machines:
    _numbers = itertools.count()

    def __init__(self, api: Any) -> None:
        self.api = api

    def made(self, says: str) -> str:
        name = f"v{next(self._numbers)}"  # a machine of an old name would find its executions again
        made = self.api.create_state_machine(name=name, definition=definition(says), roleArn=ROLE)
        return str(made["stateMachineArn"])

    def published(self, machine: str) -> str:
        return str(self.api.publish_state_machine_version(stateMachineArn=machine)["stateMachineVersionArn"])

    def changed(self, machine: str, says: str) -> None:
        self.api.update_state_machine(stateMachineArn=machine, definition=definition(says))

    def alias(self, version: str, name: str = "live") -> str:
        routes = [{"stateMachineVersionArn": version, "weight": 100}]
        return str(self.api.create_state_machine_alias(name=name, routingConfiguration=routes)["stateMachineAliasArn"])

    def said(self, arn: str) -> Any:
        execution = self.api.start_execution(stateMachineArn=arn)["executionArn"]
        told = until(lambda: (t := self.api.describe_execution(executionArn=execution))["status"] != "RUNNING" and t)
        return json.loads(told["output"]), told


def definition(says: str) -> str:
    return json.dumps({"StartAt": "S", "States": {"S": {"Type": "Pass", "Result": says, "End": True}}})


@pytest.fixture
def machines(aws: LocalAws) -> Machines:
    return Machines(aws.client("stepfunctions"))


def refusal(call: Callable[..., Any], **given: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**given)
    return str(raised.value.response["Error"]["Code"])


def test_a_version_runs_as_it_was_published(machines: Machines) -> None:
    machine = machines.made("one")
    version = machines.published(machine)
    machines.changed(machine, "two")
    assert (machines.said(version)[0], machines.said(machine)[0]) == ("one", "two")


def test_an_execution_that_is_found_can_be_asked_for_all(machines: Machines, aws: LocalAws) -> None:
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    machine = machines.made("one")
    backend = stepfunctions_parser_backends[ACCOUNT][REGION]
    (made,) = (one for one in backend.state_machines if one.arn == machine)
    asked: list[Any] = []

    class Executions(list[Any]):
        def append(self, execution: Any) -> None:
            super().append(execution)
            asked.append((execution.status, aws.history(execution.exec_arn)))

    made.executions = Executions()
    machines.said(machine)
    assert asked == [("RUNNING", [])]


def test_an_alias_leads_to_a_version_and_moves(machines: Machines) -> None:
    machine = machines.made("one")
    first = machines.published(machine)
    live = machines.alias(first)
    machines.changed(machine, "two")
    second = machines.published(machine)
    assert machines.said(live)[0] == "one"
    routes = [{"stateMachineVersionArn": second, "weight": 100}]
    machines.api.update_state_machine_alias(stateMachineAliasArn=live, routingConfiguration=routes)
    assert machines.said(live)[0] == "two"


@pytest.mark.parametrize(
    "name", [".", "..", "a/b", "../x", "a b", "a*", "a:b", "x\0", "a" * 81, "é" * 80 + "e", "\N{PENGUIN}" * 64]
)
def test_an_execution_cannot_have_a_name_that_leads_out_of_its_folder(machines: Machines, name: str) -> None:
    machine = machines.made("x")
    assert refusal(machines.api.start_execution, stateMachineArn=machine, name=name) == "InvalidName"


def test_an_execution_tells_what_it_was_started_by_and_belongs_to_the_machine(machines: Machines) -> None:
    machine = machines.made("one")
    version = machines.published(machine)
    live = machines.alias(version)
    _, told = machines.said(live)
    assert told["stateMachineArn"] == machine
    assert (told["stateMachineVersionArn"], told["stateMachineAliasArn"]) == (version, live)
    _, plain = machines.said(machine)
    assert "stateMachineVersionArn" not in plain
    assert len(machines.api.list_executions(stateMachineArn=machine)["executions"]) == 2


def test_publishing_the_same_revision_again_is_the_same_version(machines: Machines) -> None:
    machine = machines.made("one")
    assert machines.published(machine) == machines.published(machine) == f"{machine}:1"
    machines.changed(machine, "two")
    assert machines.published(machine) == f"{machine}:2"
    told = machines.api.list_state_machine_versions(stateMachineArn=machine)["stateMachineVersions"]
    assert [one["stateMachineVersionArn"] for one in told] == [f"{machine}:2", f"{machine}:1"]


def test_what_is_not_there_is_not_started(machines: Machines) -> None:
    machine = machines.made("one")
    for qualifier in ("dead", "7"):
        arn = f"{machine}:{qualifier}"
        assert refusal(machines.api.start_execution, stateMachineArn=arn) == "StateMachineDoesNotExist"


def test_an_unnamed_execution_gets_a_name_and_an_input_is_limited(machines: Machines) -> None:
    start, machine = machines.api.start_execution, machines.made("one")
    names = [start(stateMachineArn=machine)["executionArn"].rpartition(":")[2] for _ in range(2)]
    assert names[0] != names[1] and all(re.fullmatch("[0-9a-f-]{36}", name) for name in names)
    for text in (json.dumps("x" * 256 * 1024), "{"):
        assert refusal(start, stateMachineArn=machine, input=text) == "InvalidExecutionInput"


def test_of_many_who_take_one_name_at_once_one_gets_it(machines: Machines) -> None:
    machine = machines.made("one")
    live = machines.alias(machines.published(machine))
    begin, outcomes = threading.Barrier(8), []

    def start(number: int) -> None:
        begin.wait()
        try:
            machines.api.start_execution(stateMachineArn=(machine, live)[number % 2], name="x", input=str(number))
            outcomes.append("started")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ExecutionAlreadyExists"] * 7 + ["started"]
