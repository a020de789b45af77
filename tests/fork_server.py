"""Starts Python scripts as forks of an interpreter that has imported slow modules; forks.py is its client.

    python fork_server.py SOCKET MODULE...

It ends when its client's `alive` pipe beside the socket closes, however the client ends.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

HIGH = 700  # descriptors from here on collide with none that a script receives
BASE = sys.path[1:]
_set_by_modules: dict[str, str] = {}  # the variables that they set while they were imported


def serve(address: Path, modules: list[str]) -> None:
    """Fork for each connection; send the process's id and, later, its exit code through it."""
    sys.path.insert(0, os.fspath(Path(__file__).parent.parent))
    before = dict(os.environ)
    for module in modules:
        importlib.import_module(module)
    _set_by_modules.update({name: value for name, value in os.environ.items() if before.get(name) != value})
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"{modules} started {len(threads) - 1} threads; a fork has the locks they hold"
    tempfile.tempdir = None
    gc.collect()
    gc.freeze()  # a fork's garbage collection must not touch, and so copy, all shared pages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    alive = os.open(address.with_name("alive"), os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.{os.getpid()}")
    listener.listen(64)
    os.rename(f"{address}.{os.getpid()}", address)
    with contextlib.suppress(BrokenPipeError):  # its client was killed
        os.write(1, b"ready\n")
    os.dup2(0, 1)
    running: dict[int, socket.socket] = {}
    servers: list[int] = []
    selector = selectors.DefaultSelector()
    for file in (alive, woken, listener.fileno()):
        selector.register(file, selectors.EVENT_READ)
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 1 << 12)
            reap(running)
        if alive in ready:
            break
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            begin(connection, running, servers)
    for server in set(servers) & set(running):  # they end now, too; their processor time counts as the tests'
        os.waitpid(server, 0)
    os._exit(0)


def reap(running: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with running.pop(ended[0]) as connection, contextlib.suppress(OSError):  # the client may have ended
                connection.sendall(struct.pack("i", os.waitstatus_to_exitcode(ended[1])))


def begin(connection: socket.socket, running: dict[int, socket.socket], servers: list[int]) -> None:
    data, files, _, _ = socket.recv_fds(connection, 1 << 16, 16)
    while more := connection.recv(1 << 16):
        data += more
    try:
        order = json.loads(data)
    except ValueError:  # its client was killed
        for file in [connection.detach(), *files]:
            os.close(file)
        return
    pid = os.fork()
    if pid == 0:
        # No return: objects of the server's frames must not be freed, as they would close descriptors of the script.
        become(order, files, connection)
    for file in files:
        os.close(file)
    running[pid] = connection
    if order["words"][0] == __file__:
        servers.append(pid)


def become(order: dict[str, Any], files: list[int], connection: socket.socket) -> NoReturn:
    """Run the script in this process, as if it had been started for it."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN if order["ignores_sigint"] else signal.default_int_handler)
        if order["session"]:
            os.setsid()
        else:
            with contextlib.suppress(OSError):  # a group of another session
                os.setpgid(0, order["group"])
        connection.sendall(struct.pack("i", os.getpid()))
        moved = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGH) for file in files]
        os.closerange(3, HIGH)
        for file, place in zip(moved, order["places"], strict=True):
            os.dup2(file, place)
            os.close(file)
        os.chdir(order["cwd"])
        os.umask(order["umask"])
        os.environ.clear()
        os.environ.update({**_set_by_modules, **order["environment"]})
        time.tzset()
        interpreter(order["words"], order["isolated"])
        code = run(order["words"][0])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def interpreter(words: list[str], isolated: bool) -> None:
    sys.argv = words
    paths = [] if isolated else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = ([] if isolated else [os.path.dirname(words[0])]) + [path for path in paths if path] + BASE
    importlib.invalidate_caches()
    sys.dont_write_bytecode = not isolated and bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    unbuffered = not isolated and bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        raw = open(number, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115 - as long as the process
        lines = number == 2 or raw.isatty()
        stream = io.TextIOWrapper(raw, "utf-8", errors, line_buffering=lines, write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run(script: str) -> int:
    """Run it as the interpreter does; return the exit code."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__.update(__file__=script, __builtins__=builtins)
    code: Any = 0
    try:
        exec(compile(Path(script).read_bytes(), script, "exec", dont_inherit=True), main.__dict__)
    except SystemExit as end:
        code = end.code
        if not isinstance(code, int | None):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:  # also KeyboardInterrupt
        assert error.__traceback__
        error = error.with_traceback(error.__traceback__.tb_next)  # without this frame
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # wait for threads that are not daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return (code or 0) & 0xFF


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
