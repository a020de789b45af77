"""Whoever deploys reaches no other pipeline, region or account; nothing in what they may do could be wider."""

from __future__ import annotations

import pytest
from policies.changes import Change, widenings
from policies.deployed import deployed
from policies.deployers import CASES, PARTS, SHARED, about, places, strangers

from localaws.iam.policy_evaluation import Call


@pytest.mark.parametrize("part", PARTS)
def test_no_call_about_what_is_elsewhere_is_allowed(part: str) -> None:
    allowed = {
        (part, call.action): f"{why}: {call.resource} {dict(call.context)}"
        for case in CASES
        for why, call in places(case, part)
        if _allows(case, part, call)
    }
    assert allowed.keys() == {of for of in SHARED if of[0] == part}, allowed


@pytest.mark.parametrize("part", PARTS)
def test_whatever_is_made_wider_for_a_deployer_lets_in_a_stranger(part: str) -> None:
    survivors = {change.name for change in widenings(part) if not any(_lets_in(case, change) for case in CASES)}
    assert not survivors


def _lets_in(case: str, change: Change) -> bool:
    found = deployed(case)
    before = found.attached[change.part]
    if change.statement["Sid"] not in {statement["Sid"] for statement in before["Statement"]}:
        return False  # it is left out: what it is about stands not in this config
    with change.made():
        after = found.policy(change.part)
    near = about(change.statement, strangers(case, change.part))
    return any(found.allows(call, after, None) and not found.allows(call, before, None) for call in near)


def _allows(case: str, part: str, call: Call) -> bool:
    return deployed(case).allows(call, deployed(case).attached[part], None)
