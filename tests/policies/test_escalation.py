"""What no role may do, whatever it is for; and that the build, which deploys, cannot give itself or another more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from policies.calls import Caller
from policies.deployed import ROLES, Deployed, deployed
from policies.neighbours import ACCOUNT, with_context
from policies.reference import actions_like, actions_of, is_resource_of

from localaws.iam.policy_evaluation import Call, Value
from stepgluon.deploy.templates.cicd import cicd
from stepgluon.names import Names

CASES = ("demo", "everything", "cn-northwest-1", "us-gov-west-1")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_no_running_part_changes_what_runs_or_who_may(part: str, case: str) -> None:
    found = deployed(case)
    granted = [call for call in _changes(found.names, part) if found.allows(call, found.attached[part], None)]
    assert not granted, [f"{call.action} {call.resource}" for call in granted]


@pytest.mark.parametrize("case", CASES)
def test_the_build_makes_roles_with_the_boundary_alone(case: str) -> None:
    found = deployed(case)
    names, caller = found.names, Caller(found.names, found.names.role_arn("build"))
    stack: dict[str, Value] = {"aws:CalledVia": ("cloudformation.amazonaws.com",)}
    bounded = {"iam:PermissionsBoundary": names.boundary_arn}
    made = caller("", "iam:CreateRole", names.role_arn("job"), **bounded, **stack)
    assert allows_build(found, made)
    admin = names.arn("iam", "policy/AdministratorAccess", region="", account="aws")
    for boundary in (None, admin, f"{names.boundary_arn}2", names.boundary_arn.replace(names.config.account, ACCOUNT)):
        assert not allows_build(found, with_context(made, **{"iam:PermissionsBoundary": boundary})), boundary


@pytest.mark.parametrize("case", CASES)
def test_the_build_cannot_give_itself_more(case: str) -> None:
    found = deployed(case)
    granted = [call for call in _escalations(found.names) if allows_build(found, call)]
    assert not granted, [f"{call.action} {call.resource} {dict(call.context)}" for call in granted]


@pytest.mark.parametrize("case", CASES)
def test_the_build_can_neither_publish_nor_expire_nor_delete_data_even_by_its_stack(case: str) -> None:
    """Whoever pushes chooses the template that the build deploys, so the build itself must lack these rights."""
    found = deployed(case)
    names, caller = found.names, Caller(found.names, found.names.role_arn("build"))
    stack: dict[str, Value] = {"aws:CalledVia": ("cloudformation.amazonaws.com",)}
    for bucket in (names.raw_bucket, names.work_bucket):
        arn = names.arn("s3", bucket, region="", account="")
        writes = [*actions_like("s3:Put*"), *actions_like("s3:Delete*"), "s3:CreateBucket", "s3:ReplicateObject"]
        assert {"s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutLifecycleConfiguration"} <= set(writes)
        for action in writes:
            where = next((it for it in (arn, f"{arn}/june/houses.csv") if is_resource_of(action, it)), "*")
            for context in ({}, stack):
                assert not allows_build(found, caller("", action, where, **context)), (action, where)


@pytest.mark.parametrize("case", CASES)
def test_the_build_changes_roles_by_its_stack_alone(case: str) -> None:
    """What runs in it cannot change who takes a role on by one call."""
    found = deployed(case)
    names, caller = found.names, Caller(found.names, found.names.role_arn("build"))
    for role in ROLES:
        for action in ("DeleteRole", "TagRole", "UpdateAssumeRolePolicy", "UpdateRole"):
            _only_by_the_stack(found, caller("", f"iam:{action}", names.role_arn(role)))
        bounded = {"iam:PermissionsBoundary": names.boundary_arn}
        for action in ("CreateRole", "PutRolePolicy", "DeleteRolePolicy"):
            _only_by_the_stack(found, caller("", f"iam:{action}", names.role_arn(role), **bounded))


@pytest.mark.parametrize("case", CASES)
def test_the_packages_of_the_tests_have_no_right_to_deploy(case: str) -> None:
    found = deployed(case)
    actions = {action for _, action in actions_of(found.attached["check"])}
    assert actions <= {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "kms:Decrypt",
    }
    template = cicd(deployed("everything").names)["Resources"]
    assert template["Check"]["Properties"]["ServiceRole"] == {"Fn::GetAtt": ["CheckRole", "Arn"]}
    assert not template["Check"]["Properties"]["Environment"]["PrivilegedMode"]


def _only_by_the_stack(found: Deployed, call: Call) -> None:
    assert not allows_build(found, call), call
    assert allows_build(found, with_context(call, **{"aws:CalledVia": ("cloudformation.amazonaws.com",)})), call


def allows_build(found: Deployed, call: Call) -> bool:
    return found.allows(call, found.attached["build"], None)


def _changes(names: Names, part: str) -> Iterator[Call]:
    call = Caller(names, names.role_arn(part))
    for role in ("job", "machine", "trigger", "tell", "build"):
        for action in ("AttachRolePolicy", "PutRolePolicy", "UpdateAssumeRolePolicy", "DeleteRolePermissionsBoundary"):
            yield call("", f"iam:{action}", names.role_arn(role))
        yield call("", "sts:AssumeRole", names.role_arn(role))
    for bucket in (names.raw_bucket, names.work_bucket):
        arn = names.arn("s3", bucket, region="", account="")
        for action in ("PutBucketPolicy", "DeleteBucket", "PutBucketNotification", "PutLifecycleConfiguration"):
            yield call("", f"s3:{action}", arn)
        for action in ("DeleteObject", "DeleteObjectVersion", "PutObjectAcl"):
            yield call("", f"s3:{action}", f"{arn}/runs/run/result/predictions.csv")
    for action in ("UpdateStateMachine", "DeleteStateMachine", "PublishStateMachineVersion", "UpdateStateMachineAlias"):
        yield call("", f"states:{action}", names.machine_arn)
    for action in ("UpdateFunctionCode", "UpdateFunctionConfiguration", "AddPermission", "InvokeFunction"):
        yield call("", f"lambda:{action}", names.arn("lambda", f"function:{names.function}"))
    yield call("", "sns:Subscribe", names.topic_arn)
    yield call("", "sns:SetTopicAttributes", names.topic_arn)
    yield call("", "sqs:PurgeQueue", names.arn("sqs", names.queue))
    yield call("", "events:DeleteRule", names.arn("events", f"rule/{names.rule}"))
    yield call("", "ecr:PutImage", names.arn("ecr", f"repository/{names.repository('data')}"))
    if names.config.encryption.kms_key:
        for action in ("PutKeyPolicy", "ScheduleKeyDeletion", "DisableKey"):
            yield call("", f"kms:{action}", names.config.encryption.kms_key)


def _escalations(names: Names) -> Iterator[Call]:
    call = Caller(names, names.role_arn("build"))
    bounded = {"iam:PermissionsBoundary": names.boundary_arn}
    for action in ("CreatePolicyVersion", "DeletePolicy", "DeletePolicyVersion", "SetDefaultPolicyVersion"):
        yield call("", f"iam:{action}", names.boundary_arn)
    for role in ("build", "check", "pipeline", "start"):
        for action in ("PutRolePolicy", "AttachRolePolicy", "CreateRole", "PutRolePermissionsBoundary"):
            yield call("", f"iam:{action}", names.role_arn(role), **bounded)
        yield call("", "iam:UpdateAssumeRolePolicy", names.role_arn(role))
    for role in ("job", "machine", "trigger", "tell"):
        yield call("", "iam:PutRolePolicy", names.role_arn(role))
        yield call("", "iam:DeleteRolePermissionsBoundary", names.role_arn(role), **bounded)
        yield call("", "iam:AttachRolePolicy", names.role_arn(role), **bounded)
        yield call("", "sts:AssumeRole", names.role_arn(role))
    for role in (names.role_arn("build"), names.arn("iam", "role/Admin", region="")):
        for service in ("lambda.amazonaws.com", "states.amazonaws.com", "cloudformation.amazonaws.com"):
            yield call("", "iam:PassRole", role, **{"iam:PassedToService": service})
    for service in ("ec2.amazonaws.com", "cloudformation.amazonaws.com", "codebuild.amazonaws.com"):
        yield call("", "iam:PassRole", names.role_arn("machine"), **{"iam:PassedToService": service})
    for part in ("base", "cicd"):
        for action in ("CreateChangeSet", "ExecuteChangeSet", "UpdateStack", "DeleteStack"):
            yield call("", f"cloudformation:{action}", names.arn("cloudformation", f"stack/{names.stack(part)}/0123"))
    # Another's key must not become ours by our tag, neither directly nor by way of the stack.
    other, own = (
        names.arn("kms", "key/99999999-9999-9999-9999-999999999999"),
        {"aws:RequestTag/stepgluon": names.prefix},
    )
    yield call("", "kms:TagResource", other, **own)
    stack = names.arn("cloudformation", f"stack/{names.stack('pipeline')}/0123")
    yield call(
        "", "cloudformation:CreateChangeSet", stack, **{"cloudformation:ImportResourceTypes": ("AWS::KMS::Key",)}
    )
    # A key without our tag may be one that CloudFormation is making just now; one with another's tag is not.
    for action, its in (("PutKeyPolicy", {"aws:ResourceTag/stepgluon": "another"}), ("ScheduleKeyDeletion", {})):
        yield call("", f"kms:{action}", other, **{"aws:CalledVia": ("cloudformation.amazonaws.com",)}, **its)
        yield call("", f"kms:{action}", other)
    for project in (names.build, names.check):
        yield call("", "codebuild:UpdateProject", names.arn("codebuild", f"project/{project}"))
    yield call("", "iam:CreateUser", names.arn("iam", "user/me", region=""))
    yield call("", "iam:CreateAccessKey", names.arn("iam", "user/me", region=""))
    for bucket in (names.raw_bucket, names.work_bucket):
        yield call("", "s3:DeleteBucket", names.arn("s3", bucket, region="", account=""))
