"""EventBridge: Step Functions tells of each execution's end, and rules can pass events on to SNS, where they may.

moto does neither. What a rule asks for is read from moto's EventBridge, where it was deployed.
"""

from __future__ import annotations

import copy
import json
import uuid
from datetime import datetime, timezone
from typing import Any

from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.iam.required_rights import Right

SERVICE = "events.amazonaws.com"


def install(permissions: Permissions | None = None) -> Patches:
    """From now on executions that end are told to moto's rules; `undo()` ends that."""
    from moto.events.models import Rule
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication

    ended, send = BaseExecutionWorkerCommunication.terminated, Rule.send_to_targets

    def terminated(communication: Any) -> None:
        ended(communication)
        if communication.execution.sm_type == "STANDARD":  # [sfn] Express workflows have no such events
            tell(status_change(communication.execution))

    def send_to_targets(rule: Any, original_event: Any, transform_input: bool = True) -> None:
        topics = [target for target in rule.targets if target["Arn"].split(":")[2] == "sns"]
        if topics and rule.state == "ENABLED" and rule.event_pattern.matches_event(original_event):
            for target in topics:
                _publish(rule, target, as_sent(original_event), permissions)
        others = copy.copy(rule)
        others.targets = [target for target in rule.targets if target not in topics]
        if others.targets:
            send(others, original_event, transform_input)

    patches = Patches()
    patches.attribute(BaseExecutionWorkerCommunication, "terminated", terminated)
    patches.attribute(Rule, "send_to_targets", send_to_targets)
    return patches


def tell(event: dict[str, Any]) -> None:
    """Put an event of a service on the default bus."""
    from moto.events.models import events_backends

    bus = events_backends[event["account"]][event["region"]].event_buses["default"]
    for rule in list(bus.rules.values()):
        if rule.event_pattern.get_pattern():  # a schedule has none, and matches nothing
            rule.send_to_targets(event)


def status_change(execution: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
    status = str(execution.exec_status.value)
    succeeded = status == "SUCCEEDED"
    now = datetime.now(timezone.utc).timestamp()
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": execution.account_id,
        "time": now,  # a number inside moto; see as_sent()
        "region": execution.region_name,
        "resources": [execution.exec_arn],
        "ingestion-time": now,
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine_arn,
            "stateMachineVersionArn": execution.version_arn,
            "stateMachineAliasArn": execution.alias_arn,
            "name": execution.name,
            "status": status,
            "startDate": _milliseconds(execution.start_date),
            "stopDate": _milliseconds(execution.stop_date),
            "input": json.dumps(execution.input_data),
            "output": json.dumps(execution.output, default=str) if succeeded else None,
            "inputDetails": {"included": True},
            "outputDetails": {"included": True} if succeeded else None,
            "error": execution.error,
            "cause": execution.cause,
        },
    }


def as_sent(event: dict[str, Any]) -> dict[str, Any]:
    """The event as it leaves EventBridge."""
    time = datetime.fromtimestamp(float(event["time"]), timezone.utc)
    return {**{k: v for k, v in event.items() if k != "ingestion-time"}, "time": f"{time:%Y-%m-%dT%H:%M:%SZ}"}


def _milliseconds(time: Any) -> int:
    return int((time if isinstance(time, (int, float)) else time.timestamp()) * 1000)


def _publish(rule: Any, target: dict[str, Any], event: dict[str, Any], permissions: Permissions | None) -> None:
    from moto.core.exceptions import ServiceException
    from moto.sns.models import sns_backends

    # EventBridge tells SNS no source: "Troubleshooting Amazon EventBridge"
    if permissions and permissions.refused_to_service(SERVICE, Right("sns:Publish", target["Arn"])):
        _keep(rule, target, event, "NO_PERMISSIONS", permissions)
        return
    message = transformed(target["InputTransformer"], event) if "InputTransformer" in target else json.dumps(event)
    try:
        sns_backends[rule.account_id][target["Arn"].split(":")[3]].publish(message=message, arn=target["Arn"])
    except ServiceException as error:
        # On AWS nobody hears of it either, unless the target has a dead-letter queue.
        _keep(rule, target, event, str(getattr(error, "code", "ERROR")), permissions)


def _keep(rule: Any, target: dict[str, Any], event: dict[str, Any], code: str, permissions: Permissions | None) -> None:
    from moto.sqs.exceptions import QueueDoesNotExist
    from moto.sqs.models import sqs_backends

    queue = target.get("DeadLetterConfig", {}).get("Arn", "")
    if not queue:
        return
    right = Right("sqs:SendMessage", queue, {"aws:SourceArn": rule.arn})
    if permissions and permissions.refused_to_service(SERVICE, right):
        return
    attributes = {"ERROR_CODE": {"DataType": "String", "StringValue": code}}
    try:
        sqs_backends[event["account"]][queue.split(":")[3]].send_message(
            queue.split(":")[-1], json.dumps(event), message_attributes=attributes
        )
    except QueueDoesNotExist:
        return


def transformed(transformer: dict[str, Any], event: dict[str, Any]) -> str:
    """The template with its variables filled in. As on AWS the quotes around its lines stay.

    Only paths of names are understood, which is all that a rule of this project uses.
    """
    message: str = transformer["InputTemplate"]
    for name, path in transformer.get("InputPathsMap", {}).items():
        value: Any = event
        for key in path.removeprefix("$.").split("."):
            value = value.get(key) if isinstance(value, dict) else None
        message = message.replace(f"<{name}>", value if isinstance(value, str) else json.dumps(value))
    return message
