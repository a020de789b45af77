"""The story of a run so far, from its history, locally and in an account.

`read` is a function of the events alone, and only adds lines as the history grows. `follow` reads the history until the
execution has ended.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Event = dict[str, Any]
_JOB_NAMES = {"training": "TrainingJobName", "processing": "ProcessingJobName"}
INCOMPLETE = "Incomplete"  # the error if a run's result lacks some models' predictions
# The message of our own $error, in AWS's wrapping.
_RAISED = re.compile(r"threw an error during evaluation\. D3137: (.*)", re.DOTALL)
_ADDED = re.compile(r"^AlgorithmError: |Not retried: |, exit code: \d+$")
LONGEST_SENTENCE = 500
# Bookkeeping in S3 and between branches gets a line only on failure.
_SHOWN = ("Task", "Parallel", "Fail")
ENDED = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
}
WORDS = {"FAILED": "failed", "ABORTED": "was stopped", "TIMED_OUT": "took too long"}
# The prefix of an unhandled error's cause, once for each state that it passed, outermost first.
_PASSED = re.compile(r"An error occurred while executing the state '(.+?)' \(entered at the event id #\d+\)\.\s*")


@dataclass
class Job:
    """A job started by a state."""

    kind: str  # training or processing
    name: str
    state: str
    started: float
    ended: float | None = None
    status: str = "InProgress"
    sentence: str = ""  # why it failed


@dataclass
class Story:
    """A run so far; times are seconds since 1970."""

    started: float = 0.0
    ended: float | None = None
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    failed_state: str = ""
    models: list[dict[str, Any]] = field(default_factory=list)  # the verdicts known so far
    jobs: list[Job] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> bool:
        """Whether there is a result; an incomplete run also has one."""
        return self.status == "SUCCEEDED" or self.error == INCOMPLETE

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.ended is None and self.ended is None]

    @property
    def sentence(self) -> str:
        """Why the run failed: the failed job's own sentence, or else the execution's cause."""
        said = next((job.sentence for job in reversed(self.jobs) if job.state == self.failed_state), "")
        # For a Parallel, the last try of each branch's job: "Predict adelie" belongs to "Predict".
        inside = {job.state: job.sentence for job in self.jobs if job.state.startswith(f"{self.failed_state} ")}
        branches = [f"{state}: {sentence}" for state, sentence in inside.items() if sentence]
        cause = _PASSED.sub("", self.cause)
        told = _sentence(self.error if "." in self.error or not cause else "", cause)
        return said or " ".join([told, *branches])[:LONGEST_SENTENCE]


@dataclass
class _Visit:
    """A state from its entry to its exit."""

    name: str
    kind: str
    since: float
    job: Job | None = None
    quiet: bool = False
    left: bool = False
    failure: str = ""


Remark = Callable[[Job], str]
"""A word about a job that is not in the history."""


def no_remark(job: Job) -> str:
    return ""


def read(events: Sequence[Event], remark: Remark = no_remark) -> Story:
    return _Reader(remark).read(events)


class _Reader:
    def __init__(self, remark: Remark) -> None:
        self._remark = remark
        self.story = Story()
        self._visit_of: dict[int, _Visit] = {}  # by the id of each event that belongs to the visit
        self._named: dict[str, _Visit] = {}  # the latest visit of each state
        self._thresholds: dict[str, Any] = {}  # by the models' names

    def read(self, events: Sequence[Event]) -> Story:
        for event in events:
            at, kind = seconds(event["timestamp"]), str(event["type"])
            if kind == "ExecutionStarted":
                self.story.started = at
            elif kind in ENDED:
                self._end(event, kind, at)
            elif kind.endswith("StateEntered"):
                self._enter(event, kind[: -len("StateEntered")], at)
            elif kind.endswith("StateExited"):
                # Its previous event may belong to a branch.
                self._leave(event["stateExitedEventDetails"], at)
            elif visit := self._visit_of.get(event.get("previousEventId", 0)):
                self._visit_of[event["id"]] = visit
                self._go_on(event, kind, visit, at)
        return self.story

    def _enter(self, event: Event, kind: str, at: float) -> None:
        details = event["stateEnteredEventDetails"]
        visit = _Visit(details["name"], kind, at)
        before = self._named.get(visit.name)
        if before and before.job and before.failure:
            self._line(at, visit.name, "retrying")
        self._visit_of[event["id"]] = self._named[visit.name] = visit
        self._learn(details.get("input"))

    def _go_on(self, event: Event, kind: str, visit: _Visit, at: float) -> None:
        if kind == "TaskScheduled":
            self._schedule(event["taskScheduledEventDetails"], visit, at)
        elif kind in ("TaskFailed", "TaskTimedOut", "TaskSubmitFailed", "TaskStartFailed"):
            details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails", {})
            visit.failure = _sentence(details.get("error", ""), details.get("cause", ""))
            if visit.job:
                visit.job.ended, visit.job.status, visit.job.sentence = at, "Failed", visit.failure
        elif kind == "TaskSucceeded":
            visit.failure = ""
            if visit.job:
                visit.job.ended, visit.job.status = at, "Completed"

    def _schedule(self, details: dict[str, Any], visit: _Visit, at: float) -> None:
        resource = str(details.get("resource", ""))
        visit.quiet = str(details.get("resourceType", "")).startswith("aws-sdk")
        kind = next((kind for kind in _JOB_NAMES if kind.title() in resource), "")
        name = parsed(details.get("parameters")).get(_JOB_NAMES.get(kind, ""), "")
        if visit.failure:  # of the previous try
            self._line(at, visit.name, f"failed, retrying: {visit.failure}")
        if name:
            visit.job = Job(kind, name, visit.name, at)
            self.story.jobs.append(visit.job)

    def _leave(self, details: dict[str, Any], at: float) -> None:
        visit, told = self._named.get(details["name"]), parsed(details.get("output"))
        if visit is None:
            return
        visit.left = True
        self._learn(told)
        self._thresholds |= _thresholds(details)
        self._learn({"models": _assigned(details, "chosen")})
        missing = visit.quiet and "NoSuchKey" in visit.failure  # a marker or promoted models that do not exist yet
        if visit.kind == "Pass" and visit.name.split(" ")[0] in ("Accept", "Reject") and "verdict" in told:
            found = {"threshold": self._thresholds.get(told["name"]), **told}
            self._say(at, f"{told['name']}: {verdict(found)}")
        elif visit.kind == "Task" and visit.name.startswith("Look up ") and not visit.failure:
            self._line(at, _looked_up(visit.name), "cached")
        elif visit.kind in _SHOWN and (visit.failure or not visit.quiet) and not missing:
            remark = self._remark(visit.job) if visit.job and not visit.failure else ""
            ending = f"failed: {visit.failure}" if visit.failure else remark
            self._line(at, visit.name, f"{at - visit.since:6.1f} s  {ending}".rstrip())

    def _learn(self, data: Any) -> None:
        """Extract the verdicts from the state data."""
        told = parsed(data)
        models = told.get("models")
        if isinstance(models, list) and models and all(isinstance(m, dict) and "verdict" in m for m in models):
            self.story.models = models

    def _end(self, event: Event, kind: str, at: float) -> None:
        story = self.story
        details = event.get(f"{kind[0].lower()}{kind[1:]}EventDetails") or {}
        story.ended, story.status = at, ENDED[kind]
        story.error, story.cause = details.get("error") or "", details.get("cause") or ""
        if story.status != "SUCCEEDED":
            story.failed_state = story.failed_state or self._last_state(story)
            reason = story.sentence
            if not reason or not any(reason in line for line in story.lines):
                self._line(at, story.failed_state or "The run", f"{WORDS[story.status]}: {reason}".removesuffix(": "))
        for job in story.jobs:
            if job.ended is None:
                job.ended, job.status = at, "Stopped"

    def _last_state(self, story: Story) -> str:
        """The state named by the cause, else one whose job was running, else the last one entered and not left."""
        passed = _PASSED.findall(story.cause)
        running = [job.state for job in story.jobs if job.ended is None]
        entered = [visit.name for visit in self._named.values() if not visit.left]
        last = next(iter([*passed[-1:], *running[:1], *entered[-1:]]), "")
        # `Prepare again?` raises the job's sentence if the job is not retried.
        failed = [job.state for job in story.jobs if job.status == "Failed"]
        return failed[-1] if last.endswith(" again?") and failed else last

    def _line(self, at: float, what: str, told: str) -> None:
        self._say(at, f"{what:<24} {told}")

    def _say(self, at: float, text: str) -> None:
        self.story.lines.append(f"{at - self.story.started:7.1f} s  {text}")


def verdict(model: dict[str, Any]) -> str:
    """`accepted. MAE 274.006 (limit 350; always guessing the median: 388.141).`"""
    error = finite(model.get("mae"))
    if error is None:
        return f"{model['verdict']}. No score."
    beside = {
        "limit": finite(model.get("threshold")),
        "always guessing the median:": finite(model.get("mae_of_median")),
    }
    known = "; ".join(f"{what} {number(value)}" for what, value in beside.items() if value is not None)
    return f"{model['verdict']}. MAE {number(error)}{f' ({known})' if known else ''}."


def number(value: Any) -> str:
    """A number for lines and tables; a dash if it is not finite or not a number."""
    return "-" if finite(value) is None else f"{value:.6g}"


def finite(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if fits else None


def seconds(timestamp: Any) -> float:
    """An event's time, from a client or from history.json."""
    if isinstance(timestamp, (int, float)):
        return float(timestamp)
    return (timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(str(timestamp))).timestamp()


def _sentence(error: str, cause: str) -> str:
    """The sentence for the user in a failed job's description, or else error and cause, on one line."""
    told = parsed(cause)
    text = str(told.get("ExitMessage") or told.get("FailureReason") or told.get("Error") or "")
    if raised := _RAISED.search(cause):
        text = raised[1]
    cause = cause.partition(" (Service: ")[0]
    return _plain(text or f"{error}: {cause}")[:LONGEST_SENTENCE]


def _plain(text: str) -> str:
    """The text on one line, without what SageMaker and the jobs add for the state machine."""
    return " ".join(_ADDED.sub("", text).split()).strip(": ")


def _looked_up(state: str) -> str:
    """The state that a marker saved: Look up adelie saves Train adelie, Look up adelie result saves Predict adelie."""
    name = state.removeprefix("Look up ")
    return f"Predict {name.removesuffix(' result')}" if name.endswith(" result") else f"Train {name}"


def _thresholds(details: dict[str, Any]) -> dict[str, Any]:
    """Each model's threshold, if the state has assigned the models."""
    try:
        return {model["name"]: model["threshold"] for model in _assigned(details, "models") or ()}
    except (TypeError, KeyError):
        return {}


def _assigned(details: dict[str, Any], variable: str) -> Any:
    assigned = (details.get("assignedVariables") or {}).get(variable)
    try:
        return json.loads(assigned) if isinstance(assigned, str) else assigned
    except ValueError:
        return None


def parsed(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def follow(
    look: Callable[[], list[Event]],
    tell: Callable[[Story], None],
    wait: Callable[[float], None],
    remark: Remark = no_remark,
) -> Story:
    """Pass the story to `tell` after each look, until the run has ended; `wait` gets the seconds between looks."""
    looks = 0
    while True:
        story = read(look(), remark)
        tell(story)
        if story.ended is not None:
            return story
        looks += 1
        wait(0.2 if looks < 50 else 1.0)
