"""A job whose disk is full says so, by whatever way it comes to know of it, and a job without that problem does not."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from job_sandbox import CODE, MINUTES, Sandbox

FULL = "The job's disk is full; raise volume_gb of its instance."
PROGRAM = """
import errno, os, shutil, sys
sys.path.insert(0, sys.argv[1])
import job_io
from job_io import JobError

def refuse(number):
    raise OSError(number, os.strerror(number), "model.pkl")

def job():
    with job_io.complete_or_absent(job_io.model_output()) as out:
{job}

code = job_io.run("training", job)
report = job_io.root() / "output" / "failure"
print(report.read_text() if report.exists() else "")
sys.exit(code)
"""


def program(job: str) -> list[str]:
    indented = "".join(f"        {line}\n" for line in job.splitlines())
    return [sys.executable, "-c", PROGRAM.format(job=indented), str(CODE)]


def ended(box: Sandbox, command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, env=box.environment(), capture_output=True, text=True, check=False, timeout=MINUTES, cwd=box.root
    )
    assert done.returncode == 1, done.stderr
    return done


@cache
def may_mount() -> bool:
    """Root may in most places, and users where they have namespaces of their own."""
    if sys.platform != "linux":
        return False
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return done.returncode == 0


def on_a_small_disk(box: Sandbox, job: str) -> subprocess.CompletedProcess[str]:
    """The job with a file system of 1 MB of its own."""
    if not may_mount():
        pytest.skip("a file system of its own needs Linux and the right to mount")
    mount = 'mount -t tmpfs -o size=1m none "$1" && shift && exec "$@"'
    return ended(box, ["unshare", "-m", "sh", "-c", mount, "sh", str(box.root), *program(job)])


# A disk that is really full


@pytest.mark.parametrize(
    "writes",
    [
        "(out / 'a').write_bytes(bytes(1 << 21))",
        "shutil.copytree(SOURCE, out / 'predictor')",
        "shutil.move(SOURCE, out / 'predictor')",
        "import pyarrow, pyarrow.parquet\n"
        "table = pyarrow.table({'x': list(range(1 << 18))})\n"
        "pyarrow.parquet.write_table(table, out / 'a.parquet', compression='none', use_dictionary=False)",
        "import pandas\npandas.DataFrame({'x': range(1 << 18)}).to_csv(out / 'a.csv')",
        "with job_io.scratch():\n    (out / 'a').write_bytes(bytes(1 << 21))",
    ],
)
def test_a_disk_that_fills_up_is_told_as_what_it_is(sandbox: Sandbox, tmp_path: Path, writes: str) -> None:
    source = tmp_path / "predictor"
    for name in ("learner.pkl", "models/trees.pkl", "models/more/trees.pkl"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(bytes(1 << 19))
    done = on_a_small_disk(sandbox, writes.replace("SOURCE", repr(str(source))))
    assert done.stdout == f"{FULL}\n"
    assert "a bug" not in done.stderr


def test_where_not_even_the_sentence_fits_on_the_disk_it_is_in_the_log(sandbox: Sandbox) -> None:
    fill = "(job_io.root() / 'input' / 'a').parent.mkdir()\n(job_io.root() / 'input' / 'a').write_bytes(bytes(1 << 21))"
    done = on_a_small_disk(sandbox, fill)
    assert (done.stdout.strip(), done.stderr) == ("", f"{FULL}\n")


# What the problem looks like by the time it arrives

WORDS = "[Errno 28] No space left on device"


@pytest.mark.parametrize(
    "raises",
    [
        "refuse(errno.ENOSPC)",
        "refuse(errno.EDQUOT)",
        f"raise shutil.Error([('a', 'b', '[Errno 13] Permission denied'), ('c', 'd', \"{WORDS}: 'c' -> 'd'\")])",
        "try:\n    refuse(errno.ENOSPC)\nexcept OSError as problem:\n    raise ValueError('not saved') from problem",
        "try:\n    refuse(errno.ENOSPC)\nexcept OSError as problem:\n    raise JobError('Upload it again.') from None",
        "try:\n    refuse(errno.ENOSPC)\nfinally:\n    {}['the clean-up']",
        "try:\n    refuse(errno.EDQUOT)\nfinally:\n    raise MemoryError",
        "raise RuntimeError('file.cpp:92: (Error 28: No space left on device) cannot write')",
        f"try:\n    raise RuntimeError('{WORDS}')\nexcept RuntimeError as problem:\n    raise KeyError from problem",
        "one = OSError(errno.ENOSPC, 'full')\nother = ValueError()\none.__cause__, other.__context__ = other, one\n"
        "raise other",
    ],
)
def test_a_full_disk_is_found_behind_whatever_it_caused(sandbox: Sandbox, raises: str) -> None:
    assert ended(sandbox, program(raises)).stdout == f"{FULL}\n"


@pytest.mark.parametrize(
    ("raises", "told"),
    [
        (f"raise JobError('Row 1 holds {WORDS}.')", f"Not retried: Row 1 holds {WORDS}."),
        (f"raise job_io.RetryableError('Row 1 holds {WORDS}.')", f"Row 1 holds {WORDS}."),
        (
            "try:\n    float('no space left on device')\n"
            "except ValueError as problem:\n    raise JobError(f'Row 1: {problem}.') from None",
            "Not retried: Row 1: could not convert string to float: 'no space left on device'.",
        ),
        (
            "refuse(errno.EACCES)",
            "This is a bug in stepgluon, please report it with the job's log: PermissionError: [Errno 13] "
            "Permission denied: 'model.pkl'",
        ),
    ],
)
def test_other_problems_and_data_that_speak_of_a_full_disk_are_not_one(
    sandbox: Sandbox, raises: str, told: str
) -> None:
    assert ended(sandbox, program(raises)).stdout == f"{told}\n"
