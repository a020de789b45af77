"""Why uploads started no run: the function's log tells it, and the dead-letter queue only that it was so."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from stepgluon.aws import Door, code_of
from stepgluon.names import Names

DAYS = (1, 14)  # the queue keeps its messages for 14
PAGES = 10
SHOWN = 5


def refusals(door: Door, names: Names, now: float) -> list[str]:
    """The last ones, newest last; each once, however often it was tried."""
    for days in DAYS:
        found = _since(door, names, now - days * 86400)
        if found:
            return found[-SHOWN:]
    return []


def _since(door: Door, names: Names, start: float) -> list[str]:
    from botocore.exceptions import ClientError

    asked = {
        "logGroupName": names.log_group("function"),
        "startTime": int(start * 1000),
        "filterPattern": '{ $.outcome = "failed" }',
    }
    found: list[str] = []
    pages = door.client("logs").get_paginator("filter_log_events").paginate(**asked)
    try:
        for page in islice(pages, PAGES):
            found += [told for event in page["events"] if (told := _told(event["message"]))]
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
    return list(dict.fromkeys(reversed(found)))[::-1]


def _told(message: str) -> str:
    try:
        line: Any = json.loads(message)
    except ValueError:
        return ""
    if not isinstance(line, dict) or line.get("outcome") != "failed":
        return ""
    place = f"{line['key']}: " if "key" in line else ""
    return f"{place}{line.get('reason', '')}"


def purge(names: Names) -> str:
    """The command that empties the queue."""
    region = names.config.region
    host = f"sqs.{region}.{names.partition.dns_suffix}"
    return f"aws sqs purge-queue --queue-url https://{host}/{names.config.account}/{names.queue} --region {region}"
