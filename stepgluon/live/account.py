"""The runs of an account for the live page of `watch --open`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from localaws.server.web import Web, bind, no_web_pages
from stepgluon.aws import Door
from stepgluon.live.page import LivePage
from stepgluon.live.state import Record, Settings, models_of
from stepgluon.names import Names
from stepgluon.runs.child_jobs import Child, whole_run
from stepgluon.runs.executions import find, listed, trials_of
from stepgluon.runs.history import read
from stepgluon.runs.job_log import TUNING, last_lines
from stepgluon.runs.promote import named, promote
from stepgluon.runs.watch import History, story_of

RUNS = 20
LOG_LINES = 300
# Seconds between two polls: AWS throttles each of these calls per account, and `watch` itself makes them, too.
LIST_SECONDS, RUN_SECONDS, LOG_SECONDS = 30.0, 4.0, 15.0
LOGS_AT_ONCE = 4
LINK_SECONDS = 3600  # that the link to the report works
T = TypeVar("T")


class AccountRuns:
    pause = RUN_SECONDS

    def __init__(self, door: Door, names: Names) -> None:
        self._door, self._names = door, names
        self.title, self.place = names.prefix, f"account {names.config.account}, {names.config.region}"
        self.recipients = ", ".join(names.config.notify)
        self._known: dict[Any, tuple[float, Any]] = {}
        self._histories: dict[str, History] = {}
        self._children: dict[str, dict[str, Child]] = {}
        self._logs = LOGS_AT_ONCE

    def _kept(self, key: Any, seconds: float, ask: Callable[[], T]) -> T:
        """The response of `ask`, repeated after this many seconds."""
        at, value = self._known.get(key, (float("-inf"), None))
        if time.monotonic() - at >= seconds:
            value = ask()
            self._known[key] = (time.monotonic(), value)
        return value  # type: ignore[no-any-return]  # what `ask` returned before

    def forget(self) -> None:
        self._known.clear()

    def runs(self) -> list[Record]:
        self._logs = LOGS_AT_ONCE
        return self._kept("runs", LIST_SECONDS, lambda: [one.row() for one in listed(self._door, self._names, RUNS)])

    def run(self, name: str) -> Record | None:
        _, record = self._known.get(("run", name), (0.0, None))
        ended = record is not None and record["status"] != "RUNNING"
        return self._kept(("run", name), float("inf") if ended else RUN_SECONDS * 0.9, lambda: self._look(name))

    def _look(self, name: str) -> Record | None:
        execution = find(self._door, self._names, name)
        if execution is None:
            return None
        client = self._door.client("stepfunctions")
        history = self._histories.setdefault(name, History(client, execution.arn))
        story, known = read(history.look()), self._children.setdefault(name, {})
        return whole_run(self._door, self._names, execution, known=known, story=story)[0]

    def settings(self, record: Record) -> list[Settings]:
        execution = self._kept(("given", record["run"]), float("inf"), lambda: self._given(record["run"]))
        overrides = execution.get("overrides")
        return models_of(self._names, overrides.get("threshold") if isinstance(overrides, dict) else None)

    def _given(self, run: str) -> dict[str, Any]:
        execution = find(self._door, self._names, run)
        return execution.given if execution else {}

    def begun(self, job: Record) -> float | None:
        return float(job["started"])

    def log(self, record: Record, job: Record) -> list[str]:
        """The end of the job's log. Each poll reads few logs, so with many running jobs some are older."""
        ended = job["status"] != "InProgress"
        key, seconds = ("log", job["name"], ended), float("inf") if ended else LOG_SECONDS
        before = self._known.get(("log", job["name"], False), (0.0, []))[1]
        at, lines = self._known.get(key, (float("-inf"), before))
        if self._logs and time.monotonic() - at >= seconds:
            self._logs -= 1
            lines = self._kept(key, 0, lambda: self._read_log(job))
        return list(lines)

    def _read_log(self, job: Record) -> list[str]:
        from botocore.exceptions import ClientError

        if job["kind"] == TUNING:
            return trials_of(self._door, job["name"])
        try:
            return last_lines(self._door.client("logs"), job["kind"], job["name"], LOG_LINES)
        except ClientError:
            return []  # no permission, or throttled

    def mails(self, run: str) -> list[dict[str, str]]:
        return []  # they are only in the recipients' mailboxes

    def report(self, run: str) -> str | None:
        """An address in S3, because this page ends with the run."""
        record = self.run(run)
        return (
            self._kept(("report", run), LINK_SECONDS / 2, lambda: self._link(run))
            if record and record["results"]
            else None
        )

    def _link(self, run: str) -> str:
        key = {"Bucket": self._names.work_bucket, "Key": f"runs/{run}/result/report.html"}
        link: str = self._door.client("s3").generate_presigned_url(
            "get_object", {**key, "ResponseContentType": "text/html; charset=utf-8"}, LINK_SECONDS
        )
        return link

    def stop(self, run: str) -> str:
        self._door.client("stepfunctions").stop_execution(
            executionArn=self._names.execution_arn(run), error="Stopped", cause="The run was stopped on its page."
        )
        return "Stopping the run and its jobs."

    def promote(self, run: str) -> str:
        arn, s3 = self._names.execution_arn(run), self._door.client("s3")
        judged, registry = (lambda: story_of(self._door, arn).models), (lambda: self._door.client("sagemaker"))
        promoted = promote(s3, self._names, run, judged, registry)
        return f"Promoted {named(promoted)}."


@contextmanager
def served(door: Door, names: Names) -> Iterator[str]:
    """Serve the page on a free port of 127.0.0.1; yields its address."""
    runs, listener = AccountRuns(door, names), bind(0)
    page = LivePage(runs, secret=True)
    port = listener.getsockname()[1]
    web = Web(listener, no_web_pages(port, page, lambda: page))
    try:
        yield f"http://127.0.0.1:{port}{page.path}"
    finally:
        runs.forget()  # so that the last event has the run's end
        page.close()
        web.close()
