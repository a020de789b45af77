"""The warm process of one function, with its unpacked zip, environment and log."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

START_SECONDS = 60  # for loading the handler's module; Lambda allows 10, but on an idle machine
PROGRAM = Path(__file__).with_name("runtime.py")


@dataclass(frozen=True)
class Setup:
    """What a process is started with; any change requires a new process."""

    name: str
    version: str
    arn: str
    handler: str
    code: bytes
    variables: tuple[tuple[str, str], ...]
    memory: int
    role: str = ""


class Ended(Exception):
    """The process ended or timed out without a response."""

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.failure = {"errorType": kind, "errorMessage": message, **more}


class Worker:
    def __init__(
        self, setup: Setup, environment: Mapping[str, str], log: Path, stream: str, scratch: Path | None = None
    ) -> None:
        self.setup = setup
        self.stream = stream
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        # A process that left the group may still be writing to it.
        self._folder = tempfile.TemporaryDirectory(
            prefix="stepgluon-function-", dir=scratch, ignore_cleanup_errors=True
        )
        self._channel, theirs = socket.socketpair()
        self._buffer = b""
        try:
            with theirs, log.open("ab") as output:
                with zipfile.ZipFile(io.BytesIO(setup.code)) as archive:
                    archive.extractall(self._folder.name)
                self._process = self._start(environment, theirs.fileno(), output)
        except BaseException:
            self._channel.close()
            self._folder.cleanup()
            raise
        self.group = self._process.pid

    def _start(self, environment: Mapping[str, str], channel: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
        folder = self._folder.name
        return subprocess.Popen(
            # -I: neither the shell's variables nor this program's folder affect imports.
            [sys.executable, "-I", "-X", "utf8", PROGRAM, folder, self.setup.handler, str(channel)],
            cwd=folder,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[channel],
            start_new_session=True,
        )

    def _environment(self, harmless: Mapping[str, str]) -> dict[str, str]:
        """The function's variables, overridden by those that keep it on this computer."""
        setup = self.setup
        return {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **dict(setup.variables),
            "HOME": self._folder.name,
            "TMPDIR": self._folder.name,
            "LAMBDA_TASK_ROOT": self._folder.name,
            "AWS_LAMBDA_FUNCTION_NAME": setup.name,
            "AWS_LAMBDA_FUNCTION_VERSION": setup.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(setup.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{setup.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "_HANDLER": setup.handler,
            **harmless,
        }

    def load(self) -> None:
        """Wait until the handler's module is imported. Raises Ended if that failed."""
        answer = self._exchange(b"", START_SECONDS, f"The handler was not loaded within {START_SECONDS} seconds")
        if "failure" in answer:
            failure = answer["failure"]
            raise Ended(failure.pop("errorType"), failure.pop("errorMessage"), **failure)

    def ask(self, event: Any, request_id: str, seconds: int) -> dict[str, Any]:
        """Return {result}, the handler's result as JSON, or {failure}. Raises Ended without a response."""
        setup = self.setup
        context = {
            "aws_request_id": request_id,
            "function_name": setup.name,
            "function_version": setup.version,
            "invoked_function_arn": setup.arn,
            "memory_limit_in_mb": str(setup.memory),
            "log_group_name": f"/aws/lambda/{setup.name}",
            "log_stream_name": self.stream,
        }
        request = json.dumps({"event": event, "context": context, "seconds": seconds}).encode() + b"\n"
        return self._exchange(request, seconds, f"{request_id} Task timed out after {seconds:.2f} seconds")

    def _exchange(self, request: bytes, seconds: float, late: str) -> dict[str, Any]:
        end = time.monotonic() + seconds
        try:
            self._channel.settimeout(seconds)
            self._channel.sendall(request)
            while b"\n" not in self._buffer:
                self._channel.settimeout(max(0.001, end - time.monotonic()))
                more = self._channel.recv(1 << 16)
                if not more:
                    raise self._exited()
                self._buffer += more
        except TimeoutError:
            raise Ended("Sandbox.Timedout", late) from None
        except OSError:
            raise self._exited() from None
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _exited(self) -> Ended:
        try:
            status = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return Ended("Runtime.ExitError", "The runtime closed its channel without an answer")
        how = f"signal: {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return Ended("Runtime.ExitError", f"Runtime exited with error: {how}")

    def kill(self) -> None:
        """End the process and its children; may be called twice, and from another thread."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self._channel.close()
        self._folder.cleanup()
