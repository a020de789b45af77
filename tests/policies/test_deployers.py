"""Whoever deploys may do what CloudFormation, the commands and the builds need; each right is needed by a call."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from policies.commands import (
    FREE,
    OPERATIONS,
    build_calls,
    called_by_the_code,
    operator_calls,
    pipeline_calls,
    start_calls,
)
from policies.deployed import Deployed, deployed
from policies.handlers import HANDLERS, stack_calls
from policies.reference import actions_like, exists, is_resource_of
from policies.test_least_privilege import told
from policies.test_mutated import removals

from stepgluon.local.iam import Call, actions_of, listed
from stepgluon.templates import policies as templates
from stepgluon.templates.base import base
from stepgluon.templates.cicd import cicd
from stepgluon.templates.pipeline import pipeline

# With a connection, CodeCommit and a zip; with a key of the config and without; in three partitions.
CASES = ("everything", "cn-northwest-1", "us-gov-west-1")
PARTS = ("build", "deployer", "pipeline", "start")
KEYS = ("config/0123456789abcdef/config.json", "definitions/0123456789abcdef.asl.json", "trigger/0123456789abcdef.zip")
# What parliament's reference is too old, or too simple, to know.
NEWER = {
    "cloudformation:DescribeEvents": "the operation is of 2025",
    "lambda:GetFunctionScalingConfig": "the operation is of 2025",
}
# What no derived call needs, and why it is granted all the same.
REASONS = {
    "lambda:GetFunctionConfiguration": "the function's handler waits with it until a change is done",
    "states:ListStateMachineAliases": "a machine cannot be deleted while it has an alias: CloudFormation may look",
    "states:DeleteStateMachineVersion": "where a first deploy is rolled back, the version that it published goes too",
    "s3:GetObjectVersion": "CloudFormation reads by version where a template names one",
    "sagemaker:Describe": "for the aws command line: a job's own page, where its log tells too little",
    "logs:FilterLogEvents": "for the aws command line: `aws logs tail`",
    "kms:Encrypt": "CodeBuild and CodePipeline ask for it to encrypt artifacts, as their guides list it",
    "kms:DescribeKey": "the same",
    "kms:GenerateDataKey": "the same",
}
# Parts of a resource, of which the reference says that IAM is asked for the whole.
PARTS_OF_RESOURCES = {
    "${machine_arn}:*": "versions and aliases have ARNs of their own, and some examples of AWS's guide name them",
    "${function_arn}:*": "the same, of a function's versions",
    "${topic_arn}:*": "the subscriptions, for whoever looks after them by hand",
    "${build_pipeline_arn}/*": "stages and actions, which a person may retry or approve",
}


@cache
def templates_of(case: str) -> dict[str, dict[str, Any]]:
    names = deployed(case).names
    return {"base": base(names), "pipeline": pipeline(names, KEYS[1], KEYS[2]), "cicd": cicd(names)}


@cache
def calls(case: str, part: str) -> list[Call]:
    names, stacks = deployed(case).names, templates_of(case)
    if part == "pipeline":
        return list(pipeline_calls(names, stacks["cicd"]))
    if part == "start":
        return [] if names.config.cicd and names.config.cicd.source.connection else list(start_calls(names))
    own = stacks.values() if part == "deployer" else [stacks["pipeline"]]
    made = [call for template in own for call in stack_calls(names, part, template)]
    return [*made, *(operator_calls(names) if part == "deployer" else build_calls(names, KEYS))]


def allows(found: Deployed, part: str, call: Call) -> bool:
    return found.allows(call, found.policy(part), None)


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
        for template in (
            base(deployed(case).names),
            pipeline(deployed(case).names, "d", "t"),
            cicd(deployed(case).names),
        )
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
    superfluous = {action for action in granted if not _is_made(action, made) and not _has_reason(action)}
    assert not superfluous, f"{part}: {sorted(superfluous)}"


def _is_made(action: str, made: set[str]) -> bool:
    return action.lower() in made or any(like.lower() in made for like in _like(action))


def _like(action: str) -> list[str]:
    return actions_like(action) if "*" in action else []


def _has_reason(action: str) -> bool:
    return any(action.startswith(reason) for reason in REASONS)


@pytest.mark.parametrize("part", PARTS)
def test_whatever_is_taken_away_from_a_deployer_is_missed(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = templates._document(part)
    missed = set()
    for what, number, changed in removals(document):
        taken = what.rpartition(" without ")[2]
        if _has_reason(taken) or taken in PARTS_OF_RESOURCES or what.startswith("SeeJobs"):
            continue
        monkeypatch.setattr(templates, "_document", lambda part, changed=changed: changed)
        if not any(_misses(case, part, document["Statement"][number]) for case in CASES):
            missed.add(what)
    assert not missed, f"{part}: {sorted(missed)}"


def _misses(case: str, part: str, statement: dict[str, Any]) -> bool:
    found = deployed(case)
    changed = found.policy(part)
    return any(
        not found.allows(call, changed, None)
        for call in calls(case, part)
        if any(pattern_of(action).fullmatch(call.action.lower()) for action in listed(statement["Action"]))
    )


def pattern_of(action: str) -> re.Pattern[str]:
    filled = action.replace("${connection_service}", "codeconnections").lower()
    return re.compile(re.escape(filled).replace(r"\*", ".*"))
