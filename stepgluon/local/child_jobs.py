"""The child executions of local runs, whose jobs the runs' own histories lack."""

from __future__ import annotations

import time

from localaws.server.aws import LocalAws
from stepgluon.runs.child_jobs import Child, child_of, jobs_of
from stepgluon.runs.history import Job, Remark, Story

_SHARE = 20  # the pause after a look is so many times as long as the look


class ChildJobs:
    """Reads the history of an ended child once, and polls less often if a poll takes long."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], Child] = {}
        # By the run's Map Runs: when to look again, and the children found.
        self._last: dict[tuple[str, ...], tuple[float, list[Child]]] = {}

    def children(self, aws: LocalAws, story: Story, remark: Remark) -> list[Child]:
        key = tuple(story.map_runs.values())
        again, found = self._last.get(key, (0.0, []))
        if key and (story.ended or time.monotonic() >= again):
            began = time.monotonic()
            found = self._look(aws, key, remark)
            now = time.monotonic()
            self._last[key] = now + _SHARE * (now - began), found
        if story.ended:  # nothing of a run stays in memory
            self._last.pop(key, None)
            self._known.clear()
        return found

    def of(self, aws: LocalAws, story: Story, remark: Remark) -> list[Job]:
        return jobs_of(self.children(aws, story, remark))

    def _look(self, aws: LocalAws, map_runs: tuple[str, ...], remark: Remark) -> list[Child]:
        found: list[Child] = []
        for map_run, child in ((arn, one) for arn in map_runs for one in aws.children(arn)):
            key = (child.execution_arn, child.status, getattr(child, "redrives", 0))
            known = self._known.get(key)
            if known is None:
                known = child_of(map_run, child.status != "RUNNING", aws.history(child.execution_arn), remark)
                if known.ended:
                    self._known[key] = known
            found.append(known)
        return found
