"""`status`: the state of a deployed pipeline on one screen, and what to do next.

A query that is denied or finds nothing is reported on its own line and does not affect the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from stepgluon.advice import pipeline_py
from stepgluon.aws import Denied, Door, answer, one_sentence
from stepgluon.deploy.apply import unconfirmed
from stepgluon.names import Names
from stepgluon.runs.executions import Execution, NotDeployed, listed
from stepgluon.runs.history import parsed
from stepgluon.runs.rollback import live, versions

STACKS = ("base", "pipeline", "cicd")
RUNS = 5
RUNNING = 20
DAYS = (1, 14)  # of the log; the queue keeps its messages for 14
PAGES, SHOWN = 10, 5  # of the log, of refusals
_NO_TOPIC = ("NotFound", "NotFoundException")
T = TypeVar("T")
_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


@dataclass(frozen=True)
class Live:
    version: int
    newest: int
    seconds: float  # since publication


@dataclass(frozen=True)
class Status:
    pipeline: str
    account: str
    region: str
    stacks: dict[str, str | None]  # the state of each; None if absent
    live: Live | None
    runs: list[dict[str, Any]]  # the last ones
    running: list[str]
    unconfirmed: list[str] | None  # unconfirmed addresses, which get no mail; None without a topic
    queue: int | None  # events that started no run, and undelivered failure mails
    refusals: list[str]  # reasons of the last ones
    unknown: dict[str, str]  # which queries were denied, and why
    next: list[str]


class _Asked:
    """Runs each query separately, and records which were denied."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}

    def __call__(self, what: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            with one_sentence():
                return ask()
        except Denied as problem:
            self.unknown[what] = str(problem)
        except NotDeployed:
            pass  # the stacks' states show it
        return otherwise


def status(door: Door, names: Names, now: Callable[[], float] = time.time) -> Status:
    asked = _Asked()
    stacks = {part: asked(f"{part} stack", partial(_stack, door, names, part), None) for part in STACKS}
    if stacks["cicd"] is None:
        del stacks["cicd"]  # optional
    executions: list[Execution] = asked("runs", lambda: listed(door, names, RUNNING), [])
    running = [execution.run for execution in executions if execution.status == "RUNNING"]
    runs = [execution.row() for execution in executions[:RUNS]]
    known = asked("live version", lambda: _live(door, names, now), None)
    no_mail: list[str] | None = asked(
        "subscriptions", lambda: answer(lambda: list(unconfirmed(names, door)), *_NO_TOPIC), None
    )
    queue = asked("dead letters", lambda: _queue(door, names), None)
    why: list[str] = asked("refusals", lambda: refusals(door, names, now()), []) if queue else []
    told_of = {part: state for part, state in stacks.items() if f"{part} stack" not in asked.unknown}
    following = _next(names, told_of, known, runs, running, no_mail, queue)
    config = names.config
    return Status(
        names.prefix, config.account, config.region, stacks, known, runs, running, no_mail, queue, why,
        asked.unknown, following,
    )  # fmt: skip


def _stack(door: Door, names: Names, part: str) -> str | None:
    client, name = door.client("cloudformation"), names.stack(part)
    found = answer(lambda: client.describe_stacks(StackName=name), "ValidationError")  # the stack does not exist
    return str(found["Stacks"][0]["StackStatus"]) if found and found["Stacks"] else None


def _live(door: Door, names: Names, now: Callable[[], float]) -> Live | None:
    arn, known = live(door, names), versions(door, names)
    current = next((version for version in known if version.arn == arn), None)
    return Live(current.number, known[0].number, now() - current.created) if current else None


def _queue(door: Door, names: Names) -> int | None:
    sqs, wanted = door.client("sqs"), "ApproximateNumberOfMessages"

    def count() -> int:
        url = sqs.get_queue_url(QueueName=names.queue)["QueueUrl"]
        return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[wanted])["Attributes"][wanted])

    return answer(count, "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def refusals(door: Door, names: Names, now: float) -> list[str]:
    """Why uploads started no run, from the function's log: each reason once, newest last."""
    for days in DAYS:
        found = _since(door, names, now - days * 86400)
        if found:
            return found[-SHOWN:]
    return []


def _since(door: Door, names: Names, start: float) -> list[str]:
    pages = door.client("logs").get_paginator("filter_log_events")
    asked = pages.paginate(
        logGroupName=names.log_group("function"),
        startTime=int(start * 1000),
        filterPattern='{ $.outcome = "failed" }',
    )
    read = answer(lambda: list(islice(asked, PAGES)), "ResourceNotFoundException") or []
    found = [told for page in read for event in page["events"] if (told := _told(event["message"]))]
    return list(dict.fromkeys(reversed(found)))[::-1]


def _told(message: str) -> str:
    line = parsed(message)
    if line.get("outcome") != "failed":
        return ""
    place = f"{line['key']}: " if "key" in line else ""
    return f"{place}{line.get('reason', '')}"


def purge(names: Names) -> str:
    """The command that empties the queue."""
    region = names.config.region
    host = f"sqs.{region}.{names.partition.dns_suffix}"
    return f"aws sqs purge-queue --queue-url https://{host}/{names.config.account}/{names.queue} --region {region}"


def _next(
    names: Names,
    stacks: dict[str, str | None],
    known: Live | None,
    runs: list[dict[str, Any]],
    running: list[str],
    unconfirmed: list[str] | None,
    queue: int | None,
) -> list[str]:
    """What to do next, most urgent first."""
    absent = [part for part, state in stacks.items() if state is None]
    if absent:
        return [f"{pipeline_py('deploy')}   (there is no stack {', '.join(names.stack(part) for part in absent)})"]
    unfinished = [
        f"{pipeline_py('deploy')}   (the stack {names.stack(part)} is {state})"
        for part, state in stacks.items()
        if state not in _GOOD and (not known or not str(state).endswith("_IN_PROGRESS"))
    ]
    steps = unfinished[:]
    if unconfirmed:
        steps.append(f"confirm the subscription in the mail that AWS sent to {', '.join(unconfirmed)}")
    if queue:
        steps.append(f"{purge(names)}   (once it is clear why {queue} events started no run or no mail)")
    if running:
        steps.append(pipeline_py("watch", running[0]))
    elif runs and runs[0]["status"] != "SUCCEEDED":
        last = runs[0]["run"]
        steps.append(f"{pipeline_py('show', last)}, then {pipeline_py('redrive', last)}")
    elif not runs and not unfinished:
        steps.append(pipeline_py("start --data my.csv"))
    if known and known.version < known.newest:
        forward = pipeline_py(f"rollback --to {known.newest}")
        steps.append(f"{forward}   (version {known.version} is live, and {known.newest} is newer)")
    return steps


# Words


def words(status: Status, run_lines: str) -> str:
    """`run_lines` are the last runs in the format of `runs`."""
    lines = [f"{status.pipeline} in the account {status.account}, {status.region}", ""]
    for part, state in status.stacks.items():
        lines.append(f"  {f'{part} stack':<15}{state or status.unknown.get(f'{part} stack') or 'not there'}")
    lines.append(f"  {'live':<15}{_live_words(status)}")
    lines.append(f"  {'mails':<15}{status.unknown.get('subscriptions') or _mails_words(status.unconfirmed)}")
    queue = "no queue" if status.queue is None else "none" if status.queue == 0 else f"{status.queue} events"
    lines.append(f"  {'dead letters':<15}{status.unknown.get('dead letters') or queue}")
    lines += [f"  {'':<15}{reason}" for reason in status.refusals or filter(None, [status.unknown.get("refusals")])]
    lines.append(f"  {'running':<15}{status.unknown.get('runs') or ', '.join(status.running) or 'nothing'}")
    lines += ["", "The last runs:", *(f"  {line}" for line in run_lines.splitlines())]
    lines += ["", "Next:", *(f"  {step}" for step in status.next)] if status.next else []
    return "\n".join(lines) + "\n"


def _mails_words(unconfirmed: list[str] | None) -> str:
    if unconfirmed is None:
        return "no topic yet"
    return f"not confirmed: {', '.join(unconfirmed)}" if unconfirmed else "all addresses confirmed"


def _live_words(status: Status) -> str:
    if status.live is None:
        return status.unknown.get("live version") or "no version"
    behind = f", and {status.live.newest} is the newest" if status.live.newest != status.live.version else ""
    return f"version {status.live.version}, published {_ago(status.live.seconds)} ago{behind}"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} seconds"
