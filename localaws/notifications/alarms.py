"""CloudWatch: an alarm on a queue's messages mails when it fires, and again if it fires after a quiet period.

moto stores alarms but evaluates none. This metric and those of endpoints (endpoint_metrics.py) are supported.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.iam.required_rights import Right

SERVICE = "cloudwatch.amazonaws.com"
METRIC = ("AWS/SQS", "NumberOfMessagesSent")
_lock = threading.Lock()


def install(permissions: Permissions | None = None) -> Patches:
    """Count each message that is put into a queue, until `undo()`."""
    from moto.cloudwatch.models import cloudwatch_backends
    from moto.sqs.models import SQSBackend

    send = SQSBackend.send_message

    def sent(backend: Any, queue_name: str, *args: Any, **kwargs: Any) -> Any:
        message = send(backend, queue_name, *args, **kwargs)
        for alarm in list(cloudwatch_backends[backend.account_id][backend.region_name].alarms.values()):
            on = [(dimension.name, dimension.value) for dimension in alarm.dimensions]
            watched = (alarm.namespace, alarm.metric_name) == METRIC and on == [("QueueName", queue_name)]
            if watched and alarm.threshold < 1 and _fires(alarm):
                mail(alarm, backend.account_id, permissions)
        return message

    patches = Patches()
    patches.attribute(SQSBackend, "send_message", sent)
    return patches


def _fires(alarm: Any) -> bool:
    """Whether the alarm was quiet before: it stays in ALARM while one of its periods has a message."""
    lasts = timedelta(seconds=int(alarm.period) * int(alarm.evaluation_periods))
    with _lock:
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        ongoing = alarm.state_value == "ALARM" and now - alarm.state_updated_timestamp < lasts
        alarm.update_state(f"1.0 was greater than the threshold ({float(alarm.threshold)})", "{}", "ALARM")
    return not ongoing


def mail(alarm: Any, account: str, permissions: Permissions | None) -> None:
    """Perform the actions of an alarm that has gone into ALARM."""
    from moto.core.exceptions import ServiceException
    from moto.sns.models import sns_backends

    subject = f'ALARM: "{alarm.name}" in {alarm.region_name}'[:99]
    text = (
        f'You are receiving this email because your Amazon CloudWatch Alarm "{alarm.name}" in the {alarm.region_name} '
        f'region has entered the ALARM state, because "{alarm.state_reason}" at '
        f'"{alarm.state_updated_timestamp:%A %d %B, %Y %H:%M:%S} UTC".\n\n'
        "Alarm Details:\n"
        f"- Name:        {alarm.name}\n"
        f"- Description: {alarm.description}\n"
        f"- AWS Account: {account}\n"
        f"- Alarm Arn:   {alarm.alarm_arn}\n"
    )
    context = {"aws:SourceArn": alarm.alarm_arn, "aws:SourceAccount": account}
    for topic in alarm.alarm_actions if alarm.actions_enabled else ():
        if permissions and permissions.refused_to_service(SERVICE, Right("sns:Publish", topic, context)):
            continue
        with suppress(ServiceException):  # AWS only records it in the alarm's history
            sns_backends[account][alarm.region_name].publish(message=text, arn=topic, subject=subject)
