"""Keeps DIR/runs/ up to date while a local AWS serves, so that `show` and `runs` need no server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from stepgluon.local.deployed import Deployed, end_executions, nothing
from stepgluon.local.journal import Begun
from stepgluon.local.run_folder import collect
from stepgluon.runs.view import why

LOOK_SECONDS = 1.0


@contextmanager
def watched(place: Deployed, say: Callable[[str], None] = nothing) -> Iterator[None]:
    """Watches during the block; what still runs then is stopped, and kept as stopped."""
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
        self._told: set[str] = set()
        self._failed: set[str] = set()
        self._done = {begun.arn for begun in place.journal.begun()}  # by an earlier server
        self._next_refresh = 0.0
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="watcher")

    def _watch(self) -> None:
        while not self.closed.is_set():
            self._look()
            if not self.closed.is_set():
                self._place.journal.wait(LOOK_SECONDS)
        self._look()

    def _look(self) -> None:
        """What ended is collected at once; what runs only now and then, so that many runs do not watch each other."""
        running = set(self._place.journal.running())
        self._done -= running
        began = time.monotonic()
        refresh = began >= self._next_refresh
        for begun in self._place.journal.begun():
            if begun.arn in self._done:
                continue
            if begun.arn not in self._told:
                self._told.add(begun.arn)
                self._tell(f"Run {begun.name} has started.")
            elif begun.arn in running and not refresh:
                continue
            self._keep(begun, begun.arn in running)
        if refresh:
            now = time.monotonic()
            self._next_refresh = now + max(LOOK_SECONDS, 4 * (now - began))

    def _keep(self, begun: Begun, runs: bool) -> None:
        try:
            told = collect(self._place, begun)
        except Exception as problem:  # a full disk, or a mistake of ours: the other runs are watched all the same
            if begun.arn not in self._failed:
                self._failed.add(begun.arn)
                self._tell(f"Run {begun.name} cannot be kept now: {type(problem).__name__}: {problem}")
            return
        if not runs and told["status"] != "RUNNING":
            self._done.add(begun.arn)
            self._tell(f"Run {begun.name}: {told['status']} after {told['seconds']:.1f} s{why(told)}")

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # the terminal is gone
            self._say(text)
