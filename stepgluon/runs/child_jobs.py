"""The jobs of a run's child executions, which its own history lacks: each child has a history of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from stepgluon.aws import Denied, Door, one_sentence
from stepgluon.errors import StepgluonError, counted
from stepgluon.names import Names
from stepgluon.runs.executions import READERS, Execution, read_json, tell
from stepgluon.runs.history import Event, Job, Remark, Story, no_remark, read
from stepgluon.runs.map_runs import map_words, models_done
from stepgluon.runs.watch import History, story_of

GROUPS = "prepared/groups.json"  # in a run's folder
MOST = 1000  # children whose histories are read
_PATIENCE = 10  # histories that could not be read, before the others are left out


@dataclass(frozen=True)
class Child:
    """A child execution, for a group of models."""

    map_run: str
    group: str
    ended: bool
    jobs: Sequence[Job]


def child_of(map_run: str, ended: bool, events: Sequence[Event], remark: Remark = no_remark) -> Child:
    """A job's state is followed by the group, because the children have the same states."""
    given = json.loads(events[0]["executionStartedEventDetails"]["input"]) if events else None
    group = str(given.get("group", "")) if isinstance(given, dict) else ""
    jobs = [replace(job, state=f"{job.state} {group}".rstrip()) for job in read(events, remark).jobs]
    return Child(map_run, group, ended, jobs)


def jobs_of(children: Iterable[Child]) -> list[Job]:
    """Their jobs in the order of their starts, as copies, which the caller may change."""
    return sorted((replace(job) for child in children for job in child.jobs), key=lambda job: job.started)


def whole_run(
    door: Door,
    names: Names,
    execution: Execution,
    most: int = MOST,
    known: dict[str, Child] | None = None,
    story: Story | None = None,
) -> tuple[dict[str, Any], int]:
    """The run in the format of run_record.py with the jobs of its child executions, and the number of children read.

    If some are missing, `unread` says why. The children in `known` that have ended are not read again.
    """
    story, client = story or story_of(door, execution.arn), door.client("stepfunctions")
    children, unread = in_account(client, story, most, known)
    if children:
        story.jobs = sorted([*story.jobs, *jobs_of(children)], key=lambda job: job.started)
    run = tell(door, names, execution, story)
    if story.running_maps:
        groups = read_json(door.client("s3"), names.work_bucket, f"runs/{execution.run}/{GROUPS}")
        run["progress"] = map_words(client, story, {} if unread else models_done(children, groups))
    return {**run, "unread": unread} if unread else run, len(children)


def in_account(
    client: Any, story: Story, most: int = MOST, known: dict[str, Child] | None = None
) -> tuple[list[Child], str]:
    """The latest children, and why others are missing. The client waits if it is throttled."""
    found: list[Child] = []
    known = {} if known is None else known
    problems: list[StepgluonError] = []
    try:
        with one_sentence():
            listed = list(islice(_listed(client, story), most + 1))
    except StepgluonError as problem:
        return [], f"The jobs of the groups are missing: {problem}"

    def look(entry: dict[str, Any]) -> None:
        if len(problems) >= _PATIENCE or any(isinstance(problem, Denied) for problem in problems):
            return
        arn, ended = entry["executionArn"], entry["status"] != "RUNNING"
        try:
            if not (ended and arn in known and known[arn].ended):
                with one_sentence():
                    events = History(client, arn).look()
                known[arn] = child_of(entry["mapRunArn"], ended, events)
            found.append(known[arn])
        except StepgluonError as problem:
            problems.append(problem)

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(look, listed[:most]))
    if problems:
        lacking = counted(len(listed[:most]) - len(found), "group")
        return found, f"The jobs of {lacking} are missing: {problems[0]}"
    return found, f"Only the jobs of the latest {most:,} groups are listed." if len(listed) > most else ""


def _listed(client: Any, story: Story) -> Iterable[dict[str, Any]]:
    for arn in reversed(story.map_runs.values()):
        for page in client.get_paginator("list_executions").paginate(
            mapRunArn=arn, PaginationConfig={"PageSize": 1000}
        ):
            yield from ({"mapRunArn": arn, **entry} for entry in page["executions"])
