"""Whoever deploys may do what CloudFormation, the commands and the builds need; each right is needed by a call."""

from __future__ import annotations

import pytest
from policies.changes import Change, removals
from policies.commands import FREE, OPERATIONS, called_by_the_code
from policies.deployed import Deployed, deployed
from policies.deployers import CASES, PARTS, about, calls, templates_of
from policies.handlers import HANDLERS
from policies.reference import actions_like, actions_of, exists, is_resource_of
from policies.test_least_privilege import told

from localaws.iam.policy_evaluation import Call

# What parliament's reference is too old, or too simple, to know.
NEWER = {
    "cloudformation:DescribeEvents": "the operation is of 2025",
    "lambda:GetFunctionScalingConfig": "the operation is of 2025",
}
PARTS_OF_ITS_OWN = "versions and aliases have ARNs of their own, and some examples of AWS's guide name them"
ARTIFACTS = "CodePipeline asks for it to encrypt artifacts, as its guide lists it"
# What no derived call needs, and why it is granted all the same: of a policy and its statement an action, or a resource
# of which the reference says that IAM is asked for the whole.
REASONS = {
    ("build", "Functions", "${function_arn}:*"): PARTS_OF_ITS_OWN,
    ("build", "Functions", "${tell_function_arn}:*"): PARTS_OF_ITS_OWN,
    ("build", "Machine", "${machine_arn}:*"): PARTS_OF_ITS_OWN,
    ("deployer", "Functions", "${function_arn}:*"): PARTS_OF_ITS_OWN,
    ("deployer", "Functions", "${tell_function_arn}:*"): PARTS_OF_ITS_OWN,
    ("deployer", "MachineAndRuns", "${machine_arn}:*"): PARTS_OF_ITS_OWN,
    ("deployer", "Topic", "${topic_arn}:*"): "the subscriptions, for whoever looks after them by hand",
    (
        "deployer",
        "PipelineOfPushes",
        "${build_pipeline_arn}/*",
    ): "stages and actions, which a person retries or approves",
    ("pipeline", "UseKey", "kms:Encrypt"): ARTIFACTS,
    ("pipeline", "UseKey", "kms:DescribeKey"): ARTIFACTS,
}


def allows(found: Deployed, part: str, call: Call) -> bool:
    return found.allows(call, found.attached[part], None)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", PARTS)
def test_whoever_deploys_may_do_all_that_it_takes(part: str, case: str) -> None:
    denied = [call for call in calls(case, part) if not allows(deployed(case), part, call)]
    assert not denied, told(denied)


@pytest.mark.parametrize("case", CASES)
def test_every_such_call_is_one_that_iam_knows(case: str) -> None:
    for call in (call for part in PARTS for call in calls(case, part)):
        if call.action not in NEWER:
            assert exists(call.action), call.action
            arn = call.resource.removesuffix(":*")
            assert is_resource_of(call.action, arn), f"{call.action} is not about {call.resource}"
    assert not [action for action in NEWER if exists(action)], "the reference knows it now"


def test_the_table_has_every_type_of_the_templates() -> None:
    used = {
        resource["Type"]
        for case in CASES
        for template in templates_of(deployed(case).names).values()
        for resource in template["Resources"].values()
    }
    assert used == HANDLERS.keys()


def test_every_operation_that_the_commands_call_is_known() -> None:
    assert called_by_the_code() - {"copy"} == (OPERATIONS.keys() | FREE.keys()) - {"copy"}


@pytest.mark.parametrize("part", PARTS)
def test_each_right_is_one_that_a_call_needs(part: str) -> None:
    """The wildcards of the deployer are not expanded: on its own resources it may do everything."""
    made = {call.action.lower() for case in CASES for call in calls(case, part)}
    granted = {action for case in CASES for _, action in actions_of(deployed(case).policy(part))}
    superfluous = {action for action in granted if not _is_made(action, made)}
    assert superfluous <= {what for of, _, what in REASONS if of == part}


def _is_made(action: str, made: set[str]) -> bool:
    return action.lower() in made or any(like.lower() in made for like in _like(action))


def _like(action: str) -> list[str]:
    return actions_like(action) if "*" in action else []


@pytest.mark.parametrize("part", PARTS)
def test_whatever_is_taken_away_from_a_deployer_is_missed(part: str) -> None:
    survivors = {change.name for change in removals(part) if not any(_misses(case, change) for case in CASES)}
    assert survivors == {reason for reason in REASONS if reason[0] == part}


def _misses(case: str, change: Change) -> bool:
    found = deployed(case)
    with change.made():
        changed = found.policy(change.part)
    return any(not found.allows(call, changed, None) for call in about(change.statement, calls(case, change.part)))
