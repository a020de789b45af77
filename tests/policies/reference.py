"""The Service Authorization Reference, as parliament ships it: which resources and condition keys an action knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from localaws.iam import policy_evaluation

VARIABLE = re.compile(r"\\\$\\\{.*?\\\}|<.*?>")  # of an escaped key, like aws:RequestTag/${TagKey}

# Those of the global keys that are in every request, or that a service adds when it calls in another's name.
GLOBAL_KEYS = tuple(
    re.compile(key, re.IGNORECASE)
    for key in (
        *("aws:SecureTransport", "aws:PrincipalArn", "aws:PrincipalAccount", "aws:ResourceAccount"),
        *("aws:SourceArn", "aws:SourceAccount", "aws:CalledVia", "aws:RequestedRegion", "aws:username"),
    )
)


def allowed(call: policy_evaluation.Call, policies: policy_evaluation.Policies) -> bool:
    """As IAM decides it; raises for a condition on a key that the action does not have."""
    for policy in (*policies.identity, policies.boundary, policies.resource):
        for statement in policy_evaluation.statements(policy) if policy else ():
            condition = statement.get("Condition", {})
            if condition and policy_evaluation.applies({**statement, "Condition": {}}, call):
                for key in {key for rules in condition.values() for key in rules}:
                    _check_key(key, call)
    return not policy_evaluation.refusal(call, policies)


def _check_key(key: str, call: policy_evaluation.Call) -> None:
    if not any(pattern.fullmatch(key) for pattern in (*GLOBAL_KEYS, *condition_keys(call.action, call.resource))):
        raise ValueError(f"{call.action} has no condition key {key}: such a condition never holds as it is meant")


def actions_of(policy: policy_evaluation.Policy) -> Iterator[tuple[int, str]]:
    """Each granted action with its statement's number."""
    for number, statement in enumerate(policy_evaluation.statements(policy)):
        for action in policy_evaluation.listed(statement.get("Action", [])):
            yield number, action


@cache
def _services() -> dict[str, dict[str, Any]]:
    spec = find_spec("parliament")  # importing it takes longer, and warns
    assert spec and spec.origin
    text = (Path(spec.origin).parent / "iam_definition.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for service in json.loads(text):  # some services stand there in two parts
        of = found.setdefault(service["prefix"], {"privileges": {}, "resources": []})
        of["privileges"] |= {privilege["privilege"].lower(): privilege for privilege in service["privileges"]}
        of["resources"] += service["resources"]
    return found


def _privilege(action: str) -> dict[str, Any]:
    service, _, name = action.partition(":")
    found: dict[str, Any] | None = _services().get(service, {"privileges": {}})["privileges"].get(name.lower())
    if found is None:
        raise ValueError(f"there is no action {action}")
    return found


def actions_like(pattern: str) -> list[str]:
    """The actions that a pattern with wildcards stands for."""
    service, _, name = pattern.partition(":")
    expression = re.escape(name.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    found = _services()[service]["privileges"].values()
    return [f"{service}:{p['privilege']}" for p in found if re.fullmatch(expression, p["privilege"].lower())]


def exists(action: str) -> bool:
    return bool(actions_like(action))


@cache
def condition_keys(action: str, arn: str) -> tuple[re.Pattern[str], ...]:
    """Of the action in general, and of it with a resource of this kind."""
    kinds = {"", *_kinds(action, arn)}
    entries = [entry for entry in _privilege(action)["resource_types"] if entry["resource_type"].rstrip("*") in kinds]
    keys = {key for entry in entries for key in entry["condition_keys"]}
    for resource in _services()[action.partition(":")[0]]["resources"]:
        if resource["resource"] in kinds:  # its tags can be asked for in every action; what else it has, in some
            keys |= {key for key in resource["condition_keys"] if "ResourceTag/" in key}
    return tuple(re.compile(VARIABLE.sub(".+", re.escape(key)), re.IGNORECASE) for key in sorted(keys))


def is_resource_of(action: str, arn: str) -> bool:
    """Whether the action is about resources of this ARN's kind; `*` is right where there is no kind."""
    kinds = {entry["resource_type"].rstrip("*") for entry in _privilege(action)["resource_types"]} - {""}
    if not kinds:
        return arn == "*"
    if arn == "*":
        return not any(entry["resource_type"].endswith("*") for entry in _privilege(action)["resource_types"])
    return bool(kinds & _kinds(action, arn))


def _kinds(action: str, arn: str) -> set[str]:
    """The kinds of resource that the ARN may be of; that of a log group is that of its streams too."""
    resources = _services()[action.partition(":")[0]]["resources"]
    return {r["resource"] for r in resources if _arn(r["arn"], r["resource"]).fullmatch(arn)}


@cache
def _arn(form: str, kind: str) -> re.Pattern[str]:
    """`arn:${Partition}:s3:::${BucketName}` -> its ARNs; only the last part of one may have slashes and colons."""
    parts = re.split(r"\$\{.*?\}|\*", form)
    last = "[^/:]+" if kind == "bucket" else ".+"
    inner = "[^:]+".join(re.escape(part) for part in parts[:-1])
    return re.compile(f"{inner}{last}{re.escape(parts[-1])}" if len(parts) > 1 else re.escape(form))
