"""Turns problems of a local run's environment into one sentence: the disk, the work folder, signals."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from localaws.errors import EXHAUSTED, ComputerError, is_exhaustion, room_for_a_run
from stepgluon.errors import StepgluonError, SurroundingsError

ROOM = 1 << 20  # bytes; a disk with less is full, because a failed write may have freed its space again
_ERRNOS = {
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


@contextmanager
def this_computer() -> Iterator[None]:
    """Report errors that stop the local AWS as problems of this computer, not as bugs."""
    try:
        yield
    except ComputerError as problem:
        raise SurroundingsError(str(problem)) from None


@contextmanager
def blamed_on(work: Path) -> Iterator[None]:
    """Create the folder; an unusable folder and a full or read-only disk become SurroundingsError."""
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise SurroundingsError(f"{work} cannot be used: {reason} (name another folder with --work)") from None
    if not room_for_a_run():
        raise SurroundingsError(EXHAUSTED)
    try:
        yield
    except Exception as problem:  # a full disk causes many errors, such as a failed request to the local AWS
        failed = problem if isinstance(problem, OSError) and problem.errno in _ERRNOS else None
        if not isinstance(problem, StepgluonError) or problem.exit_code == StepgluonError.exit_code:
            if is_exhaustion(repr(problem)):
                raise SurroundingsError(EXHAUSTED) from None
            failed = failed or no_room(work, str(problem))
        if failed is None:
            raise
        words = (failed.strerror or "unknown reason").lower()
        raise SurroundingsError(
            f"{failed.filename or work} cannot be written: {words} (make room, or name another folder with --work)"
        ) from None


def no_room(work: Path, message: str = "") -> OSError | None:
    """The error that prevents writing to the folder: from the message, a nearly full disk, or a failed write."""
    full = os.strerror(errno.ENOSPC)
    if full.lower() in message.lower() or shutil.disk_usage(work).free < ROOM:
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


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A temporary path for the file, which gets its name once complete and is removed otherwise."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(file)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write(file: Path, text: str) -> None:
    """Write a file completely or not at all."""
    with whole(file) as part:
        part.write_text(text, encoding="utf-8")


def blame_the_disk(run: dict[str, Any], work: Path) -> None:
    """Raise if the run failed because of the disk, used-up threads or memory, or a damaged work folder."""
    if not run["failure"]:
        return
    if is_exhaustion(run["failure"]["sentence"]):
        raise SurroundingsError(EXHAUSTED)
    said = "\n".join(one["sentence"].lower() for one in (run["failure"], *run["jobs"]))
    if os.strerror(errno.ENOSPC).lower() in said or "the job's disk is full" in said:  # the system's or a job's words
        raise SurroundingsError(
            f"the disk of {work} is full, so the run {run['run']} failed (make room, then call the same command again)"
        )
    if os.strerror(errno.EIO).lower() in said or not (work / "buckets" / "contents").is_dir():
        raise SurroundingsError(
            f"{work} was damaged or moved during the run {run['run']}, which failed (name another folder with --work)"
        )


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Make SIGTERM and a closed terminal stop everything, like Ctrl-C."""
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
