"""What a job used: measured in it, logged as one line, and read from its log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import usage
from job_sandbox import CODE, MINUTES, Sandbox
from usage import GB, Recorder

from stepgluon.cost.used import busy, used_of, used_words

MB = 2**20


def test_memory_counts_child_processes_and_keeps_its_peak(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(b"x" * (512 * MB // 1000))
    child = "import sys; held = bytearray(b'x') * (300 << 20); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        recorder, limit = Recorder(), time.monotonic() + MINUTES
        while recorder.peak < 300 * MB:
            assert time.monotonic() < limit, recorder.peak
            time.sleep(0.01)
        process.communicate()
    used = used_of([f"12:00:00 {recorder.line(tmp_path, 2)}"])
    assert used is not None
    assert 0.3 <= used["memory"] < used["of_memory"]
    assert used["of_memory"] <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB * 1.01
    assert used["processor"] > 0 and used["seconds"] > 0 and used["cores"] == 2
    assert used["disk"] == 0.001  # the least that is shown


def run(box: Sandbox, job: str) -> subprocess.CompletedProcess[str]:
    script = f"import sys; sys.path.insert(0, sys.argv[1]); import job_io, usage\n{job}"
    command = [sys.executable, "-c", script, str(CODE)]
    return subprocess.run(command, env=box.environment(), capture_output=True, text=True, timeout=MINUTES)


@pytest.mark.parametrize("kind", ["training", "processing"])
def test_the_log_of_a_job_ends_with_what_it_used(sandbox: Sandbox, kind: str) -> None:
    done = run(sandbox, f"sys.exit(job_io.run({kind!r}, lambda: sum(range(2_000_000))))")
    used = used_of(done.stdout.splitlines()[-1:])
    assert done.returncode == 0 and used is not None, done
    assert used["memory"] < 1 and used["cores"] == 1


def test_a_failed_job_ends_with_its_reason(sandbox: Sandbox) -> None:
    done = run(sandbox, "sys.exit(job_io.run('training', lambda: 1 / 0))")
    assert done.returncode == 1 and "used:" not in done.stdout + done.stderr


def test_a_figure_that_cannot_be_read_fails_no_job(sandbox: Sandbox) -> None:
    broken = "usage._size = lambda folder: 1 / 0\nsys.exit(job_io.run('training', lambda: None))"
    done = run(sandbox, broken)
    assert done.returncode == 0
    assert done.stdout.endswith("What the job used is unknown: division by zero\n")


def test_without_the_files_of_linux_it_is_the_largest_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(usage, "_memory", lambda: 0)
    used = used_of([Recorder().line(tmp_path, 1)])
    assert used is not None and used["memory"] > 0.005


def test_of_several_instances_the_highest_figures_count() -> None:
    lines = [
        "algo-1: 12:00:00 used: 0.132 of 15.4 GB memory, 10 s of processor time in 20 s on 4 cores, 0.001 GB of disk",
        "the user's own line used: a lot",
        "algo-2: 12:00:00 used: 13.2 of 15.4 GB memory, 8 s of processor time in 21.5 s on 4 cores, 1 GB of disk",
    ]
    used = used_of(lines)
    assert used == {"memory": 13.2, "of_memory": 15.4, "processor": 10, "seconds": 21.5, "cores": 4, "disk": 1}
    assert used_words(used) == "13.2 of 15.4 GB, 12 % of 4 cores" and busy(used) == 10 / 86
    assert used_of(lines[1:2]) is None and used_words(None) == ""


@pytest.mark.parametrize(("amount", "words"), [(0.00002, "0.001"), (15.43, "15.4"), (1234567.0, "1230000")])
def test_amounts_have_three_digits_and_no_exponent(amount: float, words: str) -> None:
    assert usage._short(amount) == words
