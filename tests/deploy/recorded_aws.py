"""An AWS whose answers are Python values in the shape of botocore's output models, which each is validated against.

botocore builds and validates every request; nothing is sent. An operation without an answer is one that a test forgot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.validate import ParamValidator

from localaws.iam.policy_evaluation import Call, Policies, Value, refusal
from stepgluon.selfcheck.rehearsal import Visit
from stepgluon.verify.states import request_of

ACCOUNT = "123456789012"
DENIED = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
Reply = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]


class Recorded:
    """The door to it; `answers` are by operation."""

    def __init__(self, region: str, answers: dict[str, Reply]) -> None:
        self.region, self.answers = region, answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._made(service)
        return self._clients[service]

    def _made(self, service: str) -> Any:
        client = boto3.client(service, region_name=self.region)
        client.meta.events.register("provide-client-params.*.*", self._note)
        client.meta.events.register_first("before-call.*.*", self._answer)
        return client

    def _note(self, params: dict[str, Any], model: Any, **rest: Any) -> None:
        self.asked.append((model.name, params))

    def _answer(self, model: Any, **rest: Any) -> tuple[AWSResponse, dict[str, Any]]:
        operation, params = self.asked[-1]
        assert operation == model.name
        answer = self.answers[operation]
        body = answer(params) if callable(answer) else answer
        if "Error" not in body:
            report = ParamValidator().validate(body, model.output_shape)
            assert not report.has_errors(), f"{operation}: {report.generate_report()}"
        status = body.get("ResponseMetadata", {}).get("HTTPStatusCode", 400 if "Error" in body else 200)
        return AWSResponse("", status, {}, None), {"ResponseMetadata": {"HTTPStatusCode": status}, **body}


def simulated(asked: dict[str, Any]) -> dict[str, Any]:
    """SimulateCustomPolicy as IAM decides it, from the request alone."""
    context: dict[str, Value] = {}
    for entry in asked.get("ContextEntries", []):
        values = tuple(entry["ContextKeyValues"])
        context[entry["ContextKeyName"]] = values if entry["ContextKeyType"].endswith("List") else values[0]
    boundary = [json.loads(text) for text in asked.get("PermissionsBoundaryPolicyInputList", [])]
    policies = tuple(json.loads(text) for text in asked["PolicyInputList"])
    principal = f"arn:aws:iam::{ACCOUNT}:role/simulated"
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    key = {"Statement": [{"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}]}

    def decision(action: str, resource: str) -> str:
        call = Call(principal, action, resource, context)
        of_key = key if action.startswith("kms:") else None
        sure = not refusal(call, Policies(policies, boundary[0] if boundary else None, of_key))
        return "allowed" if sure else "implicitDeny"

    pairs = [(action, resource) for action in asked["ActionNames"] for resource in asked.get("ResourceArns", ["*"])]
    return {
        "IsTruncated": False,
        "EvaluationResults": [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision(action, resource)}
            for action, resource in pairs
        ],
    }


def as_rehearsed(visits: list[Visit]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """TestState where AWS evaluates as the rehearsal does; a request that no visit makes has no answer."""

    by_request = {json.dumps(request_of(visit), sort_keys=True): visit for visit in visits}

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        visit = by_request[json.dumps(asked, sort_keys=True)]
        if visit.error:
            return {"status": "FAILED", "error": visit.error, "cause": "as the rehearsal says"}
        caught = visit.state["Type"] == "Task" and "errorOutput" in asked["mock"]
        inspected = {"variables": json.dumps(visit.after.variables)}
        if visit.request is not None:
            inspected["afterArguments"] = json.dumps(visit.request)
        return {
            "status": "CAUGHT_ERROR" if caught else "SUCCEEDED",
            "output": json.dumps(visit.after.value),
            "inspectionData": inspected,
            **({"nextState": visit.following} if visit.following else {}),
        }

    return answer
