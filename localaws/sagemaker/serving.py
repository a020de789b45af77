"""The client of a container that serves: waits for /ping, and sends requests to /invocations.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from localaws.base import quick_http
from localaws.sagemaker.job_process import Instance

PING_SECONDS = 2.0  # within which /ping must answer
HEALTHY_SECONDS = 240.0  # within which it must answer with 200
BETWEEN_SECONDS = 0.1
LONGEST_ANSWER = 100 * 1024 * 1024  # as much as a request may have; bounds our memory


# Otherwise a server that writes headers and body apart waits 40 ms for our acknowledgement. On Linux only.
_QUICK: int = getattr(socket, "TCP_QUICKACK", 0)


class NotServing(Exception):
    """The container does not serve; the message is a sentence."""


@dataclass(frozen=True)
class Answer:
    status: int  # 0: none came
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


class _Connection(http.client.HTTPConnection):
    def __init__(self, instance: Instance, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._instance = instance

    def connect(self) -> None:
        self.sock = self._instance.connect()
        self.sock.settimeout(self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Server:
    """A container that serves; each thread that sends requests needs one of its own."""

    def __init__(self, instance: Instance, seconds: float) -> None:
        self._instance = instance
        self._connection = _Connection(instance, seconds)

    def wait(self, stopped: Callable[[], bool], seconds: float = 0.0) -> None:
        """Return when the server is healthy or the job stopped; raises NotServing."""
        seconds = seconds or HEALTHY_SECONDS
        end, status = time.monotonic() + seconds, 0
        while not stopped() and status != 200:
            if self._instance.code is not None:
                raise NotServing(f"The container ended with exit code {self._instance.code} before it answered /ping.")
            if time.monotonic() > end:
                last = f"the last answer was {status}" if status else "it did not answer"
                raise NotServing(f"The container was not healthy within {seconds:.0f} s: /ping: {last}.")
            with closing(Server(self._instance, PING_SECONDS)) as server:
                status = server.send("GET", "/ping").status
            if status != 200:
                time.sleep(BETWEEN_SECONDS)

    def parameters(self) -> dict[str, Any]:
        """What /execution-parameters proposes; it is optional."""
        answer = self.send("GET", "/execution-parameters")
        try:
            found = json.loads(answer.body) if answer.status == 200 else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def invoke(self, body: bytes, headers: dict[str, str], tries: int, path: str = "/invocations") -> Answer:
        """The answer; a request without one, or answered by a server's error, is tried again."""
        for _ in range(tries - 1):
            answer = self.send("POST", path, body, headers)
            if 0 < answer.status < 500 or self._instance.code is not None:
                return answer
        return self.send("POST", path, body, headers)

    @property
    def connected(self) -> bool:
        """Whether a connection was kept; the container may have closed it since."""
        return self._connection.sock is not None

    def close(self) -> None:
        self._connection.close()

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        try:
            if self._connection.sock is None:
                self._connection.connect()
            connected: socket.socket = self._connection.sock
            given = {"Host": "localhost", "Accept-Encoding": "identity", **(headers or {})}
            given |= {"Content-Length": str(len(body))} if method == "POST" else {}
            connected.sendall(quick_http.message(f"{method} {path} HTTP/1.1", given.items(), body))
            if _QUICK:
                connected.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)
            return self._answer(http.client.HTTPResponse(connected, method=method))
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            return Answer(0, f"{type(problem).__name__}: {problem}".encode())

    def _answer(self, response: http.client.HTTPResponse) -> Answer:
        if head := quick_http.read_head(response.fp, LONGEST_ANSWER):
            size = int(head[1]["content-length"])
            if len(content := response.fp.read(size)) < size:
                raise http.client.IncompleteRead(content, size - len(content))
            return Answer(int(head[0].split(" ")[1]), content, head[1])
        response.begin()
        content = response.read(LONGEST_ANSWER + 1)
        if response.will_close or len(content) > LONGEST_ANSWER:
            self.close()
        if len(content) > LONGEST_ANSWER:
            return Answer(0, b"The answer is larger than 100 MB.")
        return Answer(response.status, content, {name.lower(): value for name, value in response.headers.items()})


def free_port() -> int:
    """A port below those that the system assigns to others, because the server takes it seconds later."""
    while True:
        port = 10_000 + secrets.randbelow(22_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
