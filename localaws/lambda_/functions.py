"""Lambda: runs a function's deployed zip, stored by moto's Lambda, in a process with the function's environment.

An asynchronous invocation that fails is retried twice, then put into the function's dead-letter queue. Until then the
event is on disk, so a killed server loses none (undelivered.py). Each function has one warm process, which handles one
event at a time.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import traceback
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localaws.base.logs import FunctionLog
from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.lambda_ import moto_api as api
from localaws.lambda_.undelivered import Pending
from localaws.lambda_.worker import Ended, Setup, Worker

_START = object()  # instead of an event: only start the process
RETRY_WAITS = (60.0, 120.0)  # [lambda] seconds before the second and the third attempt


@dataclass(frozen=True)
class Account:
    """The account of the functions, and the settings that keep their processes on this computer."""

    number: str
    region: str
    harmless: Mapping[str, str]  # environment.harmless(...)
    folder: Path  # of logs and pending events
    scratch: Path | None = None  # for the processes' files; default: the system's temporary folder
    permissions: Permissions | None = None  # functions act with their roles; if None, as the administrator

    def environment(self, setup: Setup) -> dict[str, str]:
        """Variables of a function's process that override the function's own."""
        credentials = self.permissions.credentials(setup.role, setup.name) if self.permissions else {}
        return {**self.harmless, **credentials}


@dataclass(order=True)
class _Task:
    due: float
    number: int
    arn: str = field(compare=False)
    event: Any = field(compare=False)
    request_id: str = field(compare=False)
    attempt: int = field(compare=False, default=1)
    answer: Future[dict[str, Any]] | None = field(compare=False, default=None)  # of a synchronous invocation
    file: Path | None = field(compare=False, default=None)  # the event of an asynchronous one, until it is handled

    @property
    def function(self) -> str:
        return self.arn.split(":")[6]


class Functions:
    """`began` and `ended` get the process group of each function's process."""

    def __init__(
        self,
        account: Account,
        wait_scale: float = 1.0,
        began: Callable[[int], object] = lambda group: None,
        ended: Callable[[int], object] = lambda group: None,
    ) -> None:
        self.account = account
        self._wait_scale = wait_scale
        self._began, self._ended = began, ended
        self.pending = Pending(account.folder / "pending")
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._numbers = itertools.count()
        self._open: Counter[str] = Counter()  # tasks by function
        self._closed = False

    def install(self) -> Patches:
        """Make moto's Lambda invoke functions through this object, until `undo()`; `close()` ends the processes."""
        return api.install(self.send, self.call)

    def warm(self, arn: str) -> None:
        """Start the function's process before its first event."""
        self._add(arn, _START)

    def send(self, arn: str, event: Any, delay: float = 0.0) -> str:
        """Invoke a function asynchronously; returns the request's id."""
        return self._add(arn, event, delay, file=self.pending.keep(arn, event))

    def deliver_left(self, function: str = "") -> None:
        """Invoke all functions, or just this one, with the events left by an earlier server."""
        for file, arn, event in self.pending.left():
            if function in ("", arn.split(":")[6]):
                self._add(arn, event, file=file)

    def call(self, arn: str, event: Any) -> dict[str, Any]:
        """Invoke a function and wait for its answer: {result} or {failure}, and the {log} of the invocation."""
        answer: Future[dict[str, Any]] = Future()
        self._add(arn, event, answer=answer)
        return answer.result()

    def drain(self, timeout: float, function: str = "") -> bool:
        """Wait until no event (of this function, if given) is running or waiting for a retry; False on timeout."""

        def done() -> bool:
            return self._closed or not (self._open[function] if function else self._open.total())

        with self._changed:
            return self._changed.wait_for(done, timeout)

    def close(self) -> None:
        """End all processes and threads; unhandled events stay on disk."""
        with self._changed:
            self._closed = True
            lanes = list(self._lanes.values())
            self._changed.notify_all()
        for lane in lanes:
            lane.close()

    def _add(
        self,
        arn: str,
        event: Any,
        delay: float = 0.0,
        answer: Future[dict[str, Any]] | None = None,
        file: Path | None = None,
    ) -> str:
        task = _Task(time.monotonic() + delay, next(self._numbers), arn, event, str(uuid.uuid4()), 1, answer, file)
        with self._changed:
            if self._closed:
                raise RuntimeError("the local AWS has ended")
            self._queue(task)
        return task.request_id

    def _queue(self, task: _Task) -> None:
        with self._changed:
            self._open[task.function] += 1
            lane = self._lanes.get(task.function)
            if lane is None:
                lane = self._lanes[task.function] = _Lane(self, task.function)
            heapq.heappush(lane.tasks, task)
            self._changed.notify_all()

    def _done(self, task: _Task) -> None:
        with self._changed:
            self._open[task.function] -= 1
            self._changed.notify_all()


class _Lane:
    """One function: its thread, its process and its tasks."""

    def __init__(self, owner: Functions, name: str) -> None:
        self.tasks: list[_Task] = []
        self._owner, self._account = owner, owner.account
        self._log = FunctionLog(owner.account.number, owner.account.region, name, owner.account.folder)
        self._worker: Worker | None = None
        self._starting = threading.Lock()  # prevents starting a process after close()
        self._thread = threading.Thread(target=self._run, name=f"function {name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._starting:
            if self._worker is not None:
                self._worker.kill()
        self._thread.join()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._do(task)
            except Exception as error:  # a bug, ours or moto's: still handle the function's next event
                self._log.line(f"RequestId: {task.request_id} is lost: {traceback.format_exc()}")
                self._owner.pending.settle(task.file)
                if task.answer:
                    task.answer.set_exception(error)
            finally:
                self._owner._done(task)
        self._stop()
        for task in self.tasks:
            if task.answer:
                task.answer.set_exception(RuntimeError("the local AWS has ended"))

    def _next(self) -> _Task | None:
        changed = self._owner._changed
        with changed:
            while not self._owner._closed:
                now = time.monotonic()
                if self.tasks and self.tasks[0].due <= now:
                    return heapq.heappop(self.tasks)
                changed.wait(self.tasks[0].due - now if self.tasks else None)
        return None

    def _do(self, task: _Task) -> None:
        function = api.find(self._account.number, self._account.region, task.arn)
        if function is None:
            failure = {"errorType": "ResourceNotFoundException", "errorMessage": f"Function not found: {task.arn}"}
            self._log.line(f"{failure['errorMessage']}; its event is dropped")
            answer: dict[str, Any] = {"failure": failure, "log": ""}
        else:
            answer = self._answer(function, task)
        if task.answer:
            task.answer.set_result(answer)
        elif "failure" not in answer or function is None or task.event is _START:
            self._owner.pending.settle(task.file)
        elif not self._owner._closed:
            self._retry(function, task, answer["failure"])

    def _answer(self, function: Any, task: _Task) -> dict[str, Any]:
        began = time.monotonic()
        try:
            worker = self._warm(function)
            if task.event is _START:
                return {"log": ""}
            self._log.line(f"START RequestId: {task.request_id} Version: {function.version}")
            answer = worker.ask(task.event, task.request_id, int(function.timeout))
        except (Ended, OSError, ValueError, zipfile.BadZipFile) as error:  # or a corrupt zip or variable, a full disk
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            answer = {"failure": error.failure if isinstance(error, Ended) else failure}
            self._stop()  # its next response might belong to this event
            self._log.line(f"RequestId: {task.request_id} Error: {error}")
        milliseconds = (time.monotonic() - began) * 1000
        self._log.line(f"END RequestId: {task.request_id}")
        self._log.line(f"REPORT RequestId: {task.request_id}\tDuration: {milliseconds:.2f} ms")
        return {**answer, "log": self._log.collect()}

    def _warm(self, function: Any) -> Worker:
        """The function's process; starts a new one if there is none or the function has changed."""
        setup = api.setup(function)
        if self._worker is not None and self._worker.setup == setup:
            return self._worker
        self._stop()
        with self._starting:
            if self._owner._closed:
                raise Ended("Runtime.ExitError", "the local AWS has ended")
            account, stream = self._account, self._log.open_stream(function.version)
            self._worker = Worker(setup, account.environment(setup), self._log.file, stream, account.scratch)
            self._owner._began(self._worker.group)
        self._worker.load()
        return self._worker

    def _stop(self) -> None:
        if self._worker is not None:
            group = self._worker.group
            self._worker.close()
            self._worker = None
            self._owner._ended(group)

    def _retry(self, function: Any, task: _Task, failure: dict[str, Any]) -> None:
        """Retry a failed event later, or put it into the dead-letter queue."""
        configured = [config.config for config in function.event_invoke_config]
        retries = int(configured[-1].get("MaximumRetryAttempts", 2)) if configured else 2
        if task.attempt <= retries:
            wait = RETRY_WAITS[min(task.attempt, 2) - 1] * self._owner._wait_scale
            task.due, task.attempt = time.monotonic() + wait, task.attempt + 1
            self._owner._queue(task)
            return
        permissions = self._account.permissions
        self._log.line(api.dead_letter(function, task.request_id, task.event, task.attempt, failure, permissions))
        self._log.collect()
        self._owner.pending.settle(task.file)
