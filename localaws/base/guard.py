"""Cleans up after a killed server.

A separate process reads from a pipe whose other end only the server holds: `+PID` and `-PID` report process groups that
begin and end; `+PID` is followed by a command that cleans up after the group, as JSON. When the pipe closes, for any
reason, the guard kills the remaining groups, runs their commands and removes the folder of the jobs' files. A job that
had just begun may not be reported yet: on Linux, the guard finds it by its variable STEPGLUON_ROOT.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path


class Guard:
    def __init__(self, folder: Path) -> None:
        # -S and -E: with only the standard library it starts in a few milliseconds.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, os.fspath(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={},
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        self._lock = threading.Lock()

    def began(self, group: int, cleaning: Sequence[str] = ()) -> None:
        self._write(f"+{group} {json.dumps(cleaning)}\n")

    def ended(self, group: int) -> None:
        self._write(f"-{group}\n")

    def close(self) -> None:
        self._pipe.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        with self._lock:
            self._pipe.write(line.encode())
            self._pipe.flush()


def main(folder: str) -> None:
    groups: dict[int, list[str]] = {}
    for line in sys.stdin:
        group, _, cleaning = line[1:].partition(" ")
        if line[0] == "+":
            groups[int(group)] = json.loads(cleaning)
        else:
            groups.pop(int(group), None)
    for each in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each, signal.SIGKILL)
    for process in _begun(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for command in filter(None, groups.values()):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # A killed process may still be writing.
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)


def _begun(folder: str) -> Iterator[int]:
    """The processes of jobs in the folder."""
    root = f"STEPGLUON_ROOT={folder}{os.sep}".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(variable.startswith(root) for variable in place.read_bytes().split(b"\0")):
                yield int(place.parent.name)


if __name__ == "__main__":
    main(sys.argv[1])
