"""Problems that keep the local AWS from working at all."""

from __future__ import annotations

import errno
import os
import threading

THREADS = 64  # a run of two models has up to 51 at once
EXHAUSTED = (
    "this computer has too few threads or too little memory left for a run (end other programs, or raise the limits of "
    "`ulimit -a` or of the container)"
)
_WORDS = ("can't start new thread", "MemoryError", os.strerror(errno.EAGAIN), os.strerror(errno.ENOMEM))


class ComputerError(Exception):
    """A problem of this computer: one sentence, with the fix."""


def is_exhaustion(failure: str) -> bool:
    """Whether a failure's text, from Python or the system, reports used-up threads, processes or memory."""
    return any(words in failure for words in _WORDS)


def room_for_a_run() -> bool:
    """Whether enough threads can be started for a run, which would otherwise stop in the middle."""
    enough, started = threading.Event(), []
    try:
        for _ in range(THREADS):
            thread = threading.Thread(target=enough.wait, name="check", daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        return False
    finally:
        enough.set()
        for thread in started:
            thread.join()
    return True
