"""Logs in CloudWatch, as moto stores them: of SageMaker's jobs and of functions."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

GROUPS = {kind: f"/aws/sagemaker/{kind.title()}Jobs" for kind in ("training", "processing", "transform")}
MOST_STREAMS = 500  # per group of jobs; the logs of older runs are in DIR/runs/
# Per stream, in memory; the oldest lines are dropped. A line may have 256 KiB.
MOST_LINES, MOST_CHARACTERS = 10_000, 16 * 1024 * 1024
_KEPT = f"the local AWS keeps the last {MOST_LINES:,} lines of a log, {MOST_CHARACTERS // 1024**2} MB at most"


def _backend(account: str, region: str) -> Any:
    from moto.logs.models import logs_backends

    return logs_backends[account][region]


def _stream(backend: Any, group: str, name: str) -> Any:
    backend.ensure_log_group(group)
    backend.ensure_log_stream(group, name)
    return backend.groups[group].streams[name]


def _write(stream: Any, lines: Iterable[str]) -> None:
    now = int(time.time() * 1000)
    texts = [line or " " for line in lines]
    stream.put_log_events([{"timestamp": now, "message": text} for text in texts])
    stream.characters = getattr(stream, "characters", 0) + sum(map(len, texts))
    if len(stream.events) > MOST_LINES or stream.characters > MOST_CHARACTERS:
        _shorten(stream)


def _shorten(stream: Any) -> None:
    """Keep the last nine tenths of what a stream may have, so that this is rare, and say how many lines went."""
    kept = characters = 0
    for event in reversed(stream.events):
        if kept >= MOST_LINES * 9 // 10 or characters + len(event.message) > MOST_CHARACTERS * 9 // 10:
            break
        kept, characters = kept + 1, characters + len(event.message)
    gone = len(stream.events) - kept
    earlier = getattr(stream, "dropped", 0)  # the first event says so
    stream.dropped = earlier + gone - bool(earlier)
    del stream.events[:gone]
    stream.characters = characters
    first = stream.events[0]
    text = f"[local] {stream.dropped:,} earlier lines were dropped; {_KEPT}."
    stream.events.insert(0, type(first)(first.ingestion_time, {"timestamp": first.timestamp, "message": text}))


class JobLogs:
    """One stream per instance of a job, named as on AWS."""

    def __init__(self, account: str, region: str) -> None:
        self._backend = _backend(account, region)
        self._lock = threading.Lock()  # moto's dictionaries of groups and streams have no lock
        self._names: dict[str, set[str]] = {}  # of the streams of a job, by `kind job`

    def stream(self, kind: str, job: str, instance: int, more: str = "") -> Callable[[str], None]:
        """Create a stream; return a function that writes a line to it."""
        with self._lock:
            name = f"{job}/algo-{instance + 1}-{int(time.time())}{more}"
            stream = _stream(self._backend, GROUPS[kind], name)
            self._names.setdefault(f"{kind} {job}", set()).add(name)
            streams = self._backend.groups[GROUPS[kind]].streams
            while len(streams) > MOST_STREAMS:
                old = next(iter(streams))
                streams.pop(old)
                self._names.pop(f"{kind} {old.partition('/')[0]}", None)
        return lambda line: _write(stream, [line])

    def of_build(self, group: str, name: str) -> Callable[[str], None]:
        """The same for a build of CodeBuild."""
        with self._lock:
            stream = _stream(self._backend, group, name)
        return lambda line: _write(stream, [line])

    def lines(self, kind: str, job: str) -> list[str]:
        """All lines of a job, instance by instance."""
        with self._lock:
            group = self._backend.groups.get(GROUPS[kind])
            known = self._names.get(f"{kind} {job}", ()) if group else ()
            streams = [group.streams[name] for name in sorted(known) if name in group.streams]
            return [event.message for stream in streams for event in stream.events]


class FunctionLog:
    """One file, and one stream per process. Process and service write to the file; `collect` copies it."""

    def __init__(self, account: str, region: str, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{name}.log"
        self._backend = _backend(account, region)
        self._group = f"/aws/lambda/{name}"
        self._read = self.file.stat().st_size if self.file.exists() else 0
        self._name = ""

    def open_stream(self, version: Any) -> str:
        """Start a new stream, named as on AWS; later lines go to it."""
        self._name = f"{datetime.now(timezone.utc):%Y/%m/%d}/[{version}]{uuid.uuid4().hex}"
        return self._name

    def line(self, text: str) -> None:
        # A failure to write the log must not lose an event.
        with contextlib.suppress(OSError), self.file.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def collect(self) -> str:
        """The text written since the last call."""
        more = b""
        with contextlib.suppress(OSError), self.file.open("rb") as file:
            file.seek(self._read)
            more = file.read()
        self._read += len(more)
        text = more.decode("utf-8", errors="replace")
        # A user may have deleted the group.
        _write(_stream(self._backend, self._group, self._name or self.open_stream("$LATEST")), text.splitlines())
        return text
