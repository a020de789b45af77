"""Cleans up after a killed server.

A separate process reads from a pipe whose other end only the server holds: `+PID` and `-PID` report process groups that
begin and end. When the pipe closes, for any reason, the guard kills the remaining groups and removes the folder of the
jobs' files.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
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

    def began(self, group: int) -> None:
        self._write(f"+{group}\n")

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
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue
    # A killed process may still be writing.
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
