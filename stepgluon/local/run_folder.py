"""A run's folder, DIR/runs/<run>/, for commands that need no server.

    run.json         what `show` and `runs` print (runs/run_record.py)
    history.json     the execution's events
    logs/<job>.log   each job's log
    predictions.csv, predictions.parquet, summary.json   the result, if there is one; of partitions also models.csv
    report.html      the result as a page, or why the run failed

Each file is complete or absent.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stepgluon.cost.used import add_usage
from stepgluon.local.deployed import Deployed, end_executions
from stepgluon.local.journal import Begun
from stepgluon.local.surroundings import whole, write
from stepgluon.local.work_folder import all_runs, run_of
from stepgluon.runs import model_registry, report
from stepgluon.runs.child_jobs import GROUPS, Child, jobs_of
from stepgluon.runs.earlier import Earlier, before
from stepgluon.runs.executions import read_json
from stepgluon.runs.history import Job, Remark, Story, parsed, read
from stepgluon.runs.job_log import TUNING
from stepgluon.runs.map_runs import map_words, models_done
from stepgluon.runs.run_record import run_json
from stepgluon.runs.trials import trial_lines
from stepgluon.runs.view import why

RESULTS = ("predictions.csv", "predictions.parquet", "summary.json", "models.csv")
REPORT = "report.html"
LOOK_SECONDS = 1.0
CACHED = (
    "This job did not run again: its outputs are those of an earlier job with the same code, settings and inputs.\n"
)
_ONE_AT_A_TIME = threading.Lock()  # of two writers, the slower would overwrite the newer state


def collect(place: Deployed, begun: Begun) -> dict[str, Any]:
    """Update the run's folder and return run.json."""
    with _ONE_AT_A_TIME:
        return _collect(place, begun)


def _collect(place: Deployed, begun: Begun) -> dict[str, Any]:
    folder, cached = place.work / "runs" / begun.name, remark(place)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    events = place.aws.history(begun.arn)
    story = read(events, cached)
    children = place.child_jobs.children(place.aws, story, cached)
    story.jobs = sorted([*story.jobs, *jobs_of(children)], key=lambda job: job.started)
    write(folder / "history.json", json.dumps(events, default=str, indent=1))
    logs: dict[str, list[str]] = {}
    for job in story.jobs:
        log = folder / "logs" / f"{job.name}.log"
        lines = logs[job.name] = lines_of(place, job)
        if job.ended and log in place.whole_logs:
            continue
        if lines or not log.exists():
            write(log, "".join(f"{line}\n" for line in lines) or (CACHED if cached(job) else ""))
        if job.ended:
            place.whole_logs.add(log)
    if story.ended:  # nothing of a run stays in memory
        place.whole_logs.difference_update(folder / "logs" / f"{job.name}.log" for job in story.jobs)
    if story.delivered:
        _fetch_results(place, begun, folder)
    result = folder / "predictions.csv"
    run = run_json(
        begun.name,
        begun.given,
        story,
        _summary(folder / "summary.json"),
        lambda job: bool(cached(job)),
        now=time.time(),
        arn=begun.arn,
        results=os.fspath(result) if story.delivered and result.exists() else None,
        folder=os.fspath(folder),
        outbox=os.fspath(place.outbox),
    )
    add_usage(run["jobs"], lambda job: logs[job["name"]])
    run["progress"] = _progress(place, begun, story, children) if story.running_maps else []
    run["report"] = _write_report(place, begun, folder / REPORT, run, story) if story.ended else None
    write(folder / "run.json", json.dumps(run, indent=1, ensure_ascii=False))
    return run


def _progress(place: Deployed, begun: Begun, story: Story, children: list[Child]) -> list[str]:
    groups = read_json(place.aws.client("s3"), place.names.work_bucket, f"runs/{begun.name}/{GROUPS}")
    return map_words(place.aws.client("stepfunctions"), story, models_done(children, groups))


def lines_of(place: Deployed, job: Job) -> list[str]:
    """A job's log so far; a tuning's has a line for each of its trainings, and the log of the best one."""
    if job.kind != TUNING:
        return place.aws.logs.lines(job.kind, job.name)
    lines = trial_lines(place.aws.client("sagemaker"), job.name)
    tuning: Any = place.aws.sagemaker.job(TUNING, job.name)
    best = tuning.best[0].name if tuning.best else ""
    log = place.aws.logs.lines("training", best) if best else []
    return [*lines, "", f"{best}:", *log] if log else lines


def remark(place: Deployed) -> Remark:
    """Marks a job as `cached` if it did not run because its outputs were known."""

    def cached(job: Any) -> str:
        found = place.aws.sagemaker.known(job.kind, job.name)
        return "cached" if found and found.state.cached else ""

    return cached


def _summary(file: Path) -> Any:
    with suppress(OSError):
        return parsed(file.read_text("utf-8", "replace"))


def _write_report(place: Deployed, begun: Begun, file: Path, run: dict[str, Any], story: Story) -> str | None:
    """The path of the run's report; an edited post-process may have written none."""
    page, earlier = "", _earlier(place, run)
    for stored in place.aws.objects.below(place.names.work_bucket, f"runs/{begun.name}/result/{REPORT}"):
        with whole(file) as part:
            place.aws.objects.copy_out(stored.content, part)
        versions = model_registry.of_run(lambda: place.aws.client("sagemaker"), place.names, run["models"])
        page = report.completed(file.read_text("utf-8", "replace"), run, story, True, earlier, versions)
    if page := page or ("" if story.delivered else report.failed(run, story, True, earlier)):
        write(file, page)
    return os.fspath(file) if page else None


def _earlier(place: Deployed, run: dict[str, Any]) -> Earlier:
    runs = before(run, all_runs(place.work))

    def config(record: dict[str, Any]) -> Any:
        bucket, _, key = str(record.get("config") or "").removeprefix("s3://").partition("/")
        stored = place.aws.objects.one(bucket, key)
        return json.loads(place.aws.objects.file(stored.content).read_bytes()) if stored else None

    return Earlier(runs, (config(runs[0]), config(run))) if runs else Earlier()


def _fetch_results(place: Deployed, begun: Begun, folder: Path) -> None:
    prefix = f"runs/{begun.name}/result/"
    for stored in place.aws.objects.below(place.names.work_bucket, prefix):
        if (name := stored.key.removeprefix(prefix)) in RESULTS:
            with whole(folder / name) as part:
                place.aws.objects.copy_out(stored.content, part)


# All runs, while a server is running


@contextmanager
def refreshed(place: Deployed, say: Callable[[str], None]) -> Iterator[None]:
    """Keep all runs' folders up to date in the block; at its end, runs in progress are stopped."""
    watcher = _Watcher(place, say)
    watcher.thread.start()
    try:
        yield
    finally:
        try:
            end_executions(place)
        finally:
            watcher.closed.set()
            place.journal.wake()
            watcher.thread.join()


class _Watcher:
    def __init__(self, place: Deployed, say: Callable[[str], None]) -> None:
        self._place = place
        self._say = say
        begun, self._failed = place.journal.begun(), set[str]()  # by an earlier server
        self._announced = {one.arn for one in begun}
        self._done = {one.arn for one in begun if not self._was_missed(one)}
        self._next_refresh = 0.0
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="watcher")

    def _was_missed(self, begun: Begun) -> bool:
        """Whether an earlier server was killed between the run's end and the last update of its folder."""
        record = run_of(self._place.work, begun.name) if self._place.journal.ended(begun.arn) else None
        return record is not None and record["status"] in ("RUNNING", "CUT OFF")

    def _watch(self) -> None:
        while not self.closed.is_set():
            self._look()
            if not self.closed.is_set():
                self._place.journal.wait(LOOK_SECONDS)
        self._look()

    def _look(self) -> None:
        """Collect ended runs at once, and running ones less often if collecting takes long."""
        running = set(self._place.journal.running())
        self._done -= running
        began = time.monotonic()
        refresh = began >= self._next_refresh
        for begun in self._place.journal.begun():
            if begun.arn in self._done:
                continue
            if begun.arn not in self._announced:
                self._announced.add(begun.arn)
                self._tell(f"Run {begun.name} has started.")
            elif begun.arn in running and not refresh:
                continue
            self._keep(begun, begun.arn in running)
        if refresh:
            now = time.monotonic()
            self._next_refresh = now + max(LOOK_SECONDS, 9 * (now - began))

    def _keep(self, begun: Begun, runs: bool) -> None:
        try:
            record = collect(self._place, begun)
        except Exception as problem:  # a full disk or a bug: the other runs must still be collected
            if begun.arn not in self._failed:
                self._failed.add(begun.arn)
                self._tell(f"Run {begun.name} cannot be saved now: {type(problem).__name__}: {problem}")
            return
        if not runs and record["status"] != "RUNNING":
            self._done.add(begun.arn)
            self._tell(f"Run {begun.name}: {record['status']} after {record['seconds']:.1f} s{why(record)}")

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # the terminal is gone
            self._say(text)
