"""A running serve.py, and the requests that a test sends to it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import forks
from job_sandbox import CODE, MINUTES

from localaws.sagemaker.serving import free_port

Response = tuple[int, bytes]

# Its first worker gets SIGTERM before it handles signals.
EARLY = """
import os, pathlib, signal, sys
sys.path.insert(0, {code!r})
import serve
from gunicorn.workers import base
first, began = pathlib.Path({folder!r}, "first"), base.Worker.init_process
def init_process(worker):
    if not first.exists():
        first.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGTERM)
    began(worker)
base.Worker.init_process = init_process
sys.exit(serve.main())
"""

# A model whose predictions begin with a file named after the worker, and end when the file `go` is there.
HELD = """
import os, pathlib, sys, time
sys.path.insert(0, {code!r})
import numpy, predict, serve
folder = pathlib.Path({folder!r})
class Held:
    features = ["a", "t", "day"]
    def inputs(self, batch): return batch.num_rows
    def answers(self, rows):
        (folder / str(os.getpid())).touch()
        while not (folder / "go").exists(): time.sleep(0.01)
        return numpy.zeros(rows)
predict.load = lambda *given, **more: Held()
sys.exit(serve.main())
"""


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + MINUTES
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Served:
    """`root` has the model; the server is healthy when the block begins."""

    def __init__(self, root: Path, held: Path | None = None, code: str = HELD, **variables: str) -> None:
        self.port = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        given = {"STEPGLUON_ROOT": str(root), "STEPGLUON_CORES": "2", "SAGEMAKER_BIND_TO_PORT": str(self.port)}
        script = CODE / "serve.py"
        if held:
            script = root / f"held-{self.port}" / script.name  # forks.py knows by this name what it imports
            script.parent.mkdir()
            script.write_text(code.format(code=str(CODE), folder=str(held)))
        self._log = root / f"serve-{self.port}.log"
        with self._log.open("wb") as log:
            self.process = forks.Popen(
                [sys.executable, str(script)], env=kept | given | variables, stdout=log, stderr=log
            )

    def __enter__(self) -> Served:
        until(lambda: self.process.poll() is not None or self.ping())
        assert self.process.poll() is None, self.log
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGQUIT if problem else signal.SIGTERM)
        self.process.wait(MINUTES)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ping(self) -> bool:
        try:
            return self.send("GET", "/ping")[0] == 200
        except OSError:
            return False

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=MINUTES)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def invoke(self, body: bytes, kind: str = "text/csv", accept: str = "text/csv") -> Response:
        return self.send("POST", "/invocations", body, {"Content-Type": kind, "Accept": accept})

    def workers(self) -> set[int]:
        """The processes of the workers."""
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return {int(line) for line in done.stdout.split()}
