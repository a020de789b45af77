"""Nothing in a policy is superfluous and nothing in it could be wider: each change of one is noticed by a call."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from policies.deployed import ROLES, deployed
from policies.reference import actions_like
from policies.test_least_privilege import neighbours_of

from stepgluon.local.iam import Policy, actions_of, listed
from stepgluon.templates import policies as templates

CASES = ("demo", "everything", "default-models")
# What no derived call needs, and why it is granted all the same.
REASONS = {
    "kms:DescribeKey": "SageMaker looks at a key before it starts a job with it, as AmazonSageMakerFullAccess lets it",
    "s3:ListBucket": "S3 says NoSuchKey to the function in place of AccessDenied, and the log tells the real reason",
}
# What is wider than the calls, and why.
WIDE = {
    "NoResources": "the services know no resources for these actions",
}


@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_each_granted_action_is_one_that_a_call_needs(part: str) -> None:
    """Wildcards are expanded, so that they grant no more than the calls need either."""
    made = {call.action.lower() for case in CASES for role in roles_of(part) for call in deployed(case).calls[role]}
    granted = {
        action for case in CASES for _, p in actions_of(deployed(case).policy(part)) for action in actions_like(p)
    }
    assert granted, part
    superfluous = {action for action in granted if action.lower() not in made} - REASONS.keys()
    assert not superfluous, f"{part}: {sorted(superfluous)}"


@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_whatever_is_taken_away_is_missed_by_a_call(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = templates._document(part)
    survivors = []
    for what, number, changed in removals(document):
        monkeypatch.setattr(templates, "_document", lambda part, changed=changed: changed)
        if not any(_misses(case, part, document["Statement"][number]) for case in CASES):
            survivors.append(what)
    survivors = [what for what in survivors if not any(reason in what for reason in REASONS)]
    assert not survivors, f"{part}: {survivors}"


def _misses(case: str, part: str, statement: Policy) -> bool:
    found = deployed(case)
    changed = found.policy(part)
    actions = {action.lower() for pattern in listed(statement["Action"]) for action in actions_like(pattern)}
    calls = [call for role in roles_of(part) for call in found.calls[role] if call.action.lower() in actions]
    return any(not found.allows(call, changed, None) for call in calls)


@pytest.mark.parametrize("role", ROLES)
def test_whatever_is_made_wider_lets_in_a_neighbour(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = templates._document(role)
    survivors = []
    for what, number, changed in widenings(document):
        monkeypatch.setattr(templates, "_document", lambda part, changed=changed: changed)
        if not any(_lets_in(case, role, document["Statement"][number]) for case in CASES):
            survivors.append(what)
    survivors = [what for what in survivors if not any(reason in what for reason in WIDE)]
    assert not survivors, f"{role}: {survivors}"


def _lets_in(case: str, role: str, statement: Policy) -> bool:
    found = deployed(case)
    changed = templates.policy(found.names, role)
    actions = {action.lower() for pattern in listed(statement["Action"]) for action in actions_like(pattern)}
    near = [call for _, call in neighbours_of(found, role) if call.action.lower() in actions]
    return any(found.allows(call, changed, None) for call in near)


def removals(document: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """The document without one statement, one action or one resource."""
    for number, statement in enumerate(document["Statement"]):
        for element in ("Action", "Resource"):
            for item in listed(statement[element]):
                changed = copy.deepcopy(document)
                rest = [other for other in listed(statement[element]) if other != item]
                if rest:
                    changed["Statement"][number][element] = rest
                else:
                    del changed["Statement"][number]
                yield f"{statement['Sid']} {json.dumps(statement['Action'])} without {item}", number, changed


def widenings(document: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """The document with one resource of every kind, or without one condition."""
    for number, statement in enumerate(document["Statement"]):
        if statement["Resource"] != "*":
            changed = copy.deepcopy(document)
            # A placeholder that stands for nothing still leaves its statement out.
            empty = [item for item in listed(statement["Resource"]) if item in ("${default_models}", "${kms_key}")]
            changed["Statement"][number]["Resource"] = ["*", *empty]
            yield f"{statement['Sid']} of every resource", number, changed
        for operator, rules in statement.get("Condition", {}).items():
            for key in rules:
                changed = copy.deepcopy(document)
                del changed["Statement"][number]["Condition"][operator][key]
                yield f"{statement['Sid']} without its condition {key}", number, changed


def roles_of(part: str) -> tuple[str, ...]:
    return ROLES if part == "boundary" else (part,)
