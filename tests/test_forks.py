"""forks.py: a fork behaves as a process started with subprocess does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forks
import pytest

SCRIPT = """
import atexit, os, sys, threading, time
print(sys.argv[1:], os.getcwd(), sys.path[0], dict(sorted(os.environ.items())))
print(sys.stdin.read(), sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1], __name__, __file__)
print(os.getpgrp() == os.getpid(), sys.dont_write_bytecode, file=sys.stderr)
atexit.register(print, "the end")
threading.Thread(target=lambda: (time.sleep(0.1), print("of a thread"))).start()
{do}
"""
ENDS = ["", "sys.exit(3)", "sys.exit('a sentence')", "1 / 0", "os._exit(4)", "os.kill(os.getpid(), 9)", "os.abort()"]
ENDS += ["raise KeyboardInterrupt"]


@pytest.mark.parametrize("do", ENDS)
def test_a_fork_does_says_and_ends_as_a_process_of_its_own(tmp_path: Path, do: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(do=do))
    told = []
    for run in (subprocess.run, forks.run):
        read, write = os.pipe()
        os.write(write, b"given\n")
        os.close(write)
        options: dict[str, Any] = {"env": {"A": "ü", "LC_CTYPE": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}}
        options |= {"stdin": read, "cwd": tmp_path, "pass_fds": [read], "start_new_session": True}
        done = run([sys.executable, script, "one", "two"], capture_output=True, text=True, **options)
        os.close(read)
        told.append((done.returncode, done.stdout, done.stderr.partition("Traceback")[0]))
    assert told[0] == told[1]


def test_a_fork_is_waited_for_and_ended(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import time; print('here', flush=True); time.sleep(600)")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with forks.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout.readline() == b"here\n"
            assert process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
            process.send_signal(number)
            assert process.wait() == process.poll() == -number
        assert not Path(f"/proc/{process.pid}").exists()


def test_what_was_imported_before_is_there(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print('colorsys' in sys.modules, sys.stdout.encoding)")
    assert forks.run([sys.executable, script], capture_output=True).stdout == b"False utf-8\n"
    for _ in range(2):
        done = forks.run([sys.executable, script], modules=("colorsys",), stdout=subprocess.PIPE, stderr=None)
        assert done.stdout == b"True utf-8\n"
