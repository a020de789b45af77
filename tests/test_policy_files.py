"""What holds for the files of policy/, filled for a pipeline; tests/policies proves what they allow."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from golden import TEMPLATE_CASES
from policies.calls import DELIVERIES
from released import (
    as_list,
    case,
    characters,
    config,
    of_type,
    released,
    resources,
)

from stepgluon.deploy.templates.policies import FOLDER, PLACEHOLDER, policy
from stepgluon.names import Names

# All that AWS lets nobody restrict to a resource; docs/decisions/0063 has each with its reason.
EVERYWHERE = {
    "cloudwatch:PutMetricData",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
IMAGE = "tests/golden/built/my-model"
ROLES = ("job", "machine", "trigger", "tell")
everywhere = pytest.mark.parametrize("name", TEMPLATE_CASES)


@everywhere
def test_each_role_is_what_its_files_say_trusts_its_own_account_and_has_the_boundary(name: str) -> None:
    made = released(case(name))
    names = made.names
    roles = of_type(made, "AWS::IAM::Role")
    assert {"JobRole", "MachineRole", "TriggerRole", "TellRole"} <= roles.keys()
    for part in ROLES:
        role = roles[f"{part.title()}Role"]
        assert role["PermissionsBoundary"] == names.boundary_arn
        assert [p["PolicyDocument"] for p in role["Policies"]] == [policy(names, part)]
        assert role["AssumeRolePolicyDocument"] == policy(names, f"{part}-trust")
        statement, *of_rules = role["AssumeRolePolicyDocument"]["Statement"]
        assert [one["Principal"] for one in of_rules] in ([], [{"Service": ["events.amazonaws.com"]}])
        assert part == "machine" or not of_rules
        if part in ("trigger", "tell"):
            continue  # Lambda documents no source; docs/decisions/0063
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": names.config.account}
        assert "aws:SourceArn" in statement["Condition"]["ArnLike"]


@everywhere
def test_no_role_has_more_inline_policies_than_iam_takes(name: str) -> None:
    for role, properties in of_type(released(case(name)), "AWS::IAM::Role").items():
        assert sum(characters(one["PolicyDocument"]) for one in properties.get("Policies", [])) <= 10_240, role
    assert characters(policy(Names(case(name).config), "deployer")) <= 10_240, (
        "it is an inline policy of a person's role"
    )


def test_the_build_fits_with_the_longest_names_and_all_that_a_pipeline_can_have() -> None:
    models: list[dict[str, Any]] = [{"name": "own", "label": "y", "algorithm": {"build": IMAGE, "when": "run"}}]
    for approval in ("manual", "automatic"):
        serve = {"scale": {"max": 4, "invocations": 100}, "release": {"canary": "10%"}, "capture": "20%"}
        more = {"serve": serve, "monitor": {"then": "retrain"}, "register": {"approval": approval}}
        models.append({"name": approval, "label": approval, **more})
    loaded = config(
        name="a-name-of-20-letters",
        region="ap-southeast-3",
        models=models,
        encryption={"kms_key": "arn:aws:kms:ap-southeast-3:123456789012:key/11111111-2222-3333-4444-555555555555"},
        cicd={"source": {"codecommit": {"name": "x"}}},
    )
    assert characters(policy(Names(loaded.config), "build")) <= 10_240


@everywhere
@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_only_what_has_no_resources_is_allowed_everywhere(name: str, part: str) -> None:
    for statement in policy(Names(case(name).config), part)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all(not action.endswith(":*") for action in as_list(statement["Action"]))
        if "*" in as_list(statement["Resource"]):
            assert statement["Sid"].endswith("HasNoResources")
            assert set(as_list(statement["Action"])) <= EVERYWHERE


@everywhere
def test_the_boundary_knows_each_action_of_each_role_and_no_other(name: str) -> None:
    names = Names(case(name).config)

    def actions(part: str) -> set[str]:
        statements = policy(names, part)["Statement"]
        return {action.removesuffix("*") for s in statements for action in as_list(s["Action"])}

    assert set().union(*map(actions, ROLES)) == actions("boundary")


def test_what_a_config_does_not_need_is_not_allowed() -> None:
    plain, full = Names(config().config), Names(case("everything").config)
    for part in (*ROLES, "boundary"):
        few, many = ({s["Sid"] for s in policy(names, part)["Statement"]} for names in (plain, full))
        assert few - {"EncryptMailsByTopicsKey"} < many, part
    assert "EncryptMailsByTopicsKey" not in str(policy(full, "machine")), "its own key has a statement of its own"
    services = {action.split(":")[0] for s in policy(plain, "job")["Statement"] for action in as_list(s["Action"])}
    assert not services & {"ec2", "kms"}


def test_a_machine_without_a_log_may_set_up_none() -> None:
    logged, silent = (released(config(**more)) for more in ({}, {"log_runs": False}))
    for part in ("machine", "boundary"):
        may, may_not = (
            {action for s in policy(made.names, part)["Statement"] for action in as_list(s["Action"])}
            for made in (logged, silent)
        )
        dropped = {f"logs:{action}" for action in DELIVERIES}
        assert may - may_not == dropped, part
    assert "MachineLog" in resources(logged)
    assert "MachineLog" not in resources(silent)
    machine = resources(silent)["Machine"]["Properties"]
    assert machine["LoggingConfiguration"] == {"Level": "OFF"}, "left out, an update would leave it as it was"
    assert silent.objects == logged.objects, "it changes no run"


def test_the_policies_leave_no_placeholder_and_know_no_account() -> None:
    names = Names(config().config)
    for file in FOLDER.glob("*.json"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"[0-9]{12}|arn:aws", text), file.name
        if PLACEHOLDER.search(text):
            assert "${" not in json.dumps(policy(names, file.stem)), file.name


def test_whoever_mails_may_use_the_topics_key() -> None:
    made = released(config())
    assert of_type(made, "AWS::SNS::Topic")["Topic"]["KmsMasterKeyId"] == {"Fn::GetAtt": ["Key", "Arn"]}
    statements = policy(made.names, "key")["Statement"]
    may = {as_list(s["Principal"].get("Service", s["Principal"].get("AWS")))[0]: s for s in statements}
    # KMS is told no source by EventBridge, so a condition would lose the mails.
    assert "Condition" not in may["events.amazonaws.com"]
    for publisher in ("events.amazonaws.com", "cloudwatch.amazonaws.com"):
        assert may[publisher]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    # A role that was just made is not yet known to KMS, which would refuse the whole policy.
    assert made.names.role_arn("machine") not in json.dumps(statements)
    (mails,) = [s for s in policy(made.names, "machine")["Statement"] if s["Sid"] == "EncryptMailsByTopicsKey"]
    assert mails["Condition"] == {"StringEquals": {"kms:ViaService": ["sns.ap-northeast-1.amazonaws.com"]}}


def test_with_a_key_of_the_users_there_is_no_other() -> None:
    made = released(case("everything"))
    assert "Key" not in resources(made)
    key = made.names.config.encryption.kms_key
    assert of_type(made, "AWS::SNS::Topic")["Topic"]["KmsMasterKeyId"] == key
    assert of_type(made, "AWS::SQS::Queue")["Queue"]["KmsMasterKeyId"] == key
