"""Runs a compiled definition in moto's interpreter, with the services' answers given by the test.

What is faked is what the services answer, nothing else: settings, choices, catches, intrinsic functions and the flow of
the data are the interpreter's own. The local AWS runs the same definition with real jobs.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import boto3
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.state.exec.state_task import mock_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service as service,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as callback,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.mocking.mock_config import MockedResponseReturn, MockedResponseThrow

from localaws import moto_fixes
from localaws.base.patches import Patches
from localaws.stepfunctions import distributed_map
from localaws.stepfunctions.execution_archive import history

LIVE = "RUNNING"


@dataclass(frozen=True)
class Throws:
    """A service's refusal, or a failed job, of which Step Functions tells the whole description as the cause."""

    error: str
    cause: str


def failed_job(sentence: str, kind: str = "Training") -> Throws:
    """A job that ended as Failed, described as SageMaker describes it."""
    described = {f"{kind}JobArn": "arn:aws:sagemaker:x", "FailureReason": f"AlgorithmError: {sentence}, exit code: 1"}
    if kind == "Processing":
        described |= {"FailureReason": "AlgorithmError: See job logs for more information", "ExitMessage": sentence}
    return Throws("States.TaskFailed", json.dumps(described, separators=(",", ":")))


def _error_name(name: str) -> Any:
    """moto's mocks throw only names that a user could have made up."""
    return StatesErrorName.from_name(name) if name.startswith("States.") else CustomErrorName(name)


@dataclass
class Run:
    """What became of an execution: its status and output, the states it went through, the mails that were sent."""

    status: str
    error: str
    cause: str
    output: Any
    states: list[str]
    calls: list[tuple[str, Any]]  # what each Task asked its service, in order

    @property
    def mails(self) -> list[dict[str, str]]:
        return [parameters for state, parameters in self.calls if state.startswith("Announce")]

    def call(self, state: str) -> Any:
        return next(parameters for name, parameters in self.calls if name == state)

    def mail(self, subject: str) -> str:
        (text,) = [mail["Message"] for mail in self.mails if mail["Subject"].endswith(subject)]
        return text


def run(definition: str, answers: dict[str, Any], given: Any = None, name: str = "june-go") -> Run:
    """Run to the end. `answers` has for each Task what its service returns, or Throws; mails are answered here. The
    items of a Distributed Map are the answer to "ItemReader".
    """
    calls: list[tuple[str, Any]] = []
    with _answering(answers, calls), mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        client = _client()
        role = "arn:aws:iam::123456789012:role/machine"
        machine = client.create_state_machine(name=f"m{next(_number)}", definition=definition, roleArn=role)[
            "stateMachineArn"
        ]
        started = client.start_execution(
            stateMachineArn=machine, name=name, input=json.dumps({} if given is None else given)
        )
        arn = started["executionArn"]
        while (told := client.describe_execution(executionArn=arn))["status"] == LIVE:
            time.sleep(0.01)
        events = history(ACCOUNT_ID, "ap-northeast-1", arn)
    states = [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]
    output = json.loads(told["output"]) if "output" in told else None
    return Run(told["status"], told.get("error", ""), told.get("cause", ""), output, states, calls)


@cache
def _client() -> Any:
    """moto answers it, whichever mock_aws is open."""
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    return boto3.client("stepfunctions", region_name="ap-northeast-1", **keys)


_known: dict[str, Any] = {}
_number = itertools.count()  # a machine of its own for each run, whatever another test has left in moto


def _parsed(definition: str, parse: Callable[[str], Any]) -> Any:
    """Parsing takes longer than the run."""
    if definition not in _known:
        _known[definition] = parse(definition)
    return _known[definition]


@contextmanager
def _answering(answers: dict[str, Any], calls: list[tuple[str, Any]]) -> Iterator[None]:
    def answer(environment: Environment) -> Any:
        state = environment.next_state_name
        given = answers.get(state, {"MessageId": "1"} if state.startswith("Announce") else None)
        if isinstance(given, list):  # one answer for each try
            given = given.pop(0)
        if callable(given):  # what it says depends on what was asked before
            given = given(calls)
        assert given is not None, f"the test has no answer for the state {state!r}"
        if isinstance(given, Throws):
            return MockedResponseThrow(0, 0, error=given.error, cause=given.cause)
        return MockedResponseReturn(0, 0, payload=given)

    def read(reader: Any, value: Any, s3: Any) -> Any:
        calls.append(("ItemReader", value(reader["Arguments"], "Arguments")))
        return answers["ItemReader"]

    before = service.StateTaskService._before_eval_execution

    def recording(task: Any, env: Environment, raw_parameters: Any, **more: Any) -> None:
        calls.append((env.next_state_name, raw_parameters))
        before(task, env=env, raw_parameters=raw_parameters, **more)

    with (
        mock.patch.object(Environment, "is_mocked_mode", lambda environment: True),
        mock.patch.object(Environment, "get_current_mocked_response", answer),
        mock.patch.object(service.StateTaskService, "_before_eval_execution", recording),
        mock.patch.object(distributed_map, "read", read),
        mock.patch.object(mock_eval_utils, "CustomErrorName", _error_name),
        mock.patch.object(WaitFunction, "_wait_interval", lambda function, env, wait_seconds: None),
        # moto has no `.sync` of SageMaker's jobs; with the answers given, none is needed.
        mock.patch.object(
            callback.StateTaskServiceCallback, "_assert_integration_pattern_is_supported", lambda task: None
        ),
    ):
        patches = Patches()
        moto_fixes.apply(patches, moto_fixes.Here(lambda service, region, role: None, seconds=0))
        parse = AmazonStateLanguageParser.parse  # with what the fixes make of it, which is always the same
        patches.attribute(AmazonStateLanguageParser, "parse", staticmethod(lambda text: _parsed(text, parse)))
        try:
            yield
        finally:
            patches.undo()
