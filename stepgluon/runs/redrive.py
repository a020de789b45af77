"""`redrive RUN`: a new run that takes up a failed one, and repeats only the stages that did not finish.

What is finished is read from the run's history and from what is in its folder; docs/decisions/0062 tells why this is
not Step Functions' own redrive.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door
from stepgluon.errors import StepgluonError
from stepgluon.limits import EXECUTION_NAME
from stepgluon.names import Names
from stepgluon.runs.executions import Execution, find
from stepgluon.runs.files import read_json
from stepgluon.runs.follow import Event
from stepgluon.runs.history import History
from stepgluon.runs.promote import verdicts_of
from stepgluon.runs.start import execute
from stepgluon.workflow.stages import STAGES

# A stage has finished when what comes after it was entered.
_REACHED = {"Train models": "train", "Announce models": "predict", "Post-process": "postprocess"}
_WORDS = {
    "prepare": "preparing the data",
    "train": "training the models",
    "predict": "choosing models and predicting",
    "postprocess": "putting the result together",
}


class NotRedriven(StepgluonError):
    """The run cannot be taken up."""


@dataclass(frozen=True)
class Redrive:
    """What a redrive would start."""

    of: str  # the last attempt at the run
    home: str  # the run whose folder is worked in
    name: str
    stage: str
    given: dict[str, Any]
    why: str = ""  # a stage that had finished is repeated

    def words(self) -> str:
        first = STAGES.index(self.stage)
        kept, repeated = STAGES[:first], STAGES[first:]
        lines = [f"Run {self.name} takes up {self.of}."]
        lines += [f"  kept      {', '.join(_WORDS[stage] for stage in kept)} (runs/{self.home}/)"] if kept else []
        lines.append(f"  repeated  {', '.join(_WORDS[stage] for stage in repeated)}")
        lines += [f"            {self.why}"] if self.why else []
        return "\n".join(lines)


def planned(door: Door, names: Names, execution: Execution) -> Redrive:
    """What taking up the last attempt at this run means; raises NotRedriven where it makes no sense."""
    last, number = _last_attempt(door, names, execution)
    if last.status in ("RUNNING", "PENDING_REDRIVE"):
        raise NotRedriven(f"{last.run} is still running (follow it: {pipeline_py(f'watch {last.run}')})")
    if last.status == "SUCCEEDED":
        raise NotRedriven(f"{last.run} has finished, and there is nothing left to do (start a new run)")
    if last.error == "BadInput":
        raise NotRedriven(f"the input of {last.run} was not usable, and would not be again (start a new run)")
    reached = _reached(History(door.client("stepfunctions"), last.arn).look(), last)
    stage, why = _possible(door, names, last.home, reached)
    given = {key: value for key, value in last.given.items() if key != "resume"}
    if stage == STAGES[0]:  # in a folder of its own: prepare's files would stand among those of the first attempt
        home = name = _name(execution.run, number)
    else:
        home, name = last.home, _name(execution.run, number)
        given["resume"] = {"run": home, "from": stage}
    return Redrive(last.run, home, name, stage, given, why)


def redrive(door: Door, names: Names, plan: Redrive) -> str:
    """Starts it; the same plan twice starts one run."""
    return execute(door, names, plan.name, plan.given)


def _last_attempt(door: Door, names: Names, execution: Execution) -> tuple[Execution, int]:
    """The last run that was made by taking up this one, and the number that the next one gets."""
    last, number = execution, 2
    while found := find(door, names, _name(execution.run, number)):
        last, number = found, number + 1
    return last, number


def is_again(run: str) -> bool:
    """Whether a run of this name has taken up another."""
    return re.search(r"-again-\d+$", run) is not None


def _name(run: str, number: int) -> str:
    base, told = re.fullmatch(r"(.*?)(?:-again-(\d+))?", run).groups()  # type: ignore[union-attr] # matches any name
    suffix = f"-again-{int(told) + number - 1 if told else number}"
    if len(base) + len(suffix) > EXECUTION_NAME:
        digest = hashlib.sha256(base.encode()).hexdigest()[:8]
        base = f"{base[: EXECUTION_NAME - len(suffix) - 9]}-{digest}"
    return base + suffix


def _reached(events: Sequence[Event], execution: Execution) -> str:
    """The first stage that has not finished."""
    taken_up = execution.given.get("resume")
    begun = taken_up.get("from") if isinstance(taken_up, dict) else None
    entered = {event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event}
    stages = [begun if begun in STAGES else STAGES[0], *(_REACHED[state] for state in entered & _REACHED.keys())]
    return max(stages, key=STAGES.index)


def _possible(door: Door, names: Names, home: str, stage: str) -> tuple[str, str]:
    """The stage, or an earlier one where what it needs is not there any more; and why."""
    s3, bucket = door.client("s3"), names.work_bucket
    models = [model.name for model in names.config.models]
    if stage in ("predict", "postprocess"):
        verdicts = verdicts_of(s3, bucket, home)
        if verdicts is not None and [verdict.get("name") for verdict in verdicts] != models:
            raise _other_models(home)
        if verdicts is None:
            stage = "train"
            why = "because its verdicts are gone"
            return (stage, why) if _prepared(s3, bucket, home, models) else (STAGES[0], _CLEANED)
    if stage != STAGES[0] and not _prepared(s3, bucket, home, models):
        return STAGES[0], _CLEANED
    return stage, ""


_CLEANED = "because its prepared data are gone"


def _prepared(s3: Any, bucket: str, home: str, models: list[str]) -> bool:
    if read_json(s3, bucket, f"runs/{home}/prepared/profile.json") is None:
        return False
    folder = f"runs/{home}/prepared/models/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/")
    found = {entry["Prefix"][len(folder) : -1] for page in pages for entry in page.get("CommonPrefixes", ())}
    if found != set(models):
        raise _other_models(home)
    return True


def _other_models(home: str) -> NotRedriven:
    return NotRedriven(f"{home} had other models than the config has now (start a new run)")
