"""Schedules jobs on cores: first come, first served, with at most one job per core.

A job gets its share of the cores when it starts and keeps it: all cores if it is alone, half if another job is waiting.
The branches of a Parallel arrive within milliseconds, so the first waits that long for its siblings.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIBLINGS_SECONDS = 0.02


class Stopped(Exception):
    """The job was stopped before its turn came."""


class Scheduler:
    def __init__(self, cores: int, most: int | None = None) -> None:
        """`most` limits the cores of one job."""
        self.cores = cores
        self._most = most or cores
        self._free = cores
        self._queue: deque[object] = deque()
        self._running = 0
        self._last_arrival = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, stopped: Callable[[], bool]) -> Iterator[int]:
        """Wait for the job's turn; yields its number of cores, raises Stopped if it is stopped first."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._last_arrival = time.monotonic()
            self._changed.notify_all()
            try:
                share = self._wait(ticket, stopped)
                self._free -= share
                self._running += 1
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield share
        finally:
            with self._changed:
                self._free += share
                self._running -= 1
                self._changed.notify_all()

    def wake(self) -> None:
        """Let waiting jobs check whether they were stopped."""
        with self._changed:
            self._changed.notify_all()

    def _wait(self, ticket: object, stopped: Callable[[], bool]) -> int:
        while not stopped():
            # With one core for each job, siblings do not matter.
            settling = self._last_arrival + SIBLINGS_SECONDS - time.monotonic() if self._most > 1 else 0.0
            first = self._queue[0] is ticket
            if first and self._free > 0 and settling <= 0:
                share = max(1, self.cores // (self._running + len(self._queue)))
                return min(share, self._free, self._most)
            self._changed.wait(settling if first and settling > 0 else None)
        raise Stopped
