"""`status`: the state of a deployed pipeline on one screen, and what to do next.

A query that is denied or finds nothing is reported on its own line and does not affect the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from stepgluon.advice import pipeline_py
from stepgluon.aws import Denied, Door, answer, one_sentence
from stepgluon.deploy.apply import unconfirmed
from stepgluon.errors import counted
from stepgluon.names import Names
from stepgluon.runs.endpoints import Served, endpoints
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


@dataclass
class Status:
    pipeline: str
    account: str
    region: str
    stacks: dict[str, str | None] = field(default_factory=dict)  # the state of each; None if absent
    live: Live | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)  # the last ones
    running: list[str] = field(default_factory=list)
    endpoints: list[Served] = field(default_factory=list)
    unconfirmed: list[str] | None = None  # unconfirmed addresses, which get no mail; None without a topic
    queue: int | None = None  # events that started no run, and undelivered failure mails
    refusals: list[str] = field(default_factory=list)  # reasons of the last ones
    unknown: dict[str, str] = field(default_factory=dict)  # which queries were denied, and why
    next: list[str] = field(default_factory=list)

    def ask(self, what: str, query: Callable[[], T], otherwise: T) -> T:
        """Run a query by itself, and record whether it was denied."""
        try:
            with one_sentence():
                return query()
        except Denied as problem:
            self.unknown[what] = str(problem)
        except NotDeployed:
            pass  # the stacks' states show it
        return otherwise


def status(door: Door, names: Names, now: Callable[[], float] = time.time) -> Status:
    found = Status(names.prefix, names.config.account, names.config.region)
    found.stacks = {part: found.ask(f"{part} stack", partial(_stack, door, names, part), None) for part in STACKS}
    if found.stacks["cicd"] is None:
        del found.stacks["cicd"]  # optional
    executions: list[Execution] = found.ask("runs", lambda: listed(door, names, RUNNING), [])
    found.running = [execution.run for execution in executions if execution.status == "RUNNING"]
    found.runs = [execution.row() for execution in executions[:RUNS]]
    found.endpoints = found.ask("endpoints", lambda: endpoints(door, names), [])
    found.live = found.ask("live version", lambda: _live(door, names, now), None)
    mails = partial(answer, lambda: list(unconfirmed(names, door)), *_NO_TOPIC)
    found.unconfirmed = found.ask("subscriptions", mails, None)
    found.queue = found.ask("dead letters", lambda: _queue(door, names), None)
    if found.queue:
        found.refusals = found.ask("refusals", lambda: refusals(door, names, now()), [])
    found.next = _next(names, found)
    return found


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
        pages = door.client("logs").get_paginator("filter_log_events")
        asked = pages.paginate(
            logGroupName=names.log_group("function"),
            startTime=int((now - days * 86400) * 1000),
            filterPattern='{ $.outcome = "failed" }',
        )
        read: list[Any] = answer(partial(list, islice(asked, PAGES)), "ResourceNotFoundException") or []
        lines = [parsed(event["message"]) for page in read for event in page["events"]]
        found = [
            (f"{line['key']}: " if "key" in line else "") + str(line.get("reason", ""))
            for line in lines
            if line.get("outcome") == "failed"
        ]
        if found:
            return list(dict.fromkeys(reversed(found)))[::-1][-SHOWN:]
    return []


def purge(names: Names) -> str:
    """The command that empties the queue."""
    region = names.config.region
    host = f"sqs.{region}.{names.partition.dns_suffix}"
    return f"aws sqs purge-queue --queue-url https://{host}/{names.config.account}/{names.queue} --region {region}"


def _next(names: Names, found: Status) -> list[str]:
    """What to do next, most urgent first."""
    stacks = {part: state for part, state in found.stacks.items() if f"{part} stack" not in found.unknown}
    absent = [part for part, state in stacks.items() if state is None]
    if absent:
        return [f"{pipeline_py('deploy')}   (there is no stack {', '.join(names.stack(part) for part in absent)})"]
    unfinished = [
        f"{pipeline_py('deploy')}   (the stack {names.stack(part)} is {state})"
        for part, state in stacks.items()
        if state not in _GOOD and (not found.live or not str(state).endswith("_IN_PROGRESS"))
    ]
    steps = unfinished[:]
    if found.unconfirmed:
        steps.append(f"confirm the subscription in the mail that AWS sent to {', '.join(found.unconfirmed)}")
    if found.queue:
        events = counted(found.queue, "event")
        steps.append(f"{purge(names)}   (once it is clear why {events} started no run or no mail)")
    if found.running:
        steps.append(pipeline_py("watch", found.running[0]))
    elif found.runs and found.runs[0]["status"] != "SUCCEEDED":
        last = found.runs[0]["run"]
        steps.append(f"{pipeline_py('show', last)}, then {pipeline_py('redrive', last)}")
    elif not found.runs and not unfinished:
        steps.append(pipeline_py("start --data my.csv"))
    if found.live and found.live.version < found.live.newest:
        forward = pipeline_py(f"rollback --to {found.live.newest}")
        steps.append(f"{forward}   (version {found.live.version} is live, and {found.live.newest} is newer)")
    return steps


# Words


def words(found: Status, run_lines: str) -> str:
    """`run_lines` are the last runs in the format of `runs`."""
    unknown = found.unknown
    rows = [
        (f"{part} stack", state or unknown.get(f"{part} stack") or "not there") for part, state in found.stacks.items()
    ]
    if found.live is None:
        rows.append(("live", unknown.get("live version") or "no version"))
    else:
        behind = f", and {found.live.newest} is the newest" if found.live.newest != found.live.version else ""
        rows.append(("live", f"version {found.live.version}, published {_ago(found.live.seconds)} ago{behind}"))
    unread = f"not confirmed: {', '.join(found.unconfirmed)}" if found.unconfirmed else "all addresses confirmed"
    rows.append(("mails", unknown.get("subscriptions") or ("no topic yet" if found.unconfirmed is None else unread)))
    queue = "no queue" if found.queue is None else "none" if found.queue == 0 else counted(found.queue, "event")
    rows.append(("dead letters", unknown.get("dead letters") or queue))
    rows += [("", reason) for reason in found.refusals or filter(None, [unknown.get("refusals")])]
    rows.append(("running", unknown.get("runs") or ", ".join(found.running) or "nothing"))
    served = [one.words() for one in found.endpoints] or list(filter(None, [unknown.get("endpoints")]))
    rows += [("endpoints" if not place else "", line) for place, line in enumerate(served)]
    lines = [f"{found.pipeline} in the account {found.account}, {found.region}", ""]
    lines += [f"  {name:<15}{text}" for name, text in rows]
    lines += ["", "The last runs:", *(f"  {line}" for line in run_lines.splitlines())]
    lines += ["", "Next:", *(f"  {step}" for step in found.next)] if found.next else []
    return "\n".join(lines) + "\n"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} seconds"
