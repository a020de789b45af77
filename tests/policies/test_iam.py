"""The evaluator itself, by cases from AWS's "Policy evaluation logic" and "IAM JSON policy elements reference"."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.iam.access_control import IAMPolicy, PermissionResult
from policies.reference import allowed

from localaws.iam.policy_evaluation import Call, Policies, Policy

ME = "arn:aws:iam::123456789012:role/me"
ROOT = "arn:aws:iam::123456789012:root"
OBJECT = "arn:aws:s3:::bucket/june/data.csv"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"


def statement(effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> Policy:
    return {"Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]}


def call(action: str = "s3:GetObject", resource: str = OBJECT, principal: str = ME, **context: Any) -> Call:
    return Call(principal, action, resource, {key.replace("__", ":"): value for key, value in context.items()})


def holds(asked: Call, **condition: Any) -> bool:
    written = {name.replace("__", ":"): rules for name, rules in condition.items()}
    return allowed(asked, Policies((statement(Condition=written),)))


# Which policy decides


def test_what_nothing_allows_is_denied() -> None:
    assert not allowed(call(), Policies())
    assert not allowed(call(), Policies((statement(action="s3:PutObject"),)))
    assert allowed(call(), Policies((statement(),)))


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    deny = statement("Deny")
    assert not allowed(call(), Policies((statement(), deny)))
    assert not allowed(
        call(), Policies((statement(),), boundary={"Statement": [*statement()["Statement"], *deny["Statement"]]})
    )
    assert not allowed(call(), Policies((statement(),), resource=statement("Deny", Principal="*")))


def test_a_boundary_allows_nothing_and_limits_everything() -> None:
    assert not allowed(call(), Policies((), boundary=statement()))
    assert not allowed(call(), Policies((statement(),), boundary=statement(action="s3:PutObject")))
    assert allowed(call(), Policies((statement(action="s3:*"),), boundary=statement()))


def test_a_resource_policy_that_names_the_role_allows_within_the_boundary() -> None:
    names_me = statement(Principal={"AWS": ME})
    assert allowed(call(), Policies((), resource=names_me))
    assert not allowed(call(), Policies((), boundary=statement(action="s3:PutObject"), resource=names_me))
    assert not allowed(call(), Policies((), resource=statement(Principal={"AWS": f"{ME}2"})))


def test_a_resource_policy_that_names_the_account_leaves_it_to_the_roles_policy() -> None:
    for account in (ROOT, "123456789012"):
        assert not allowed(call(), Policies((), resource=statement(Principal={"AWS": account})))
    assert allowed(call(), Policies((statement(),), resource=statement(Principal={"AWS": ROOT})))


def test_the_policy_of_a_key_has_to_hand_the_decision_to_the_account() -> None:
    decrypt = call("kms:Decrypt", KEY)
    mine = statement(action="kms:Decrypt", resource=KEY)
    assert not allowed(decrypt, Policies((mine,), resource={"Statement": []}))
    assert not allowed(decrypt, Policies((mine,)))
    assert allowed(decrypt, Policies((mine,), resource=statement(action="kms:*", Principal={"AWS": ROOT})))
    assert not allowed(decrypt, Policies((), resource=statement(action="kms:*", Principal={"AWS": ROOT})))


def test_a_service_is_let_in_by_a_resource_policy_alone() -> None:
    publish = call("sns:Publish", "arn:aws:sns:eu-west-1:123456789012:t", "events.amazonaws.com")
    assert allowed(
        publish, Policies(resource=statement(action="sns:Publish", Principal={"Service": "events.amazonaws.com"}))
    )
    assert not allowed(
        publish, Policies(resource=statement(action="sns:Publish", Principal={"Service": "s3.amazonaws.com"}))
    )
    assert not allowed(publish, Policies(resource=statement(action="sns:Publish", Principal={"AWS": ROOT})))


# Elements


@pytest.mark.parametrize(
    ("pattern", "action", "matches"),
    [
        ("s3:GetObject", "s3:GetObject", True),
        ("S3:getobject", "s3:GetObject", True),
        ("s3:GetObject", "s3:GetObjectVersion", False),
        ("s3:Get*", "s3:GetObjectVersion", True),
        ("s3:Get?bject", "s3:GetObject", True),
        ("s3:*", "sns:Publish", False),
        ("*", "sns:Publish", True),
    ],
)
def test_actions(pattern: str, action: str, matches: bool) -> None:
    resource = OBJECT if action.startswith("s3") else "arn:aws:sns:eu-west-1:123456789012:t"
    assert allowed(call(action, resource), Policies((statement(action=pattern),))) is matches
    negated = {"Statement": [{"Effect": "Allow", "NotAction": pattern, "Resource": "*"}]}
    assert allowed(call(action, resource), Policies((negated,))) is not matches


@pytest.mark.parametrize(
    ("pattern", "resource", "matches"),
    [
        ("arn:aws:s3:::bucket/*", OBJECT, True),
        ("arn:aws:s3:::bucket", OBJECT, False),
        ("arn:aws:s3:::bucket/*.csv", OBJECT, True),
        ("arn:aws:s3:::bucket/JUNE/*", OBJECT, False),
        ("arn:aws:s3:::buck?t/*", OBJECT, True),
        ("arn:aws:s3:*:*:bucket/*", OBJECT, True),
        ("arn:aws:s3*", OBJECT, False),
        ("arn:aws:sqs:*:queue", "arn:aws:sqs:eu-west-1:123456789012:queue", False),
        ("arn:aws:sqs:*:*:q*", "arn:aws:sqs:eu-west-1:123456789012:queue", True),
        ("arn:aws:logs:*:*:log-group:/a*", "arn:aws:logs:eu-west-1:1:log-group:/a/b:log-stream:c", True),
        ("arn:aws:s3:::bucket/${aws:username}/*", OBJECT, False),
        ("arn:aws:s3:::bucket/${aws:username, 'june'}/*", OBJECT, True),
        ("arn:aws:s3:::bucket/june/data${*}", OBJECT, False),
        ("arn:aws:s3:::bucket/june/data${*}", "arn:aws:s3:::bucket/june/data*", True),
    ],
)
def test_resources(pattern: str, resource: str, matches: bool) -> None:
    assert allowed(call(resource=resource), Policies((statement(resource=pattern),))) is matches
    negated = {"Statement": [{"Effect": "Allow", "Action": "*", "NotResource": pattern}]}
    assert allowed(call(resource=resource), Policies((negated,))) is not matches


def test_a_variable_is_what_the_request_tells_and_its_stars_are_no_wildcards() -> None:
    home = statement(resource="arn:aws:s3:::bucket/${aws:username}/*")
    assert allowed(call(aws__username="june"), Policies((home,)))
    assert not allowed(call(aws__username="*"), Policies((home,)))


# Conditions


def test_operators() -> None:
    asked = call(
        aws__SourceAccount="123456789012",
        aws__SourceArn="arn:aws:events:eu-west-1:1:rule/a",
        aws__SecureTransport="true",
    )
    assert holds(asked, StringEquals={"AWS:sourceaccount": "123456789012"})
    assert holds(asked, StringEquals={"aws:SourceAccount": ["1", "123456789012"]})
    assert not holds(asked, StringEquals={"aws:SourceAccount": "1234*"})
    assert holds(asked, StringLike={"aws:SourceAccount": "1234*"})
    assert not holds(asked, StringNotEquals={"aws:SourceAccount": ["1", "123456789012"]})
    assert holds(asked, StringNotLike={"aws:SourceAccount": "9*"})
    assert holds(asked, ArnEquals={"aws:SourceArn": "arn:aws:events:*:1:rule/?"})
    assert not holds(asked, ArnLike={"aws:SourceArn": "arn:aws:*:rule/a"})
    assert holds(asked, Bool={"aws:SecureTransport": "TRUE"}) and not holds(asked, Bool={"aws:SecureTransport": False})
    assert holds(asked, Null={"aws:SourceArn": "false", "aws:username": "true"})
    assert not holds(asked, StringEquals={"aws:SourceAccount": "123456789012"}, Bool={"aws:SecureTransport": "false"})


def test_a_key_that_the_request_does_not_tell() -> None:
    assert not holds(call(), StringEquals={"aws:SourceAccount": "1"})
    assert not holds(call(), StringLike={"aws:SourceAccount": "*"})
    assert not holds(call(), Bool={"aws:SecureTransport": "false"})
    assert holds(call(), StringNotEquals={"aws:SourceAccount": "1"})
    assert holds(call(), StringEqualsIfExists={"aws:SourceAccount": "1"})
    assert not holds(call(aws__SourceAccount="2"), StringEqualsIfExists={"aws:SourceAccount": "1"})


def test_keys_of_several_values() -> None:
    def tagged(operator: str, *tags: str) -> bool:
        job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/a"
        asked = call("sagemaker:CreateTrainingJob", job, **({"aws:TagKeys": tags} if tags else {}))
        rule = statement(action="sagemaker:*", Condition={operator: {"aws:TagKeys": ["a", "b"]}})
        return allowed(asked, Policies((rule,)))

    assert tagged("ForAllValues:StringEquals", "a", "b") and not tagged("ForAllValues:StringEquals", "a", "c")
    assert tagged("ForAnyValue:StringEquals", "a", "c") and not tagged("ForAnyValue:StringEquals", "c")
    assert tagged("ForAllValues:StringEquals") and not tagged("ForAnyValue:StringEquals")
    with pytest.raises(ValueError, match="needs ForAllValues"):
        tagged("StringEquals", "a", "b")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"DateLessThan": {"aws:SourceAccount": "1"}}, "operator DateLessThan is unknown"),
        ({"ForSomeValues:StringEquals": {"aws:SourceAccount": "1"}}, "ForSomeValues:StringEquals is unknown"),
        ({"StringEquals": {"s3:nonsense": "1"}}, "s3:GetObject has no condition key s3:nonsense"),
    ],
)
def test_what_is_not_known_is_not_guessed_at(condition: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        holds(call(), **condition)


# Against another evaluator, where that one is exact: without conditions, principals, and wildcards between colons


ACTIONS = st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:Get*", "s3:*", "*", "s3:DeleteObject"])
RESOURCES = st.sampled_from(
    ["*", "arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/june/*", "arn:aws:s3:::other/*", OBJECT]
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["Allow", "Deny"]), st.booleans(), ACTIONS, RESOURCES), min_size=1, max_size=4),
    st.sampled_from(["s3:GetObject", "s3:PutObject"]),
    st.sampled_from([OBJECT, "arn:aws:s3:::other/x", "arn:aws:s3:::bucket/x"]),
)
def test_moto_decides_alike(written: list[tuple[str, bool, str, str]], action: str, resource: str) -> None:
    statements = [
        {"Effect": effect, "NotAction" if negated else "Action": named, "Resource": place}
        for effect, negated, named, place in written
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    theirs = IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)
    assert allowed(call(action, resource), Policies((policy,))) is (theirs == PermissionResult.PERMITTED)
