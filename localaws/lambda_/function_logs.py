"""A function's log: one file, and CloudWatch's /aws/lambda/<name> with one stream per process."""

from __future__ import annotations

import contextlib
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

MOST_LINES = 10_000  # per stream, in memory; the oldest are dropped


class FunctionLog:
    """The process and the service write to the file; `collect` copies it to CloudWatch."""

    def __init__(self, account: str, region: str, name: str, folder: Path) -> None:
        from moto.logs.models import logs_backends

        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{name}.log"
        self._backend = logs_backends[account][region]
        self._group = f"/aws/lambda/{name}"
        self._read = self.file.stat().st_size if self.file.exists() else 0
        self._stream = ""

    def open_stream(self, version: Any) -> str:
        """Start a new stream, named as on AWS; later lines go to it."""
        self._stream = f"{datetime.now(timezone.utc):%Y/%m/%d}/[{version}]{uuid.uuid4().hex}"
        return self._stream

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
        self._backend.ensure_log_group(self._group)
        self._backend.ensure_log_stream(self._group, self._stream or self.open_stream("$LATEST"))
        stream: Any = self._backend.groups[self._group].streams[self._stream]
        now = int(time.time() * 1000)
        stream.put_log_events([{"timestamp": now, "message": line or " "} for line in text.splitlines()])
        if len(stream.events) > MOST_LINES:
            del stream.events[: len(stream.events) - MOST_LINES + MOST_LINES // 10]
        return text
