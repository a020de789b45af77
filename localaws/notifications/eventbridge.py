"""EventBridge: each execution's end is an event, and rules pass events on to SNS and Lambda, where they may.

moto does neither. What a rule asks for is read from moto's EventBridge, where it was deployed.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.iam.required_rights import Right
from localaws.lambda_.moto_api import find, may_invoke

SERVICE = "events.amazonaws.com"
Invoke = Callable[[str, Any], object]
"""Invokes a function, by its ARN, with an event that is on disk before the call returns."""


def install(permissions: Permissions | None = None, invoke: Invoke | None = None) -> Patches:
    """From now on executions that end are told to moto's rules; `undo()` ends that."""
    from moto.events.models import Rule
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication

    reflect, send = BaseExecutionWorkerCommunication._reflect_execution_status, Rule.send_to_targets

    def reflected(communication: Any) -> None:
        """Before the end is kept on disk, so that after kill -9 there is no end without its event."""
        reflect(communication)
        if communication.execution.sm_type == "STANDARD":  # [sfn] Express workflows have no such events
            tell(status_change(communication.execution))

    def send_to_targets(rule: Any, original_event: Any, transform_input: bool = True) -> None:
        ours = {"sns": _publish, **({"lambda": _invoking(invoke)} if invoke else {})}
        targets = [target for target in rule.targets if target["Arn"].split(":")[2] in ours]
        if targets and rule.state == "ENABLED" and rule.event_pattern.matches_event(original_event):
            for target in targets:
                ours[target["Arn"].split(":")[2]](rule, target, as_sent(original_event), permissions)
        others = copy.copy(rule)
        others.targets = [target for target in rule.targets if target not in targets]
        if others.targets:
            send(others, original_event, transform_input)

    patches = Patches()
    patches.attribute(BaseExecutionWorkerCommunication, "_reflect_execution_status", reflected)
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
            "redriveCount": 0,
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


def _invoking(invoke: Invoke) -> Callable[..., None]:
    def invoked(rule: Any, target: dict[str, Any], event: dict[str, Any], permissions: Permissions | None) -> None:
        arn = target["Arn"]
        if find(event["account"], arn.split(":")[3], arn) is None:
            _keep(rule, target, event, "RESOURCE_NOT_FOUND", permissions)
        elif not may_invoke(event["account"], arn, SERVICE, rule.arn):
            _keep(rule, target, event, "NO_PERMISSIONS", permissions)
        else:
            invoke(arn, event)

    return invoked


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
