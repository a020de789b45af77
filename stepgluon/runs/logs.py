"""The logs of a run's jobs, whole or as they grow: from CloudWatch, or the files of a local run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from stepgluon.aws import answer
from stepgluon.errors import UsageError, listed
from stepgluon.runs.job_log import INSTANCES, LOGS, prefix

POLL_SECONDS = 1.0


class Log(Protocol):
    def more(self) -> list[str]:
        """The lines since the last call."""


class FileLog:
    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0

    def more(self) -> list[str]:
        try:
            new = self._file.read_bytes()[self._read :]
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode("utf-8", "replace").splitlines()


class CloudWatchLog:
    """The streams of a job's instances; several instances are named at the lines' beginnings."""

    def __init__(self, logs: Any, kind: str, job: str) -> None:
        self._logs, self._group, self._prefix = logs, LOGS[kind], prefix(kind, job)
        self._tokens: dict[str, str] = {}

    def more(self) -> list[str]:
        wanted = {"logGroupName": self._group, "logStreamNamePrefix": self._prefix, "limit": INSTANCES}
        found = answer(lambda: self._logs.describe_log_streams(**wanted), "ResourceNotFoundException")
        streams = [entry["logStreamName"] for entry in found["logStreams"]] if found else []
        lines: list[tuple[int, str]] = []
        for stream in streams:
            instance = f"{stream.partition('/')[2].rpartition('-')[0]}: " if len(streams) > 1 else ""
            for event in self._events(stream):
                lines.append((event["timestamp"], instance + event["message"].rstrip("\r\n").rpartition("\r")[2]))
        return [line for _, line in sorted(lines, key=lambda one: one[0])]

    def _events(self, stream: str) -> Iterator[dict[str, Any]]:
        """[logs] A page may be empty although there are later events; at the end, the token stays the same."""
        while True:
            token = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            page = self._logs.get_log_events(
                logGroupName=self._group, logStreamName=stream, startFromHead=True, **token
            )
            yield from page["events"]
            self._tokens[stream] = page["nextForwardToken"]
            if token.get("nextToken") == page["nextForwardToken"]:
                return


def jobs_of(record: dict[str, Any], model: str | None) -> list[dict[str, Any]]:
    """The run's jobs, or those of one model."""
    jobs: list[dict[str, Any]] = record["jobs"]
    if model is None:
        return jobs
    known = [one["name"] for one in record["models"]]
    found = [job for job in jobs if job["state"].endswith(f" {model}")]
    if not found and known and model not in known:
        raise UsageError(f"{record['run']} has no model {model} (it has {listed(known, 'and')})")
    if not found and any(job["state"].startswith("Train group ") for job in jobs):
        found_in = "until the run has a result, give a model's group, like g0000"
        raise UsageError(f"{record['run']} has no job of {model} alone ({found_in})")
    return found


def follow_logs(
    look: Callable[[], dict[str, Any]],
    log_of: Callable[[dict[str, Any]], Log],
    model: str | None,
    say: Callable[[str], None],
    wait: Callable[[float], None] | None,
) -> int:
    """Print the logs, each new job under its name; with `wait`, until the run has ended. Return the number of lines."""
    logs: dict[str, Log] = {}
    last, count, ended = "", 0, wait is None
    while True:
        record = look()
        for job in jobs_of(record, model):
            if job["name"] not in logs:
                logs[job["name"]] = log_of(job)
            lines = logs[job["name"]].more()
            if lines and job["name"] != last:
                say(f"{'' if count == 0 else chr(10)}{job['state']} ({job['name']}):\n")
                last = job["name"]
            for line in lines:
                say(f"{line}\n")
            count += len(lines)
        if wait is None or ended:
            return count
        ended = record["status"] != "RUNNING"  # CloudWatch's last lines may come after the run's end
        wait(POLL_SECONDS)
