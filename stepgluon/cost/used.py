"""What a job used of its machine, from the line that code/usage.py logs at its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_AMOUNT = r"([\d.]+)"
LINE = re.compile(
    rf"\bused: {_AMOUNT} of {_AMOUNT} GB memory, {_AMOUNT} s of processor time in {_AMOUNT} s "
    rf"on (\d+) cores?, {_AMOUNT} GB of disk$"
)
KEYS = ("memory", "of_memory", "processor", "seconds", "cores", "disk")


def used_of(lines: Iterable[str]) -> dict[str, float] | None:
    """A job's figures (the highest, if it has several instances); None if its log has none."""
    found = [match for line in lines if "used: " in line and (match := LINE.search(line))]
    amounts = [[float(amount) for amount in match.groups()] for match in found]
    return dict(zip(KEYS, map(max, zip(*amounts, strict=True)), strict=True)) if amounts else None


def add_usage(jobs: list[dict[str, Any]], lines_of: Callable[[dict[str, Any]], Iterable[str]]) -> None:
    """Add `used` to those of these run.json jobs whose logs have it."""
    for job in jobs:
        if job["status"] == "Completed" and not job["cached"] and (used := used_of(lines_of(job))):
            job["used"] = used


def used_words(used: dict[str, Any] | None) -> str:
    """`1.3 of 15.4 GB, 88 % of 4 cores`; empty without figures."""
    if not used:
        return ""
    cores = "1 core" if used["cores"] == 1 else f"{used['cores']:.0f} cores"
    return f"{used['memory']:g} of {used['of_memory']:g} GB, {100 * busy(used):.0f} % of {cores}"


def busy(used: dict[str, Any]) -> float:
    """The share of the cores' time that was used."""
    share: float = used["processor"] / max(used["seconds"] * used["cores"], 0.001)
    return min(1.0, share)
