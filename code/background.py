"""Runs work in the background, in parallel with the steps before or after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """A thread that runs tasks in order; if more than `waiting` tasks are queued, `do` blocks."""

    def __init__(self, waiting: int = 2) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting = waiting
        self._tasks: deque[Future[Any]] = deque()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self._collect(0)

    def do(self, task: Callable[..., Any], *arguments: Any) -> None:
        """Queue a task; raises the exception of an earlier task."""
        self._collect(self._waiting)
        self._tasks.append(self._thread.submit(task, *arguments))

    def _collect(self, most: int) -> None:
        while len(self._tasks) > most or (self._tasks and self._tasks[0].done()):
            self._tasks.popleft().result()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; the next one is computed while the last one is used."""
    with ThreadPoolExecutor(1) as side:
        end = object()
        waiting = side.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = side.submit(next, items, end)
            yield item  # type: ignore[misc]
