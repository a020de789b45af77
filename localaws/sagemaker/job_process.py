"""One instance of a job: a folder that replaces /opt/ml, and a process with only the job's environment."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from localaws.base.environment import UNREACHABLE

ROOT = "/opt/ml"  # replaced by the job's folder
LONGEST_LINE = 256 * 1024  # [logs] a log event's message
_THREADS = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")] + ["VECLIB_MAXIMUM_THREADS"]

# How often a waiting thread of GNU's OpenMP spins before it yields its core. By default it spins for milliseconds, and
# beside other busy processes a training may take ten times as long.
_SPINS = "10000"

_UNFIT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)  # of a program that can never be started


class JobFailed(Exception):
    """The reason that SageMaker would give for failing the job."""


class Program(Protocol):
    """What a job runs: images.py finds it."""

    @property
    def identity(self) -> Any:
        """JSON that differs if the same inputs may give other outputs."""

    @property
    def note(self) -> str:
        """What differs from AWS, for the user; usually empty."""

    def start(self, surroundings: Surroundings, log: Callable[[str], None], ended: Callable[[], None]) -> Instance: ...


@dataclass(frozen=True)
class Surroundings:
    """What a job gives to one of its instances."""

    root: Path
    declared: Mapping[str, str]
    service: Mapping[str, str]  # variables that SageMaker sets
    cores: int
    port: int = 0  # of a server


@dataclass(frozen=True)
class Script:
    """A Python script that runs as a process in place of a container."""

    command: tuple[str, ...]
    identity: Any
    note: str = ""

    def start(self, surroundings: Surroundings, log: Callable[[str], None], ended: Callable[[], None]) -> Instance:
        if refused := dropped(surroundings.declared):
            log(f"The local AWS does not set {', '.join(refused)}.")
        try:
            process = subprocess.Popen(
                self.command,
                cwd=surroundings.root,
                env=environment(surroundings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as problem:
            if problem.errno not in _UNFIT:
                raise
            raise JobFailed(f"ClientError: cannot start {shlex.quote(self.command[0])}: {problem.strerror}") from None
        return Instance(process, log, ended, surroundings.port)


# In a container they only affect the job. Locally the process is the user's, and they could execute a job's input.
_DROPPED = re.compile(r"(PYTHON|LD_|DYLD_|BASH|GLIBC_|GCONV_|GIT_|PERL|AWS_).*|ENV|IFS|PATH|HOME|TMPDIR|NO_PROXY", re.I)


def dropped(declared: Mapping[str, str]) -> list[str]:
    """Which of the job's declared variables its process does not get."""
    return sorted(name for name in declared if _DROPPED.fullmatch(name))


def environment(given: Surroundings) -> dict[str, str]:
    """The job's own variables, what SageMaker sets, and the little that a process needs to start."""
    inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return {
        **inherited,
        "LANG": "C.UTF-8",
        **dict.fromkeys(_THREADS, str(given.cores)),
        "GOMP_SPINCOUNT": _SPINS,
        **{name: value for name, value in given.declared.items() if not _DROPPED.fullmatch(name)},
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": os.fspath(given.root / "home"),
        "TMPDIR": os.fspath(given.root / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # installed packages have byte code; write none into the repository
        **UNREACHABLE,
        **given.service,
        **({"SAGEMAKER_BIND_TO_PORT": str(given.port)} if given.port else {}),
        "STEPGLUON_ROOT": os.fspath(given.root),
        "STEPGLUON_CORES": str(given.cores),
    }


def inside(root: Path, path: str) -> Path:
    """The local path of a path in the container."""
    assert path == ROOT or path.startswith(f"{ROOT}/"), path
    return root / path[len(ROOT) :].lstrip("/")


class Instance:
    """A running process; `log` gets its output line by line, and `ended` is called at its end."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Callable[[str], None], ended: Callable[[], None], port: int = 0
    ) -> None:
        """The process must lead a session of its own, so that its children end with it."""
        self.code: int | None = None  # as of a container: 128 + signal
        self._log = log
        self._ended = ended
        self._port = port
        self._process = process
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._read, self._wait)]
        for thread in self._threads:
            thread.start()

    @property
    def cleaning(self) -> Sequence[str]:
        """A command that removes what the instance leaves if we are killed; usually empty."""
        return ()

    def connect(self) -> socket.socket:
        """A connection to the instance's server."""
        return socket.create_connection(("127.0.0.1", self._port))

    @property
    def group(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        """Send SIGTERM to the first process, as `docker stop` does first."""
        self._process.terminate()

    def close(self) -> None:
        """End the process, its children and its log."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for thread in self._threads:
            # A child with its own session may keep the log's other end open.
            thread.join(1)

    def _wait(self) -> None:
        code = self._process.wait()
        self.code = code if code >= 0 else 128 - code
        self._ended()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            while line := output.readline(LONGEST_LINE):
                self._log(line.decode("utf-8", "replace").rstrip("\r\n"))
