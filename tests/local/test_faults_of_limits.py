"""A computer that gives too few threads or too little memory: one sentence and exit 3."""

from __future__ import annotations

import sys

import forks
import pytest
from stand_in import HERE, MINUTES
from test_run import User, faults, shared, user

from localaws.errors import EXHAUSTED

__all__ = ["faults", "shared", "user"]


@pytest.mark.parametrize("kilobytes", [400_000, 700_000, 1_200_000])
def test_too_little_memory_for_threads_is_one_sentence_and_exit_3(user: User, kilobytes: int) -> None:
    """Each thread takes 8 MB of addresses for its stack, so this limit is one of threads too."""
    run = [sys.executable, str(HERE / "stand_in.py"), str(user.shared), str(user.code), "run", "--local"]
    words = ["bash", "-c", f'ulimit -v {kilobytes}; exec "$@"', "bash", *run, "--data", "orders.json"]
    # A fork would not have the limit.
    done = forks.run(words, start=forks.plain, cwd=user.folder, capture_output=True, text=True, timeout=MINUTES)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr, done.stderr
    if (done.returncode, kilobytes) != (0, 1_200_000):  # which is enough where libraries are smaller
        assert (done.returncode, errors) == (3, [f"error: {EXHAUSTED}"])
    assert not (user.work / "jobs").exists()
