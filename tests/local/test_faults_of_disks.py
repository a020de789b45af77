"""A disk that is really full or really read-only, in a mount of its own: one sentence and exit 3, at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import forks
import pytest
from local_aws import until
from stand_in import HERE, MINUTES, ROOT
from test_run import User, faults, shared, user

from stepgluon.errors import StepgluonError, SurroundingsError
from stepgluon.local.surroundings import blamed_on, write

__all__ = ["faults", "shared", "user"]


FILLING = f"""
import sys
sys.path.insert(0, {str(ROOT / "code")!r})
import job_io

def job():
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        (out / "a").write_bytes(bytes(1 << 23))

sys.exit(job_io.run("processing", job))
"""


@cache
def may_mount() -> bool:
    """Root may in most places, and users where they have namespaces of their own."""
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return done.returncode == 0


def mounted(user: User, options: str) -> subprocess.CompletedProcess[str]:
    """A run whose work folder is a file system of its own."""
    if sys.platform != "linux" or not may_mount():
        pytest.skip("a file system of its own needs Linux and the right to mount")
    user.work.mkdir()
    words = [sys.executable, str(HERE / "mounted.py"), options, str(user.work), str(user.shared), str(user.code)]
    words += ["run", "--local", "--data", "orders.json"]
    # Forks of the servers would not see the mount, so its jobs and functions are plain processes.
    plain = {name: value for name, value in os.environ.items() if name != forks.VARIABLE}
    modules = forks.MODULES["stand_in.py"]
    with forks.Popen(
        words, modules=modules, cwd=user.folder, env=plain, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        out, err = process.communicate(timeout=MINUTES)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.mark.parametrize("size", ["16k", "160k", "240k", "260k", "280k", "400k", "900k"])
def test_a_full_disk_is_one_sentence_and_exit_3(user: User, size: str) -> None:
    done = mounted(user, f"size={size}")
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert (done.returncode, len(errors)) == (3, 1), done.stderr
    assert "make room" in errors[0]
    assert "Traceback" not in done.stderr


def test_a_job_that_fills_the_disk_here_is_told_no_other_thing(user: User, tmp_path: Path) -> None:
    user.code = tmp_path / "jobs"
    user.code.mkdir()
    (user.code / "prepare.py").write_text(FILLING)
    done = mounted(user, "size=4m")
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert (done.returncode, len(errors)) == (3, 1), done.stderr
    assert "the disk of .local is full" in errors[0]


def test_a_read_only_disk_is_one_sentence_and_exit_3(user: User) -> None:
    done = mounted(user, "ro")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "read-only file system" in done.stderr and "--work" in done.stderr


def test_what_could_not_be_deployed_for_want_of_room_is_the_disks_fault_and_other_refusals_are_not(user: User) -> None:
    with (
        pytest.raises(SurroundingsError, match="cannot be written: no space left on device"),
        blamed_on(user.work),
    ):
        raise StepgluonError("penguins could not be created: 'Error=OSError Args=[28, No space left on device]'")
    with pytest.raises(StepgluonError, match=r"^of its own$"), blamed_on(user.work):
        raise StepgluonError("of its own")


def removed(work: Path) -> None:
    (work / "buckets" / "contents").rename(work / "gone")  # at once: the run goes on writing


def moved(work: Path) -> None:
    work.rename(work.with_name("moved"))


def overwritten(work: Path) -> None:
    for file in (work / "buckets" / "contents").rglob("*"):
        if file.is_file():
            file.write_bytes(bytes(len(file.read_bytes())))


@pytest.mark.parametrize("damage", [removed, moved, overwritten])
def test_a_work_folder_that_is_damaged_during_a_run_is_one_sentence_and_exit_3(
    user: User, damage: Callable[[Path], None]
) -> None:
    gate = user.folder / "gate"
    user.orders(train_adelie=f"wait for {gate}", train_gentoo=f"wait for {gate}")  # no score is being read meanwhile
    process = user.process("run", "--local", "--data", "orders.json")
    logs = [f"runs/*/logs/*train-{name}*" for name in ("adelie", "gentoo")]
    until(lambda: all(any("waiting" in log.read_text() for log in user.work.glob(one)) for one in logs))
    damage(user.work)
    gate.touch()
    _, err = process.communicate(timeout=MINUTES)
    errors = [line for line in err.splitlines() if "error: " in line]
    assert (process.returncode, len(errors)) == (3, 1), err
    assert "Traceback" not in err, err


def test_a_file_that_cannot_be_written_leaves_no_half_of_it(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OSError):
        write(tmp_path / "run.json", "{}")
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
