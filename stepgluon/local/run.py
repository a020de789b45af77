"""A run on this computer, from the data files to the panel: the story of `run --local` and of `local up`.

    check the files -> start and deploy -> upload the data -> upload the .run file, which starts the run through the
    Lambda as on AWS -> follow -> collect what is left -> stop everything

The same command with the same files and settings is the same order. When the computer was cut off while it was being
carried out, the next such command goes on with that run; docs/decisions/0050-the-same-command-again.md tells how.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from localaws.base.environment import private_files
from localaws.server.aws import Settings
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import StepgluonError, SurroundingsError, UsageError
from stepgluon.local.compile_cache import ROOT, compiled
from stepgluon.local.deployed import Deployed, deployed, nothing
from stepgluon.local.journal import Begun
from stepgluon.local.run_folder import cached, collect
from stepgluon.local.watcher import watched
from stepgluon.local.work_folder import told_where
from stepgluon.runs import view
from stepgluon.runs.follow import ENDED, Event, Job, follow
from stepgluon.runs.progress import Progress
from stepgluon.runs.start import folder_for, stem_of

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow

TRIGGER_SECONDS = 120  # for the Lambda and its tries
_DONE = {"before": [], "done": True}
GRACE_SECONDS = 4.0  # Ctrl-C ends everything within 10 s
ROOM = 1 << 20  # a disk with less is full: what a write that failed had taken is free again when it is looked at
_THIS_COMPUTER = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


@dataclass(frozen=True)
class Order:
    """What `run --local` was asked for."""

    data: tuple[Path, ...]
    work: Path
    threshold: float | None = None
    note: str = ""
    fresh: bool = False


def run(
    loaded: LoadedConfig, workflow: Workflow, order: Order, progress: Progress, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Carries out the order; shows and returns what run.json says of the run."""
    check_files(order.data)
    with at_work(loaded, workflow, order.work, fresh=order.fresh) as place:
        place.functions.deliver_left(place.names.tell_function)
        tables = _upload(place, order)
        identity = _identity(place, order, tables)
        try:
            told = followed(place, _begin(place, order, tables, identity, progress), progress)
            blame_the_disk(told, order.work)
        except (KeyboardInterrupt, SurroundingsError):  # the next same command is a new run
            place.journal.write_command(identity, _DONE)
            raise
        show(told)  # a command that is killed before the next line shows the same run when it is called again
        place.journal.write_command(identity, _DONE)
    return told


@contextmanager
def at_work(
    loaded: LoadedConfig,
    workflow: Workflow,
    work: Path,
    say: Callable[[str], None] = nothing,
    *,
    port: int = 0,
    fresh: bool = False,
) -> Iterator[Deployed]:
    """The pipeline in a local AWS that other commands find; its runs are kept, its troubles are one sentence."""
    with private_files(), whatever_this_computer_does(work), terminated_as_interrupted():
        definition = definition_of(loaded, workflow, work)
        settings = settings_of(loaded, work, port, fresh)
        with (
            deployed(loaded, definition, settings) as place,
            told_where(work, place.aws.endpoint),
            watched(place, say),
        ):
            yield place


def definition_of(loaded: LoadedConfig, workflow: Workflow, work: Path) -> str:
    def compile_now() -> str:
        from stepgluon.workflow.compile import compile_definition

        return compile_definition(loaded, workflow).text

    return compiled(loaded, workflow, work, compile_now)


def settings_of(loaded: LoadedConfig, work: Path, port: int, fresh: bool) -> Settings:
    config = loaded.config
    return Settings(
        work=Path(os.path.abspath(work)),  # jobs have a working folder of their own
        account=config.account,
        region=config.region,
        code=ROOT / "code",
        port=port,
        fresh=fresh,
        grace_seconds=GRACE_SECONDS,
    )


# The files


def check_files(files: tuple[Path, ...]) -> None:
    names: dict[str, Path] = {}
    for file in files:
        if not file.exists():
            raise UsageError(f"--data {file}: there is no such file (name tables that exist)")
        if file.is_dir():
            raise UsageError(f"--data {file}: this is a folder (name the tables in it, like {file}/*.csv)")
        if not file.is_file():
            raise UsageError(f"--data {file}: this is no file (write what it gives into one, and name that)")
        if not os.access(file, os.R_OK):
            raise UsageError(f"--data {file}: you may not read this file (change its permissions)")
        if file.name.startswith((".", "_")) or file.name.endswith(".run"):
            raise UsageError(f"--data {file}: the pipeline ignores files with such a name (rename it)")
        if file.name in names:
            raise UsageError(
                f"--data {file}: {names[file.name]} has the same name, and both go to one folder (rename one)"
            )
        names[file.name] = file


def _upload(place: Deployed, order: Order) -> dict[str, str]:
    """Puts the tables into their folder; returns their SHA-256s by name. The files are not read again."""
    contents = {file.name: place.aws.objects.copy_in(file) for file in order.data}
    tables = {name: content.sha256 for name, content in contents.items()}
    for name, content in contents.items():
        place.aws.buckets.put_content(place.names.raw_bucket, folder_for(tables) + name, content, time.time())
    return tables


# The run's beginning


def _identity(place: Deployed, order: Order, tables: dict[str, str]) -> str:
    """What makes two commands the same order."""
    told = [sorted(tables.items()), place.names.config_uri, order.threshold, order.note]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _begin(place: Deployed, order: Order, tables: dict[str, str], identity: str, progress: Progress) -> Begun:
    key = f"{folder_for(tables)}{stem_of(order.data[0].name)}.run"
    run_file = f"s3://{place.names.raw_bucket}/{key}"
    resumed = None if order.fresh else _resumed(place, identity, run_file)
    if resumed:
        ended = place.journal.ended(resumed.arn)
        progress.say(
            f"Going on with run {resumed.name}, which was cut off."
            if not ended
            else f"Run {resumed.name} has ended; this is its result."
        )
        return resumed
    before = [begun.arn for begun in place.journal.begun() if begun.run_file == run_file]
    place.journal.write_command(identity, {"before": before, "done": False})
    _forget_upload(place, key)
    told = {"note": order.note or None, "threshold": order.threshold, "fresh": order.fresh or None}
    content = {key: value for key, value in told.items() if value is not None}
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
    """An upload that has started nothing yet will not: its command was called again, or stopped with Ctrl-C."""

    def is_it(event: dict[str, Any]) -> bool:
        return any(unquote_plus(record["s3"]["object"]["key"]) == key for record in event.get("Records", []))

    place.functions.pending.drop(is_it)


def _resumed(place: Deployed, identity: str, run_file: str) -> Begun | None:
    """The run that the same command began and did not finish; it goes on, unless somebody has stopped it."""
    known = place.journal.command(identity)
    if known is None or known["done"]:
        return None
    for begun in place.journal.begun():
        if begun.run_file == run_file and begun.arn not in known["before"]:
            place.go_on(begun)
            if place.aws.client("stepfunctions").describe_execution(executionArn=begun.arn)["status"] == "ABORTED":
                continue
            return begun
    return None


def _triggered(place: Deployed, run_file: str, before: list[str]) -> Begun:
    """The execution that the uploaded .run file starts."""
    end = time.monotonic() + TRIGGER_SECONDS
    while time.monotonic() < end:
        for begun in place.journal.begun():
            if begun.run_file == run_file and begun.arn not in before:
                return begun
        place.journal.wait(0.5)
        if full := _no_room(place.work):  # on which no function can begin, however often it is tried
            raise full
    log = place.work / "functions" / f"{place.names.prefix}-start.log"
    raise StepgluonError(f"the .run file started no run (the function's log tells why: {view.shown(os.fspath(log))})")


# Its course


def followed(place: Deployed, begun: Begun, progress: Progress) -> dict[str, Any]:
    """Follows the run to its end, which Ctrl-C brings about; returns what run.json says of it."""
    try:
        _follow(place, begun, progress)
    except KeyboardInterrupt:
        _stop(place, begun, progress)
        raise
    return collect(place, begun)


def _follow(place: Deployed, begun: Begun, progress: Progress) -> None:
    def remark(job: Job) -> str:
        return "cached" if cached(place, job) else ""

    def said(job: Job) -> str:
        lines = place.aws.logs.lines(job.kind, job.name)
        return lines[-1] if lines else ""

    def look() -> list[Event]:
        runs = begun.arn in place.journal.running()
        events = place.aws.history(begun.arn)
        if not runs and not any(event["type"] in ENDED for event in events):
            raise StepgluonError(f"the run {begun.name} ended without an end (call the same command again)")
        return events

    follow(look, lambda story: progress.tell(story, said), place.journal.wait, remark)
    place.journal.wait_for_end(begun.arn, 10)  # until its last mail is written
    progress.done()


def _stop(place: Deployed, begun: Begun, progress: Progress) -> None:
    progress.done()
    progress.say("Stopping the run and its jobs.")
    place.aws.client("stepfunctions").stop_execution(
        executionArn=begun.arn, error="Interrupted", cause="The run was stopped with Ctrl-C."
    )
    place.journal.wait_for_end(begun.arn, place.aws.settings.ending_seconds)
    for job in place.aws.sagemaker.jobs():
        job.stop()


# This computer


@contextmanager
def whatever_this_computer_does(work: Path) -> Iterator[None]:
    """A folder that cannot be one and a full or read-only disk are one sentence, wherever they show."""
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise SurroundingsError(f"{work} cannot be used: {reason} (name another folder with --work)") from None
    try:
        yield
    except Exception as problem:  # a full disk has many faces, one of them a request that the local AWS cannot answer
        failed = problem if isinstance(problem, OSError) and problem.errno in _THIS_COMPUTER else None
        if not isinstance(problem, StepgluonError) or problem.exit_code == StepgluonError.exit_code:
            failed = failed or _no_room(work, str(problem))
        if failed is None:
            raise
        words = (failed.strerror or "unknown reason").lower()
        raise SurroundingsError(
            f"{failed.filename or work} cannot be written: {words} (make room, or name another folder with --work)"
        ) from None


def _no_room(work: Path, told: str = "") -> OSError | None:
    """Why nothing more can be written into the folder: an error tells it, no room is left, or a file is refused."""
    full = os.strerror(errno.ENOSPC)
    if full.lower() in told.lower() or shutil.disk_usage(work).free < ROOM:
        return OSError(errno.ENOSPC, full, os.fspath(work))
    part = work / f".room.{os.getpid()}.part"
    try:
        part.write_bytes(bytes(1 << 16))
    except OSError as problem:
        return OSError(problem.errno, problem.strerror, os.fspath(work))
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return None


def blame_the_disk(told: dict[str, Any], work: Path) -> None:
    full = (os.strerror(errno.ENOSPC).lower(), "the job's disk is full")  # the system's words, and the jobs'
    failure = told["failure"]
    if failure and any(words in one["sentence"].lower() for one in (failure, *told["jobs"]) for words in full):
        raise SurroundingsError(
            f"the disk of {work} is full, so the run {told['run']} failed (make room, then call the same command again)"
        )


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM and a closed terminal end everything in the way of Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
