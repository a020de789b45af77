"""What services do in their own name: each policy of a topic, a queue, a key or a function lets in ours alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from policies.calls import Caller
from policies.deployed import ALL, ROLES, deployed
from policies.neighbours import ACCOUNT, with_context
from policies.reference import allowed

from localaws.iam.policy_evaluation import Call, Policies, Policy
from stepgluon.deploy.templates.pipeline import pipeline
from stepgluon.names import Names

TRUSTED = {
    "job": "sagemaker.amazonaws.com",
    "machine": "states.amazonaws.com",
    "trigger": "lambda.amazonaws.com",
    "tell": "lambda.amazonaws.com",
}


def decides(policy: Policy, call: Call) -> bool:
    return allowed(call, Policies(resource=policy))


@pytest.mark.parametrize("case", ALL)
def test_what_publishes_reaches_the_topic_its_key_and_the_queue(case: str) -> None:
    for part, call in deployed(case).service_calls:
        assert decides(deployed(case).policy(part), call), (part, call)


@pytest.mark.parametrize("case", ALL)
def test_nothing_else_reaches_them(case: str) -> None:
    found = deployed(case)
    for part, call in found.service_calls:
        policy = found.policy(part)
        for other in (
            "lambda.amazonaws.com",
            "s3.amazonaws.com",
            "sqs.amazonaws.com",
            f"arn:aws:iam::{ACCOUNT}:role/x",
        ):
            assert not decides(policy, replace(call, principal=other)), (part, other)
        for near in _from_elsewhere(call):
            assert not decides(policy, near), (part, near)
        if call.action != "kms:Decrypt":
            service = call.action.partition(":")[0]
            for action in {"sns": ("Subscribe", "SetTopicAttributes"), "sqs": ("ReceiveMessage", "PurgeQueue")}.get(
                service, ("CreateGrant", "ScheduleKeyDeletion")
            ):
                assert not decides(policy, replace(call, action=f"{service}:{action}")), (part, action)


def _from_elsewhere(call: Call) -> list[Call]:
    """The same for another's rule or alarm. EventBridge tells SNS and its key no source: none can be asked for."""
    changes: list[dict[str, Any]] = []
    if "aws:SourceArn" in call.context:
        source = str(call.context["aws:SourceArn"])
        changes += [{"aws:SourceArn": f"{source}x"}, {"aws:SourceArn": None}]
        changes += [{"aws:SourceArn": source.replace(source.split(":")[4], ACCOUNT)}]
    if "aws:SourceAccount" in call.context:
        changes += [{"aws:SourceAccount": ACCOUNT}, {"aws:SourceAccount": None}]
    return [with_context(call, **change) for change in changes]


@pytest.mark.parametrize("case", ALL)
def test_topic_queue_and_buckets_refuse_what_is_not_encrypted_on_the_way(case: str) -> None:
    found = deployed(case)
    names, caller = found.names, Caller(found.names, found.names.role_arn("machine"))
    everything: Policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    for call in (
        caller("", "sns:Publish", names.topic_arn),
        caller("", "sqs:SendMessage", names.arn("sqs", names.queue)),
        caller("", "s3:GetObject", names.arn("s3", f"{names.raw_bucket}/june/a.csv", region="", account="")),
        caller("", "s3:ListBucket", names.arn("s3", names.work_bucket, region="", account="")),
    ):
        assert found.allows(call, everything, None)
        assert not found.allows(with_context(call, **{"aws:SecureTransport": "false"}), everything, None), call


@pytest.mark.parametrize("case", ALL)
def test_each_role_is_for_its_service_in_this_account(case: str) -> None:
    found = deployed(case)
    for role in ROLES:
        trust = found.policy(f"{role}-trust")
        call = _assumed(found.names, role)
        assert decides(trust, call), role
        others = {*TRUSTED.values(), "ec2.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:root", found.names.role_arn("job")}
        for other in others - {TRUSTED[role]}:
            assert not decides(trust, replace(call, principal=other)), (role, other)
        if (
            TRUSTED[role] != "lambda.amazonaws.com"
        ):  # Lambda documents no source, and lets only roles of the function's own account be passed
            for key, value in (("aws:SourceAccount", ACCOUNT), ("aws:SourceArn", f"arn:aws:x:y:{ACCOUNT}:z")):
                assert not decides(trust, with_context(call, **{key: value})), (role, key)
                assert not decides(trust, with_context(call, **{key: None})), (role, key)


def _assumed(names: Names, role: str) -> Call:
    source = {"job": names.arn("sagemaker", f"training-job/{names.prefix}-train-x"), "machine": names.machine_arn}.get(
        role
    )
    context = {"aws:SourceAccount": names.config.account, "aws:SourceArn": source} if source else {}
    return Call(TRUSTED[role], "sts:AssumeRole", names.role_arn(role), context)


@pytest.mark.parametrize("case", ALL)
def test_each_function_is_called_by_its_own_source_alone(case: str) -> None:
    names = deployed(case).names
    permissions = [
        r["Properties"]
        for r in pipeline(names, "d", "t", "f")["Resources"].values()
        if r["Type"].endswith("::Permission")
    ]
    assert permissions == [
        {
            "FunctionName": {"Ref": "Trigger"},
            "Action": "lambda:InvokeFunction",
            "Principal": "events.amazonaws.com",
            "SourceArn": names.arn("events", f"rule/{names.upload_rule}"),
        },
        {
            "FunctionName": {"Ref": "Tell"},
            "Action": "lambda:InvokeFunction",
            "Principal": "events.amazonaws.com",
            "SourceArn": names.arn("events", f"rule/{names.rule}"),
        },
    ]
