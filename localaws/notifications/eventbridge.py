"""EventBridge: rules invoke functions and start state machines; the end of an execution is an event.

moto does neither. The deployed rules are stored in moto, which itself serves the other targets.
"""

from __future__ import annotations

import copy
import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.iam.required_rights import Right
from localaws.lambda_.moto_api import find, may_invoke, send_to_queue
from localaws.s3.store import Objects

SERVICE = "events.amazonaws.com"
Invoke = Callable[[str, Any], object]
"""Invokes a function, by its ARN, with an event that is on disk before the call returns."""
Client = Callable[[str, str], Any]
"""Makes a client of a service, for the role with this ARN."""
SCHEDULE = "schedule"  # the kind of the documents that say when a scheduled rule was last due
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


def install(invoke: Invoke, permissions: Permissions | None = None, client: Client | None = None) -> Patches:
    """Send the end of each execution to moto's rules, until `undo()`. Without `client`, no machine is started."""
    from moto.events.models import Rule
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication

    reflect, send = BaseExecutionWorkerCommunication._reflect_execution_status, Rule.send_to_targets

    def reflected(communication: Any) -> None:
        """Put the event before the end is on disk: after kill -9, no end lacks its event."""
        reflect(communication)
        if communication.execution.sm_type == "STANDARD":  # [sfn] Express workflows have no such events
            put_event(status_change(communication.execution))

    def send_to_targets(rule: Any, original_event: Any, transform_input: bool = True) -> None:
        functions, machines = (_targets(rule, service) for service in ("lambda", "states"))
        if rule.state == "ENABLED" and rule.event_pattern.matches_event(original_event):
            for target in functions:
                _invoke(rule, target, as_sent(original_event), invoke, permissions)
            for target in machines:
                if client:
                    _start(rule, target, as_sent(original_event), client, permissions)
        others = copy.copy(rule)
        others.targets = [target for target in rule.targets if target not in [*functions, *machines]]
        if others.targets:
            send(others, original_event, transform_input)

    patches = Patches()
    patches.attribute(BaseExecutionWorkerCommunication, "_reflect_execution_status", reflected)
    patches.attribute(Rule, "send_to_targets", send_to_targets)
    return patches


def put_event(event: dict[str, Any]) -> None:
    """Put a service's event on the default bus."""
    from moto.events.models import events_backends

    bus = events_backends[event["account"]][event["region"]].event_buses["default"]
    for rule in list(bus.rules.values()):
        if rule.event_pattern.get_pattern():  # a schedule has none
            rule.send_to_targets(event)


def fire_due(account: str, region: str, objects: Objects, now: float) -> list[str]:
    """Send the event of each scheduled rule that is due, and return their names.

    A rule is due once its rate has passed since it was first seen, or last due. That is kept on disk: a check that was
    due while the local AWS was not running is made once at its next start.
    """
    from moto.events.models import events_backends

    fired = []
    for rule in list(events_backends[account][region].event_buses["default"].rules.values()):
        rate = _RATE.fullmatch(rule.scheduled_expression or "")
        if not rate or rule.state != "ENABLED":
            continue
        last = objects.document(SCHEDULE, rule.arn)
        since = float(last) if last else now
        due = now - since >= int(rate[1]) * _SECONDS[rate[2]]
        if due or not last:
            objects.write_document(SCHEDULE, rule.arn, str(now).encode())
        if due:
            rule.send_to_targets(service_event("aws.events", "Scheduled Event", account, region, [rule.arn], {}))
            fired.append(rule.name)
    return fired


def never_due(account: str, region: str) -> dict[str, str]:
    """The enabled rules whose schedule is not a rate, like cron(0 3 * * ? *), with that schedule."""
    from moto.events.models import events_backends

    rules = list(events_backends[account][region].event_buses["default"].rules.values())
    schedules = {rule.name: rule.scheduled_expression or "" for rule in rules if rule.state == "ENABLED"}
    return {name: schedule for name, schedule in schedules.items() if schedule and not _RATE.fullmatch(schedule)}


def service_event(
    source: str, kind: str, account: str, region: str, resources: list[str], detail: dict[str, Any]
) -> dict[str, Any]:
    now = time.time()
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": account,
        "time": now,  # a number inside moto; see as_sent()
        "region": region,
        "resources": resources,
        "ingestion-time": now,
        "detail": detail,
    }


def status_change(execution: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
    status = str(execution.exec_status.value)
    succeeded = status == "SUCCEEDED"
    detail = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine_arn,
        "stateMachineVersionArn": execution.version_arn,
        "stateMachineAliasArn": execution.alias_arn,
        "name": execution.name,
        "status": status,
        "redriveCount": getattr(execution, "redrives", 0),  # set by stepfunctions/redrive.py
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "input": json.dumps(execution.input_data),
        "output": json.dumps(execution.output, default=str) if succeeded else None,
        "inputDetails": {"included": True},
        "outputDetails": {"included": True} if succeeded else None,
        "error": execution.error,
        "cause": execution.cause,
    }
    kind, place = "Step Functions Execution Status Change", (execution.account_id, execution.region_name)
    return service_event("aws.states", kind, *place, [execution.exec_arn], detail)


def as_sent(event: dict[str, Any]) -> dict[str, Any]:
    """The event in the form in which EventBridge sends it."""
    at = datetime.fromtimestamp(float(event["time"]), timezone.utc)
    return {**{k: v for k, v in event.items() if k != "ingestion-time"}, "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}


def _targets(rule: Any, service: str) -> list[dict[str, Any]]:
    return [target for target in rule.targets if target["Arn"].split(":")[2] == service]


def _start(
    rule: Any, target: dict[str, Any], event: dict[str, Any], client: Client, permissions: Permissions | None
) -> None:
    """Start the machine with the target's role, or put the event into its dead-letter queue."""
    from botocore.exceptions import ClientError

    try:
        given = target.get("Input") or json.dumps(event, default=str)
        client("stepfunctions", target["RoleArn"]).start_execution(
            stateMachineArn=target["Arn"], name=event["id"], input=given
        )
    except ClientError as problem:
        _bury(rule, target, event, permissions, problem.response["Error"]["Code"])


def _milliseconds(at: Any) -> int:
    return int((at if isinstance(at, (int, float)) else at.timestamp()) * 1000)


def _invoke(
    rule: Any, target: dict[str, Any], event: dict[str, Any], invoke: Invoke, permissions: Permissions | None
) -> None:
    """Invoke the target, or put the event into its dead-letter queue."""
    arn = target["Arn"]
    found = find(arn)
    if found and may_invoke(event["account"], arn, SERVICE, rule.arn):
        invoke(arn, event)
        return
    _bury(rule, target, event, permissions, "NO_PERMISSIONS" if found else "RESOURCE_NOT_FOUND")


def _bury(
    rule: Any, target: dict[str, Any], event: dict[str, Any], permissions: Permissions | None, reason: str
) -> None:
    """Put the event into the target's dead-letter queue, if it has one."""
    queue = target.get("DeadLetterConfig", {}).get("Arn", "")
    right = Right("sqs:SendMessage", queue, {"aws:SourceArn": rule.arn})
    if queue and not (permissions and permissions.refused_to_service(SERVICE, right)):
        send_to_queue(queue, event, ERROR_CODE=reason)
