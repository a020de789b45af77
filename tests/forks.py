"""`Popen` and `run` for Python scripts whose imports take longer than their work.

What they start is a process of its own in every respect, but a fork of one that has imported `modules` before
(fork_server.py). A test of how a process starts, or of what a script imports, uses subprocess.

Elsewhere than on Linux, where forks beside frameworks' threads are known to crash, this is plain subprocess.
"""

from __future__ import annotations

import atexit
import inspect
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fork_server import address

LOCAL = ("tests/local/loaded.py",)  # for a command with a local AWS
VARIABLE = "FORK_SERVER"  # the folder of the sockets, for processes that the tests start
SERVER = Path(__file__).with_name("fork_server.py")
_starting = threading.RLock()


@cache
def folder() -> Path:
    """Where the sockets are; the first call of the tests starts the server."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    place = os.environ[VARIABLE] = tempfile.mkdtemp(prefix="forks-")
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    known = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ
    }
    server = subprocess.Popen(
        [sys.executable, SERVER, place],
        cwd=SERVER.parent.parent,
        stdin=subprocess.PIPE,
        env={"LANG": "C.UTF-8", **known, **one_thread},
        start_new_session=True,  # Ctrl-C of whoever runs the tests is not for it
    )
    atexit.register(_end, server, place)
    return Path(place)


def _end(server: subprocess.Popen[bytes], place: str) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    shutil.rmtree(place, ignore_errors=True)


def _connected(modules: tuple[str, ...]) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    place = os.fspath(folder() / address(modules))
    with _starting:
        if connection.connect_ex(place):
            if modules:
                with _connected(()) as first:
                    _send(first, {"serve": modules}, [])
                    _heard(first, b"ready")
            end = time.monotonic() + 300
            while connection.connect_ex(place):  # it is about to begin
                assert time.monotonic() < end, f"no server of forks has imported {modules}"
                time.sleep(0.01)
    return connection


def _send(connection: socket.socket, request: dict[str, Any], files: list[int]) -> None:
    body = json.dumps(request).encode()
    data = b"%d\n%s" % (len(body), body)
    sent = socket.send_fds(connection, [data], files)
    connection.sendall(data[sent:])


class Forked(subprocess.Popen[Any]):
    """A Popen of [python, options..., script, words...]."""

    def __init__(self, args: Any, *, modules: tuple[str, ...] = (), **more: Any) -> None:
        self._modules = modules
        self._connection: socket.socket | None = None
        super().__init__([os.fspath(word) for word in args], **more)

    def _execute_child(self, *given: Any) -> None:
        told = inspect.signature(subprocess.Popen._execute_child).bind(self, *given).arguments  # type: ignore[attr-defined]
        words = list(told["args"][1:])
        beside = True
        while words[0].startswith("-"):
            beside = beside and words[0] != "-I"
            words = words[2 if words[0] == "-X" else 1 :]
        ends = [(told["p2cread"], 0), (told["c2pwrite"], 1), (told["errwrite"], 2)]
        files = [(file if file != -1 else place, place) for file, place in ends]
        files += [(file, file) for file in told["pass_fds"]]
        environment = os.environ if told["env"] is None else told["env"]
        request = {
            "words": words,
            "beside": beside,
            "cwd": os.fspath(told["cwd"] or os.getcwd()),
            "environment": dict(environment),
            "session": told["start_new_session"],
            "files": [place for _, place in files],
        }
        self._connection = _connected(self._modules)
        _send(self._connection, request, [file for file, _ in files])
        self.pid = _heard(self._connection, b"began")
        self._child_created = True
        self._close_pipe_fds(
            *(told[end] for end in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._ended(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._ended(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _ended(self, seconds: float | None) -> int | None:
        connection = self._connection
        if self.returncode is None and connection is not None and _speaks(connection, seconds):
            with self._waitpid_lock:
                if self.returncode is None:
                    self.returncode = _heard(connection, b"ended")
                    connection.close()
        return self.returncode


def _speaks(connection: socket.socket, seconds: float | None) -> bool:
    poll = select.poll()
    try:
        poll.register(connection, select.POLLIN)
    except ValueError:  # another thread has heard and closed it
        return True
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _heard(connection: socket.socket, word: bytes) -> int:
    line = b""
    while not line.endswith(b"\n"):
        more = connection.recv(1)
        assert more, "the server of forks has ended"
        line += more
    said, _, number = line.partition(b" ")
    assert said == word, f"the fork has {line!r}"
    return int(number)


def run(
    args: Any, *, timeout: float | None = None, check: bool = False, **more: Any
) -> subprocess.CompletedProcess[Any]:
    """As subprocess.run, but for its rarer parameters."""
    if more.pop("capture_output", False):
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(args, **more) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _plain(args: Any, *, modules: tuple[str, ...] = (), **more: Any) -> subprocess.Popen[Any]:
    return subprocess.Popen(args, **more)


def modules_of(script: Path) -> tuple[str, ...]:
    """What a job or a function imports that takes long."""
    tables = ("numpy", "pandas", "pyarrow.compute", "pyarrow.csv", "pyarrow.json", "pyarrow.parquet")
    if script.name == "runtime.py":
        return ("boto3", "botocore.handlers", "botocore.httpsession")
    if script.parent.name != "code":
        return ()
    return ("autogluon.tabular", *tables) if script.stem in ("train", "predict") else tables


class Processes:
    """In place of the module subprocess in the product's modules that start jobs and functions."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, args: Any, **more: Any) -> Any:
        (script,) = [Path(word) for word in args if os.fspath(word).endswith(".py")][:1]
        return Popen(args, modules=modules_of(script), **more)


def arrange(set_attribute: Callable[[Any, str, Any], None]) -> None:
    """Jobs and functions of a local AWS are forks from now on, in a process that was told where the server is."""
    from localaws.lambda_ import worker
    from localaws.sagemaker import job_process

    if VARIABLE in os.environ:
        for module in (worker, job_process):
            set_attribute(module, "subprocess", Processes())


@contextmanager
def arranged() -> Iterator[None]:
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        arrange(patch.setattr)
        yield


Popen: Any = Forked if sys.platform == "linux" else _plain
