"""A job's input and output paths, and how it ends. No other module in code/ knows the container's paths.

A job is a function without arguments. `run` calls it and returns the process's exit code: 0 if it returned, 1 if it
failed. On failure, it writes one sentence for the user where SageMaker expects it (output/failure for a training job,
output/message for a processing job) and leaves the output folder empty. If the user's data or config is wrong, this
sentence, but not the log, begins with `Not retried: `. Before it, the log has a line for each wrong cell, for reports:
`cell: ["a.csv", "row 1 (line 2)", "price", "unknown"]`. The log of a job that ended well says what the job used.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from usage import Recorder

ROW = "stepgluon_row"  # identifies each row of the run, from prepare to the result
SUCCESS = "_SUCCESS"
STOPPED = 128 + signal.SIGTERM
SENTENCE = 1024  # [sm] maximum length of FailureReason and ExitMessage
LEAST_ROWS = 4  # to learn from; with fewer, AutoGluon 1.6 fits no model at medium_quality: it holds some back
CELLS = 10  # at most, of a mistake
NOT_RETRIED = "Not retried: "  # tells the state machine that a retry would fail too
_UNFINISHED = ".unfinished"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

log = logging.getLogger("stepgluon")
_unfinished: set[Path] = set()
_scratch: set[Path] = set()


Cell = tuple[str, str, str, object]  # file, row, column and value


class JobError(Exception):
    """The user's data or config is wrong, so a retry would fail too. Each argument is a sentence for the user."""

    def __init__(self, *sentences: str, cells: Sequence[Cell] = ()) -> None:
        super().__init__(*sentences)
        self.cells = list(cells)  # the first wrong ones

    def __str__(self) -> str:
        return " ".join(map(str, self.args))


class RetryableError(JobError):
    """A retry may help: an input is incomplete or was damaged in transit. The message is shown to the user."""


class Problems:
    """Collects the user's mistakes, to report all at once."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.cells: list[Cell] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        try:
            yield
        except RetryableError:
            raise
        except JobError as problem:
            self.sentences += map(str, problem.args)
            self.cells += problem.cells

    def report(self) -> None:
        if self.sentences:
            raise JobError(*dict.fromkeys(self.sentences), cells=self.cells)


def root() -> Path:
    return Path(os.environ.get("STEPGLUON_ROOT") or "/opt/ml")


def processing_input(name: str) -> Path:
    return root() / "processing" / "input" / name


def processing_output() -> Path:
    return root() / "processing" / "output"


def channel(name: str) -> Path:
    return root() / "input" / "data" / name


def model_output() -> Path:
    return root() / "model"


def checkpoints() -> Path:
    """Kept by SageMaker while a training job runs, and given to the job that tries again."""
    return root() / "checkpoints"


def read_config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("models"), list):
        raise JobError("config.json has no list of models; it is not a resolved config.")
    return config


def model_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    for model in config["models"]:
        if model["name"] == name:
            found: dict[str, Any] = model
            return found
    raise JobError(f"The config has no model {shown(name)}; it has {', '.join(m['name'] for m in config['models'])}.")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RetryableError(f"{path.name} is missing in {path.parent}; the job's inputs are not complete.") from None
    except ValueError as problem:
        raise RetryableError(f"{path.name} in {path.parent} is not JSON: {problem}.") from None


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON: refuse NaN and infinity, which other programs cannot read."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


def shown(value: object, length: int = 60) -> str:
    """A user's value for a message: quoted, on one line, shortened."""
    text = repr(value[: length + 1] if isinstance(value, str) else value)
    return text if len(text) <= length + 2 else f"{text[:length]}…{text[0] if text[0] in chr(34) + chr(39) else ''}"


def listed(names: list[str], most: int = 5) -> str:
    """Names for a message: the first few, and the number of others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cores() -> int:
    """The number of cores for this job: STEPGLUON_CORES, or else what the scheduler and the container allow."""
    asked = os.environ.get("STEPGLUON_CORES")
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise JobError(
                f"The environment variable STEPGLUON_CORES is {shown(asked)}; it must be a number from 1 on."
            )
        return int(asked)
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return granted
    return granted if quota == "max" else max(1, min(granted, int(quota) // int(period)))


def limit_threads(most: int | None = None) -> None:
    """Keep numeric libraries from using all visible cores, or more than `most`."""
    with suppress(JobError):  # raised again, and reported, by the job's own call of cores()
        count = str(most or cores())
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)


limit_threads()  # on import: numpy, imported after this module, reads the limit once


@contextmanager
def complete_or_absent(folder: Path) -> Iterator[Path]:
    """A temporary folder whose content appears in `folder` once it is complete, `_SUCCESS` last, or never.

    Remains of an earlier try in `folder` are removed first. The folder itself stays: it is a mount in a container.
    """
    folder.mkdir(parents=True, exist_ok=True)
    empty(folder)
    stage = folder / _UNFINISHED
    stage.mkdir()
    _unfinished.add(folder)
    try:
        yield stage
        for item in sorted(stage.iterdir(), key=lambda path: (path.name == SUCCESS, path.name)):
            item.rename(folder / item.name)
        stage.rmdir()
    except BaseException:
        empty(folder)
        raise
    finally:
        _unfinished.discard(folder)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for temporary files, removed afterwards, even after SIGTERM."""
    with tempfile.TemporaryDirectory() as name:
        _scratch.add(Path(name))
        try:
            yield Path(name)
        finally:
            _scratch.discard(Path(name))


def empty(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)


def run(kind: Literal["training", "processing"], job: Callable[[], None]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    _stop_at_once()
    used = Recorder()
    try:
        job()
    except KeyboardInterrupt:
        return 130
    except BaseException as problem:  # the user always gets a sentence
        sentence = _one_line(sentence_of(problem))
        for cell in problem.cells[:CELLS] if isinstance(problem, JobError) else ():
            print(
                f"cell: {json.dumps([_one_line(str(part)[:80]) for part in cell], ensure_ascii=False)}", file=sys.stderr
            )
        print(sentence, file=sys.stderr)
        if is_final(problem):
            sentence = _one_line(NOT_RETRIED + sentence)
        report = root() / "output" / ("failure" if kind == "training" else "message")
        with suppress(OSError):  # the disk may be too full for this too; the sentence is in the log
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(sentence, "utf-8")
        return 1
    _log_usage(used)
    return 0


def _log_usage(used: Recorder) -> None:
    try:
        log.info(used.line(root(), cores()))
    except Exception as problem:  # the job is done, and statistics must not make it fail
        log.info("What the job used is unknown: %s", problem)


def sentence_of(problem: BaseException) -> str:
    """What the user gets to know of a problem; a bug is also printed with its place."""
    if _disk_is_full(problem):
        return "The job's disk is full; raise volume_gb of its instance."
    if isinstance(problem, JobError):
        return str(problem)
    if isinstance(problem, MemoryError):
        return "The job ran out of memory; give it an instance with more memory."
    traceback.print_exception(problem)
    return f"This is a bug in stepgluon, please report it with the job's log: {type(problem).__name__}: {problem}"


def is_final(problem: BaseException) -> bool:
    """Whether a retry would fail too; a full disk may be due to other jobs."""
    return isinstance(problem, JobError) and not isinstance(problem, RetryableError) and not _disk_is_full(problem)


def _one_line(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= SENTENCE else line[: SENTENCE - 1] + "…"


def _disk_is_full(problem: BaseException) -> bool:
    """Whether a full disk caused the problem: shutil and C++ libraries keep only the message of an OSError."""
    behind = _behind(problem)
    if any(isinstance(each, OSError) and each.errno in _NO_ROOM for each in behind):
        return True
    if any(isinstance(each, JobError) for each in behind):
        return False  # its message and causes may contain the user's data
    words = [os.strerror(number).lower() for number in _NO_ROOM]
    return any(each in str(one).lower() for one in behind for each in words)


def _behind(problem: BaseException) -> list[BaseException]:
    """The problem, its causes, and the exceptions that were being handled when it was raised."""
    found = [problem]
    for each in found:
        more = (each.__cause__, each.__context__)
        found += [one for one in more if one is not None and not any(one is other for other in found)]
    return found


def _stop_at_once() -> None:
    """Make SIGTERM end the process quickly, without partial output.

    A Python handler would wait for a model's C code to return, and without a handler, a container's first process
    ignores the signal; so a thread waits for it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        for folder in list(_unfinished):
            empty(folder)
        for folder in list(_scratch):
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(STOPPED)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()
