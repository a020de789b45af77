"""Runs a function for many models in forked processes, several at once: one that crashes costs one model.

A fork starts with everything that its parent has imported, so AutoGluon is imported once. Import in the parent, but do
not fit or predict there: OpenMP's threads do not survive a fork, and the fork would wait for them forever.

A fork's output goes to a file. When the model is done, the file's last lines are logged, each after the model's name.
"""

from __future__ import annotations

import functools
import gc
import importlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import job_io
import psutil
from job_io import log

LINES = 12  # of a model's log; FAILED_LINES if the model failed
FAILED_LINES = 60
LOG_BYTES = 64 * 1024  # read from the end of a model's log
CAUSE = 500  # bytes: the state machine reads those of 256 models at once
MEMORY = 1024**3  # for each model that is worked on: a fork takes about 300 MB, and a few times its table
_FORK = multiprocessing.get_context("fork")

Work = Callable[[str], Any]


@dataclass(frozen=True)
class Failure:
    """Why a model has no result."""

    sentence: str
    final: bool = False  # a retry would fail too
    killed: bool = False  # by SIGKILL, which is what happens when memory runs out

    def entry(self, name: str) -> dict[str, Any]:
        """For group.json and result.json, in the words of Step Functions."""
        words = ((job_io.NOT_RETRIED if self.final else "") + self.sentence).encode()[:CAUSE].decode("utf-8", "ignore")
        return {"name": name, "Error": "States.TaskFailed", "Cause": words}


def import_autogluon(*libraries: str) -> None:
    """Import what the forks need."""
    gc.disable()  # it takes a tenth of the time, and frees next to nothing
    for library in libraries:
        with suppress(ModuleNotFoundError):  # a library that is not installed fits no model
            importlib.import_module(library)
    # AutoGluon reads the versions of all installed packages three times for each model, longer than a small fit takes.
    utils = importlib.import_module("autogluon.common.utils.utils")
    utils.get_package_versions = functools.cache(utils.get_package_versions)  # type: ignore[attr-defined]
    utils.get_package_versions()
    gc.freeze()  # a fork's garbage collection must not touch, and so copy, all shared pages
    gc.enable()


@contextmanager
def meanwhile(names: Sequence[str], work: Work) -> Iterator[None]:
    """Use the other cores while the block runs: forks work on the first names, and are killed at its end.

    So `work` must leave something complete or nothing at all; it gets no second try, and its problems are ignored.
    """
    alive = os.pipe()
    count = at_once(len(names)) - 1
    forks = [_FORK.Process(target=_work_ahead, args=(names[first::count], work, alive)) for first in range(count)]
    for fork in forks:
        fork.start()
    try:
        yield
    finally:
        for fork in forks:
            fork.kill()
            fork.join()
        os.close(alive[1])
        os.close(alive[0])


def at_once(count: int) -> int:
    """How many models can run at once, each on one core."""
    memory: int = psutil.virtual_memory().available
    return max(1, min(job_io.cores(), count, memory // MEMORY))


def results(
    names: Sequence[str], work: Work, logs: Path, fresh: bool, deadline: float = math.inf
) -> Iterator[tuple[str, Any]]:
    """Each name with what `work` returned, or a Failure, as models finish. With `fresh`, each gets its own fork.

    A model that was killed is tried once more, alone. At the deadline (by time.monotonic()), the rest fails.
    """
    killed = []
    for name, found in _results(names, work, logs, fresh, at_once(len(names)), deadline):
        if isinstance(found, Failure) and found.killed and len(names) > 1:
            killed.append(name)
        else:
            yield name, found
    for name in killed:
        log.info("%s: trying it once more, alone", name)
        yield from _results([name], work, logs, True, 1, deadline)


def _results(
    names: Sequence[str], work: Work, logs: Path, fresh: bool, together: int, deadline: float
) -> Iterator[tuple[str, Any]]:
    waiting, busy = deque(names), dict[Connection, _Child]()
    alive = os.pipe()
    try:
        while waiting or busy:
            left = deadline - time.monotonic()
            if left <= 0:
                yield from ((name, _late(name)) for name in [*(child.task for child in busy.values()), *waiting])
                return
            while waiting and len(busy) < together:
                child = _Child(work, logs / f"{len(waiting)}.log", alive, fresh)
                child.give(waiting.popleft())
                busy[child.pipe] = child
            for pipe in wait(list(busy), None if left == math.inf else left):
                child = busy[pipe]  # type: ignore[index]  # it returns what it was given
                found = child.result()
                _show(child.task, child.log, isinstance(found, Failure))
                yield child.task, found
                if waiting and child.lives:
                    child.give(waiting.popleft())
                else:
                    del busy[child.pipe]
                    child.end()
    finally:
        for child in busy.values():
            child.kill()
        os.close(alive[1])
        os.close(alive[0])


class _Child:
    """A fork that works on one model after another, or with `fresh` on a single one."""

    def __init__(self, work: Work, file: Path, alive: tuple[int, int], fresh: bool) -> None:
        self.task, self.log, self.lives = "", file, not fresh
        self.pipe, end = _FORK.Pipe()
        self._process = _FORK.Process(target=_serve, args=(work, end, file, alive, fresh))
        self._process.start()
        end.close()  # so that the pipe ends with the fork

    def give(self, task: str) -> None:
        self.task = task
        with suppress(BrokenPipeError):  # it has died; `result` says why
            self.pipe.send(task)

    def result(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.lives = False
            self._process.join()
            return _crash(self.task, self._process.exitcode or 0)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        with suppress(BrokenPipeError):  # it has ended
            self.pipe.send(None)  # closing the pipe is not enough, because other forks have a copy of its end
        self.pipe.close()
        self._process.join()
        self.log.unlink(missing_ok=True)


def _work_ahead(names: Sequence[str], work: Work, alive: tuple[int, int]) -> None:
    _watch_parent(alive)
    for name in names:
        with suppress(Exception):  # the model's own process tries again, and reports the problem
            work(name)


def _serve(work: Work, pipe: Connection, file: Path, alive: tuple[int, int], fresh: bool) -> None:
    _watch_parent(alive)
    with suppress(OSError):  # on Linux: if memory runs out, the kernel kills this model and not the job
        Path("/proc/self/oom_score_adj").write_text("1000")
    written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(written, stream)
    while True:
        task = pipe.recv()
        if task is None:
            return
        os.ftruncate(written, 0)  # its parent has read it
        try:
            found = work(task)
        except BaseException as problem:  # its sentence is this model's failure, and the others continue
            found = Failure(job_io.sentence_of(problem), job_io.is_final(problem))
        sys.stdout.flush()
        sys.stderr.flush()
        pipe.send(found)
        if fresh:
            return


def _watch_parent(alive: tuple[int, int]) -> None:
    os.close(alive[1])
    threading.Thread(target=_end_with_parent, args=(alive[0],), daemon=True).start()


def _end_with_parent(alive: int) -> None:
    """The pipe has no writer but the parent, so it ends when the parent does, even if the parent was killed."""
    os.read(alive, 1)
    os._exit(job_io.STOPPED)


def _crash(name: str, code: int) -> Failure:
    if code == -signal.SIGKILL:
        return Failure(
            f"Model {name}: its process was killed, which usually means that memory ran out; give the job an instance "
            "with more memory.",
            killed=True,
        )
    how = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with the exit code {code}"
    return Failure(f"Model {name}: its process {how}; look at the job's log.")


def _late(name: str) -> Failure:
    return Failure(
        f"Model {name}: its group's job had no time left for it; raise max_runtime or lower fan_out.models_per_job."
    )


def _show(name: str, file: Path, failed: bool) -> None:
    lines = []
    with suppress(FileNotFoundError), file.open("rb") as written:  # it was killed before it wrote one
        written.seek(max(0, written.seek(0, os.SEEK_END) - LOG_BYTES))
        lines = written.read().decode("utf-8", "replace").splitlines()
    most = FAILED_LINES if failed else LINES
    if len(lines) > most:
        lines = ["...", *lines[-most:]]
    for line in lines:
        print(f"{name} | {line}", flush=True)
