"""A thread of ours that dies fails the test in which it dies."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import threading
import pytest

def eval(): raise ValueError
def _wait(): raise ValueError

@pytest.mark.parametrize("name", ["function penguins-start", "watcher", "job a", "local AWS", "model"])
def test_ours(name):
    start(threading.Thread(target=eval, name=name))

def test_nameless():
    start(threading.Thread(target=_wait))

def test_moto():
    start(threading.Thread(target=eval))

def start(thread):
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize("how", [["-p", "no:xdist"], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_thread_that_dies_fails_its_test_unless_it_is_moto_s(tmp_path: Path, how: list[str]) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "--color=no"]
    ended = subprocess.run([*command, *how, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    failed = re.findall(r"^FAILED test_them.py::test_(\w+)", ended.stdout, re.MULTILINE)
    assert sorted(failed) == ["nameless", *["ours"] * 5] and "6 failed, 1 passed" in ended.stdout, ended.stdout
