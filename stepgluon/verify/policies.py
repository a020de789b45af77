"""Runs AWS's policy simulator on every call of a running pipeline, and on calls that are almost the same.

`calls.json` has the calls that tests/policies derives from the definition, the jobs and the functions' code, and for
which it proves the policies with this project's own evaluator; a test fails if the file is out of date. Each statement
stands for each of its actions on each of its resources. This module repeats the proof with AWS's evaluator. For a
role's calls, the simulator accepts no policy of a bucket, topic, queue or key, so calls that only such a policy refuses
are left out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.iam.policy_evaluation import Call, Policies, Policy, refusal
from stepgluon.aws import Door
from stepgluon.deploy.templates.policies import fill
from stepgluon.deploy.templates.policies import policy as filled
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.names import Names

CALLS = Path(__file__).with_name("calls.json")
ROLES = ("job", "machine", "trigger", "tell")  # with the boundary; the others are the deployer's and cicd's
_AT_ONCE = 50  # resources
_SHOWN = 5
_BOOLEAN = ("aws:SecureTransport", "kms:GrantIsForAWSResource")


def policies(names: Names, door: Door) -> Iterator[Check]:
    client = door.client("iam")
    for part in statements() if names.config.cicd else (*ROLES, "deployer"):
        calls = calls_of(names, part)
        near = [other for call in calls for other in _near(names, call)]
        identity, boundary = filled(names, part), filled(names, "boundary") if part in ROLES else None
        wrong, counted = [], 0
        for expected, limit, made in ((True, boundary, calls), (False, None, near)):
            sure = [call for call in made if _allowed(call, identity, limit) == expected]
            for call, decision in _simulated(client, identity, limit, sure):
                counted += 1
                if (decision == "allowed") != expected:
                    wrong.append(f"{decision}: {call.why}: {call.action} on {call.resource}")
        name, file = f"policy {part}", f"policy/{part}.json"
        yield from (Check(name, "failed", f"AWS decides otherwise: {said}", f"see {file}") for said in wrong[:_SHOWN])
        if len(wrong) > _SHOWN:
            yield Check(name, "failed", f"AWS decides otherwise in {len(wrong) - _SHOWN} more calls", f"see {file}")
        if not wrong:
            yield Check(name, "passed", f"AWS's simulator decides {counted:,} calls as tests/policies proves")


@cache
def statements() -> dict[str, list[dict[str, Any]]]:
    """By the part of policy/ that decides."""
    found: dict[str, list[dict[str, Any]]] = json.loads(CALLS.read_text(encoding="utf-8"))
    return found


def calls_of(names: Names, part: str) -> list[Call]:
    """The calls that this config can make; those of other configs are left out later, because no policy allows them."""
    return [
        Call(names.role_arn(part), action, resource, _context(one["Context"]), "a call of the pipeline")
        for one in fill(names, statements()[part])
        for action in one["Action"]
        for resource in one["Resource"]
    ]


def _context(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def _near(names: Names, call: Call) -> Iterator[Call]:
    """Calls that are almost the same: elsewhere, of another pipeline, or without one of the conditions' keys."""
    here = {
        "another account": (names.config.account, "210987654321"),
        "another region": (names.config.region, "eu-north-1"),
        "another environment": (names.prefix, f"{names.prefix}-prod"),
        "another pipeline": (names.prefix, "another"),
    }
    for why, (ours, other) in here.items():
        if ours in call.resource:
            yield replace(call, resource=call.resource.replace(ours, other), why=why)
    for key in call.context:
        yield replace(call, context={k: v for k, v in call.context.items() if k != key}, why=f"without {key}")


def _allowed(call: Call, identity: Policy, boundary: Policy | None) -> bool:
    """Whether the role's policies alone allow the call: a key delegates to them."""
    root = {"AWS": ":".join([*call.principal.split(":")[:5], "root"])}
    key = {"Statement": [{"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}]}
    own = key if call.action.startswith("kms:") else None
    return not refusal(call, Policies((identity,), boundary, own))


def _simulated(
    client: Any, identity: Policy, boundary: Policy | None, calls: Iterable[Call]
) -> Iterator[tuple[Call, str]]:
    """Each distinct call with AWS's decision; calls that differ only in their resource share a request."""
    groups: dict[Any, dict[str, Call]] = defaultdict(dict)
    for call in calls:
        groups[call.action, tuple(sorted(call.context.items()))].setdefault(call.resource, call)
    for (action, context), by_resource in groups.items():
        every = list(by_resource)
        for some in (every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE)):
            decisions = _decisions(
                client,
                PolicyInputList=[json.dumps(identity)],
                ActionNames=[action],
                ResourceArns=some,
                ContextEntries=[_entry(key, value) for key, value in context],
                **({"PermissionsBoundaryPolicyInputList": [json.dumps(boundary)]} if boundary else {}),
            )
            yield from ((by_resource[resource], decisions.get(resource, "undecided")) for resource in some)


def _entry(key: str, value: Any) -> Mapping[str, Any]:
    values = [value] if isinstance(value, str) else list(value)
    kind = "boolean" if key in _BOOLEAN else "string" if isinstance(value, str) else "stringList"
    return {"ContextKeyName": key, "ContextKeyValues": values, "ContextKeyType": kind}


def _decisions(client: Any, **request: Any) -> dict[str, str]:
    """The decisions for one action, by resource."""
    found: dict[str, str] = {}
    for page in client.get_paginator("simulate_custom_policy").paginate(**request):
        for result in page["EvaluationResults"]:
            for one in result.get("ResourceSpecificResults", ()):
                found[one["EvalResourceName"]] = one["EvalResourceDecision"]
            found.setdefault(result.get("EvalResourceName", "*"), result["EvalDecision"])
    return found
