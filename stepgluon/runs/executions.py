"""A pipeline's runs in Step Functions, in an account or the local AWS."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer, instead_of
from stepgluon.errors import StepgluonError, UsageError
from stepgluon.names import JOB_LOGS, Names
from stepgluon.runs.files import read_json
from stepgluon.runs.history import Story, parsed, seconds
from stepgluon.runs.run_json import run_json

LATEST = "latest"
LAST_LINES = 12  # shown of a failed job's log, also in view.py


@dataclass(frozen=True)
class Execution:
    run: str
    arn: str
    status: str
    started: float
    ended: float | None
    given: dict[str, Any]  # its input
    error: str = ""
    cause: str = ""

    def row(self) -> dict[str, Any]:
        """A line of `runs` and `status`."""
        seconds = round((self.ended or self.started) - self.started, 1)
        return {"run": self.run, "status": self.status, "started": self.started, "seconds": seconds, "note": ""}


class NotDeployed(StepgluonError):
    """The pipeline is not deployed in the account."""


def deployed(names: Names) -> AbstractContextManager[None]:
    """Raise NotDeployed if the block finds no machine or no bucket."""
    problem = NotDeployed(
        f"the account {names.config.account} has no pipeline {names.prefix} in {names.config.region} "
        f"(`{pipeline_py('deploy')}` makes it)"
    )
    return instead_of(("StateMachineDoesNotExist", "ResourceNotFound", "NoSuchBucket"), problem)


def listed(door: Door, names: Names, most: int) -> list[Execution]:
    """The last runs, latest first, without their inputs."""
    found: list[Execution] = []
    with deployed(names):
        pages = door.client("stepfunctions").get_paginator("list_executions")
        for page in pages.paginate(stateMachineArn=names.machine_arn, PaginationConfig={"PageSize": min(most, 1000)}):
            found += [_execution(entry, {}) for entry in page["executions"]]
            if len(found) >= most:
                break
    return sorted(found, key=lambda execution: (execution.started, execution.run), reverse=True)[:most]


def find(door: Door, names: Names, run: str) -> Execution | None:
    arn, client = names.execution_arn(run), door.client("stepfunctions")
    told = answer(lambda: client.describe_execution(executionArn=arn), "ExecutionDoesNotExist", "InvalidArn")
    return _execution(told, parsed(told.get("input"))) if told else None


def one(door: Door, names: Names, run: str) -> Execution:
    """The run with this name; `latest` is the one that started last."""
    if run == LATEST:
        last = listed(door, names, 1)
        if not last:
            raise UsageError(f"there are no runs yet (start one: {pipeline_py('start --data FILE')})")
        run = last[0].run
    found = find(door, names, run)
    if found:
        return found
    place = f"the pipeline {names.prefix} in the account {names.config.account}"
    raise unknown_run(run, [execution.run for execution in listed(door, names, 100)], place, "runs --aws")


def unknown_run(run: str, known: Sequence[str], place: str, listing: str) -> UsageError:
    close = [name for name in known if run and name.startswith(run)] or difflib.get_close_matches(run, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"`{pipeline_py(listing)}` lists them"
    return UsageError(f"{place} has no run {run or repr(run)} ({hint})")


def _execution(told: dict[str, Any], given: dict[str, Any]) -> Execution:
    ended = told.get("stopDate")
    return Execution(
        run=told["name"],
        arn=told["executionArn"],
        status=told["status"],
        started=seconds(told["startDate"]),
        ended=None if ended is None else seconds(ended),
        given=given,
        error=told.get("error") or "",
        cause=told.get("cause") or "",
    )


def tell(door: Door, names: Names, execution: Execution, story: Story) -> dict[str, Any]:
    """The run in the format of run_json.py; `logs` is the command that shows its logs."""
    folder = f"s3://{names.work_bucket}/runs/{execution.run}"
    summary = read_json(door.client("s3"), names.work_bucket, f"runs/{execution.run}/result/summary.json")
    return run_json(
        execution.run,
        execution.given,
        story,
        summary,
        now=time.time(),
        arn=execution.arn,
        results=f"{folder}/result/" if story.delivered else None,
        folder=folder,
        logs=_logs(names, story),
        outbox=", ".join(names.config.notify),
    )


def _logs(names: Names, story: Story) -> str:
    """The command that shows the log of the last failed job, or else of the last job."""
    job = next((job for job in reversed(story.jobs) if job.status == "Failed"), story.jobs[-1] if story.jobs else None)
    if job is None:
        return "no job has begun"
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.started))  # by default it shows the last ten minutes
    tail = f"aws logs tail {JOB_LOGS[job.kind]} --log-stream-name-prefix {job.name}"
    return f"{tail} --since {since} --region {names.config.region}"


def last_words(door: Door, run: dict[str, Any]) -> list[str]:
    """The end of the last failed job's log; empty if it cannot be read."""
    from botocore.exceptions import ClientError

    failed = [job for job in run["jobs"] if job["status"] == "Failed"]
    if not failed:
        return []
    group, logs = JOB_LOGS[failed[-1]["kind"]], door.client("logs")
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{failed[-1]['name']}/")
        return _tail(logs, group, [stream["logStreamName"] for stream in streams["logStreams"]])
    except ClientError:
        return []  # no log yet, or no permission; the failure's message is shown anyway


def _tail(logs: Any, group: str, streams: list[str]) -> list[str]:
    """The last lines of all instances, in chronological order."""
    events = [
        event
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream, limit=LAST_LINES, startFromHead=False
        )["events"]
    ]
    events.sort(key=lambda event: event["timestamp"])
    return [event["message"].rstrip("\n") for event in events[-LAST_LINES:]]
