"""The end of a job's log in CloudWatch. lambda/tell_failure.py has this file in its zip, too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

CELL = re.compile(r'\bcell: (\["(?:[^"\\]|\\.)*"(?:, "(?:[^"\\]|\\.)*"){3}\])$')  # logged by code/job_io.py
LOGS = {kind: f"/aws/sagemaker/{kind.title()}Jobs" for kind in ("training", "processing", "transform")}  # SageMaker's
TUNING = "hyperparametertuning"  # its trainings have the logs
LOGS[TUNING] = LOGS["training"]
INSTANCES = 20
LAST_LINES = 12  # shown in a terminal


def last_lines(logs: Any, kind: str, job: str, most: int) -> list[str]:
    """The last lines of all instances in chronological order; several instances are named at the lines' beginnings."""
    try:
        found = logs.describe_log_streams(
            logGroupName=LOGS[kind], logStreamNamePrefix=prefix(kind, job), limit=INSTANCES
        )["logStreams"]
    except logs.exceptions.ResourceNotFoundException:
        return []  # no job of this kind has written a log yet
    lines: list[tuple[int, str]] = []
    for stream in (entry["logStreamName"] for entry in found):
        instance = f"{stream.partition('/')[2].rpartition('-')[0]}: " if len(found) > 1 else ""
        for event in _end(logs, LOGS[kind], stream, most):
            line = event["message"].rstrip("\r\n").rpartition("\r")[2]  # a progress bar overwrites its line
            lines.append((event["timestamp"], instance + line))
    return [line for _, line in sorted(lines, key=lambda one: one[0])[-most:]]


def tidied(lines: Iterable[str], known: Iterable[str]) -> list[str]:
    """The lines without those that repeat a known sentence; a wrong cell as `a.csv, row 1 (line 2), price: unknown`."""
    sentences = [text for sentence in known if (text := sentence.strip(". "))]
    kept = (line for line in lines if not any(text in " ".join(line.split()) for text in sentences))
    return [CELL.sub(lambda found: "{}, {}, {}: {}".format(*json.loads(found[1])), line) for line in kept]


def prefix(kind: str, job: str) -> str:
    """How the names of a job's log streams begin."""
    return f"{job}-" if kind == TUNING else f"{job}/"


def _end(logs: Any, group: str, stream: str, most: int) -> list[dict[str, Any]]:
    """[logs] A page may be empty even if there are earlier lines; at the beginning, the token stays the same."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    for _ in range(5):
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=False, limit=most, **token)
        found = page["events"] + found
        earlier = {"nextToken": page["nextBackwardToken"]}
        if len(found) >= most or earlier == token:
            break
        token = earlier
    return found[-most:]
