"""Starts Python scripts as forks of interpreters that have imported the slow modules already; forks.py asks it to.

    python fork_server.py FOLDER < PIPE

For each set of modules there is one interpreter with a socket in FOLDER. All end when the pipe does: with the process
that started the first of them, however that ends.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ALIVE = 0  # the pipe; while a fork's own stdin is elsewhere, it is this server's
_started: set[str] = set()
HIGH = 700  # descriptors from here on are in the way of none that a script is given


def serve(folder: Path, modules: tuple[str, ...], asked: socket.socket | None = None) -> None:
    """Until the pipe ends: a process for each connection, whose status goes back through it."""
    for module in modules:
        runpy.run_path(module) if module.endswith(".py") else importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a fork's collections do not touch, and so copy, what all of them share
    listener = socket.socket(socket.AF_UNIX)
    part = folder / f".{os.getpid()}"
    listener.bind(os.fspath(part))
    listener.listen(64)
    part.rename(folder / address(modules))  # from now on it can be reached
    if asked:
        with asked:
            asked.sendall(b"ready 0\n")
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for file in (listener, woken, ALIVE):
            selector.register(file, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if ALIVE in ready:
                os._exit(0)
            if woken in ready:
                os.read(woken, 1 << 12)
                _reap(running)
            if listener in ready:
                connection, _ = listener.accept()
                _begin(folder, connection, running)


def address(modules: tuple[str, ...]) -> str:
    return "+".join(("python", *modules)).replace("/", ".")[:60]


def _reap(running: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if connection := running.pop(ended[0], None):
                with connection, contextlib.suppress(OSError):  # the one who asked may have ended before
                    connection.sendall(b"ended %d\n" % os.waitstatus_to_exitcode(ended[1]))


def _begin(folder: Path, connection: socket.socket, running: dict[int, socket.socket]) -> None:
    size = array.array("i")
    data, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(16 * size.itemsize))
    for _, _, files in ancillary:
        size.frombytes(files[: len(files) - len(files) % size.itemsize])
    given = list(size)
    length, _, data = data.partition(b"\n")
    while len(data) < int(length):
        data += connection.recv(1 << 20)
    request = json.loads(data)
    if "serve" in request:
        name = address(tuple(request["serve"]))
        if name in _started:  # for another process of the tests
            with connection:
                connection.sendall(b"ready 0\n")
            return
        _started.add(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fork() beside the threads of C libraries, which are idle
        pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if "serve" in request:
            serve(folder, tuple(request["serve"]), connection)
        else:
            try:
                _become(request, given, connection)
            finally:
                os._exit(70)  # whatever it was, this is no server
    for file in given:
        os.close(file)
    if "serve" in request:
        connection.close()
    else:
        running[pid] = connection


def _become(request: dict[str, Any], given: list[int], connection: socket.socket) -> None:
    """The script, in a process that is as if it had been started for it."""
    if request["session"]:
        os.setsid()
    connection.sendall(b"began %d\n" % os.getpid())
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGH) for file in given]
    os.closerange(3, HIGH)
    for file, place in zip(moved, request["files"], strict=True):
        os.dup2(file, place)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "moto.moto_api._internal" in sys.modules:
        sys.modules["moto.moto_api._internal"].mock_random.seed()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    lines = 1 if os.environ.get("PYTHONUNBUFFERED") else -1
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", lines, "utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = request["words"]
    sys.path[:1] = [os.path.dirname(sys.argv[0])] if request["beside"] else []
    code: Any = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        traceback.print_exc()
        code = -signal.SIGINT
    except BaseException:  # as the interpreter does with whatever a script raises
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):  # the script's own ending, whose words have been printed
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: it is no script's
    sys.path.insert(0, "")
    serve(Path(sys.argv[1]), ())
