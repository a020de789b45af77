"""The jobs of a run's child executions, which its own history lacks: each child has a history of its own."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from localaws.server.aws import LocalAws
from stepgluon.runs.history import Event, Job, Remark, Story, read

_SHARE = 20  # the pause after a look is so many times as long as the look


class ChildJobs:
    """Reads the history of an ended child once, and polls less often if a poll takes long."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], list[Job]] = {}
        # By the run's Map Runs: when to look again, and the jobs found.
        self._last: dict[tuple[str, ...], tuple[float, list[Job]]] = {}

    def of(self, aws: LocalAws, story: Story, remark: Remark) -> list[Job]:
        """Their jobs in the order of their starts; a state's name is followed by its group."""
        key = tuple(story.map_runs.values())
        again, found = self._last.get(key, (0.0, []))
        if key and (story.ended or time.monotonic() >= again):
            began = time.monotonic()
            found = sorted(self._look(aws, key, remark), key=lambda job: job.started)
            now = time.monotonic()
            self._last[key] = now + _SHARE * (now - began), found
        if story.ended:  # nothing of a run stays in memory
            self._last.pop(key, None)
            self._known.clear()
        return [replace(job) for job in found]  # the caller may change them

    def _look(self, aws: LocalAws, map_runs: tuple[str, ...], remark: Remark) -> list[Job]:
        found: list[Job] = []
        for child in (one for arn in map_runs for one in aws.children(arn)):
            key = (child.execution_arn, child.status, getattr(child, "redrives", 0))
            jobs = self._known.get(key)
            if jobs is None:
                jobs = _jobs(aws.history(child.execution_arn), remark)
                if child.status != "RUNNING":
                    self._known[key] = jobs
            found += jobs
        return found


def _jobs(events: list[Event], remark: Remark) -> list[Job]:
    given = json.loads(events[0]["executionStartedEventDetails"]["input"]) if events else None
    group = given.get("group", "") if isinstance(given, dict) else ""
    return [replace(job, state=f"{job.state} {group}".rstrip()) for job in read(events, remark).jobs]
