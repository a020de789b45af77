"""Lambda: runs a function's deployed zip, stored by moto's Lambda, in a process with the function's environment.

Each function has one warm process, which handles one event at a time. An asynchronous invocation that fails is retried
twice before the next one, then put into the function's dead-letter queue. Until then the event is on disk, and the next
server delivers the events left by a killed one.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import traceback
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.base.logs import FunctionLog
from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.lambda_ import moto_api as api
from localaws.lambda_.worker import Ended, Runtime, Worker
from localaws.s3.store import Objects

_EVENT = "event"  # kind of document
RETRY_WAITS = (60.0, 120.0)  # [lambda] seconds before the second and the third attempt


@dataclass(frozen=True)
class Account:
    """The account of the functions, and the settings that keep their processes on this computer."""

    number: str
    region: str
    harmless: Mapping[str, str]  # environment.harmless(...)
    objects: Objects  # where pending events are
    logs: Path
    scratch: Path | None = None  # for the processes' files; default: the system's temporary folder
    permissions: Permissions | None = None  # functions act with their roles; if None, as the administrator


class Pending:
    """Unhandled events, in the buckets' index: a confirmed upload gets its run even if the server is killed."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def keep(self, arn: str, event: Any) -> str | None:
        """Persist an event; return its name, or None if the disk is full and the event is only in memory."""
        name = str(uuid.uuid4())
        try:
            self._objects.write_document(_EVENT, name, json.dumps({"arn": arn, "event": event}).encode())
        except OSError:
            return None
        return name

    def left(self) -> Iterator[tuple[str, str, Any]]:
        """All events with their names and functions, oldest first."""
        for name, content in self._objects.documents(_EVENT):
            found = json.loads(content)
            yield name, found["arn"], found["event"]

    def drop(self, unwanted: Callable[[Any], bool]) -> None:
        for name, _, event in self.left():
            if unwanted(event):
                self.settle(name)

    def settle(self, name: str | None) -> None:
        """Remove a handled event; if that fails, the next server delivers it again."""
        if name is not None:
            with contextlib.suppress(OSError):
                self._objects.remove_document(_EVENT, name)


class Functions:
    """`began` and `ended` get the process group of each function's process."""

    def __init__(
        self,
        account: Account,
        wait_scale: float = 1.0,
        began: Callable[[int], object] = lambda group: None,
        ended: Callable[[int], object] = lambda group: None,
    ) -> None:
        self.account, self.wait_scale, self.began, self.ended = account, wait_scale, began, ended
        self.pending = Pending(account.objects)
        self.changed = threading.Condition()
        self.closed = False
        self._lanes: dict[str, _Lane] = {}

    def install(self) -> Patches:
        """Make moto's Lambda invoke functions through this object, until `undo()`; `close()` ends the processes."""
        return api.install(self.send, self.call)

    def warm(self, arn: str, spare: Runtime | None = None) -> None:
        """Start the function's process before its first event."""
        lane = self._lane(arn)
        lane.submit(lane.warm, arn, spare)

    def send(self, arn: str, event: Any) -> None:
        """Invoke a function asynchronously."""
        self._deliver(self.pending.keep(arn, event), arn, event)

    def deliver_left(self, function: str = "") -> None:
        """Invoke all functions, or just this one, with the events left by an earlier server."""
        for name, arn, event in self.pending.left():
            if function in ("", _name(arn)):
                self._deliver(name, arn, event)

    def call(self, arn: str, event: Any) -> dict[str, Any]:
        """Invoke a function and wait for its answer: {result} or {failure}, and the {log} of the invocation."""
        lane = self._lane(arn)
        answer: dict[str, Any] = lane.submit(lane.invoke, api.find(arn), arn, event, str(uuid.uuid4())).result()
        return answer

    def drain(self, timeout: float, function: str = "") -> bool:
        """Wait until no event (of this function, if given) is running or waiting for a retry; False on timeout."""

        def done() -> bool:
            return self.closed or not any(lane.open for name, lane in self._lanes.items() if function in ("", name))

        with self.changed:
            return self.changed.wait_for(done, timeout)

    def sleep(self, seconds: float) -> None:
        """Wait; return at once when this object is closed."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed, seconds)

    def close(self) -> None:
        """End all processes and threads; unhandled events stay on disk."""
        with self.changed:
            self.closed = True
            lanes = list(self._lanes.values())
            self.changed.notify_all()
        for lane in lanes:
            lane.close()

    def _lane(self, arn: str) -> _Lane:
        with self.changed:
            if self.closed:
                raise RuntimeError("the local AWS has ended")
            if _name(arn) not in self._lanes:
                self._lanes[_name(arn)] = _Lane(self, _name(arn))
            return self._lanes[_name(arn)]

    def _deliver(self, name: str | None, arn: str, event: Any) -> None:
        lane = self._lane(arn)
        lane.submit(lane.deliver, name, arn, event)


def _name(arn: str) -> str:
    return arn.split(":")[6]


class _Lane:
    """One function: its thread, which handles its events in turn, its process and its log."""

    def __init__(self, owner: Functions, name: str) -> None:
        self.open = 0  # running and waiting events
        self._owner, self._account = owner, owner.account
        self._log = FunctionLog(owner.account.number, owner.account.region, name, owner.account.logs)
        self._worker: Worker | None = None
        self._starting = threading.Lock()  # prevents starting a process after close()
        self._thread = ThreadPoolExecutor(1, f"function {name}")

    def submit(self, do: Callable[..., Any], *given: Any) -> Future[Any]:
        with self._owner.changed:
            if self._owner.closed:
                raise RuntimeError("the local AWS has ended")
            future = self._thread.submit(do, *given)
            self.open += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Any]) -> None:
        with self._owner.changed:
            self.open -= 1
            self._owner.changed.notify_all()

    def close(self) -> None:
        with self._starting:
            worker = self._worker  # the lane's thread may clear it meanwhile
        if worker is not None:
            worker.kill()
        self._thread.shutdown(cancel_futures=True)
        self._stop()

    # In the lane's thread

    def deliver(self, name: str | None, arn: str, event: Any) -> None:
        """Handle an asynchronous event: retry if it fails, then put it into the dead-letter queue."""
        request_id, attempt = str(uuid.uuid4()), 1
        try:
            while True:
                function = api.find(arn)
                answer = self.invoke(function, arn, event, request_id)
                if function is None or "failure" not in answer:
                    break
                if self._owner.closed:
                    return  # the event stays on disk
                configured = [config.config for config in function.event_invoke_config]
                if attempt > (int(configured[-1].get("MaximumRetryAttempts", 2)) if configured else 2):
                    permissions = self._account.permissions
                    end = api.dead_letter(function, request_id, event, attempt, answer["failure"], permissions)
                    self._log.line(f"RequestId: {request_id} {end}")
                    self._log.collect()
                    break
                self._owner.sleep(RETRY_WAITS[min(attempt, 2) - 1] * self._owner.wait_scale)
                attempt += 1
        except Exception:  # a bug, ours or moto's: still handle the function's next event
            self._log.line(f"RequestId: {request_id} is lost: {traceback.format_exc()}")
        self._owner.pending.settle(name)

    def invoke(self, function: Any, arn: str, event: Any, request_id: str) -> dict[str, Any]:
        if function is None:
            message = f"Function not found: {arn}"
            self._log.line(f"{message}; its event is dropped")
            return {"failure": {"errorType": "ResourceNotFoundException", "errorMessage": message}, "log": ""}
        began = time.monotonic()
        try:
            worker = self._warm(function)
            self._log.line(f"START RequestId: {request_id} Version: {function.version}")
            answer = worker.ask(event, request_id, int(function.timeout))
        except (Ended, OSError, ValueError, zipfile.BadZipFile) as error:  # or a corrupt zip or variable, a full disk
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            answer = {"failure": error.failure if isinstance(error, Ended) else failure}
            self._stop()  # its next response might belong to this event
            self._log.line(f"RequestId: {request_id} Error: {error}")
        milliseconds = (time.monotonic() - began) * 1000
        self._log.line(f"END RequestId: {request_id}")
        self._log.line(f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms")
        return {**answer, "log": self._log.collect()}

    def warm(self, arn: str, spare: Runtime | None) -> None:
        function = api.find(arn)
        try:
            self._warm(function, spare)
        except Exception as error:  # the function's first event will report it
            self._stop()
            self._log.line(f"Error: {error}")

    def _warm(self, function: Any, spare: Runtime | None = None) -> Worker:
        """The function's process; starts a new one if there is none or the function has changed."""
        setup, account = api.setup(function), self._account
        if self._worker is not None and self._worker.setup == setup:
            return self._worker
        self._stop()
        with self._starting:
            if self._owner.closed:
                raise Ended("Runtime.ExitError", "the local AWS has ended")
            credentials = account.permissions.credentials(setup.role, setup.name) if account.permissions else {}
            harmless, stream = {**account.harmless, **credentials}, self._log.open_stream(function.version)
            self._worker = Worker(setup, harmless, self._log.file, stream, account.scratch, spare)
            self._owner.began(self._worker.group)
        self._worker.load()
        return self._worker

    def _stop(self) -> None:
        if self._worker is not None:
            group = self._worker.group
            self._worker.close()
            self._worker = None
            self._owner.ended(group)
