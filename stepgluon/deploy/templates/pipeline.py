"""The pipeline stack: what runs from the upload of a .run file to the last mail."""

from __future__ import annotations

import hashlib
from typing import Any

from stepgluon.deploy.templates.parts import (
    IMAGES,
    Resource,
    attribute,
    bucket_policy,
    document,
    kept,
    private_bucket,
    ref,
    tags,
    tidy,
)
from stepgluon.deploy.templates.policies import policy
from stepgluon.names import LIVE, Names
from stepgluon.workflow import failure_rule

RUNTIME = "python3.12"
ARCHITECTURE = "x86_64"  # every region of every partition has it
LOG_DAYS = 90
EVENT_SECONDS = 6 * 3600
RETRIES = 2
ALARM_MINUTES = 15  # [sqs] so late are the measures of a queue that was not in use


def pipeline(names: Names, definition_key: str, trigger_key: str) -> dict[str, Any]:
    """The template; both keys are of objects in the work bucket."""
    resources = {
        **_raw_bucket(names),
        **_mail(names),
        **_roles(names),
        **_trigger(names, trigger_key),
        **_machine(names, definition_key),
        **_watch(names),
    }
    return document(
        names,
        "raw bucket, trigger, state machine and mails",
        resources,
        Parameters=_parameters(),
        Outputs=_outputs(names),
    )


def _parameters() -> dict[str, Any]:
    return {
        f"{image}Digest": {
            "Type": "String",
            "Description": f"Digest of the image {image.lower()} in its repository",
            "AllowedPattern": "sha256:[0-9a-f]{64}",
        }
        for image in map(str.title, IMAGES)
    }


def _outputs(names: Names) -> dict[str, Any]:
    page = f"{names.console.partition('#')[0]}#/statemachines/view/{names.machine_arn}"
    console = {"Console": {"Description": "The runs, in a browser", "Value": page}} if names.console else {}
    return {
        "RawBucket": {"Description": "Upload tables here, then a file that ends in .run", "Value": ref("RawBucket")},
        "Topic": {"Description": "Mails the runs' news", "Value": ref("Topic")},
        "Machine": {"Description": "The state machine", "Value": ref("Machine")},
        "Live": {"Description": "The alias that an upload starts", "Value": ref("LiveAlias")},
        **console,
    }


def _raw_bucket(names: Names) -> dict[str, Resource]:
    properties = private_bucket(names, names.raw_bucket, tidy(90))
    properties["NotificationConfiguration"] = {
        "LambdaConfigurations": [
            {
                "Event": "s3:ObjectCreated:*",
                "Filter": {"S3Key": {"Rules": [{"Name": "suffix", "Value": ".run"}]}},
                "Function": attribute("Trigger"),
            }
        ]
    }
    return {
        "RawBucket": kept(
            # S3 refuses a notification to a function that it may not call.
            {"Type": "AWS::S3::Bucket", "DependsOn": "TriggerPermission", "Properties": properties}
        ),
        "RawBucketPolicy": bucket_policy("RawBucket", policy(names, "raw-bucket")),
    }


def _mail(names: Names) -> dict[str, Resource]:
    """The topic, its subscribers, and the key that all who publish may use."""
    own_key = {
        "Key": {
            "Type": "AWS::KMS::Key",
            "Properties": {
                "Description": f"The mails of the pipeline {names.prefix}",
                "EnableKeyRotation": True,
                "PendingWindowInDays": 7,
                "KeyPolicy": policy(names, "key"),
                "Tags": tags(names),
            },
        }
    }
    key = names.config.encryption.kms_key
    subscriptions = {
        _subscription(address): {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": ref("Topic"), "Protocol": "email", "Endpoint": address},
        }
        for address in names.config.notify
    }
    queue_key = {"KmsMasterKeyId": key} if key else {"SqsManagedSseEnabled": True}
    return {
        **({} if key else own_key),
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {
                "TopicName": names.topic,
                "KmsMasterKeyId": key or attribute("Key"),
                "Tags": tags(names),
            },
        },
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [ref("Topic")], "PolicyDocument": policy(names, "topic")},
        },
        **subscriptions,
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": names.queue,
                "MessageRetentionPeriod": 14 * 24 * 3600,
                **queue_key,
                "Tags": tags(names),
            },
        },
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [ref("Queue")], "PolicyDocument": policy(names, "queue")},
        },
    }


def _subscription(address: str) -> str:
    """A number would go to another address when the list changes, and everybody would have to confirm again."""
    return f"Subscription{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _roles(names: Names) -> dict[str, Resource]:
    return {f"{part.title()}Role": role(names, part) for part in ("job", "machine", "trigger")}


def role(names: Names, part: str) -> Resource:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": names.role(part),
            "AssumeRolePolicyDocument": policy(names, f"{part}-trust"),
            "PermissionsBoundary": names.boundary_arn,
            "Policies": [{"PolicyName": part, "PolicyDocument": policy(names, part)}],
            "Tags": tags(names),
        },
    }


def _trigger(names: Names, trigger_key: str) -> dict[str, Resource]:
    key, reserved = names.config.encryption.kms_key, names.config.trigger.reserved_concurrency
    function = {
        "FunctionName": names.function,
        "Description": "Starts a run for each .run file that is uploaded",
        "Runtime": RUNTIME,
        "Architectures": [ARCHITECTURE],
        "Handler": "start_pipeline.handler",
        "Code": {"S3Bucket": names.work_bucket, "S3Key": trigger_key},
        "Role": attribute("TriggerRole"),
        "MemorySize": 256,
        "Timeout": 60,
        **({"ReservedConcurrentExecutions": reserved} if reserved else {}),  # with 0, Lambda would run it never
        "DeadLetterConfig": {"TargetArn": attribute("Queue")},
        "Environment": {"Variables": {"RAW_BUCKET": names.raw_bucket, "STATE_MACHINE_ARN": names.live}},
        **({"KmsKeyArn": key} if key else {}),
        "LoggingConfig": {"LogGroup": ref("TriggerLog")},
        "TracingConfig": {"Mode": "Active"},
        "Tags": tags(names),
    }
    return {
        "TriggerLog": _log(names, "function"),
        "Trigger": {"Type": "AWS::Lambda::Function", "Properties": function},
        "TriggerFailures": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": ref("Trigger"),
                "Qualifier": "$LATEST",
                "MaximumEventAgeInSeconds": EVENT_SECONDS,
                "MaximumRetryAttempts": RETRIES,
            },
        },
        "TriggerPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref("Trigger"),
                "Action": "lambda:InvokeFunction",
                "Principal": "s3.amazonaws.com",
                "SourceAccount": names.config.account,
                "SourceArn": names.arn("s3", names.raw_bucket, region="", account=""),
            },
        },
    }


def _log(names: Names, part: str) -> Resource:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": names.log_group(part), "RetentionInDays": LOG_DAYS, "Tags": tags(names)},
    }


def _machine(names: Names, definition_key: str) -> dict[str, Resource]:
    machine = {
        "StateMachineName": names.machine,
        "StateMachineType": "STANDARD",
        "DefinitionS3Location": {"Bucket": names.work_bucket, "Key": definition_key},
        "DefinitionSubstitutions": {image: ref(image) for image in ("DataDigest", "AutogluonDigest")},
        "RoleArn": attribute("MachineRole"),
        "LoggingConfiguration": {
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": attribute("MachineLog")}}],
            # Step Functions itself keeps each run's whole history for 90 days. The log is for alarms and searches: what
            # failed, without data, of which a failed job's message may have some.
            "IncludeExecutionData": False,
            "Level": "ERROR",
        },
        "TracingConfiguration": {"Enabled": True},
        "Tags": tags(names),
    }
    return {
        "MachineLog": _log(names, "machine"),
        "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
        # Each new revision of the machine makes a new version; those before are kept for a rollback.
        "MachineVersion": kept(
            {
                "Type": "AWS::StepFunctions::StateMachineVersion",
                "Properties": {
                    "StateMachineArn": ref("Machine"),
                    "StateMachineRevisionId": attribute("Machine", "StateMachineRevisionId"),
                },
            }
        ),
        "LiveAlias": {
            "Type": "AWS::StepFunctions::StateMachineAlias",
            "Properties": {
                "Name": LIVE,
                "RoutingConfiguration": [{"StateMachineVersionArn": ref("MachineVersion"), "Weight": 100}],
            },
        },
    }


def _watch(names: Names) -> dict[str, Resource]:
    """Mails of what the machine cannot mail itself, and of uploads that started nothing."""
    target = {
        "Id": "mail",
        "Arn": ref("Topic"),
        "InputTransformer": failure_rule.input_transformer(names),
        "DeadLetterConfig": {"Arn": attribute("Queue")},
    }
    return {
        "FailureRule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": names.rule,
                "Description": f"Mails failures of {names.machine} that it could not mail itself",
                "EventPattern": failure_rule.event_pattern(names),
                "State": "ENABLED",
                "Targets": [target],
                "Tags": tags(names),
            },
        },
        "QueueAlarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": names.alarm,
                "AlarmDescription": _alarm_tells(names),
                "Namespace": "AWS/SQS",
                # What comes, and not what is there: messages stay for 14 days, and an alarm mails when it begins.
                "MetricName": "NumberOfMessagesSent",
                "Dimensions": [{"Name": "QueueName", "Value": attribute("Queue", "QueueName")}],
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": ALARM_MINUTES,
                "DatapointsToAlarm": 1,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",
                "AlarmActions": [ref("Topic")],
                "Tags": tags(names),
            },
        },
    }


def _alarm_tells(names: Names) -> str:
    """The mail of the alarm has it."""
    region = names.config.region
    return (
        f"An upload to {names.raw_bucket} started no run, or a mail was lost. Why: "
        f"aws logs tail {names.log_group('function')} --since 1h --region {region} "
        f"(the events themselves are in the queue {names.queue}). "
        f"What follows within {ALARM_MINUTES} minutes is not mailed again."
    )
