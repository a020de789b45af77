"""What a work folder knows of its runs, with or without a server on it."""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.base.clients import Clients
from localaws.base.environment import UNREACHABLE, clean_environment
from localaws.errors import ComputerError
from stepgluon.advice import pipeline_py
from stepgluon.errors import SurroundingsError, UsageError
from stepgluon.runs.follow import Story, read

if TYPE_CHECKING:
    from stepgluon.config.source import LoadedConfig

SERVER = "server.json"
ENDS_SECONDS = 5  # between a server's last answer and its end
_NEEDED = {"run", "arn", "status", "started", "seconds", "models", "jobs", "failure", "lines"}  # for any command


def all_runs(work: Path) -> list[dict[str, Any]]:
    """What run.json says of each run, the latest first; one whose run.json is damaged is left out."""
    served = is_served(work)
    found = [told for file in (work / "runs").glob("*/run.json") if (told := _told(file, served))]
    return sorted(found, key=lambda told: (told["started"], told["run"]), reverse=True)


def one_run(work: Path, run: str) -> dict[str, Any]:
    """The run of that name; `latest` is the one that started last."""
    runs = {told["run"]: told for told in all_runs(work)}
    if run == "latest" and runs:
        return next(iter(runs.values()))
    if run in runs:
        return runs[run]
    if any(file.parent.name == run for file in (work / "runs").glob("*/run.json")):  # whatever the name is like
        raise UsageError(f"run.json in {work / 'runs' / run} is damaged (its history, logs and results are beside it)")
    close = [name for name in runs if run and name.startswith(run)] or difflib.get_close_matches(run, runs, 1)
    hint = f"did you mean {close[0]}?" if close else f"`{pipeline_py('runs')}` lists them"
    raise UsageError(f"{work} has no run {run or repr(run)} ({hint})")


def story_here(work: Path, run: str) -> Story:
    """What the run's history tells; nothing where history.json is gone or damaged."""
    try:
        return read(json.loads((work / "runs" / run / "history.json").read_text("utf-8")))
    except (OSError, ValueError):
        return Story()


def knows(work: Path, run: str) -> bool:
    """Whether a command that names this run, or its beginning, or `latest`, may mean one of the folder's."""
    return any(run == "latest" or told["run"].startswith(run) for told in all_runs(work))


def _told(file: Path, served: bool) -> dict[str, Any] | None:
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(told, dict) or not told.keys() >= _NEEDED:
        return None
    if told["status"] == "RUNNING" and served:
        _lasts(told, time.time() - file.stat().st_mtime)
    elif told["status"] == "RUNNING":
        told["status"] = "CUT OFF"
    return told


def _lasts(told: dict[str, Any], seconds: float) -> None:
    """A run that goes on has lasted longer than when its file was written."""
    for one in (told, *told["jobs"]):
        if one["status"] in ("RUNNING", "InProgress"):
            one["seconds"] = round(one["seconds"] + max(0.0, seconds), 1)


def is_served(work: Path) -> bool:
    """Whether a local AWS is at work on the folder."""
    try:
        with (work / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def told_where(work: Path, endpoint: str) -> Iterator[None]:
    """While the block lasts, other commands find the server."""
    file = work / SERVER
    part = file.with_name(f".{SERVER}.{os.getpid()}.part")
    part.write_text(json.dumps({"endpoint": endpoint}), encoding="utf-8")
    part.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def buckets_of(loaded: LoadedConfig, work: Path) -> Iterator[Any]:
    """A client of S3 for the work folder's buckets: of the server that is at work on it, else of one for the moment."""
    config = loaded.config
    if not (work / "buckets").is_dir():
        raise UsageError(f"{work} has no runs (start one: {pipeline_py('run --local --data FILE')})")
    if is_served(work):
        with served(work, config.region) as door:
            yield door.client("s3")
    else:
        from localaws.server.aws import LocalAws, Settings

        with (
            this_computer(),
            LocalAws(Settings(Path(os.path.abspath(work)), config.account, config.region)) as aws,
        ):
            yield aws.client("s3")


@contextmanager
def this_computer() -> Iterator[None]:
    """What keeps the local AWS from working is this computer's fault, and not a bug."""
    try:
        yield
    except ComputerError as problem:
        raise SurroundingsError(str(problem)) from None


class ServerGone(SurroundingsError):
    """The local AWS of another process does not answer any more."""


class _Served:
    """A door to the local AWS of another process."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients, self._region = clients, region

    def client(self, service: str) -> Any:
        return self._clients.get(service, self._region)


@contextmanager
def served(work: Path, region: str) -> Iterator[_Served]:
    """The local AWS that is at work on the folder, whatever the shell says about AWS; raises ServerGone."""
    from botocore.exceptions import ConnectionError, HTTPClientError

    with clean_environment(UNREACHABLE), closing(Clients(_endpoint(work))) as clients:
        try:
            yield _Served(clients, region)
        except (ConnectionError, HTTPClientError):
            end = time.monotonic() + ENDS_SECONDS
            while is_served(work) and time.monotonic() < end:
                time.sleep(0.1)
            raise ServerGone(
                f"the local AWS of {work} has ended, and its runs were cut off (`{pipeline_py('local up')}` goes on)"
            ) from None


def _endpoint(work: Path) -> str:
    """Where the server is that is at work on the folder."""
    try:
        return str(json.loads((work / SERVER).read_text("utf-8"))["endpoint"])
    except (OSError, ValueError, KeyError):
        raise SurroundingsError(f"{work} is used by a local AWS that is about to start or to end (try again)") from None
