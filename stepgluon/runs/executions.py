"""A pipeline's runs in Step Functions and their files in S3, in an account or the local AWS."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer, instead_of
from stepgluon.cost.used import add_usage
from stepgluon.errors import StepgluonError, UsageError
from stepgluon.errors import listed as any_of
from stepgluon.names import Names
from stepgluon.runs.history import Job, Story, parsed, seconds
from stepgluon.runs.job_log import LAST_LINES, LOGS, TUNING, last_lines
from stepgluon.runs.progress import doing
from stepgluon.runs.run_record import run_json
from stepgluon.runs.trials import trial_lines

LATEST = "latest"
READERS = 8
KNOWN = 1000  # runs among which a prefix is searched: one page


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
        seconds = round((self.ended or max(time.time(), self.started)) - self.started, 1)
        return {
            "run": self.run,
            "status": self.status,
            "started": self.started,
            "seconds": seconds,
            "note": "",
            "arn": self.arn,
        }


def read_json(s3: Any, bucket: str, key: str) -> Any:
    """The value of a small JSON object; None if it does not exist."""
    found = answer(lambda: s3.get_object(Bucket=bucket, Key=key), "NoSuchKey", "NoSuchBucket", "404")
    return json.loads(found["Body"].read()) if found else None


def sizes(s3: Any, bucket: str, folder: str) -> dict[str, int]:
    """The size of each file in a folder."""
    found: dict[str, int] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        found |= {entry["Key"].removeprefix(folder): entry["Size"] for entry in page.get("Contents", ())}
    return found


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
    return sorted(found, key=lambda execution: execution.started, reverse=True)[:most]


def find(door: Door, names: Names, run: str) -> Execution | None:
    arn, client = names.execution_arn(run), door.client("stepfunctions")
    described = answer(lambda: client.describe_execution(executionArn=arn), "ExecutionDoesNotExist", "InvalidArn")
    return _execution(described, parsed(described.get("input"))) if described else None


def one(door: Door, names: Names, run: str) -> Execution:
    """The run with this name or unique prefix; `latest` is the one that started last."""
    place = f"the pipeline {names.prefix} in the account {names.config.account}"
    if run != LATEST and (found := find(door, names, run)):
        return found
    runs = [execution.run for execution in listed(door, names, 1 if run == LATEST else KNOWN)]
    if run == LATEST and not runs:
        raise UsageError(f"there are no runs yet (start one: {pipeline_py('start --data FILE')})")
    name = meant(run, runs, place)
    if name and (found := find(door, names, name)):
        return found
    raise unknown_run(run, runs, place, "runs --aws")


def meant(run: str, known: Sequence[str], place: str) -> str | None:
    """The known run, latest first, that a name, a unique prefix or `latest` means; UsageError if several fit."""
    if run == LATEST:
        return known[0] if known else None
    fitting = [run] if run in known else [name for name in known if run and name.startswith(run)]
    if len(fitting) > 1:
        raise UsageError(f"{run} fits {len(fitting)} runs of {place}: {any_of(fitting)} (give more of the name)")
    return fitting[0] if fitting else None


def unknown_run(run: str, known: Sequence[str], place: str, listing: str, of: str = "") -> UsageError:
    """`of` names the pipeline that has no latest run, and those that have, if any."""
    if run == LATEST:
        start = pipeline_py("run --data FILE")
        return UsageError(
            f"{place} has no runs{of} (name their config with --config, or start a run: {start})"
            if of
            else f"{place} has no runs yet (start one: {start})"
        )
    close = difflib.get_close_matches(run, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"`{pipeline_py(listing)}` lists them"
    return UsageError(f"{place} has no run {run or repr(run)} ({hint})")


def _execution(described: dict[str, Any], given: dict[str, Any]) -> Execution:
    ended = described.get("stopDate")
    return Execution(
        run=described["name"],
        arn=described["executionArn"],
        status=described["status"],
        started=seconds(described["startDate"]),
        ended=None if ended is None else seconds(ended),
        given=given,
        error=described.get("error") or "",
        cause=described.get("cause") or "",
    )


def tell(door: Door, names: Names, execution: Execution, story: Story) -> dict[str, Any]:
    """The run's record; `logs` is the command that shows its logs."""
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
    tail = f"aws logs tail {LOGS[job.kind]} --log-stream-name-prefix {job.name}"
    return f"{tail} --since {since} --region {names.config.region}"


def tuning_words(door: Door) -> Callable[[Job], str]:
    """How far a running tuning is; empty for other jobs, whose logs are not followed."""

    def said(job: Job) -> str:
        return doing(trials_of(door, job.name)) if job.kind == TUNING else ""

    return said


def trials_of(door: Door, tuning: str) -> list[str]:
    """A line for each training of a tuning; none without permission, or if the call was throttled."""
    from botocore.exceptions import ClientError

    try:
        return trial_lines(door.client("sagemaker"), tuning)
    except ClientError:
        return []


def read_usage(door: Door, run: dict[str, Any]) -> None:
    """Add what the jobs used, from the ends of their logs; without permission to read them, nothing."""
    from botocore.exceptions import ClientError

    logs = door.client("logs")

    def end_of(job: dict[str, Any]) -> list[str]:
        try:
            return last_lines(logs, job["kind"], job["name"], LAST_LINES)
        except ClientError:
            return []

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(lambda job: add_usage([job], end_of), run["jobs"]))


def last_words(door: Door, run: dict[str, Any]) -> list[str]:
    """The end of the last failed job's log; empty if it cannot be read."""
    from botocore.exceptions import ClientError

    failed = [job for job in run["jobs"] if job["status"] == "Failed"]
    try:
        return last_lines(door.client("logs"), failed[-1]["kind"], failed[-1]["name"], LAST_LINES) if failed else []
    except ClientError:
        return []  # no permission; the failure's message is shown anyway
