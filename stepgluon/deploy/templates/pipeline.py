"""The pipeline stack: everything from the upload of a .run file to the last mail."""

from __future__ import annotations

import hashlib
from typing import Any

from stepgluon.deploy.templates.parts import (
    IMAGES,
    Resource,
    attribute,
    document,
    kept,
    ref,
    tags,
)
from stepgluon.deploy.templates.policies import policy
from stepgluon.names import LIVE, Names

RUNTIME = "python3.12"
ARCHITECTURE = "x86_64"  # every region of every partition has it
LOG_DAYS = 90
EVENT_SECONDS = 6 * 3600
RETRIES = 2
ALARM_MINUTES = 15  # [sqs] metrics of an idle queue can be this late
ENDED_BADLY = ["FAILED", "TIMED_OUT", "ABORTED"]
MACHINE_LOGGING = {
    "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": attribute("MachineLog")}}],
    # Step Functions keeps each run's whole history for 90 days. The log is for alarms and searches across failures. It
    # has no data, because a failed job's message may contain some.
    "IncludeExecutionData": False,
    "Level": "ERROR",
}


def pipeline(names: Names, definition_key: str, trigger_key: str, tell_key: str) -> dict[str, Any]:
    """The template; the keys refer to objects in the work bucket."""
    resources = {
        **_mail(names),
        **_roles(names),
        **_trigger(names, trigger_key),
        **_machine(names, definition_key),
        **_failures(names, tell_key),
        "QueueAlarm": _alarm(names),
    }
    return document(
        names,
        "trigger, state machine and mails",
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
        "Topic": {"Description": "Mails the runs' news", "Value": ref("Topic")},
        "Machine": {"Description": "The state machine", "Value": ref("Machine")},
        "Live": {"Description": "The alias that an upload starts", "Value": ref("LiveAlias")},
        **console,
    }


def _mail(names: Names) -> dict[str, Resource]:
    """The topic, its subscribers, and the key that all publishers may use."""
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
    """Derived from the address: a number would shift when the list changes, and all would have to confirm again."""
    return f"Subscription{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _roles(names: Names) -> dict[str, Resource]:
    return {f"{part.title()}Role": role(names, part) for part in ("job", "machine", "trigger", "tell")}


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
    function = {
        "FunctionName": names.function,
        "Description": "Starts a run for each .run file that is uploaded",
        "Handler": "start_pipeline.handler",
        "MemorySize": 256,
        "Timeout": 60,
        "Environment": {"Variables": {"RAW_BUCKET": names.raw_bucket, "STATE_MACHINE_ARN": names.live}},
    }
    uploaded = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [names.raw_bucket]}, "object": {"key": [{"suffix": ".run"}]}},
    }
    rule = _rule(names, "Trigger", names.upload_rule, f"Uploads of .run files to {names.raw_bucket}", uploaded)
    return {
        "TriggerLog": _log(names, "function"),
        **_function(
            names, "Trigger", trigger_key, names.config.trigger.reserved_concurrency, function, names.upload_rule
        ),
        "UploadRule": rule,
    }


def _function(
    names: Names, logical: str, key: str, reserved: int, properties: dict[str, Any], rule: str
) -> dict[str, Resource]:
    """A function that is invoked by a rule, the permission to invoke it, and the queue for failed events."""
    kms_key = names.config.encryption.kms_key
    function = {
        **properties,
        "Runtime": RUNTIME,
        "Architectures": [ARCHITECTURE],
        "Code": {"S3Bucket": names.work_bucket, "S3Key": key},
        "Role": attribute(f"{logical}Role"),
        **({"ReservedConcurrentExecutions": reserved} if reserved else {}),  # with 0, Lambda would never run it
        "DeadLetterConfig": {"TargetArn": attribute("Queue")},
        **({"KmsKeyArn": kms_key} if kms_key else {}),
        "LoggingConfig": {"LogGroup": ref(f"{logical}Log")},
        "TracingConfig": {"Mode": "Active"},
        "Tags": tags(names),
    }
    invoked = {
        "FunctionName": ref(logical),
        "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": names.arn("events", f"rule/{rule}"),
    }
    return {
        logical: {"Type": "AWS::Lambda::Function", "Properties": function},
        f"{logical}Failures": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": ref(logical),
                "Qualifier": "$LATEST",
                "MaximumEventAgeInSeconds": EVENT_SECONDS,
                "MaximumRetryAttempts": RETRIES,
            },
        },
        f"{logical}Permission": {"Type": "AWS::Lambda::Permission", "Properties": invoked},
    }


def _rule(names: Names, function: str, name: str, description: str, pattern: dict[str, Any]) -> Resource:
    """Passes matching events to the function; undelivered ones go to the queue."""
    target = {
        "Id": function.lower(),
        "Arn": attribute(function),
        "DeadLetterConfig": {"Arn": attribute("Queue")},
    }
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Name": name,
            "Description": description,
            "EventPattern": pattern,
            "State": "ENABLED",
            "Targets": [target],
            "Tags": tags(names),
        },
    }


def _log(names: Names, part: str) -> Resource:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": names.log_group(part), "RetentionInDays": LOG_DAYS, "Tags": tags(names)},
    }


def _machine(names: Names, definition_key: str) -> dict[str, Resource]:
    logged = names.config.log_runs
    machine = {
        "StateMachineName": names.machine,
        "StateMachineType": "STANDARD",
        "DefinitionS3Location": {"Bucket": names.work_bucket, "Key": definition_key},
        "DefinitionSubstitutions": {image: ref(image) for image in ("DataDigest", "AutogluonDigest")},
        "RoleArn": attribute("MachineRole"),
        "LoggingConfiguration": MACHINE_LOGGING if logged else {"Level": "OFF"},
        "TracingConfiguration": {"Enabled": True},
        "Tags": tags(names),
    }
    return {
        **({"MachineLog": _log(names, "machine")} if logged else {}),
        "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
        # Each new revision of the machine publishes a version; earlier ones are kept for a rollback.
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


def _failures(names: Names, tell_key: str) -> dict[str, Resource]:
    """Each run that ends unsuccessfully sends an event, and the function mails it."""
    function = {
        "FunctionName": names.tell_function,
        "Description": "Mails each run that failed, took too long or was stopped",
        "Handler": "tell_failure.handler",
        "MemorySize": 512,
        "Timeout": 120,
        "Environment": {
            "Variables": {
                "PIPELINE": names.prefix,
                "WORK_BUCKET": names.work_bucket,
                "TOPIC_ARN": names.topic_arn,
                "COMMAND": names.pipeline_py("{}"),
                **({"CONSOLE": names.console} if names.console else {}),
            }
        },
    }
    reserved = min(names.config.trigger.reserved_concurrency, 1)  # failures are mailed one at a time
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [names.machine_arn], "status": ENDED_BADLY},
    }
    description = f"Runs of {names.machine} that failed, took too long or were stopped"
    return {
        "TellLog": _log(names, "tell"),
        **_function(names, "Tell", tell_key, reserved, function, names.rule),
        "FailureRule": _rule(names, "Tell", names.rule, description, pattern),
    }


def _alarm(names: Names) -> Resource:
    """Mails if an upload started nothing, or if a failure could not be mailed."""
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": names.alarm,
            "AlarmDescription": _alarm_tells(names),
            "Namespace": "AWS/SQS",
            # Count new messages, not stored ones: messages stay for 14 days, and an alarm mails only when it starts.
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
    }


def _alarm_tells(names: Names) -> str:
    """The text of the alarm's mail."""
    region = names.config.region
    return (
        f"An upload to {names.raw_bucket} started no run, or a failed run could not be mailed. Why: "
        f"aws logs tail {names.log_group('function')} --since 1h --region {region}, or "
        f"aws logs tail {names.log_group('tell')} --since 1h --region {region} "
        f"(the events themselves are in the queue {names.queue}). "
        f"What follows within {ALARM_MINUTES} minutes is not mailed again."
    )
