"""The warm process of one function, with its unpacked zip, environment and log."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

START_SECONDS = 60  # for loading the handler's module; Lambda allows 10, but on an idle machine
PROGRAM = Path(__file__).with_name("runtime.py")
_SURROUNDINGS = {"PATH": os.defpath, "LANG": "en_US.UTF-8", "TZ": ":UTC"}


@dataclass(frozen=True)
class Setup:
    """What a process is started with; any change requires a new process."""

    name: str
    handler: str
    code: bytes
    variables: tuple[tuple[str, str], ...]
    role: str = ""


class Ended(Exception):
    """The process ended or timed out without a response."""

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.failure = {"errorType": kind, "errorMessage": message, **more}


class Runtime:
    """A function's process. It may start before its function is known, and import modules meanwhile."""

    def __init__(self, *modules: str) -> None:
        self.channel, theirs = Pipe()
        with contextlib.ExitStack() as failed:
            failed.callback(self.channel.close)
            with theirs:
                self.process = subprocess.Popen(
                    # -I: neither the shell's variables nor this program's folder affect imports.
                    [sys.executable, "-I", "-X", "utf8", PROGRAM, str(theirs.fileno()), *modules],
                    cwd="/",
                    env=_SURROUNDINGS,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            failed.pop_all()

    def kill(self) -> None:
        """End the process and its children; may be called twice, and from another thread."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """May be called twice."""
        if self.channel.closed:
            return
        self.kill()
        self.process.wait()
        self.channel.close()


class Worker:
    """`harmless` has the variables that keep the function on this computer; they override its own.

    `spare` becomes the function's process, which is then ready earlier.
    """

    def __init__(
        self,
        setup: Setup,
        harmless: Mapping[str, str],
        log: Path,
        stream: str,
        scratch: Path | None = None,
        spare: Runtime | None = None,
    ) -> None:
        self.setup = setup
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        # A process that left the group may still be writing to it.
        self._folder = tempfile.TemporaryDirectory(
            prefix="stepgluon-function-", dir=scratch, ignore_cleanup_errors=True
        )
        folder = self._folder.name
        with contextlib.ExitStack() as failed:
            failed.callback(self._folder.cleanup)
            log.open("ab").close()
            with zipfile.ZipFile(io.BytesIO(setup.code)) as archive:
                archive.extractall(folder)
            self._runtime = spare or Runtime()
            failed.pop_all()
        self.group = self._runtime.process.pid
        order: dict[str, Any] = {"folder": folder, "handler": setup.handler, "log": os.fspath(log.absolute())}
        order["variables"] = {**self._variables(stream), **harmless}
        with contextlib.suppress(OSError):  # it has exited
            self._runtime.channel.send_bytes(json.dumps(order).encode())

    def _variables(self, stream: str) -> dict[str, str]:
        return {
            **_SURROUNDINGS,
            **dict(self.setup.variables),
            **dict.fromkeys(("HOME", "TMPDIR", "LAMBDA_TASK_ROOT"), self._folder.name),
            "AWS_LAMBDA_FUNCTION_NAME": self.setup.name,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.setup.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        }

    def load(self) -> None:
        """Wait until the handler's module is imported. Raises Ended if that failed."""
        answer = self._answer(START_SECONDS, f"The handler was not loaded within {START_SECONDS} seconds")
        if "failure" in answer:
            failure = answer["failure"]
            raise Ended(failure.pop("errorType"), failure.pop("errorMessage"), **failure)

    def ask(self, event: Any, request_id: str, seconds: int) -> dict[str, Any]:
        """Return {result}, the handler's result as JSON, or {failure}. Raises Ended without a response."""
        context = {"function_name": self.setup.name, "aws_request_id": request_id}
        request = json.dumps({"event": event, "context": context, "seconds": seconds}).encode()
        with contextlib.suppress(OSError):  # it has exited
            self._runtime.channel.send_bytes(request)
        return self._answer(seconds, f"{request_id} Task timed out after {seconds:.2f} seconds")

    def _answer(self, seconds: float, late: str) -> dict[str, Any]:
        try:
            if not self._runtime.channel.poll(seconds):
                raise Ended("Sandbox.Timedout", late)
            answer: dict[str, Any] = json.loads(self._runtime.channel.recv_bytes())
        except (EOFError, OSError):
            raise self._exited() from None
        return answer

    def _exited(self) -> Ended:
        try:
            status = self._runtime.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return Ended("Runtime.ExitError", "The runtime closed its channel without an answer")
        how = f"signal: {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return Ended("Runtime.ExitError", f"Runtime exited with error: {how}")

    def kill(self) -> None:
        """End the process and its children; may be called twice, and from another thread."""
        self._runtime.kill()

    def close(self) -> None:
        self._runtime.close()
        self._folder.cleanup()
