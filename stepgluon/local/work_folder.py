"""Reads the runs of a work folder, with or without a server using it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from localaws.base.clients import Clients
from localaws.base.environment import UNREACHABLE, clean_environment
from stepgluon.advice import pipeline_py
from stepgluon.errors import SurroundingsError, UsageError, listed
from stepgluon.figures import took
from stepgluon.local.surroundings import this_computer, write
from stepgluon.runs.executions import meant, unknown_run
from stepgluon.runs.history import Story, read
from stepgluon.runs.run_list import started

if TYPE_CHECKING:
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names

SERVER, LOCK = "server.json", "lock"
ARN_COLONS = 7  # arn:aws:states:region:account:execution:machine:run
ENDS_SECONDS = 5  # between a server's last response and its end
_NEEDED: dict[str, type | tuple[type, ...]] = {  # by all commands
    **dict.fromkeys(("run", "arn", "status"), str),
    **dict.fromkeys(("started", "seconds"), (int, float)),
    **dict.fromkeys(("models", "jobs", "lines"), list),
    "failure": (dict, type(None)),
}
_PARTS = {"models": {"name", "verdict"}, "jobs": {"name", "state", "status", "seconds"}}


def all_runs(work: Path) -> list[dict[str, Any]]:
    """run.json of each run, latest first; corrupt ones are left out."""
    served = is_served(work)
    found = [record for file in (work / "runs").glob("*/run.json") if (record := _record(file, served))]
    return sorted(found, key=lambda record: record["started"], reverse=True)


def find_run(work: Path, run: str, names: Callable[[], Names | None]) -> dict[str, Any] | None:
    """The run with this name, or the config's latest one, or the only one of the config with this prefix.

    A folder with runs of one pipeline alone can be read without a config, for which `names` returns None.
    """
    runs = all_runs(work)
    if exact := next((record for record in runs if record["run"] == run), None):
        return exact
    folders = {folder.name: folder for folder in (work / "runs").glob("*/")}  # the name may be any text
    if run in folders and (
        (folders[run] / "run.json").exists() or not is_served(work)
    ):  # a server is about to write it
        raise UsageError(f"run.json in {work / 'runs' / run} is damaged (its history, logs and results are beside it)")
    mine, machines = names(), sorted({machine_of(record) for record in runs})
    if mine is None and len(machines) > 1:
        raise UsageError(f"{work} has runs of {listed(machines, 'and')}: choose one with --config and --env")
    known = {
        record["run"]: record for record in runs if mine is None or record["arn"] == mine.execution_arn(record["run"])
    }
    name = meant(run, list(known), str(work))
    return known[name] if name else None


def machine_of(record: dict[str, Any]) -> str:
    """The pipeline that the run belongs to, with its environment."""
    return str(record["arn"].split(":")[6])


def of_others(prefix: str, runs: list[dict[str, Any]]) -> str:
    """Which pipeline has no runs, and which have."""
    return f" of {prefix}, only of {listed(sorted({machine_of(record) for record in runs}), 'and')}"


def one_run(work: Path, run: str) -> dict[str, Any]:
    """The run with this name."""
    found = find_run(work, run, lambda: None)
    if found is None:
        raise unknown_run(run, [record["run"] for record in all_runs(work)], str(work), "runs")
    return found


def run_of(work: Path, run: str) -> dict[str, Any] | None:
    """run.json of this run, or None if it does not exist or is corrupt."""
    return _record(work / "runs" / run / "run.json", is_served(work))


def local_story(work: Path, run: str) -> Story:
    """The run's history as a story; empty if history.json is missing or corrupt."""
    try:
        return read(json.loads((work / "runs" / run / "history.json").read_text("utf-8")))
    except (OSError, ValueError):
        return Story()


def _record(file: Path, served: bool) -> dict[str, Any] | None:
    try:
        record = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not _is_whole(record):
        return None
    if record["status"] == "RUNNING" and served:
        _lasts(record, time.time() - file.stat().st_mtime)
    elif record["status"] == "RUNNING":
        record["status"] = "CUT OFF"
    return record


def _is_whole(record: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it has what the commands need; an edited file may have anything."""
    return (
        isinstance(record, dict)
        and all(key in record and isinstance(record[key], kind) for key, kind in _NEEDED.items())
        and record["arn"].count(":") == ARN_COLONS
        and all(isinstance(one, dict) and one.keys() >= keys for part, keys in _PARTS.items() for one in record[part])
    )


def _lasts(record: dict[str, Any], seconds: float) -> None:
    """Add the time since run.json was written."""
    for one in (record, *record["jobs"]):
        if one["status"] in ("RUNNING", "InProgress"):
            one["seconds"] = round(one["seconds"] + max(0.0, seconds), 1)


def is_served(work: Path) -> bool:
    """Whether a local AWS is using the folder."""
    try:
        with (work / LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def refuse_in_use(work: Path) -> None:
    """Raise SurroundingsError if a local AWS is using the folder; name its run."""
    if not is_served(work):
        return
    other = "or name another folder with --work)"
    run = next((record for record in all_runs(work) if record["status"] == "RUNNING"), None)
    if run is None:
        raise SurroundingsError(
            f"{work} is in use by another local AWS, in which no run is in progress "
            f"(stop it: {pipeline_py('local down')}; {other}"
        )
    raise SurroundingsError(
        f"{work} is in use: the run {run['run']} has been running for {took(run['seconds'])}, since "
        f"{started(run['started'])} (follow it: {pipeline_py('watch', run['run'])}; "
        f"or stop it with Ctrl-C in its terminal, {other}"
    )


@contextmanager
def told_where(work: Path, endpoint: str) -> Iterator[None]:
    """In the block, other commands can find the server."""
    file = work / SERVER
    write(file, json.dumps({"endpoint": endpoint, "process": os.getpid()}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def buckets_of(loaded: LoadedConfig, work: Path) -> Iterator[Any]:
    """An S3 client for the work folder's buckets."""
    with door_of(loaded, work) as door:
        yield door.client("s3")


@contextmanager
def door_of(loaded: LoadedConfig, work: Path) -> Iterator[Any]:
    """Makes clients for the work folder, from the server using it or else a temporary one."""
    config = loaded.config
    if not (work / "buckets").is_dir():
        if (work / "runs").is_dir():
            raise SurroundingsError(f"{work / 'buckets'} is gone, and the models of its runs with it (start a new run)")
        raise UsageError(f"{work} has no runs (start one: {pipeline_py('run --data FILE')})")
    if is_served(work):
        with served(work, config.region) as door:
            yield door
    else:
        from localaws.server.aws import LocalAws, Settings

        with (
            this_computer(),
            LocalAws(Settings(Path(os.path.abspath(work)), config.account, config.region)) as aws,
        ):
            yield aws


class ServerGone(SurroundingsError):
    """The local AWS of another process has ended."""

    def __init__(self, work: Path) -> None:
        up = pipeline_py("local up")
        super().__init__(f"the local AWS of {work} has ended; its runs were cut off (`{up}` continues them)")


class _Served:
    """Provides clients for the local AWS of another process."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients, self._region = clients, region

    def client(self, service: str) -> Any:
        return self._clients.get(service, self._region)


@contextmanager
def served(work: Path, region: str) -> Iterator[_Served]:
    """The local AWS that is using the folder, ignoring the shell's AWS settings; raises ServerGone."""
    from botocore.exceptions import ConnectionError, HTTPClientError

    with clean_environment(UNREACHABLE), closing(Clients(endpoint(work))) as clients:
        try:
            yield _Served(clients, region)
        except (ConnectionError, HTTPClientError):
            end = time.monotonic() + ENDS_SECONDS
            while is_served(work) and time.monotonic() < end:
                time.sleep(0.1)
            raise ServerGone(work) from None


def endpoint(work: Path) -> str:
    """The address of the server that is using the folder."""
    try:
        return str(json.loads((work / SERVER).read_text("utf-8"))["endpoint"])
    except (OSError, ValueError, KeyError):
        raise SurroundingsError(f"{work} is used by a local AWS that is starting or ending (try again)") from None
