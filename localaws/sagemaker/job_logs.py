"""The CloudWatch log groups of SageMaker's jobs: one stream per instance, named as on AWS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

JOB_LOGS = {"training": "/aws/sagemaker/TrainingJobs", "processing": "/aws/sagemaker/ProcessingJobs"}
MOST_STREAMS = 500  # per group; the logs of older runs are in DIR/runs/
MOST_LINES = 10_000  # per stream, in memory; the oldest lines are dropped


class Logs:
    def __init__(self, account: str, region: str) -> None:
        from moto.logs.models import logs_backends

        self._backend = logs_backends[account][region]
        self._lock = threading.Lock()  # moto's dictionaries of groups and streams have no lock

    def stream(self, kind: str, job: str, instance: int) -> Callable[[str], None]:
        """Create a stream; return a function that writes a line to it."""
        name = f"{job}/algo-{instance + 1}-{int(time.time())}"
        with self._lock:
            self._backend.ensure_log_group(JOB_LOGS[kind])
            self._backend.ensure_log_stream(JOB_LOGS[kind], name)
            streams = self._backend.groups[JOB_LOGS[kind]].streams
            stream = streams[name]
            while len(streams) > MOST_STREAMS:
                streams.pop(next(iter(streams)))

        def write(line: str) -> None:
            now = int(time.time() * 1000)
            stream.put_log_events([{"timestamp": now, "message": line or " "}])
            if len(stream.events) > MOST_LINES:
                del stream.events[: MOST_LINES // 10]

        return write

    def lines(self, kind: str, job: str) -> list[str]:
        """All lines of a job, instance by instance."""
        with self._lock:
            group: Any = self._backend.groups.get(JOB_LOGS[kind])
            streams = sorted(name for name in group.streams if name.startswith(f"{job}/")) if group else []
            return [event.message for name in streams for event in group.streams[name].events]
