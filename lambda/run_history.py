"""Extracts the end of an execution from its history: the failed state, the job, the outcome of each model.

Pure functions of Step Functions' events; tell_failure.py reads the events and writes the mail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

CAUSE = 4000  # characters to keep of a cause, which may have 32,768
# The states whose outputs contain a model's outcome; Train models and Record verdicts contain those of all models.
OUTCOME = re.compile(r"(?:Accept|Reject|Report) (.+)")
FAILURE = re.compile(r"(?!Execution|ParallelState|Map)\w+(Failed|TimedOut)")
OF_A_JOB = ("States.TaskFailed", "States.Timeout")  # any other error means that SageMaker refused to start the job


@dataclass(frozen=True)
class Job:
    kind: str  # Training or Processing
    name: str
    sentence: str = ""  # why it failed, from the job itself


@dataclass(frozen=True)
class Step:
    """The kept part of an event, because a history may have 25,000 of up to 256 KiB."""

    number: int
    before: int
    type: str
    state: str
    error: str
    cause: str
    job: Job | None
    output: str


def step_of(event: dict[str, Any]) -> Step:
    told: dict[str, Any] = next((value for key, value in event.items() if key.endswith("EventDetails")), {})
    state, error, cause = (str(told.get(key) or "") for key in ("name", "error", "cause"))
    about = cause or told.get("output") or told.get("parameters") or ""
    job = job_in(about) if told.get("resourceType") == "sagemaker" else None
    output = str(told.get("output") or "")
    output = output if OUTCOME.fullmatch(state) or output.startswith('{"models"') else ""
    return Step(event["id"], event.get("previousEventId") or 0, event["type"], state, error, cause[:CAUSE], job, output)


class Story:
    """An ended execution, from its event's detail and the steps of its history."""

    def __init__(self, detail: dict[str, Any], steps: Iterable[Step]) -> None:
        self.run, self.status, self.execution = detail["name"], detail["status"], detail["executionArn"]
        self.error, self.cause = str(detail.get("error") or ""), str(detail.get("cause") or "")
        self.redrive = int(detail.get("redriveCount") or 0)
        begun, ended = detail.get("startDate"), detail.get("stopDate")
        self.seconds = (ended - begun) / 1000 if begun and ended else None
        ordered = sorted(steps, key=lambda step: step.number)
        again = [index for index, step in enumerate(ordered) if step.type == "ExecutionRedriven"]
        # An event may be late: ignore steps of a later redrive.
        self.steps = ordered[: again[self.redrive]] if len(again) > self.redrive else ordered
        self._by_number = {step.number: step for step in self.steps}

    def state(self, step: Step) -> str:
        """The name of an event's state."""
        found: Step | None = step
        while found is not None and not found.state:
            found = self._by_number.get(found.before)
        return found.state if found else ""

    def succeeded(self, state: str, after: int = 0) -> bool:
        done = (step for step in self.steps if step.type == "TaskSucceeded" and step.number > after)
        return any(self.state(step) == state for step in done)

    def where(self) -> list[str]:
        """The failed state; if the run was ended from outside, the running ones.

        If a Choice gives up after a job, report the job's state instead.
        """
        ended = self._ended_by() if self.status == "FAILED" else None
        job = self._failed_job() if ended and self._entered(ended).startswith("Choice") else None
        found = job or ended
        return [self.state(found)] if found and self.state(found) else self._running()

    def _entered(self, step: Step) -> str:
        """The type of the event that entered a step's state."""
        found: Step | None = step
        while found is not None and not found.state:
            found = self._by_number.get(found.before)
        return found.type if found else ""

    def _running(self) -> list[str]:
        """The innermost states that were entered but not left."""
        names: list[str] = []
        for step in self.steps:
            if step.type.endswith("StateEntered") and not step.type.startswith(("Parallel", "Map")):
                names.append(step.state)
            elif step.type.endswith("StateExited") and step.state in names:
                names.remove(step.state)
        return names

    def _ended_by(self) -> Step | None:
        """The step that ended the run, even if it is in a branch and others were aborted after it."""
        entered = re.search(r"entered at the event id #(\d+)", self.cause)
        if entered and int(entered[1]) in self._by_number:
            return self._by_number[int(entered[1])]
        inner = [step for step in reversed(self.steps) if not step.type.startswith("Execution")]
        if inner and inner[0].type == "FailStateEntered":
            return inner[0]
        failures = [step for step in inner if FAILURE.fullmatch(step.type)]
        same = [step for step in failures if (step.error, step.cause) == (self.error, self.cause[:CAUSE])]
        return next(iter(same or failures), None)

    def job(self) -> Job | None:
        """The last failed job, if it ended the run; if the run timed out, the running job."""
        where = self.where()
        if self.status == "TIMED_OUT":
            return next((step.job for step in reversed(self.steps) if step.job and self.state(step) in where), None)
        last = self._failed_job()
        if self.status == "ABORTED" or last is None:
            return None
        ended = self._ended_by()
        another = ended is not None and ended.type.startswith("Task") and self.error != "States.QueryEvaluationError"
        return None if another and self.state(last) not in where else self._job_of(last)

    def _failed_job(self) -> Step | None:
        """The last failure of a job, unless a retry succeeded."""
        failed = (step for step in reversed(self.steps) if step.type in ("TaskFailed", "TaskTimedOut"))
        last = next((step for step in failed if step.error in OF_A_JOB and self._job_of(step)), None)
        return None if last is None or self.succeeded(self.state(last), after=last.number) else last

    def _job_of(self, step: Step) -> Job | None:
        """The job from the failure's description, or else from its submission or request."""
        found: Step | None = step
        while found is not None and found.job is None and not found.state:
            found = self._by_number.get(found.before)
        return found.job if found else None

    def models(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The last decision about each model, in words, with the output of the deciding state."""
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        for step in self.steps:
            output = parsed(step.output) if step.output and step.type.endswith("StateExited") else {}
            match = OUTCOME.fullmatch(step.state)
            all_of = output.get("models", [{**output, "name": match[1]}] if match and output else [])
            for model in all_of if isinstance(all_of, list) else []:
                word = "not predicted" if model.get("outcome") == "failed" else model.get("verdict")
                if word:  # a prediction that succeeded changes nothing
                    found[str(model.get("name"))] = (str(word), model)
        return found


# Words


def job_in(text: str) -> Job | None:
    """The job described by a text: JSON, truncated if it exceeds the length of a cause."""
    found = re.search(r'"(Training|Processing)JobName"\s*:\s*"([A-Za-z0-9-]+)"', text)
    return Job(found[1], found[2], said(parsed(text))) if found else None


def said(description: dict[str, Any]) -> str:
    """A job's own sentence; for a processing job, SageMaker's own reason only refers to the log."""
    return plain(str(description.get("ExitMessage") or description.get("FailureReason") or ""))


def plain(sentence: str) -> str:
    """The sentence without the text that SageMaker and the jobs' scripts add."""
    sentence = re.sub(r",? exit code: \d+\s*$", "", sentence.removeprefix("AlgorithmError: "))
    return sentence.removeprefix("Not retried: ").strip()


def explained(error: str, cause: str) -> str:
    """An error and its cause, as a sentence for people."""
    job = job_in(cause)
    if job:
        return job.sentence or f"The job {job.name} failed and did not say why."
    _, evaluation, message = cause.rpartition("threw an error during evaluation.")
    if evaluation:
        return plain(re.sub(r"^\s*(?:[A-Z]\d{4}: )?", "", message)) or cause
    if error == "States.Timeout" and not cause:
        return "The state took longer than it may (States.Timeout)."
    return plain(cause) if cause and error in ("", "States.TaskFailed") else ": ".join(filter(None, (error, cause)))


def parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
