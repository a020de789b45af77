"""Checks tables before a run, with prepare's own code, in its own process and a temporary folder, like a job.

code/check.py reads them as prepare does, and writes no rows; code/propose.py reads them for `init`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from localaws.sagemaker.job_process import Surroundings, environment
from stepgluon.config.found_models import OTHERS
from stepgluon.errors import StepgluonError, SurroundingsError, counted
from stepgluon.figures import aligned
from stepgluon.names import Names

CODE = Path(__file__).resolve().parents[2] / "code"
CORES = 2
SECONDS_TO_LOCK = 60  # a younger folder may not be locked yet
_PREFIX = "stepgluon-check-"
Found = Callable[[], dict[str, Any]]


class BadData(StepgluonError):
    """A run cannot start with these tables."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems) if len(problems) == 1 else "\n  ".join(["the data:", *problems]))
        self.problems = problems


def check_data(names: Names, files: Sequence[Path]) -> dict[str, Any]:
    """What code/check.py found: problems, or else notes and the profile of the data."""
    with started(names, files) as found:
        return found()


def propose(files: Sequence[Path], label: str | None, data: Mapping[str, str]) -> dict[str, Any]:
    """What code/propose.py found: the columns, and with a label how models could split the rows; raises BadData."""
    with _found_by("propose", json.dumps({"data": {"format": "auto", **data}, "label": label}), files, {}) as proposed:
        found = proposed()
    if found["problems"]:
        raise BadData(found["problems"])
    return found


@contextmanager
def checking(names: Names, files: Sequence[Path], say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Check the tables while the block does something else; calling the yielded function waits for the result.

    It raises BadData if a run cannot start with these tables, and otherwise prints what the user may not have meant.
    """
    if names.config.data.files:  # only the user's script reads them
        yield lambda: None
        return
    with started(names, files) as found:

        def ended() -> None:
            result = found()
            if result["problems"]:
                raise BadData(result["problems"])
            for line in remarks(result):
                say(line)

        yield ended


def started(names: Names, files: Sequence[Path]) -> AbstractContextManager[Found]:
    """Check the tables during the block."""
    return _found_by("check", names.config_json, files, names.config.prepare.environment)


@contextmanager
def _found_by(script: str, config: str, files: Sequence[Path], declared: Mapping[str, str]) -> Iterator[Found]:
    """Run the script on the files during the block; yields a function that waits for its result."""
    with ExitStack() as stack:
        try:
            _remove_left()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX)))
            lock = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
            _lay_out(folder, config, files)
            command = [sys.executable, os.fspath(CODE / f"{script}.py")]
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=environment(Surroundings(folder, declared, {}, CORES)),
                    pass_fds=[lock],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                )
            )
        except OSError as problem:
            reason = (problem.strerror or str(problem)).lower()
            message = f"the tables cannot be checked: {reason} (name another folder with TMPDIR)"
            raise SurroundingsError(message) from None
        stack.callback(process.kill)
        yield lambda: _result(process, folder / "processing" / "output" / f"{script}.json")


def _remove_left() -> None:
    """Remove the folders of checks that were killed: their locks are free."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is another user's, or another process removes it
            if time.time() - folder.stat().st_mtime < SECONDS_TO_LOCK:
                continue
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _lay_out(folder: Path, config: str, files: Sequence[Path]) -> None:
    """Create the job's folders."""
    inputs = folder / "processing" / "input"
    for place in (inputs / "raw", inputs / "config", folder / "processing" / "output", folder / "tmp"):
        place.mkdir(parents=True)
    for file in files:
        (inputs / "raw" / file.name).symlink_to(file.resolve())
    (inputs / "config" / "config.json").write_text(config, encoding="utf-8")


def _result(process: subprocess.Popen[str], file: Path) -> dict[str, Any]:
    """Return what the script wrote to the file; call this once."""
    said = process.communicate()[1].strip() or "unknown reason"
    if process.returncode == 0:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return found
    if "No module named" in said:
        raise SurroundingsError(f"the tables cannot be checked: {said.splitlines()[-1]} (run `make setup`)")
    raise StepgluonError(f"the tables cannot be checked: {said}")


def remarks(found: dict[str, Any]) -> list[str]:
    """What was assumed, and what the user may not have meant."""
    assumed = [f"{file['name']}: {sentence}" for file in found["files"] for sentence in file["assumed"]]
    return assumed + list(found["notes"])


def _where(where: dict[str, Any]) -> str:
    return "  ".join(f"{column} = {value}" for column, value in where.items())


def words(found: dict[str, Any]) -> str:
    """What `check` prints."""
    if found["problems"]:
        return "\n".join(["A run cannot start:", *(f"  {problem}" for problem in found["problems"])]) + "\n"
    lines = [f"{file['name']}: {counted(file['rows'], 'row')}" for file in found["files"]]
    lines += (
        ["", *_of_partitions(found["models"])] if isinstance(found["models"], dict) else _of_models(found["models"])
    )
    if said := remarks(found):
        lines += ["", *said]
    if ignored := found["files_ignored"]:
        lines.append(f"Ignored: {', '.join(ignored)}.")
    few, promoted = _gaps_of_few(found["models"])
    left = sum(gaps["rows"] for gaps in found["open_gaps"]) + few
    filled = f"models for {found['gaps'] - left:,} of {counted(found['gaps'], 'gap')}" if found["gaps"] else "no gaps"
    more = f"; only promoted models can predict {promoted:,} of the others" if promoted else ""
    rows = f"A run can start: {counted(found['rows'], 'row')}, {filled}{more}."
    none = "A run needs promoted models: with these rows, no model can be trained."
    return "\n".join([*lines, "", rows if found["can_train"] else none]) + "\n"


def _of_partitions(models: dict[str, Any]) -> list[str]:
    """Of models that were found in the data."""
    counts = ", ".join(
        f"{models[f'rows_{part}']:,} {words}"
        for part, words in (("train", "to train"), ("test", "held out"), ("predict", "to predict"))
    )
    few = f", {models['to_train']:,} with enough rows to be trained" if models["to_train"] < models["count"] else ""
    count, column = models["count"], models["column"]
    made = f", one for each value of {column}" if count > 1 else f", for the only value of {column}"
    if models["small"]["otherwise"] == "shared" and models["small"]["count"]:
        many = f"{made}{OTHERS}"
        made = many if count > 1 else f" for all values of {column}"
    return [f"{counted(count, 'model')}{made}{few}: {counts}"]


def _gaps_of_few(models: Any) -> tuple[int, int]:
    """The gaps of partitions with too few rows that no model of the run predicts; those that a promoted one may."""
    few = models["small"] if isinstance(models, dict) else {"otherwise": ""}
    if few["otherwise"] == "" or (few["otherwise"] == "shared" and not few["promoted_only"]):
        return 0, 0
    gaps = int(few["rows_predict"])
    return gaps, gaps if few["promoted_only"] else 0


def _of_models(models: list[dict[str, Any]]) -> list[str]:
    rows = [("model", "to train", "held out", "to predict", "")]
    for model in models:
        train, test, predict = (f"{model[f'rows_{part}']:,}" for part in ("train", "test", "predict"))
        unnamed = model["name"].startswith("value-")  # of a value without ASCII letters
        rows.append((model["name"], train, test, predict, _where(model["where"]) if unnamed else ""))
    return ["", *aligned(rows, right=(1, 2, 3))]
