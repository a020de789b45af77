"""What a job used of its machine, as one line of its log; stepgluon/cost/used.py reads it:

`used: 1.3 of 15.4 GB memory, 812 s of processor time in 230 s on 4 cores, 0.2 GB of disk`

Memory is the highest sum over the job's own processes that a thread sampled. A cgroup's memory.peak would be simpler,
but it counts the page cache, which the kernel gives back. The thread takes at most 1 % of a core.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GB = 2**30  # as AWS counts memory and disks
PAUSE = 0.25  # seconds between two samples, or a hundred times what a sample takes if that is longer
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of cgroup v2 and v1
_OWN = re.compile(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)  # a page shared by 4 processes counts a quarter


class Recorder:
    def __init__(self) -> None:
        self._began, self._processor = time.monotonic(), _processor_seconds()
        self.peak = 0  # bytes of memory
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="usage", daemon=True).start()

    def line(self, folder: Path, cores: int) -> str:
        """What was used so far, for the log. `folder` has the job's files."""
        self._over.set()
        wall, processor = time.monotonic() - self._began, _processor_seconds() - self._processor
        memory = max(self.peak, _memory()) or _largest()
        on = f"{cores} core" if cores == 1 else f"{cores} cores"
        return (
            f"used: {_short(memory / GB)} of {_short(_machine_memory() / GB)} GB memory, {_short(processor)} s of "
            f"processor time in {_short(wall)} s on {on}, {_short(_size(folder) / GB)} GB of disk"
        )

    def _watch(self) -> None:
        pause = PAUSE
        while not self._over.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, _memory())
            pause = max(PAUSE, 100 * (time.thread_time() - began))


def _short(amount: float) -> str:
    """Three digits, like 0.132, 15.4 or 1810."""
    return f"{max(0.001, float(f'{amount:.3g}')):.12g}"


def _memory() -> int:
    """What this process and its descendants hold now; 0 where the system has no such files."""
    return sum(_held(process) for process in _tree(os.getpid()))


def _held(process: int) -> int:
    with suppress(OSError):  # it has ended, or belongs to another user
        found = _OWN.findall(Path(f"/proc/{process}/smaps_rollup").read_text())
        return 1024 * sum(map(int, found))
    return 0


def _tree(process: int) -> Iterator[int]:
    yield process
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _largest() -> int:
    """The memory of the largest process, on systems without /proc."""
    unit = 1 if sys.platform == "darwin" else 1024
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return unit * max(resource.getrusage(one).ru_maxrss for one in whose)


def _machine_memory() -> int:
    """The memory of the machine, or of the container if it has a limit."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _LIMITS:
        with suppress(OSError, ValueError):  # it is missing, or "max"
            found.append(int(Path(file).read_text()))
    return min(found)


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _size(folder: Path) -> int:
    found = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                found += os.lstat(os.path.join(place, name)).st_size
    return found
