"""`Popen` and `run` for Python scripts whose imports take longer than their work.

They start a real process, but as a fork of an interpreter that has imported the script's slow modules (fork_server.py).
A test of how a process starts, of an option of the interpreter or of what a script imports uses subprocess.

Only on Linux; elsewhere forks of an interpreter with loaded frameworks may crash, and this is plain subprocess.
"""

from __future__ import annotations

import atexit
import fcntl
import inspect
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

VARIABLE = "STEPGLUON_TESTS_FORKS"  # the folder of the servers' sockets, for processes that the tests start
_folder = os.environ.get(VARIABLE, "")  # a local AWS hides most variables from this process
# The aws command line, which pip's own script cannot start in a folder with spaces.
AWS = f'#!/bin/sh\nexec "{sys.executable}" "{Path(sys.executable).with_name("aws")}" "$@"\n'
SERVER = os.fspath(Path(__file__).with_name("fork_server.py"))
ONE_THREAD = {
    "LANG": "C.UTF-8",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's allocator
}
TABLES = ("numpy", "pandas", "pyarrow.compute", "pyarrow.csv", "pyarrow.json", "pyarrow.parquet")
MOTO = "awslambda cloudwatch ecr events iam kms logs s3 servicequotas sns sqs stepfunctions sts"
LOCAL = (
    *("pipeline", "stepgluon.cli.main", "stepgluon.local.run", "localaws.server.aws"),
    *(f"moto.{service}.urls" for service in MOTO.split()),
    "moto_loaded",
)
MODULES = {
    "runtime.py": ("botocore_loaded", "hashlib", "botocore.handlers", "botocore.httpsession"),
    **dict.fromkeys(
        [
            "prepare.py",
            "postprocess.py",
            "check.py",
            "propose.py",
            "check_answers.py",
            "score_answers.py",
            "monitor.py",
        ],
        TABLES,
    ),
    "train.py": (*TABLES, "autogluon.tabular"),
    "predict.py": (*TABLES, "autogluon.tabular"),
    **dict.fromkeys(("command.py", "score.py", "serve.py"), (*TABLES, "xgboost")),
    "aws": ("botocore_loaded", "awscli.clidriver", "awscli.customizations.commands"),
    "stand_in.py": LOCAL,
}


def start() -> None:
    """Start the server without modules, the parent of the others, unless an ancestor has; it ends with this process."""
    global _folder
    if _folder or sys.platform != "linux":
        return
    folder = _folder = os.environ[VARIABLE] = tempfile.mkdtemp(prefix="forks-", dir="/tmp")
    os.mkfifo(f"{folder}/alive")
    alive = os.open(f"{folder}/alive", os.O_RDWR)
    server = _server(subprocess.Popen, f"{folder}/server")

    @atexit.register
    def end() -> None:
        os.close(alive)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def folder() -> str:
    """A folder of this session of pytest, with all its workers; empty where there is none."""
    return _folder


def _server(start: Callable[..., Any], address: str, *modules: str, **more: Any) -> Any:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, SERVER, address, *modules]
    ends = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    # It outlives this process, whose own stderr may be a pipe that a test reads to its end.
    errors = Path(_folder) / "errors"
    with errors.open("ab") as ends["stderr"]:
        server = start(command, env={**ONE_THREAD, **kept, VARIABLE: _folder}, **ends, **more)
    with server.stdout:
        if server.stdout.readline() != b"ready\n":
            raise AssertionError(f"the server of forks for {modules} ended: {server.wait()}\n{errors.read_text()}")
    return server


@cache
def _address(modules: tuple[str, ...]) -> str:
    """The socket of the server with these modules, which the first caller of all processes starts."""
    if not modules:
        return f"{_folder}/server"
    address = f"{_folder}/{modules[-1]}"  # not all of them: a socket's path has at most 108 characters
    with open(f"{_folder}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(address):
            server = _server(Forked, address, *modules, modules=(), cwd=os.path.dirname(SERVER))
            server.returncode = 0  # the first server waits for it
    return address


def _modules(words: list[str]) -> tuple[str, ...]:
    script = Path(words[0])
    return MODULES.get(script.name, ()) if script.parent.name != "scripts" else ()


class Forked(subprocess.Popen[Any]):
    """A Popen of [python, options..., script, words...]; its connection is closed once its status is known."""

    def __init__(self, args: Any, *, modules: tuple[str, ...] | None = None, **more: Any) -> None:
        self._modules = modules
        self._waiting = 0
        super().__init__([os.fspath(word) for word in args], **more)

    def _execute_child(self, *given: Any) -> None:
        signature = inspect.signature(subprocess.Popen._execute_child)
        told = signature.bind(self, *given).arguments
        assert told["preexec_fn"] is None and not told["shell"]
        words = list(told["args"][1:])
        isolated = "-I" in words
        while words[0].startswith("-"):
            words = words[2 if words[0] == "-X" else 1 :]
        ends = [(told["p2cread"], 0), (told["c2pwrite"], 1), (told["errwrite"], 2)]
        files = [(place if file == -1 else file, place) for file, place in ends]
        files += [(file, file) for file in told["pass_fds"]]
        order = {
            "words": words,
            "isolated": isolated,
            "cwd": os.fspath(told["cwd"] or os.getcwd()),
            "environment": dict(os.environ if told["env"] is None else told["env"]),
            "session": told["start_new_session"],
            "group": os.getpgid(0),
            "umask": int(re.findall(r"Umask:\s+(\d+)", Path("/proc/self/status").read_text())[0], 8),
            "ignores_sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "places": [place for _, place in files],
        }
        address = _address(_modules(words) if self._modules is None else self._modules)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            data = json.dumps(order).encode()
            sent = socket.send_fds(connection, [data], [file for file, _ in files])
            connection.sendall(data[sent:])
            connection.shutdown(socket.SHUT_WR)
            (self.pid,) = struct.unpack("i", connection.recv(4, socket.MSG_WAITALL))
            self._status = connection.detach()
        self._close = weakref.finalize(self, os.close, self._status)
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
        """Wait for the status; the last of the threads that wait closes the connection."""
        with self._waitpid_lock:
            if self.returncode is not None:
                return self.returncode
            self._waiting += 1
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        try:
            ready = poll.poll(None if seconds is None else seconds * 1000)
        finally:
            with self._waitpid_lock:
                self._waiting -= 1
        with self._waitpid_lock:
            if ready and self.returncode is None:
                self.returncode = struct.unpack("i", os.read(self._status, 4) or b"\xff\0\0\0")[0]
            if self.returncode is not None and not self._waiting:
                self._close()
            return self.returncode


Popen: Any = Forked if sys.platform == "linux" else subprocess.Popen


def plain(args: Any, *, env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[Any]:
    """A plain process, whose local AWS starts plain processes as well."""
    kept = {name: value for name, value in (env or os.environ).items() if name != VARIABLE}
    return subprocess.Popen(args, env=kept, **more)


def run(
    args: Any, *, start: Callable[..., Any] = Popen, timeout: float | None = None, **more: Any
) -> subprocess.CompletedProcess[Any]:
    """As subprocess.run, without its rarer parameters."""
    if more.pop("capture_output", False):
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(args, **more) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def arrange(set_attribute: Callable[[Any, str, Any], None]) -> None:
    """Start the jobs and functions of this process's local AWS, and its checks of tables, as forks."""
    from localaws.lambda_ import worker
    from localaws.sagemaker import job_process
    from stepgluon.local import data_check

    for module in (worker, job_process, data_check) if _folder else ():
        set_attribute(module, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": Popen}))
