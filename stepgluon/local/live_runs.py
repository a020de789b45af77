"""The runs of a local AWS for the live page: their folders, which the watcher keeps up to date."""

from __future__ import annotations

import email
import email.policy
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.base.api_error import ApiError
from stepgluon.errors import UsageError
from stepgluon.live.state import Record, Settings, models_of
from stepgluon.local.work_folder import local_story, machine_of, run_of
from stepgluon.runs.promote import named, promote

if TYPE_CHECKING:
    from stepgluon.local.deployed import Deployed

MOST_RUNS = 30
MOST_MAILS = 8
MOST_FILES = 1000  # in memory
LOG_BYTES = 1 << 18
LONGEST_MAIL = 20_000


class _Files:
    """A cache of file contents; a file is read again only after it has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Any]] = {}

    def get(self, file: Path, read: Callable[[Path], Any]) -> Any:
        """Return `read(file)`; None if the file cannot be read."""
        with suppress(OSError):
            stat = file.stat()
            stamp, known = (stat.st_mtime_ns, stat.st_size), self._known.get(file)
            if known and known[0] == stamp:
                return known[1]
            if len(self._known) >= MOST_FILES:
                self._known.clear()
            self._known[file] = stamp, read(file)
            return self._known[file][1]
        return None


class LocalRuns:
    place = "this computer"
    recipients = ""  # all mails are in the outbox
    pause = 1.0  # the watcher looks once a second

    def __init__(self, deployed: Deployed) -> None:
        self._place, self.title = deployed, deployed.names.prefix
        self._files = _Files()

    def runs(self) -> list[Record]:
        found = [self.run(file.parent.name) for file in (self._place.work / "runs").glob("*/run.json")]
        return sorted(filter(None, found), key=lambda record: record["started"], reverse=True)[:MOST_RUNS]

    def run(self, name: str) -> Record | None:
        found: Record | None = self._files.get(
            self._place.work / "runs" / name / "run.json", lambda file: run_of(self._place.work, name)
        )
        return found

    def settings(self, record: Record) -> list[Settings]:
        names = self._place.names
        if record["arn"] != names.execution_arn(record["run"]):
            return []  # of another pipeline
        begun = next((one for one in self._place.journal.begun() if one.arn == record["arn"]), None)
        overrides = begun.given.get("overrides") if begun else None
        return models_of(names, overrides.get("threshold") if isinstance(overrides, dict) else None)

    def begun(self, job: Record) -> float | None:
        with suppress(ApiError):
            return self._place.aws.sagemaker.job(job["kind"], job["name"]).state.started
        return job.get("started")

    def log(self, record: Record, job: Record) -> list[str]:
        return self._files.get(self._place.work / "runs" / record["run"] / "logs" / f"{job['name']}.log", _lines) or []

    def mails(self, run: str) -> list[dict[str, str]]:
        found = [self._files.get(file, _mail) for file in sorted(self._place.outbox.glob("*.eml"), reverse=True)]
        of_run = re.compile(rf"{re.escape(run)}(?![\w-])")
        return [mail for mail in found if mail and of_run.search(f"{mail['subject']} {mail['text']}")][:MOST_MAILS]

    def report(self, run: str) -> Path | None:
        record = next((one for one in self.runs() if one["run"] == run), None)
        return Path(record["report"]) if record and record.get("report") else None

    def stop(self, run: str) -> str:
        self._place.aws.client("stepfunctions").stop_execution(
            executionArn=self._of_this_pipeline(run)["arn"], error="Stopped", cause="The run was stopped on its page."
        )
        return "Stopping the run and its jobs."

    def promote(self, run: str) -> str:
        record, work = self._of_this_pipeline(run), self._place.work
        s3, names = self._place.aws.client("s3"), self._place.names
        judged, registry = (lambda: local_story(work, run).models), (lambda: self._place.aws.client("sagemaker"))
        promoted = promote(s3, names, record["run"], judged, registry)
        return f"Promoted {named(promoted)}."

    def _of_this_pipeline(self, run: str) -> Record:
        record = next((one for one in self.runs() if one["run"] == run), None)
        if record is None or record["arn"] != self._place.names.execution_arn(run):
            of = f", but of {machine_of(record)}" if record else ""
            raise UsageError(f"{run} is not a run of {self.title}{of}")
        return record


def _lines(file: Path) -> list[str]:
    """The end of a log; a progress bar has overwritten its line."""
    with file.open("rb") as opened:
        opened.seek(max(0, os.fstat(opened.fileno()).st_size - LOG_BYTES))
        return [line.rpartition("\r")[2] for line in opened.read().decode("utf-8", "replace").split("\n")[:-1]]


def _mail(file: Path) -> dict[str, str]:
    letter = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    body = letter.get_body(("plain",))
    text = str(body.get_content())[:LONGEST_MAIL] if body else ""
    headers = {name.lower(): str(letter[name]) for name in ("Subject", "To", "Date")}
    return {"id": file.name, **headers, "text": text.strip()}
