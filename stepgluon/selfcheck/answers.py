"""Canned responses of the services, from botocore's shapes and the scenario.

The known files are our own machine's: those that prepare and train write, its markers, and promoted.json. The content
of any other file is a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck.integrations import JOBS, integration
from stepgluon.selfcheck.memory import Answer, Call, Error

_FILES = {
    "fingerprints": re.compile(r"runs/[^/]+/prepared/fingerprints\.json"),
    "marker": re.compile(r"markers/.*"),
    "score": re.compile(r".*/metrics\.json"),
    "promoted": re.compile(r"promoted\.json"),
}
_KNOWN = ("sagemaker", "s3", "sns")  # services whose responses have the keys of botocore's model
DIGEST = "0123456789abcdef" * 4
NO_KEY = Error("S3.NoSuchKeyException", "The specified key does not exist. (Service: S3, Status Code: 404)")
MISTAKE = "Not retried: the column 'label' is missing in june.csv"
LOST = "InternalServerError: We encountered an internal error. Please try again."
LONGEST = "Not retried: " + "x" * 1011  # SageMaker keeps 1,024 characters


@dataclass(frozen=True)
class Fault:
    """A state's call fails the first `times` times."""

    error: str
    cause: str | None = None
    times: int = 10**6


@dataclass
class Files:
    """The files that the machine's Tasks were seen to read from S3."""

    models: list[str]
    readers: dict[str, set[str]] = field(default_factory=dict)  # by state: keys

    def kinds(self) -> set[str]:
        return {_kind(key) for keys in self.readers.values() for key in keys}


@dataclass
class World:
    """The services' responses in one scenario."""

    seen: Files
    faults: Mapping[str, Fault] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)  # by kind: the JSON value, a text, or an Error
    first: Mapping[str, Any] = field(default_factory=dict)  # the same, for the first model only
    turn: int = 0  # which of their values enums start with

    def __call__(self, call: Call) -> Answer | Error:
        fault = self.faults.get(call.state)
        if fault is not None and call.visit < fault.times:
            return failure(call, fault)
        called = integration(call.resource)
        if called is None or called.api is None:
            return Answer({}, False)
        if called.service == "s3" and called.action == "getObject" and isinstance(call.request, dict):
            key = str(call.request.get("Key"))
            self.seen.readers.setdefault(call.state, set()).add(key)
            return self._file(key, called.api.answer(0))
        answer = called.api.answer(call.visit + self.turn)
        if called.wait and called.action in JOBS:
            answer = _described(answer, call)
        return Answer(answer, called.service in _KNOWN)

    def usual(self, call: Call) -> bool:
        fault = self.faults.get(call.state)
        return (
            not self.turn
            and not call.resource.endswith(":s3:getObject")
            and (fault is None or call.visit >= fault.times)
        )

    def ahead(self, states: frozenset[str], visits: Mapping[str, int]) -> Hashable:
        faults = [
            (state, fault, visits.get(state, 0))
            for state, fault in self.faults.items()
            if state in states and visits.get(state, 0) < fault.times
        ]
        changed = [
            (state, id(content))
            for state, keys in (self.seen.readers.items() if self.files or self.first else ())
            if state in states
            for content in map(self._changed, keys)
            if content is not None
        ]
        return (tuple(faults), tuple(changed), self.turn)

    def _changed(self, key: str) -> Any:
        """This world's content of a file; None for the usual content."""
        kind = _kind(key)
        models = self.seen.models
        if kind in self.first and (not models or re.search(rf"(^|/){re.escape(models[0])}/", key)):
            return self.first[kind]
        return self.files.get(kind)

    def _file(self, key: str, answer: dict[str, Any]) -> Answer | Error:
        kind, content = _kind(key), self._changed(key)
        if content is None:
            content = self._content(kind)
        if isinstance(content, Error):
            return content
        text = content if isinstance(content, str) else json.dumps(content)
        # Text in a format other than the writer's may make any expression fail.
        return Answer({**answer, "Body": text, "ContentLength": len(text)}, bool(kind) and not isinstance(content, str))

    def _content(self, kind: str) -> Any:
        if kind == "fingerprints":
            return {"models": [fingerprint(name) for name in self.seen.models]}
        if kind == "score":
            return score(0.5)
        return NO_KEY if kind in ("marker", "promoted") else "{}"


@lru_cache(maxsize=4096)
def _kind(key: str) -> str:
    return next((kind for kind, pattern in _FILES.items() if pattern.fullmatch(key)), "")


def fingerprint(name: str) -> dict[str, Any]:
    """What prepare writes for one model."""
    return {"name": name, "train": DIGEST, "predict": DIGEST, "files": ["part-00000.parquet"]}


def score(mae: Any) -> dict[str, Any]:
    return {"mae": mae, "mae_of_median": 2.5, "manifest": DIGEST}


def marker(mae: float) -> dict[str, Any]:
    return {"job": "june-train-0", **score(mae), "run": "may"}


def promoted(models: list[str]) -> dict[str, Any]:
    """What `promote RUN` writes."""
    place = "s3://bucket/promoted/may/model/"
    entry = {"uses": "default", "model_uri": place, "manifest": DIGEST, "run": "may", "default_mae": 0.5}
    return {f"m_{name.replace('-', '_')}": entry for name in models}


def _described(answer: dict[str, Any], call: Call) -> dict[str, Any]:
    """A job's description repeats its request; reasons are present only on failure."""
    request = call.request if isinstance(call.request, dict) else {}
    kept = {key: value for key, value in answer.items() if key not in ("FailureReason", "ExitMessage")}
    noun = _noun(call)
    described = {**kept, **request, f"{noun}Status": "Completed"}
    if isinstance(request.get("OutputDataConfig"), dict):
        place = f"{request['OutputDataConfig'].get('S3OutputPath')}/{request.get(f'{noun}Name')}/output/model"
        described["ModelArtifacts"] = {"S3ModelArtifacts": place}
    return described


def failure(call: Call, fault: Fault) -> Error:
    """A failed job's cause is its description; AWS adds its own words to the job's message."""
    called = integration(call.resource)
    if fault.error != "States.TaskFailed" or called is None or called.action not in JOBS or fault.cause is None:
        return Error(fault.error, fault.cause)
    noun = _noun(call)
    name = call.request.get(f"{noun}Name") if isinstance(call.request, dict) else ""
    reason = f"AlgorithmError: {fault.cause}, exit code: 1"[:1024]
    cause = {f"{noun}Name": name, f"{noun}Arn": f"arn:aws:sagemaker:::{name}", "FailureReason": reason}
    if noun == "ProcessingJob":
        cause["ExitMessage"] = fault.cause[:1024]
    return Error(fault.error, json.dumps({**cause, f"{noun}Status": "Failed"}, separators=(",", ":")))


def _noun(call: Call) -> str:
    called = integration(call.resource)
    return JOBS[called.action].removesuffix("Name") if called is not None and called.action in JOBS else ""
