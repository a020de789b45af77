"""forks.py: a fork behaves as a process started with subprocess does, and leaves nothing open."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import forks
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere forks.Popen is subprocess.Popen")

SCRIPT = """
import atexit, os, signal, sys, threading, time
print(sys.argv, os.getcwd(), sys.path, sorted(os.environ.items()), os.umask(0), sys.stdout.encoding)
print(sys.stdin.read(), sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1], __name__, __file__)
print(os.getsid(0) == os.getpid(), os.getpgrp() in (os.getpid(), {group}), sys.dont_write_bytecode, file=sys.stderr)
print([number for number in signal.valid_signals() if signal.getsignal(number) not in (0, 1, None)])
print(threading.active_count(), sys.modules["__main__"].__dict__ is globals(), time.tzname, file=sys.__stderr__)
atexit.register(print, "the end")
threading.Thread(target=lambda: (threading.Event().wait(0.01), print("of a thread"))).start()
{do}
"""
ENDS = ["", "sys.exit(3)", "sys.exit('a sentence')", "1 / 0", "os._exit(4)", "os.kill(os.getpid(), 9)", "os.abort()"]
ENDS += ["raise KeyboardInterrupt"]
HANGS = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job has ignored
print("started", flush=True)
time.sleep(600)
"""


def written(folder: Path, text: str) -> Path:
    script = folder / "script.py"
    script.write_text(text)
    return script


@pytest.mark.parametrize("do", ENDS)
@pytest.mark.parametrize("options", [[], ["-I", "-X", "utf8"]])
def test_a_fork_does_and_ends_as_a_process_of_its_own(tmp_path: Path, do: str, options: list[str]) -> None:
    script = written(tmp_path, SCRIPT.format(do=do, group=os.getpgrp()))
    before = os.umask(0o027)
    told = []
    try:
        for run in (subprocess.run, forks.run):
            read, write = os.pipe()
            os.write(write, b"given\n")
            os.close(write)
            environment = {"A": "ü", "TZ": "Asia/Tokyo", "LC_CTYPE": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
            settings: dict[str, Any] = {"env": environment, "pass_fds": [read], "start_new_session": not options}
            command = [sys.executable, *options, script, "one", "two"]
            done = run(command, stdin=read, cwd=tmp_path, capture_output=True, text=True, **settings)
            os.close(read)
            told.append((done.returncode, done.stdout, done.stderr))
    finally:
        os.umask(before)
    assert told[0] == told[1]


def test_an_ignored_ctrl_c_stays_ignored(tmp_path: Path) -> None:
    script = written(tmp_path, "import signal; print(signal.getsignal(signal.SIGINT))")
    for handler in (signal.SIG_IGN, signal.default_int_handler):
        before = signal.signal(signal.SIGINT, handler)
        try:
            told = [run([sys.executable, script], capture_output=True).stdout for run in (subprocess.run, forks.run)]
        finally:
            signal.signal(signal.SIGINT, before)
        assert told[0] == told[1]


def test_a_fork_is_waited_for_and_ended(tmp_path: Path) -> None:
    script = written(tmp_path, HANGS)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with forks.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout.readline() == b"started\n"
            assert process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
            process.send_signal(number)
            assert process.wait() == process.poll() == -number
        assert not Path(f"/proc/{process.pid}").exists()


def test_a_group_is_killed_with_its_children(tmp_path: Path) -> None:
    script = written(tmp_path, "import subprocess; subprocess.run(['sh', '-c', 'echo started; sleep 600'])")
    with forks.Popen([sys.executable, script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout.readline() == b"started\n"
        os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout.read() == b"", "the child had the other end of the pipe"
        assert process.wait() == -signal.SIGKILL


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_fifty_processes_leave_no_descriptor_open(tmp_path: Path) -> None:
    """Ended, killed, too late, waited for by several threads, and never waited for."""
    script = written(tmp_path, HANGS)
    quick = tmp_path / "quick.py"
    quick.write_text("print('done')")
    gc.collect()  # what earlier tests left
    before = open_files()
    for _ in range(10):
        assert forks.run([sys.executable, quick], capture_output=True, text=True).stdout == "done\n"
        with pytest.raises(subprocess.TimeoutExpired):
            forks.run([sys.executable, script], timeout=0.01, stdout=subprocess.DEVNULL)
        with forks.Popen([sys.executable, script], stdout=subprocess.DEVNULL) as process:
            threads = [threading.Thread(target=process.wait) for _ in range(3)]
            for thread in threads:
                thread.start()
            process.kill()
            for thread in threads:
                thread.join()
        forks.Popen([sys.executable, quick], stdout=subprocess.DEVNULL)
        left = forks.Popen([sys.executable, script], stdout=subprocess.DEVNULL)
        os.kill(left.pid, signal.SIGKILL)
        del left
    gc.collect()
    while subprocess._active:  # what subprocess has still to wait for
        subprocess._cleanup()
    assert open_files() < before + 10, "each of these ways ten times; a thread of another test may open some"


def test_a_client_that_is_killed_while_it_asks_ends_no_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(forks._address(()))
        client.sendall(b"{")
    assert forks.run([sys.executable, written(tmp_path, "")]).returncode == 0


def test_a_module_that_sets_a_variable_has_set_it(tmp_path: Path) -> None:
    script = written(tmp_path, "import os; print(os.environ['AWS_DATA_PATH'])")
    done = forks.run([sys.executable, script], modules=("awscli",), stdout=subprocess.PIPE, env={})
    assert b"awscli" in done.stdout


def test_a_fork_has_the_modules_of_its_server(tmp_path: Path) -> None:
    script = written(tmp_path, "import sys; print('colorsys' in sys.modules)")
    assert forks.run([sys.executable, script], stdout=subprocess.PIPE).stdout == b"False\n"
    for _ in range(2):
        assert forks.run([sys.executable, script], modules=("colorsys",), stdout=subprocess.PIPE).stdout == b"True\n"


@pytest.mark.parametrize("modules", [forks.MODULES["train.py"], forks.MODULES["runtime.py"], forks.LOCAL])
def test_servers_are_single_threaded(tmp_path: Path, modules: tuple[str, ...]) -> None:
    """As fork_server.py asserts before it serves."""
    script = written(tmp_path, "import os; print(len(os.listdir('/proc/self/task')))")
    assert forks.run([sys.executable, script], modules=modules, stdout=subprocess.PIPE).stdout == b"1\n"
