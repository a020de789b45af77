"""`run`: a local AWS with the pipeline in it, and one run.

    start and deploy -> upload the data -> upload the .run file, which starts the run through the Lambda as on AWS ->
    follow -> collect the results -> stop everything

The same command with the same files and settings continues an interrupted run: docs/decisions/0050.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.base.environment import private_files
from localaws.server.aws import Settings
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import StepgluonError, SurroundingsError
from stepgluon.live import browser
from stepgluon.live.page import LivePage
from stepgluon.local.compile_cache import ROOT, compiled
from stepgluon.local.deployed import Deployed, deployed, processes
from stepgluon.local.journal import Begun
from stepgluon.local.live_runs import LocalRuns
from stepgluon.local.run_folder import collect, lines_of, refreshed, remark
from stepgluon.local.surroundings import (
    blame_the_disk,
    blamed_on,
    no_room,
    terminated_as_interrupted,
)
from stepgluon.local.work_folder import SERVER, refuse_in_use, told_where
from stepgluon.runs import view
from stepgluon.runs.history import ENDED, Event, Job, Story
from stepgluon.runs.map_runs import map_words
from stepgluon.runs.progress import QUEUED, Progress, doing
from stepgluon.runs.start import folder_for, stem_of
from stepgluon.runs.watch import follow

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

TRIGGER_SECONDS = 120  # for the Lambda and its retries
GRACE_SECONDS = 4.0  # Ctrl-C ends everything within 10 s


@dataclass(frozen=True)
class Order:
    """The user's request."""

    data: tuple[Path, ...]
    work: Path
    threshold: float | None = None
    note: str = ""
    fresh: bool = False
    open: bool = False  # the live page in the browser
    port: int = 0  # of the local AWS; any free one


def run(
    loaded: LoadedConfig,
    workflow: Workflow,
    order: Order,
    progress: Progress,
    check_data: Callable[[], None],
    show: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Carry out the order; show and return the run as in run.json. `check_data` raises if the tables are bad."""
    progress.soon(f"Starting a local AWS with the pipeline {loaded.config.name}.")
    with at_work(loaded, workflow, order.work, port=order.port, fresh=order.fresh) as place:
        if order.open:
            browser.show(f"{place.aws.endpoint}/", progress.say)
        place.functions.deliver_left(place.names.tell_function)
        check_data()
        tables = _upload(place, order)
        identity = _identity(place, order, tables)
        try:
            record = followed(place, _begin(place, order, tables, identity, progress), progress)
            blame_the_disk(record, order.work)
        except (KeyboardInterrupt, SurroundingsError):  # repeating the command starts a new run
            place.journal.end_command(identity)
            raise
        show(record)  # if killed before the next line, the repeated command shows the same run
        place.journal.end_command(identity)
    return record


@contextmanager
def at_work(
    loaded: LoadedConfig,
    workflow: Workflow,
    work: Path,
    say: Callable[[str], None] = lambda text: None,
    *,
    port: int = 0,
    fresh: bool = False,
) -> Iterator[Deployed]:
    """The pipeline in a local AWS that other commands can find; keeps the run folders up to date."""
    with private_files(), blamed_on(work), terminated_as_interrupted():
        refuse_in_use(work)
        (work / SERVER).unlink(missing_ok=True)  # a killed server's, whose process id may belong to another program now
        others = compiled(loaded, workflow, work)
        definition = others.pop("definition")
        settings = settings_of(loaded, work, port, fresh)
        with (
            deployed(loaded, definition, settings, others) as place,
            told_where(work, place.aws.endpoint),
            live_page(place),
            refreshed(place, say),
        ):
            yield place


@contextmanager
def live_page(place: Deployed) -> Iterator[None]:
    """In the block, browsers get the live page at the server's root; at its end, they get the last state."""
    place.aws.page = page = LivePage(LocalRuns(place))
    try:
        yield
    finally:
        page.close()


def settings_of(loaded: LoadedConfig, work: Path, port: int, fresh: bool) -> Settings:
    config, folder = loaded.config, Path(os.path.abspath(work))  # jobs run in other working directories
    code, own = ROOT / "code", processes(config)
    return Settings(folder, config.account, config.region, port, code, own, fresh, grace_seconds=GRACE_SECONDS)


# Starting the run


def _upload(place: Deployed, order: Order) -> dict[str, str]:
    """Upload the tables; return their SHA-256s by name. The files are not read again."""
    contents = {file.name: place.aws.objects.copy_in(file) for file in order.data}
    tables = {name: content.sha256 for name, content in contents.items()}
    for name, content in contents.items():
        place.aws.buckets.put_content(place.names.raw_bucket, folder_for(tables) + name, content)
    return tables


def _identity(place: Deployed, order: Order, tables: dict[str, str]) -> str:
    """An id that is equal for two commands with the same files and settings."""
    parts = [sorted(tables.items()), place.names.config_uri, order.threshold, order.note]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _begin(place: Deployed, order: Order, tables: dict[str, str], identity: str, progress: Progress) -> Begun:
    journal = place.journal
    key = f"{folder_for(tables)}{stem_of(order.data[0].name)}.run"
    run_file = f"s3://{place.names.raw_bucket}/{key}"
    before = journal.command(identity)
    if before is not None and not order.fresh and (resumed := _resumed(place, journal.of_upload(run_file, before))):
        ended = journal.ended(resumed.arn)
        progress.say(
            f"Run {resumed.name} has ended; this is its result."
            if ended
            else f"Continuing run {resumed.name}, which was cut off."
        )
        return resumed
    before = [begun.arn for begun in journal.of_upload(run_file)]
    journal.begin_command(identity, before)
    _forget_upload(place, key)
    settings = {"note": order.note or None, "threshold": order.threshold, "fresh": order.fresh or None}
    content = {key: value for key, value in settings.items() if value is not None}
    body = json.dumps(content).encode() if content else b""
    place.aws.client("s3").put_object(Bucket=place.names.raw_bucket, Key=key, Body=body)
    try:
        begun = _triggered(place, run_file, before)
    except KeyboardInterrupt:
        _forget_upload(place, key)
        raise
    progress.say(f"Run {begun.name} has started.")
    return begun


def _forget_upload(place: Deployed, key: str) -> None:
    """Drop the event of an earlier upload whose command was interrupted before its run began."""

    def is_it(event: dict[str, Any]) -> bool:
        return bool(event.get("source") == "aws.s3" and event["detail"]["object"]["key"] == key)

    place.functions.pending.drop(is_it)


def _resumed(place: Deployed, runs: list[Begun]) -> Begun | None:
    """Continue the run of an interrupted command, unless the run was stopped."""
    for begun in runs:
        place.go_on(begun)
        if place.aws.client("stepfunctions").describe_execution(executionArn=begun.arn)["status"] != "ABORTED":
            return begun
    return None


def _triggered(place: Deployed, run_file: str, before: list[str]) -> Begun:
    """Wait for the execution that the uploaded .run file starts."""
    end = time.monotonic() + TRIGGER_SECONDS
    while time.monotonic() < end:
        for begun in place.journal.of_upload(run_file, before):
            return begun
        place.journal.wait(0.5)
        if full := no_room(place.work):  # retries are pointless: no function can start
            raise full
    log = place.work / "functions" / f"{place.names.function}.log"
    raise StepgluonError(f"the .run file started no run (see the function's log: {view.shown(os.fspath(log))})")


# Following the run


def followed(place: Deployed, begun: Begun, progress: Progress) -> dict[str, Any]:
    """Follow the run to its end; Ctrl-C stops it. Return the run as in run.json."""
    try:
        _follow(place, begun, progress)
    except KeyboardInterrupt:
        _stop(place, begun, progress)
        raise
    return collect(place, begun)


def _follow(place: Deployed, begun: Begun, progress: Progress) -> None:
    def said(job: Job) -> str:
        known = place.aws.sagemaker.known(job.kind, job.name)
        if known and known.state.secondary == "Starting":
            return QUEUED
        return doing(lines_of(place, job))

    noted: set[str] = set()

    def look() -> list[Event]:
        for note in {job.note for job in place.aws.sagemaker.jobs()} - {""} - noted:
            noted.add(note)
            progress.say(note)
        runs = begun.arn in place.journal.running()
        events = place.aws.history(begun.arn)
        if not runs and not any(event["type"] in ENDED for event in events):
            raise StepgluonError(f"the run {begun.name} ended without an end (call the same command again)")
        return events

    steps = place.aws.client("stepfunctions")

    def tell(story: Story) -> None:
        story.jobs += place.child_jobs.of(place.aws, story, remark(place)) if story.running_maps else []
        progress.tell(story, said, map_words(steps, story))

    follow(look, tell, place.journal.wait, remark(place))
    place.journal.wait_for_end(begun.arn, 10)  # wait until its last mail is written
    progress.done()


def _stop(place: Deployed, begun: Begun, progress: Progress) -> None:
    progress.done()
    progress.say("Stopping the run and its jobs.")
    place.aws.client("stepfunctions").stop_execution(
        executionArn=begun.arn, error="Interrupted", cause=f"{place.names.prefix} was stopped by Ctrl-C."
    )
    place.journal.wait_for_end(begun.arn, place.aws.settings.ending_seconds)
    for job in place.aws.sagemaker.jobs():
        job.stop()
    progress.say("Stopped. The same command reuses the jobs that finished.")
