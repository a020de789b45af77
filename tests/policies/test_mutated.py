"""Nothing in a policy is superfluous and nothing in it could be wider: each change of one is noticed by a call."""

from __future__ import annotations

from functools import cache

import pytest
from policies.changes import Change, Document, removals, widenings
from policies.deployed import ROLES, Deployed, deployed
from policies.reference import actions_like, actions_of

from localaws.iam.policy_evaluation import Call, listed
from stepgluon.deploy.templates import policies as templates
from stepgluon.deploy.templates.policy_values import values_of

CASES = ("demo", "everything", "default-models", "xgboost", "registered", "built", "tuned", "container", "served")
CASES += ("one-approved-at-once", "partitioned", "partitioned-any")
LOOKS = "SageMaker looks at a key before it starts a job with it, as AmazonSageMakerFullAccess lets it"
# What no derived call needs, and why it is granted all the same.
REASONS = {
    ("job", "UseKey", "kms:DescribeKey"): LOOKS,
    ("machine", "UseKey", "kms:DescribeKey"): LOOKS,
    ("boundary", "Key", "kms:DescribeKey"): LOOKS,
}


@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_each_granted_action_is_one_that_a_call_needs(part: str) -> None:
    """Wildcards are expanded, so that they grant no more than the calls need either."""
    made = {call.action.lower() for case in CASES for role in roles_of(part) for call in deployed(case).calls[role]}
    granted = {
        action for case in CASES for _, p in actions_of(deployed(case).policy(part)) for action in actions_like(p)
    }
    assert granted, part
    superfluous = {action for action in granted if action.lower() not in made}
    assert superfluous == {action for of, _, action in REASONS if of == part}


@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_whatever_is_taken_away_is_missed_by_a_call(part: str) -> None:
    survivors = {change.name for change in removals(part) if not any(_misses(case, change) for case in CASES)}
    assert survivors == {reason for reason in REASONS if reason[0] == part}


def _misses(case: str, change: Change) -> bool:
    found = deployed(case)
    with change.made():
        changed = found.policy(change.part)
    actions = _actions(change.statement, found)
    calls = [call for role in roles_of(change.part) for call in found.calls[role] if call.action.lower() in actions]
    return any(not found.allows(call, changed, None) for call in calls)


@pytest.mark.parametrize("role", ROLES)
def test_whatever_is_made_wider_lets_in_a_neighbour(role: str) -> None:
    survivors = [change.name for change in widenings(role) if not any(_lets_in(case, change) for case in CASES)]
    assert not survivors


@pytest.mark.parametrize("role", ROLES)
def test_what_is_not_made_wider_lets_in_no_neighbour(role: str) -> None:
    """The same question as above, so that its answer is never yes for another reason than the change."""
    document = templates._document(role)
    for statement in document["Statement"]:
        assert not any(_lets_in(case, Change(role, statement, "", document)) for case in CASES), statement["Sid"]


def _lets_in(case: str, change: Change) -> bool:
    found = deployed(case)
    if change.statement["Sid"] not in {statement["Sid"] for statement in found.policy(change.part)["Statement"]}:
        return False  # it is left out: what it is about stands not in this config
    with change.made():
        changed = found.policy(change.part)
    actions = _actions(change.statement, found)
    near = [call for call in _neighbours(case, change.part) if call.action.lower() in actions]
    return any(found.allows(call, changed, None) for call in near)


@cache
def _neighbours(case: str, role: str) -> list[Call]:
    return [call for _, call in deployed(case).neighbours(role)]


def _actions(statement: Document, of: Deployed) -> set[str]:
    values = values_of(of.names)
    filled = [values[text[2:-1]] if text.startswith("${") else [text] for text in listed(statement["Action"])]
    return {action.lower() for patterns in filled for pattern in patterns for action in actions_like(pattern)}


def roles_of(part: str) -> tuple[str, ...]:
    return ROLES if part == "boundary" else (part,)
