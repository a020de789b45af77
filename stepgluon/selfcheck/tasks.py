"""Tasks: which API a Resource calls, and whether Parameters are what that API takes.

`Tasks.answer` checks one Task and gives back what is known of the service's answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck import errors, jobs
from stepgluon.selfcheck.apis import Check, Operation, Problem, operation
from stepgluon.selfcheck.report import Report, did_you_mean
from stepgluon.selfcheck.templates import Reader
from stepgluon.selfcheck.values import ANYTHING, Value

_RESOURCE = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:::(?P<sdk>aws-sdk:)?(?P<service>[a-z0-9-]+):(?P<action>[A-Za-z0-9]+)"
    r"(?P<wait>\.sync(?::2)?|\.waitForTaskToken)?"
)
_OTHER = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(lambda:[a-z0-9-]+:\d{12}:function|states:[a-z0-9-]+:\d{12}:activity):[\w$:-]+"
)
# The integrations with a form of their own, and whether they can wait for the end (.sync):
# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
_SYNC, _CALL = True, False
OPTIMIZED: dict[str, dict[str, bool]] = {
    "sagemaker": {
        **{
            f"create{kind}Job": _SYNC
            for kind in ("HyperParameterTuning", "Labeling", "Processing", "Training", "Transform")
        },
        **dict.fromkeys(("createEndpoint", "createEndpointConfig", "createModel", "updateEndpoint"), _CALL),
    },
    "sns": {"publish": _CALL},
    "sqs": {"sendMessage": _CALL},
    "lambda": {"invoke": _CALL},
    "states": {"startExecution": _SYNC},
    "events": {"putEvents": _CALL},
    "dynamodb": dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), _CALL),
    "batch": {"submitJob": _SYNC},
    "codebuild": dict.fromkeys(("startBuild", "startBuildBatch"), _SYNC)
    | dict.fromkeys(("stopBuild", "batchDeleteBuilds", "batchGetReports"), _CALL),
    "ecs": {"runTask": _SYNC},
    "glue": {"startJobRun": _SYNC},
    "athena": {"startQueryExecution": _SYNC}
    | dict.fromkeys(("stopQueryExecution", "getQueryExecution", "getQueryResults"), _CALL),
}
_UNCHECKED = {
    "apigateway",
    "bedrock",
    "databrew",
    "eks",
    "elasticmapreduce",
    "emr-containers",
    "emr-serverless",
    "http",
}
_UNCHECKED |= {"mediaconvert", "glue-databrew"}
_CALLS_BACK = {"sns", "sqs", "lambda", "states", "events", "ecs", "batch"}
_AWAITED = {"createTrainingJob", "createProcessingJob"}


@dataclass(frozen=True)
class Integration:
    partition: str
    service: str
    action: str
    optimized: bool
    wait: str  # "", .sync, .sync:2 or .waitForTaskToken
    api: Operation | None  # None where the API's model is not known
    problem: str | None = None


@lru_cache(maxsize=4096)
def integration(resource: str) -> Integration | None:
    """What a Resource calls; None where the text is no ARN of anything that a Task can call."""
    match = _RESOURCE.fullmatch(resource)
    if match is None:
        other = _OTHER.fullmatch(resource)
        return Integration(other["partition"], "", "", True, "", None) if other else None
    service, action, wait = match["service"], match["action"], match["wait"] or ""
    optimized = match["sdk"] is None
    problem, api = None, None
    if optimized and service not in _UNCHECKED:
        problem = _optimized(service, action, wait)
    elif not optimized and wait.startswith(".sync"):
        problem = "calls of aws-sdk cannot wait for the end of a job (.sync)"
    if problem is None and (service not in _UNCHECKED or not optimized):
        api = operation(service, action, optimized, wait.startswith(".sync"))
        problem = api if isinstance(api, str) else None
    known = api if isinstance(api, Operation) else None
    return Integration(match["partition"], service, action, optimized, wait, known, problem)


def _optimized(service: str, action: str, wait: str) -> str | None:
    actions = OPTIMIZED.get(service)
    if actions is None:
        return f"{service} is no service with an integration of its own{did_you_mean(service, OPTIMIZED)}"
    if action not in actions:
        return f"{service} has no integration {action}{did_you_mean(action, actions)}"
    if wait.startswith(".sync") and not actions[action]:
        return f"{service}:{action} cannot wait for the end of a job (.sync)"
    if wait == ".waitForTaskToken" and service not in _CALLS_BACK:
        return f"{service}:{action} cannot wait for a task token"
    return None


class Tasks:
    """The Tasks of one machine."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._partitions: Counter[str] = Counter()
        self._states: dict[str, str] = {}  # an example for each partition
        self._seen: dict[tuple[Operation, str, int], tuple[Value, tuple[Problem, ...]]] = {}
        self.names = jobs.Names(report)

    def answer(self, state: Mapping[str, Any], reader: Reader) -> Value:
        """Check a Task; `reader.data` becomes what is sent, and what is known of the answer comes back."""
        name, called = reader.state, integration(state["Resource"])
        reader.attempts = errors.attempts(state)
        reader.token = state["Resource"].endswith(".waitForTaskToken")
        for field in ("TimeoutSecondsPath", "HeartbeatSecondsPath"):
            if field in state:
                reader.path(state[field], field)
        if isinstance(state.get("Parameters"), dict):
            reader.every_attempt = True
            reader.data = reader.evaluate(state["Parameters"], "Parameters")
        if called is None:
            self._report.add("resource", name, f"Resource {state['Resource']!r} is no ARN that a Task can call")
            return ANYTHING
        self._partitions[called.partition] += 1
        self._states.setdefault(called.partition, name)
        if called.problem:
            self._report.add("resource", name, f"Resource {state['Resource']}: {called.problem}")
        if called.action in _AWAITED and not called.wait:
            self._report.add(
                "not-awaited", name, f"the job is started and nothing waits for it; add .sync to {called.action}"
            )
        if called.api is None:
            return ANYTHING
        self._parameters(name, state, reader.data, called.api)
        if called.service in ("sagemaker", "sns"):
            self.names.check(name, state, reader.data, called.action)
        return called.api.answer

    def _parameters(self, name: str, state: Mapping[str, Any], sent: Value, api: Operation) -> None:
        if type(sent) is not dict:
            return
        for member, value in sent.items():
            check = api.members.get(member)
            if check is None:
                hint = did_you_mean(member, api.members)
                self._report.add("parameter-unknown", name, f"Parameters.{member} is no parameter of {api.name}{hint}")
                continue
            for path, code, message in self._check(api, member, check, value):
                self._report.add(code, name, f"Parameters.{member}{path}: {message}")
        for member in sorted(api.required - sent.keys()):
            self._report.add(
                "parameter-missing", name, f"Parameters needs {member}; {api.name} does not work without it"
            )

    def _check(self, api: Operation, member: str, check: Check, value: Value) -> tuple[Problem, ...]:
        """What a check finds, once for each value that Tasks share. It is kept, so that no other gets its id."""
        if not isinstance(value, (dict, list)):
            return check(value)
        key = (api, member, id(value))
        if key not in self._seen:
            self._seen[key] = (value, check(value))
        return self._seen[key][1]

    def partitions(self) -> None:
        """Report the Tasks' partitions where they are not one and the same."""
        for partition, _ in self._partitions.most_common()[1:]:
            usual = self._partitions.most_common(1)[0][0]
            message = f"Resource is in partition {partition}, and other Tasks are in {usual}; one machine is in one"
            self._report.add("partition", self._states[partition], message)
