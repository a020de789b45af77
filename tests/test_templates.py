"""What holds for the templates and is known to no linter."""

from __future__ import annotations

import json

import pytest
from golden import TEMPLATE_CASES
from released import (
    case,
    config,
    documents,
    of_type,
    references,
    released,
    resources,
)

from stepgluon.names import Names

HAS_TAGS = {
    "AWS::CloudWatch::Alarm",
    "AWS::CodeBuild::Project",
    "AWS::CodePipeline::Pipeline",
    "AWS::ECR::Repository",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SQS::Queue",
    "AWS::StepFunctions::StateMachine",
}
everywhere = pytest.mark.parametrize("name", TEMPLATE_CASES)


@everywhere
def test_whatever_is_referred_to_stands_in_the_same_template(name: str) -> None:
    for part, document in documents(released(case(name))).items():
        known = document["Resources"].keys() | document.get("Parameters", {}).keys()
        assert references(document) <= known, part


@everywhere
def test_nothing_waits_for_itself(name: str) -> None:
    for document in documents(released(case(name))).values():
        waiting = {key: references(one) & document["Resources"].keys() for key, one in document["Resources"].items()}
        while waiting:
            ready = {key for key, needs in waiting.items() if not needs & waiting.keys()}
            assert ready, f"these wait for each other: {sorted(waiting)}"
            waiting = {key: needs for key, needs in waiting.items() if key not in ready}


@everywhere
def test_everything_that_can_have_tags_has_the_pipelines(name: str) -> None:
    loaded = case(name)
    prefix = Names(loaded.config).prefix
    for key, one in resources(released(loaded)).items():
        tags = {tag["Key"]: tag["Value"] for tag in one["Properties"].get("Tags", [])}
        if one["Type"] in HAS_TAGS:
            assert tags == {"stepgluon": prefix, **loaded.config.tags}, key
        else:
            assert not tags, f"{one['Type']} takes tags: it belongs into HAS_TAGS"


def test_the_types_that_take_tags_are_those_of_the_services_schemas() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    used = {one["Type"] for name in TEMPLATE_CASES for one in resources(released(case(name))).values()}
    schemas = {kind: PROVIDER_SCHEMA_MANAGER.get_resource_schema("ap-northeast-1", kind).schema for kind in used}
    assert {kind for kind, schema in schemas.items() if "Tags" in schema["properties"]} == used & HAS_TAGS


@everywhere
def test_buckets_are_private_kept_encrypted_versioned_and_take_only_tls(name: str) -> None:
    made = released(case(name))
    all_of_them = resources(made)
    buckets = of_type(made, "AWS::S3::Bucket")
    assert buckets.keys() == {"RawBucket", "WorkBucket"}
    for key, bucket in buckets.items():
        assert all_of_them[key]["DeletionPolicy"] == all_of_them[key]["UpdateReplacePolicy"] == "Retain"
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        key_id = made.names.config.encryption.kms_key
        assert rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID") == key_id
        [statement] = all_of_them[f"{key}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_only_what_codepipeline_leaves_expires_and_nothing_that_a_run_or_a_rollback_needs() -> None:
    made = released(case("everything"))
    rules = of_type(made, "AWS::S3::Bucket")["WorkBucket"]["LifecycleConfiguration"]["Rules"]
    [expiring] = [rule for rule in rules if {"ExpirationInDays", "ExpirationDate"} & rule.keys()]
    assert expiring["Prefix"] == f"{made.names.artifacts}/"
    assert not any(key.startswith(expiring["Prefix"]) for key in ("runs/", "promoted/", *(o.key for o in made.objects)))


def test_images_that_an_old_version_of_the_machine_may_use_never_expire() -> None:
    made = released(config())
    for key, repository in of_type(made, "AWS::ECR::Repository").items():
        assert resources(made)[key]["DeletionPolicy"] == resources(made)[key]["UpdateReplacePolicy"] == "Retain"
        rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert {rule["selection"]["tagStatus"] for rule in rules} == {"untagged"}
        assert repository["ImageTagMutability"] == "IMMUTABLE"


def test_run_files_reach_the_function_through_a_rule_and_a_push_cannot_change_the_raw_bucket() -> None:
    """EventBridge delivers no event of a bucket that does not send them, or to a function that does not permit it."""
    made = released(config())
    bucket, rule = resources(made)["RawBucket"]["Properties"], resources(made)["UploadRule"]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert {"RawBucket", "RawBucketPolicy"} <= json.loads(made.base.text)["Resources"].keys()
    assert not [r for r in json.loads(made.pipeline.text)["Resources"].values() if r["Type"].startswith("AWS::S3::")]
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": [bucket["BucketName"]]},
        "object": {"key": [{"suffix": ".run"}]},
    }
    [target] = rule["Targets"]
    assert (target["Arn"], target["DeadLetterConfig"]) == (
        {"Fn::GetAtt": ["Trigger", "Arn"]},
        {"Arn": {"Fn::GetAtt": ["Queue", "Arn"]}},
    )
    permission = resources(made)["TriggerPermission"]["Properties"]
    assert permission["SourceArn"] == f"arn:aws:events:ap-northeast-1:123456789012:rule/{rule['Name']}"


def test_an_upload_starts_the_alias_and_the_alias_follows_each_change_of_the_machine() -> None:
    made = released(config())
    all_of_them = resources(made)
    started = all_of_them["Trigger"]["Properties"]["Environment"]["Variables"]["STATE_MACHINE_ARN"]
    assert started == f"{made.names.machine_arn}:{all_of_them['LiveAlias']['Properties']['Name']}"
    version = all_of_them["MachineVersion"]
    # A new revision replaces the version; the one before is kept for a rollback.
    assert version["Properties"]["StateMachineRevisionId"] == {"Fn::GetAtt": ["Machine", "StateMachineRevisionId"]}
    assert version["UpdateReplacePolicy"] == "Retain"
    [route] = all_of_them["LiveAlias"]["Properties"]["RoutingConfiguration"]
    assert route == {"StateMachineVersionArn": {"Ref": "MachineVersion"}, "Weight": 100}


def test_what_is_lost_is_mailed() -> None:
    made = released(config(notify=["a@example.com", "b@example.com"]))
    all_of_them = resources(made)
    queue, topic = {"Fn::GetAtt": ["Queue", "Arn"]}, {"Ref": "Topic"}
    [target] = all_of_them["FailureRule"]["Properties"]["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Tell", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": queue}
    for function in ("Trigger", "Tell"):
        assert all_of_them[function]["Properties"]["DeadLetterConfig"] == {"TargetArn": queue}
    alarm = all_of_them["QueueAlarm"]["Properties"]
    assert alarm["AlarmActions"] == [topic]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["Queue", "QueueName"]}}]
    # The number of those that are there would stay above 0 for 14 days, and the alarm would mail no second time.
    assert (alarm["MetricName"], alarm["Statistic"], alarm["DatapointsToAlarm"]) == ("NumberOfMessagesSent", "Sum", 1)
    assert alarm["TreatMissingData"] == "notBreaching"
    tail = "aws logs tail /aws/lambda/{} --since 1h --region ap-northeast-1"
    for told in (tail.format("x-start"), tail.format("x-tell-failure"), made.names.queue):
        assert told in alarm["AlarmDescription"]
    subscriptions = of_type(made, "AWS::SNS::Subscription").values()
    assert {s["Endpoint"] for s in subscriptions} == {"a@example.com", "b@example.com"}


def test_the_mail_of_a_failed_push_is_kept_like_any_other() -> None:
    made = released(case("everything"))
    [target] = documents(made)["cicd"]["Resources"]["FailureRule"]["Properties"]["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": made.names.arn("sqs", made.names.queue)}


def test_whoever_has_confirmed_need_not_do_so_again_when_others_come_and_go() -> None:
    first, second = (
        of_type(released(config(notify=notify)), "AWS::SNS::Subscription")
        for notify in (["a@example.com", "b@example.com"], ["c@example.com", "b@example.com"])
    )
    [stays] = first.keys() & second.keys()
    assert first[stays]["Endpoint"] == second[stays]["Endpoint"] == "b@example.com"


def test_the_trigger_reserves_what_the_config_says_and_with_nothing_to_reserve_is_not_stopped() -> None:
    function = {
        n: of_type(released(config(trigger={"reserved_concurrency": n})), "AWS::Lambda::Function") for n in (0, 7)
    }
    assert function[7]["Trigger"]["ReservedConcurrentExecutions"] == 7
    assert function[7]["Tell"]["ReservedConcurrentExecutions"] == 1
    for name in ("Trigger", "Tell"):
        assert "ReservedConcurrentExecutions" not in function[0][name]  # with 0 it would never run


def test_every_run_that_ends_badly_is_told_to_the_function_that_mails() -> None:
    made = released(config())
    all_of_them = resources(made)
    rule = all_of_them["FailureRule"]["Properties"]
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [made.names.machine_arn],
            "status": ["FAILED", "TIMED_OUT", "ABORTED"],
        },
    }
    assert all_of_them["TellPermission"]["Properties"]["SourceArn"].endswith(f":rule/{rule['Name']}")
    variables = all_of_them["Tell"]["Properties"]["Environment"]["Variables"]
    assert variables == {
        "PIPELINE": "x",
        "WORK_BUCKET": made.names.work_bucket,
        "TOPIC_ARN": made.names.topic_arn,
        "COMMAND": "python pipeline.py {}",
        "CONSOLE": made.names.console,
    }


def test_what_the_trigger_reserves_changes_no_run() -> None:
    plain, none = (released(config(**more)) for more in ({}, {"trigger": {"reserved_concurrency": 0}}))
    assert plain.objects == none.objects
