"""The call of a Task's Resource, and SageMaker's and SNS's rules for requests beyond botocore's model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck.apis import Operation, Problem, operation
from stepgluon.selfcheck.report import did_you_mean, is_number

_RESOURCE = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:::(?P<sdk>aws-sdk:)?(?P<service>[a-z0-9-]+):(?P<action>[A-Za-z0-9]+)"
    r"(?P<wait>\.sync(?::2)?|\.waitForTaskToken)?"
)
_OTHER = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(lambda:[a-z0-9-]+:\d{12}:function|states:[a-z0-9-]+:\d{12}:activity):[\w$:-]+"
)
# The optimized integrations, and whether they can wait for the end (.sync):
# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
_SYNC, _CALL = True, False
OPTIMIZED: dict[str, dict[str, bool]] = {
    "sagemaker": {
        **{
            f"create{kind}Job": _SYNC
            for kind in ("HyperParameterTuning", "Labeling", "Processing", "Training", "Transform")
        },
        **dict.fromkeys(("createEndpoint", "createEndpointConfig", "createModel", "updateEndpoint"), _CALL),
    },
    "sns": {"publish": _CALL},
    "sqs": {"sendMessage": _CALL},
    "lambda": {"invoke": _CALL},
    "states": {"startExecution": _SYNC},
    "events": {"putEvents": _CALL},
    "dynamodb": dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), _CALL),
    "batch": {"submitJob": _SYNC},
    "codebuild": dict.fromkeys(("startBuild", "startBuildBatch"), _SYNC)
    | dict.fromkeys(("stopBuild", "batchDeleteBuilds", "batchGetReports"), _CALL),
    "ecs": {"runTask": _SYNC},
    "glue": {"startJobRun": _SYNC},
    "athena": {"startQueryExecution": _SYNC}
    | dict.fromkeys(("stopQueryExecution", "getQueryExecution", "getQueryResults"), _CALL),
}
_UNCHECKED = {"apigateway", "bedrock", "databrew", "eks", "elasticmapreduce", "emr-containers", "emr-serverless"}
_UNCHECKED |= {"http", "mediaconvert", "glue-databrew"}
_CALLS_BACK = {"sns", "sqs", "lambda", "states", "events", "ecs", "batch"}
JOBS = {
    "createTrainingJob": "TrainingJobName",
    "createProcessingJob": "ProcessingJobName",
    "createTransformJob": "TransformJobName",
    "createHyperParameterTuningJob": "HyperParameterTuningJobName",
}
# Within one job: the path of a list, an entry's name, and the path of its folder in the container.
_LISTS = (
    (("ProcessingInputs",), "InputName", ("S3Input", "LocalPath"), limits.JOB_INPUTS),
    (("ProcessingOutputConfig", "Outputs"), "OutputName", ("S3Output", "LocalPath"), limits.JOB_OUTPUTS),
    (("InputDataConfig",), "ChannelName", (), limits.JOB_CHANNELS),
)
_SUBJECT = re.compile(r"[!-~][ -~]*")
_ROOT = "/opt/ml/processing/"
_IMAGE = re.compile(r"\.(ImageUri|TrainingImage)=[^${}]+@\$\{(Data|Autogluon)Digest\}")


@dataclass(frozen=True)
class Integration:
    partition: str
    service: str
    action: str
    wait: str  # "", .sync, .sync:2 or .waitForTaskToken
    api: Operation | None  # None if the API's model is unknown
    problem: str | None = None
    optimized: bool = True

    def error(self) -> str:
        """The name of an error of this call without a specific name.

        It is the service and the base class of its exceptions in AWS's SDK for Java: version 1 for an optimized
        integration (AmazonSNSException, AmazonSageMakerException), version 2 for aws-sdk (S3Exception). AWS documents
        Lambda's (https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html); moto has
        SQS.AmazonSQSException and DynamoDB.AmazonDynamoDBException from recorded executions.
        """
        kind = {"sagemaker": "SageMaker", "sns": "SNS", "s3": "S3", "lambda": "Lambda"}.get(self.service, self.service)
        return f"{kind}.{'Amazon' if self.optimized and kind in ('SageMaker', 'SNS') else ''}{kind}Exception"


@lru_cache(maxsize=4096)
def integration(resource: str) -> Integration | None:
    """The call of a Resource; None if the text is not an ARN that a Task can call."""
    match = _RESOURCE.fullmatch(resource)
    if match is None:
        other = _OTHER.fullmatch(resource)
        return Integration(other["partition"], "", "", "", None) if other else None
    service, action, wait = match["service"], match["action"], match["wait"] or ""
    optimized = match["sdk"] is None
    problem, api = None, None
    if optimized and service not in _UNCHECKED:
        problem = _optimized(service, action, wait)
    elif not optimized and wait.startswith(".sync"):
        problem = "calls of aws-sdk cannot wait for the end of a job (.sync)"
    if problem is None and (service not in _UNCHECKED or not optimized):
        api = operation(service, action, optimized, wait.startswith(".sync"))
        problem = api if isinstance(api, str) else None
    known = api if isinstance(api, Operation) else None
    return Integration(match["partition"], service, action, wait, known, problem, optimized)


def _optimized(service: str, action: str, wait: str) -> str | None:
    actions = OPTIMIZED.get(service)
    if actions is None:
        return f"{service} does not have an integration of its own{did_you_mean(service, OPTIMIZED)}"
    if action not in actions:
        return f"{service} does not have the integration {action}{did_you_mean(action, actions)}"
    if wait.startswith(".sync") and not actions[action]:
        return f"{service}:{action} cannot wait for the end of a job (.sync)"
    if wait == ".waitForTaskToken" and service not in _CALLS_BACK:
        return f"{service}:{action} cannot wait for a task token"
    return None


def problems(called: Integration, request: Any) -> list[Problem]:
    """The problems for which the service would refuse a request: (path, code, message)."""
    if not isinstance(request, dict):
        return [("", "parameter-type", f"an object is expected, not {request!r:.40}")]
    found = called.api.problems(request) if called.api else []
    found += list(_placeholders(request, ""))
    if called.action == "publish" and "Subject" in request:
        found += subject_problems(request["Subject"])
    elif called.action in JOBS:
        for place, key, path, most in _LISTS:
            found += _parts(_at(request, place), "." + ".".join(place), key, path, most)
        found += _environment(request.get("Environment"))
        found += _spot(request)
    return found


def _placeholders(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, str):
        if "${" in value and not _IMAGE.search(f"{path}={value}"):
            yield path, "placeholder", f"{value[:80]!r} has ${{...}}, which is filled in only for an image's digest"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _placeholders(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _placeholders(inner, f"{path}[{number}]")


def subject_problems(subject: Any) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: ASCII that starts with a visible character."""
    if not isinstance(subject, str):
        return
    if len(subject) > limits.SUBJECT:
        message = f"it can have {len(subject)} characters, and at most {limits.SUBJECT} are allowed: {subject[:60]!r}"
        yield ".Subject", "subject-length", message
    if not _SUBJECT.fullmatch(subject):
        message = f"it must be printable ASCII on one line that begins with a visible character: {subject[:60]!r}"
        yield ".Subject", "subject-text", message


def _parts(entries: Any, where: str, key: str, path: tuple[str, ...], most: int) -> Iterator[Problem]:
    if not isinstance(entries, list):
        return
    if len(entries) > most:
        yield where, "parameter-length", f"the number of entries is {len(entries)}, and at most {most} are allowed"
    names: set[str] = set()
    for number, entry in enumerate(entries):
        name = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(name, str) and name in names:
            yield where, "job-part-name", f"two entries have the {key} {name!r}; names are unique within a job"
        names.add(str(name))
        local = _at(entry, path) if path else None
        if isinstance(local, str) and not local.startswith(_ROOT):
            place = f"{where}[{number}].{'.'.join(path)}"
            yield place, "job-path", f"it must begin with {_ROOT}, not {local!r}"


def _environment(environment: Any) -> Iterator[Problem]:
    """Use processing's limit for both: training accepts longer values, but the config treats both alike."""
    if not isinstance(environment, dict):
        return
    if len(environment) > limits.ENVIRONMENT_ENTRIES:
        message = f"it has {len(environment)} variables, and at most {limits.ENVIRONMENT_ENTRIES} are allowed"
        yield ".Environment", "parameter-length", message
    for key, value in environment.items():
        if isinstance(value, str) and len(value) > limits.ENVIRONMENT_VALUE:
            message = f"the value has {len(value)} characters, and at most {limits.ENVIRONMENT_VALUE} are allowed"
            yield f".Environment.{key}", "environment-value", message


def _spot(request: dict[str, Any]) -> Iterator[Problem]:
    condition, spot = request.get("StoppingCondition"), request.get("EnableManagedSpotTraining")
    if not isinstance(condition, dict) or "TrainingJobName" not in request:
        return
    wait, runtime = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds")
    place = ".StoppingCondition.MaxWaitTimeInSeconds"
    if spot is True and wait is None:
        yield place, "spot", "spot training needs it"
    elif wait is not None and not spot:
        yield place, "spot", "it is only for spot training (EnableManagedSpotTraining)"
    elif is_number(wait) and is_number(runtime) and wait < runtime:
        yield place, "spot", f"{wait} must be at least MaxRuntimeInSeconds {runtime}"


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
