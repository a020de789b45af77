"""What a process costs in time and memory, and the comparison of two."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    seconds: float
    cpu: float  # seconds of all cores; what a busy computer changes least
    megabytes: float


def measured(command: list[str], environment: dict[str, str]) -> Cost:
    """Runs the command and returns what it cost; its children's memory is not added up."""
    started = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:3])} failed")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, peak(usage))


def peak(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)


def best(costs: list[Cost]) -> Cost:
    return Cost(
        min(cost.seconds for cost in costs), min(cost.cpu for cost in costs), max(cost.megabytes for cost in costs)
    )


def compare(title: str, plain: Cost, ours: Cost) -> None:
    print(f"{title}")
    for name, cost in (("plain", plain), ("job", ours)):
        print(f"  {name:6} {cost.seconds:8.2f} s {cost.cpu:8.2f} s of CPU {cost.megabytes:8.0f} MB")
    ratios = ours.seconds / plain.seconds, ours.cpu / plain.cpu, ours.megabytes / plain.megabytes
    print("  ratio  {:8.2f}   {:8.2f}          {:8.2f}".format(*ratios), flush=True)


def script(text: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
