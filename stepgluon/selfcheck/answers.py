"""Canned responses of the services, from botocore's shapes and the scenario.

The known files are our own machine's: those that prepare and train write, its markers, and promoted.json. The content
of any other file is a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck import endpoint_answers, group_answers
from stepgluon.selfcheck.endpoint_answers import Endpoints
from stepgluon.selfcheck.integrations import JOBS, Integration

_FILES = {
    **group_answers.KINDS,
    "fingerprints": re.compile(r"runs/[^/]+/prepared/fingerprints\.json"),
    "marker": re.compile(r"markers/.*"),
    "score": re.compile(r".*/metrics\.json"),
    "promoted": re.compile(r"promoted\.json"),
    "pointer": re.compile(r"endpoints/[^/]+\.json"),
    "drift": re.compile(r"monitor/[^/]+/[^/]+/result\.json"),
}
_KNOWN = ("sagemaker", "s3", "sns")  # services whose responses have the keys of botocore's model
DIGEST = "0123456789abcdef" * 4
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/pipeline-autogluon@sha256:{DIGEST}"
MISTAKE = "Not retried: the column 'label' is missing in june.csv"
LOST = "InternalServerError: We encountered an internal error. Please try again."
LONGEST = "Not retried: " + "x" * 1011  # SageMaker keeps 1,024 characters
_TRAINED = f"s3://bucket/models/price/{DIGEST}/june-train-0/output/model"
_SOURCE = {"S3Uri": f"{_TRAINED}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
VERSION = {
    "ModelApprovalStatus": "Approved",
    "InferenceSpecification": {"Containers": [{"Image": IMAGE, "ModelDataSource": {"S3DataSource": _SOURCE}}]},
    "CustomerMetadataProperties": {"manifest": DIGEST, "job": "june-train-0", "run": "june", "program": "autogluon"},
}
ARCHIVED = {"InferenceSpecification": {"Containers": [{"Image": IMAGE, "ModelDataUrl": f"{_TRAINED}.tar.gz"}]}}
LONGEST_NAME = "_-A9" * 20  # of an execution


@dataclass(frozen=True)
class Answer:
    value: Any
    certain: bool = True


@dataclass(frozen=True)
class Error:
    name: str
    cause: str | None = None


NO_KEY = Error("S3.NoSuchKeyException", "The specified key does not exist. (Service: S3, Status Code: 404)")


@dataclass(frozen=True)
class Fault:
    """A state's call fails the first `times` times."""

    error: str
    cause: str | None = None
    times: int = 10**6


@dataclass(frozen=True)
class Scenario:
    """The conditions of a run, and the services' responses in it."""

    name: str
    models: list[str]
    read: set[str]  # the kinds of files that were read; it grows
    described: dict[tuple[int, int], Any]  # the jobs' descriptions, by the ids of the model's answer and the request
    faults: Mapping[str, Fault] = field(default_factory=dict)  # by state
    files: Mapping[str, Any] = field(default_factory=dict)  # by kind: the JSON value, a text, or an Error
    first: Mapping[str, Any] = field(default_factory=dict)  # the same, for the first model only
    endpoints: Endpoints = field(default_factory=lambda: Endpoints("is created", {}))
    version: Mapping[str, Any] = field(default_factory=dict)  # changes to the model registry's description of one
    turn: int = 0  # which of their values enums start with
    input: Any = field(default_factory=dict)
    execution: str = LONGEST_NAME
    retried: bool = True  # each Task is at its last retry in the last redrive
    written: dict[str, Any] = field(default_factory=dict)  # what the machine wrote about groups, by key; it grows
    odd: bool = False  # an input that a service may refuse: its requests are not checked

    def answer(self, state: str, called: Integration, request: Any, visit: int) -> Answer | Error:
        """The response to a state's call; `visit` counts the state's earlier ones."""
        fault = self.faults.get(state)
        if fault is not None and visit < fault.times:
            return _failure(called, request, fault)
        if called.api is None:
            return Answer({}, False)
        if called.service == "s3" and called.action == "getObject":
            return self._file(str(request.get("Key")), called.api.answer(0))
        if called.service == "s3" and called.action == "putObject" and _kind(str(request.get("Key"))):
            self.written[request["Key"]] = request.get("Body")
        if called.action == "createModelPackage" and isinstance(request, dict):
            group = f"arn:aws:sagemaker:eu-west-1:123456789012:model-package/{request.get('ModelPackageGroupName')}"
            return Answer({"ModelPackageArn": f"{group}/1"})
        if called.action in endpoint_answers.ACTIONS:
            found = self.endpoints.called(called.action, request)
            return Error(called.error(), endpoint_answers.MISSING) if found is None else Answer(found)
        if called.action == "describeModelPackage":
            return Answer({**VERSION, **self.version})
        answer = called.api.answer(visit + self.turn)
        if called.action == "listObjectsV2":
            return Answer({**answer, "KeyCount": 0 if self.turn else 1})
        if called.wait and called.action in JOBS:
            key = (id(answer), id(request))
            if key not in self.described:
                self.described[key] = _described(answer, called, request)
            answer = self.described[key]
        return Answer(answer, called.service in _KNOWN)

    def _file(self, key: str, answer: dict[str, Any]) -> Answer | Error:
        kind, models = _kind(key), self.models
        self.read.add(kind)
        content = self.files.get(kind, self._usual(kind))
        if kind in self.first and (not models or re.search(rf"(^|/){re.escape(models[0])}/", key)):
            content = self.first[kind]
        if content is group_answers.WRITTEN:
            content = self.written.get(key, NO_KEY)
        if isinstance(content, Error):
            return content
        text = content if isinstance(content, str) else json.dumps(content)
        # Text in a format other than the writer's may make any expression fail.
        return Answer({**answer, "Body": text, "ContentLength": len(text)}, bool(kind) and not isinstance(content, str))

    def _usual(self, kind: str) -> Any:
        if kind == "fingerprints":
            counts = {"groups": 1, "models": 3, "to_train": 2, "small": 1}
            return {"gaps": 4, "models": [fingerprint(name) for name in self.models], "partitioned": counts}
        if (content := group_answers.usual(kind)) is not None:
            return content
        if kind == "drift":
            return {"outcome": "drift", "sentence": "x" * 1000, "rows": 5}
        if kind == "pointer":
            return {"model": "model", "folder": "s3://bucket/models/model/f/job/output/model/", "run": "may"}
        missing = ("marker", "promoted", "group marker", "predictions marker")
        return score(0.5) if kind == "score" else NO_KEY if kind in missing else "{}"


@lru_cache(maxsize=4096)
def _kind(key: str) -> str:
    return next((kind for kind, pattern in _FILES.items() if pattern.fullmatch(key)), "")


def fingerprint(name: str) -> dict[str, Any]:
    """What prepare writes for one model."""
    of_files = {"channels": ["train", "validation"]}  # of data.files
    goal = {"MetricName": "validation:mlogloss", "Type": "Minimize"}
    of_classes = {"set": {"objective": "multi:softprob", "num_class": "3"}, "objective": goal}
    found = {"name": name, "train": DIGEST, "predict": DIGEST, "files": ["part-00000.parquet"], "rows": 2}
    return found | of_files | of_classes


def score(number: Any) -> dict[str, Any]:
    """What train writes, with the same number as the error and as another metric's score."""
    return {"mae": number, "mae_of_median": 2.5, "score": number, "baseline": 0.25, "manifest": DIGEST}


def marker(mae: float) -> dict[str, Any]:
    return {"job": "june-train-0", **score(mae), "run": "may", "image": IMAGE}


def promoted(models: list[str]) -> dict[str, Any]:
    """What `promote RUN` writes."""
    place = "s3://bucket/promoted/may/model/"
    entry = {"uses": "default", "model_uri": place, "manifest": DIGEST, "run": "may", "default_mae": 0.5}
    entry |= {"image": IMAGE, "program": "autogluon"}
    return {f"m_{name.replace('-', '_')}": entry for name in models}


def without_image(entry: dict[str, Any]) -> dict[str, Any]:
    """As a version wrote it that did not record images."""
    return {key: value for key, value in entry.items() if key != "image"}


def _described(answer: dict[str, Any], called: Integration, request: dict[str, Any]) -> dict[str, Any]:
    """A job's description repeats its request; reasons are present only on failure."""
    noun = _noun(called)
    kept = {key: value for key, value in answer.items() if key not in ("FailureReason", "ExitMessage")}
    described = {**kept, **request, f"{noun}Status": "Completed"}
    if isinstance(request.get("OutputDataConfig"), dict):
        place = f"{request['OutputDataConfig'].get('S3OutputPath')}/{request.get(f'{noun}Name')}/output/model"
        described["ModelArtifacts"] = {"S3ModelArtifacts": place}
    return described


def _failure(called: Integration, request: Any, fault: Fault) -> Error:
    """A failed job's cause is its description; AWS adds its own words to the job's message."""
    if fault.error != "States.TaskFailed" or called.action not in JOBS or fault.cause is None:
        return Error(fault.error, fault.cause)
    noun = _noun(called)
    name = request.get(f"{noun}Name") if isinstance(request, dict) else ""
    reason = f"AlgorithmError: {fault.cause}, exit code: 1"[:1024]
    cause = {f"{noun}Name": name, f"{noun}Arn": f"arn:aws:sagemaker:::{name}", "FailureReason": reason}
    if noun == "ProcessingJob":
        cause["ExitMessage"] = fault.cause[:1024]
    return Error(fault.error, json.dumps({**cause, f"{noun}Status": "Failed"}, separators=(",", ":")))


def _noun(called: Integration) -> str:
    return JOBS[called.action].removesuffix("Name")
