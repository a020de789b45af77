"""Runs AWS's policy simulator on every call of a running pipeline, and on every neighbour, which must be denied.

tests/policies derives both from the definition, the jobs and the functions' code, and proves the policies with this
project's own evaluator. This module repeats the proof with AWS's. For calls of a role, the simulator accepts no policy
of a bucket, topic, queue or key, so calls that only such a policy refuses are left out.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from localaws.iam.policy_evaluation import Call, Policies, Policy, refusal
from stepgluon.aws import Door
from stepgluon.deploy.release import ROOT
from stepgluon.deploy.templates.policies import policy as filled
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names

ROLES = ("job", "machine", "trigger", "tell")  # with the boundary
MODELS = 2  # a test proves that policies do not depend on the number of models
_AT_ONCE = 50  # resources
_SHOWN = 5
_BOOLEAN = ("aws:SecureTransport", "kms:GrantIsForAWSResource")


def policies(loaded: LoadedConfig, names: Names, door: Door) -> Iterator[Check]:
    client = door.client("iam")
    # Raises before any work is done if AWS refuses the call.
    _decisions(client, PolicyInputList=[json.dumps(filled(names, "job"))], ActionNames=["s3:GetObject"])
    try:
        derived = _derived(_few_models(loaded))
    except (ImportError, AssertionError, KeyError) as error:
        said = f"tests/policies cannot derive the calls of this pipeline: {error or type(error).__name__}"
        yield Check("policies", "not checked", said, "run its tests")
        return
    for part, (calls, near) in derived.items():
        identity, boundary = filled(names, part), filled(names, "boundary") if part in ROLES else None
        wrong, counted = [], 0
        for expected, limit, made in ((True, boundary, calls), (False, None, [replace(c, why=w) for w, c in near])):
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


def _few_models(loaded: LoadedConfig) -> LoadedConfig:
    """The config with the first models, and one for each default model."""
    config = loaded.config
    kept = {model.name: model for model in config.models[:MODELS]}
    kept |= {model.name: model for model in {config.default_model_of(model): model for model in config.models}.values()}
    return replace(loaded, config=config.changed(models=list(kept.values())))


def _derived(loaded: LoadedConfig) -> dict[str, tuple[list[Call], list[tuple[str, Call]]]]:
    """The calls and their neighbours, by the deciding policy. The tests are in the checkout, not in a package."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        found: dict[str, tuple[list[Call], list[tuple[str, Call]]]] = import_module("policies.derived").derived(loaded)
        return found
    finally:
        sys.path.remove(str(ROOT / "tests"))


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
