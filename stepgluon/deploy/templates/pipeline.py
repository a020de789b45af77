"""The pipeline stack: everything from the upload of a .run file to the last mail."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from stepgluon.cost.estimate import estimate, in_a_mail, refusal
from stepgluon.cost.prices import prices_of
from stepgluon.deploy.templates.endpoints import alarms
from stepgluon.deploy.templates.parts import (
    Resource,
    attribute,
    document,
    kept,
    log,
    ref,
    resource,
    role,
    rule,
    tagged,
)
from stepgluon.deploy.templates.policies import policy
from stepgluon.names import LIVE, Names
from stepgluon.programs import builds_in_runs, images_of, parameter_of

RUNTIME = "python3.12"
ARCHITECTURE = "x86_64"  # every region of every partition has it
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


def pipeline(
    names: Names, definition_key: str, trigger_key: str, tell_key: str, others: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The template; the keys refer to objects in the work bucket, `others` by the names of the other machines."""
    others = others or {}
    resources = {
        **_mail(names),
        **_roles(names),
        **_trigger(names, trigger_key),
        **_machine(names, definition_key),
        **_failures(names, tell_key),
        "QueueAlarm": _alarm(names),
        **alarms(names),
        **(_release(names, others["release"]) if "release" in others else {}),
        **(_monitor(names, others["monitor"]) if "monitor" in others else {}),
    }
    return document(
        names,
        "trigger, state machine and mails",
        resources,
        Parameters=_parameters(names),
        Outputs=_outputs(names),
    )


def _parameters(names: Names) -> dict[str, Any]:
    in_runs = builds_in_runs(names.config)
    return {
        parameter_of(image, names.config): {
            "Type": "String",
            "Description": f"{'Tag' if image in in_runs else 'Digest'} of the image {image} in its repository",
            "AllowedPattern": "[0-9a-f]{32}" if image in in_runs else "sha256:[0-9a-f]{64}",
        }
        for image in images_of(names.config)
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
    key = names.config.encryption.kms_key
    own_key = {
        "Description": f"The mails of the pipeline {names.prefix}",
        "EnableKeyRotation": True,
        "PendingWindowInDays": 7,
        "KeyPolicy": policy(names, "key"),
    }
    subscriptions = {
        _subscription(address): resource("SNS::Subscription", TopicArn=ref("Topic"), Protocol="email", Endpoint=address)
        for address in names.config.notify
    }
    queue = {
        "QueueName": names.queue,
        "MessageRetentionPeriod": 14 * 24 * 3600,
        **({"KmsMasterKeyId": key} if key else {"SqsManagedSseEnabled": True}),
    }
    topics, queues = {"Topics": [ref("Topic")]}, {"Queues": [ref("Queue")]}
    return {
        **({} if key else {"Key": tagged(names, "KMS::Key", **own_key)}),
        "Topic": tagged(names, "SNS::Topic", TopicName=names.topic, KmsMasterKeyId=key or attribute("Key")),
        "TopicPolicy": resource("SNS::TopicPolicy", **topics, PolicyDocument=policy(names, "topic")),
        **subscriptions,
        "Queue": tagged(names, "SQS::Queue", **queue),
        "QueuePolicy": resource("SQS::QueuePolicy", **queues, PolicyDocument=policy(names, "queue")),
    }


def _subscription(address: str) -> str:
    """Derived from the address: a number would shift when the list changes, and all would have to confirm again."""
    return f"Subscription{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _roles(names: Names) -> dict[str, Resource]:
    boundary = {"PermissionsBoundary": names.boundary_arn}
    return {f"{part.title()}Role": role(names, part, **boundary) for part in ("job", "machine", "trigger", "tell")}


def _trigger(names: Names, trigger_key: str) -> dict[str, Resource]:
    found = estimate(names.config, prices_of(names.config.region))
    texts = {"REFUSED": refusal(names.config), "ESTIMATE": in_a_mail(found)}
    variables = {"RAW_BUCKET": names.raw_bucket, "STATE_MACHINE_ARN": names.live}
    function = {
        "FunctionName": names.function,
        "Description": "Starts a run for each .run file that is uploaded",
        "Handler": "start_pipeline.handler",
        "MemorySize": 256,
        "Timeout": 60,
        "Environment": {"Variables": variables | {name: text for name, text in texts.items() if text}},
    }
    uploaded = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [names.raw_bucket]}, "object": {"key": [{"suffix": ".run"}]}},
    }
    description = f"Uploads of .run files to {names.raw_bucket}"
    reserved = names.config.trigger.reserved_concurrency
    return {
        "TriggerLog": log(names, "function"),
        **_function(names, "Trigger", trigger_key, reserved, function, names.upload_rule),
        "UploadRule": rule(names, names.upload_rule, description, uploaded, _target("Trigger")),
    }


def _target(resource: str, arn: str = "Arn") -> dict[str, Any]:
    """Events that cannot be delivered go to the queue."""
    place = ref(resource) if arn == "Ref" else attribute(resource)
    return {"Id": resource.lower(), "Arn": place, "DeadLetterConfig": {"Arn": attribute("Queue")}}


def _function(
    names: Names, logical: str, key: str, reserved: int, properties: dict[str, Any], by: str
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
    }
    tries = {"MaximumEventAgeInSeconds": EVENT_SECONDS, "MaximumRetryAttempts": RETRIES}
    of, allowed = {"FunctionName": ref(logical)}, {"Action": "lambda:InvokeFunction"}
    caller = {"Principal": "events.amazonaws.com", "SourceArn": names.rule_arn(by)}
    return {
        logical: tagged(names, "Lambda::Function", **function),
        f"{logical}Failures": resource("Lambda::EventInvokeConfig", **of, Qualifier="$LATEST", **tries),
        f"{logical}Permission": resource("Lambda::Permission", **of, **allowed, **caller),
    }


def _machine(names: Names, definition_key: str) -> dict[str, Resource]:
    version = {
        "StateMachineArn": ref("Machine"),
        "StateMachineRevisionId": attribute("Machine", "StateMachineRevisionId"),
    }
    route = {"StateMachineVersionArn": ref("MachineVersion"), "Weight": 100}
    return {
        **({"MachineLog": log(names, "machine")} if names.config.log_runs else {}),
        "Machine": _state_machine(names, names.machine, definition_key),
        # Each new revision of the machine publishes a version; earlier ones are kept for a rollback.
        "MachineVersion": kept(resource("StepFunctions::StateMachineVersion", **version)),
        "LiveAlias": resource("StepFunctions::StateMachineAlias", Name=LIVE, RoutingConfiguration=[route]),
    }


def _state_machine(names: Names, name: str, definition_key: str) -> Resource:
    return tagged(
        names,
        "StepFunctions::StateMachine",
        StateMachineName=name,
        StateMachineType="STANDARD",
        DefinitionS3Location={"Bucket": names.work_bucket, "Key": definition_key},
        DefinitionSubstitutions={name: ref(name) for name in _parameters(names)},
        RoleArn=attribute("MachineRole"),
        LoggingConfiguration=MACHINE_LOGGING if names.config.log_runs else {"Level": "OFF"},
        TracingConfiguration={"Enabled": True},
    )


def _release(names: Names, definition_key: str) -> dict[str, Resource]:
    """The machine that releases a version once somebody has approved it; it needs no alias, which uploads start."""
    groups = [names.model_group(model) for model in names.config.served_after_approval]
    approved = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": groups, "ModelApprovalStatus": ["Approved"]},
    }
    target = {**_target("ReleaseMachine", "Ref"), "RoleArn": attribute("MachineRole")}
    description = f"Approved versions of models that {names.prefix} serves"
    return {
        "ReleaseMachine": _state_machine(names, names.release_machine, definition_key),
        "ApprovalRule": rule(names, names.release_rule, description, approved, target),
    }


def _monitor(names: Names, definition_key: str) -> dict[str, Resource]:
    """The machine that looks for drift, as often as the model that wants it most often."""
    hours = min(model.monitor.every for model in names.config.monitored if model.monitor) // 3600
    number, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    schedule = tagged(
        names,
        "Events::Rule",
        Name=names.monitor_rule,
        Description=f"When {names.monitor_machine} looks for drift",
        ScheduleExpression=f"rate({number} {unit}{'' if number == 1 else 's'})",
        State="ENABLED",
        Targets=[{**_target("MonitorMachine", "Ref"), "RoleArn": attribute("MachineRole")}],
    )
    return {
        "MonitorMachine": _state_machine(names, names.monitor_machine, definition_key),
        "MonitorRule": schedule,
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
    machines = [names.machine_arn]
    machines += [names.release_machine_arn] if names.config.served_after_approval else []
    machines += [names.arn("states", f"stateMachine:{names.monitor_machine}")] if names.config.monitored else []
    reserved = min(names.config.trigger.reserved_concurrency, 1)  # failures are mailed one at a time
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": machines, "status": ENDED_BADLY},
    }
    description = f"Runs of {names.machine} that failed, took too long or were stopped"
    return {
        "TellLog": log(names, "tell"),
        **_function(names, "Tell", tell_key, reserved, function, names.rule),
        "FailureRule": rule(names, names.rule, description, pattern, _target("Tell")),
    }


def _alarm(names: Names) -> Resource:
    """Mails if an upload started nothing, or if a failure could not be mailed."""
    region = names.config.region
    text = (
        f"An upload to {names.raw_bucket} started no run, or a failed run could not be mailed. Why: "
        f"aws logs tail {names.log_group('function')} --since 1h --region {region}, or "
        f"aws logs tail {names.log_group('tell')} --since 1h --region {region} "
        f"(the events themselves are in the queue {names.queue}). "
        f"What follows within {ALARM_MINUTES} minutes is not mailed again."
    )
    return tagged(
        names,
        "CloudWatch::Alarm",
        AlarmName=names.alarm,
        AlarmDescription=text,
        Namespace="AWS/SQS",
        # Count new messages, not stored ones: messages stay for 14 days, and an alarm mails only when it starts.
        MetricName="NumberOfMessagesSent",
        Dimensions=[{"Name": "QueueName", "Value": attribute("Queue", "QueueName")}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=ALARM_MINUTES,
        DatapointsToAlarm=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[ref("Topic")],
    )
