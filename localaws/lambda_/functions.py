"""Lambda: runs the deployed zip of a function, as moto's Lambda has it, in a process with the function's environment.

What is invoked as an event is tried again twice when it fails, and goes to the function's dead-letter queue at last;
until then it is on disk, so that a killed server loses none (undelivered.py).
Each function has one process, which stays warm, and does one thing after the other.
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

from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.lambda_ import moto_api as api
from localaws.lambda_.function_logs import FunctionLog
from localaws.lambda_.undelivered import Pending
from localaws.lambda_.worker import Ended, Setup, Worker

_READY = object()  # in place of an event: the process shall be there
RETRY_WAITS = (60.0, 120.0)  # [lambda] seconds before the second and the third try of an event


def nothing(group: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Account:
    """Where the functions live, and what their processes are told so that they can reach nothing else."""

    number: str
    region: str
    harmless: Mapping[str, str]  # surroundings.harmless(...)
    folder: Path  # of the logs
    scratch: Path | None = None  # where processes have their files; else in the system's temporary folder
    permissions: Permissions | None = None  # with them functions act with their roles, else as the administrator

    def surroundings(self, setup: Setup) -> dict[str, str]:
        """What a function's process is told, and no other variable can change."""
        mine = self.permissions.credentials(setup.role, setup.name) if self.permissions else {}
        return {**self.harmless, **mine}


@dataclass(order=True)
class _Task:
    due: float
    number: int
    arn: str = field(compare=False)
    event: Any = field(compare=False)
    request_id: str = field(compare=False)
    attempt: int = field(compare=False, default=1)
    waiting: Future[dict[str, Any]] | None = field(compare=False, default=None)  # who waits for the answer
    kept: Path | None = field(compare=False, default=None)  # the event, until it is dealt with


class Functions:
    """`began` and `ended` are told the process groups of the functions' processes."""

    def __init__(
        self,
        account: Account,
        wait_scale: float = 1.0,
        began: Callable[[int], None] = nothing,
        ended: Callable[[int], None] = nothing,
    ) -> None:
        self.account = account
        self._wait_scale = wait_scale
        self._began, self._ended = began, ended
        self.pending = Pending(account.folder / "pending")
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._numbers = itertools.count()
        self._open: Counter[str] = Counter()  # by the function's name
        self._closed = False

    def install(self) -> Patches:
        """From now on moto's Lambda invokes functions here; `undo()` ends that, `close()` ends the processes."""
        return api.install(self.send, self.call)

    def warm(self, arn: str) -> None:
        """Have the function's process ready for its first event."""
        self._add(arn, _READY, 0.0, None, None)

    def send(self, arn: str, event: Any, delay: float = 0.0) -> str:
        """Invoke a function with an event, some time; the request's id."""
        return self._add(arn, event, delay, None, self.pending.keep(arn, event))

    def deliver_left(self, function: str = "") -> None:
        """Invoke functions, or one of that name, with the events that an earlier server left."""
        for file, arn, event in self.pending.left():
            if function in ("", _name(arn)):
                self._add(arn, event, 0.0, None, file)

    def call(self, arn: str, event: Any) -> dict[str, Any]:
        """Invoke a function and wait for its answer: {result} or {failure}, and the last of its log."""
        waiting: Future[dict[str, Any]] = Future()
        self._add(arn, event, 0.0, waiting, None)
        return waiting.result()

    def drain(self, timeout: float, function: str = "") -> bool:
        """Wait until no event, or none of a function, is under way or waits for its next try; False if that was too
        long."""

        def done() -> bool:
            return self._closed or not (self._open[function] if function else self._open.total())

        with self._changed:
            return self._changed.wait_for(done, timeout)

    def close(self) -> None:
        """End all processes and threads; events that were not dealt with stay on disk. Calling it again is harmless."""
        with self._changed:
            self._closed = True
            lanes = list(self._lanes.values())
            self._changed.notify_all()
        for lane in lanes:
            lane.close()

    def _add(
        self, arn: str, event: Any, delay: float, waiting: Future[dict[str, Any]] | None, kept: Path | None
    ) -> str:
        task = _Task(time.monotonic() + delay, next(self._numbers), arn, event, str(uuid.uuid4()), 1, waiting, kept)
        with self._changed:
            if self._closed:
                raise RuntimeError("the local AWS has ended")
            self._open[_name(arn)] += 1
            self._queue(task)
        return task.request_id

    def _queue(self, task: _Task) -> None:
        name = _name(task.arn)
        with self._changed:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = _Lane(self, name)
            heapq.heappush(lane.tasks, task)
            self._changed.notify_all()

    def _done(self, task: _Task) -> None:
        with self._changed:
            self._open[_name(task.arn)] -= 1
            self._changed.notify_all()


def _name(arn: str) -> str:
    return arn.split(":")[6]


class _Lane:
    """One function: its thread, its process, and what it has to do."""

    def __init__(self, owner: Functions, name: str) -> None:
        self.tasks: list[_Task] = []
        self._owner = owner
        self._log = FunctionLog(owner.account.number, owner.account.region, name, owner.account.folder)
        self._worker: Worker | None = None
        self._starting = threading.Lock()  # so that no process is started behind close()'s back
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
            except Exception as error:  # a bug, here or in moto: the function's next event has its turn all the same
                self._log.line(f"RequestId: {task.request_id} is lost: {traceback.format_exc()}")
                self._owner.pending.settle(task.kept)
                if task.waiting:
                    task.waiting.set_exception(error)
            finally:
                self._owner._done(task)
        self._stop()
        for task in self.tasks:
            if task.waiting:
                task.waiting.set_exception(RuntimeError("the local AWS has ended"))

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
        function = api.find(self._owner.account.number, self._owner.account.region, task.arn)
        if function is None:
            failure = {"errorType": "ResourceNotFoundException", "errorMessage": f"Function not found: {task.arn}"}
            self._log.line(f"{failure['errorMessage']}; its event is dropped")
            answer: dict[str, Any] = {"failure": failure, "log": ""}
        else:
            answer = self._answer(function, task)
        if task.waiting:
            task.waiting.set_result(answer)
        elif "failure" not in answer or function is None or task.event is _READY:
            self._owner.pending.settle(task.kept)
        elif not self._owner._closed:
            self._failed(function, task, answer["failure"])

    def _answer(self, function: Any, task: _Task) -> dict[str, Any]:
        began = time.monotonic()
        try:
            worker = self._warm(function)
            if task.event is _READY:
                return {"log": ""}
            self._log.line(f"START RequestId: {task.request_id} Version: {function.version}")
            answer = worker.ask(task.event, task.request_id, int(function.timeout))
        except Ended as error:
            answer = {"failure": error.failure}
            self._stop()
            self._log.line(f"RequestId: {task.request_id} Error: {error}")
        except (OSError, ValueError, zipfile.BadZipFile) as error:  # a damaged zip or variable, a full disk
            answer = {"failure": {"errorType": type(error).__name__, "errorMessage": str(error)}}
            self._stop()  # what it would answer next may be to this event
            self._log.line(f"RequestId: {task.request_id} Error: {error}")
        taken = (time.monotonic() - began) * 1000
        self._log.line(f"END RequestId: {task.request_id}")
        self._log.line(f"REPORT RequestId: {task.request_id}\tDuration: {taken:.2f} ms")
        return {**answer, "log": self._log.collect()}

    def _warm(self, function: Any) -> Worker:
        """The process that is there, or a fresh one where the function was changed or has none."""
        setup = api.setup(function)
        if self._worker is not None and self._worker.setup == setup:
            return self._worker
        self._stop()
        with self._starting:
            if self._owner._closed:
                raise Ended("Runtime.ExitError", "the local AWS has ended")
            account, stream = self._owner.account, self._log.open_stream(function.version)
            self._worker = Worker(setup, account.surroundings(setup), self._log.file, stream, account.scratch)
            self._owner._began(self._worker.group)
        self._worker.load()
        return self._worker

    def _stop(self) -> None:
        if self._worker is not None:
            group = self._worker.group
            self._worker.close()
            self._worker = None
            self._owner._ended(group)

    def _failed(self, function: Any, task: _Task, failure: dict[str, Any]) -> None:
        """Try again later, or keep the event where somebody finds it."""
        configured = [config.config for config in function.event_invoke_config]
        retries = int(configured[-1].get("MaximumRetryAttempts", 2)) if configured else 2
        if task.attempt <= retries:
            wait = RETRY_WAITS[min(task.attempt, 2) - 1] * self._owner._wait_scale
            task.due, task.attempt = time.monotonic() + wait, task.attempt + 1
            with self._owner._changed:
                self._owner._open[_name(task.arn)] += 1
                self._owner._queue(task)
        else:
            permissions = self._owner.account.permissions
            kept = api.keep_as_dead(function, task.request_id, task.event, task.attempt, failure, permissions)
            self._log.line(kept)
            self._log.collect()
            self._owner.pending.settle(task.kept)
