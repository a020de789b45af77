"""The call of a Task's Resource, and SageMaker's and SNS's rules for requests beyond botocore's model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepgluon import limits
from stepgluon.programs import title_of
from stepgluon.selfcheck.apis import Operation, Problem, operation
from stepgluon.selfcheck.expressions import leaves
from stepgluon.selfcheck.report import Report, did_you_mean
from stepgluon.selfcheck.scopes import Scope

_RESOURCE = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:::(?P<sdk>aws-sdk:)?(?P<service>[a-z0-9-]+):(?P<action>[A-Za-z0-9]+)"
    r"(?P<wait>\.sync(?::2)?|\.waitForTaskToken)?"
)
_OTHER = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(lambda:[a-z0-9-]+:\d{12}:function|states:[a-z0-9-]+:\d{12}:activity):[\w$:-]+"
)
# The optimized integrations of the usual services, and the other services that have some, not checked further:
# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
OPTIMIZED = {
    "sagemaker": """createEndpoint createEndpointConfig createModel updateEndpoint createHyperParameterTuningJob
    createLabelingJob createProcessingJob createTrainingJob createTransformJob""",
    **{"sns": "publish", "sqs": "sendMessage", "lambda": "invoke", "states": "startExecution"},
    "dynamodb": "getItem putItem updateItem deleteItem",
    "codebuild": "startBuild stopBuild batchDeleteBuilds batchGetReports",
}
OTHERS = """apigateway athena batch bedrock databrew ecs eks elasticmapreduce emr-containers emr-serverless
events glue http mediaconvert"""
JOBS = {
    "createTrainingJob": "TrainingJobName",
    "createProcessingJob": "ProcessingJobName",
    "createTransformJob": "TransformJobName",
    "createHyperParameterTuningJob": "HyperParameterTuningJobName",
}
_ROOT = "/opt/ml/processing/"
_SUBJECT = re.compile(r"[!-~][ -~]*")
_IMAGE = re.compile(r"\.(ImageUri|TrainingImage|Image|image)=([^${}]+)@\$\{([A-Z]\w*)Digest\}")  # image: of a verdict

_TAG = re.compile(r"\$\{[A-Z]\w*Tag\}")


@dataclass(frozen=True)
class Integration:
    partition: str
    service: str
    action: str
    wait: str  # "", .sync, .sync:2 or .waitForTaskToken
    api: Operation | None  # None if the API's model is unknown
    problem: str = ""
    optimized: bool = True

    def error(self) -> str:
        """The name of an error of this call without a specific name: the service and the base class of its exceptions
        in AWS's SDK for Java, version 1 for an optimized integration, version 2 for aws-sdk. For Lambda's, see
        https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html.
        """
        if self.service == "codebuild":
            return "CodeBuild.AWSCodeBuildException"
        kinds = {"sagemaker": "SageMaker", "sns": "SNS", "s3": "S3", "lambda": "Lambda", "ecr": "Ecr"}
        kinds["applicationautoscaling"] = "ApplicationAutoScaling"
        kind = kinds.get(self.service, self.service)
        return f"{kind}.{'Amazon' if self.optimized and kind in ('SageMaker', 'SNS') else ''}{kind}Exception"


@lru_cache(maxsize=4096)
def integration(resource: str) -> Integration | None:
    """The call of a Resource; None if the text is not an ARN that a Task can call."""
    match = _RESOURCE.fullmatch(resource)
    if match is None:
        other = _OTHER.fullmatch(resource)
        return Integration(other["partition"], "", "", "", None) if other else None
    service, action, wait, optimized = match["service"], match["action"], match["wait"] or "", match["sdk"] is None
    api, problem = None, _problem(service, action, wait) if optimized else ""
    if wait.startswith(".sync") and not optimized:
        problem = "calls of aws-sdk cannot wait for the end of a job (.sync)"
    if not problem and (not optimized or service in OPTIMIZED):
        found = operation(service, action, optimized, wait.startswith(".sync"))
        api, problem = (found, "") if isinstance(found, Operation) else (None, found)
    return Integration(match["partition"], service, action, wait, api, problem, optimized)


def reader(resource: str) -> Integration | None:
    """The call that reads the items of a Distributed Map: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html"""
    found = re.fullmatch(r"(arn:aws[a-z-]*:states:::)(s3:(?:getObject|listObjectsV2))", resource)
    return integration(f"{found[1]}aws-sdk:{found[2]}") if found else None


def _problem(service: str, action: str, wait: str) -> str:
    services = (*OPTIMIZED, *OTHERS.split())
    if service not in services:
        return f"{service} does not have an integration of its own{did_you_mean(service, services)}"
    actions = OPTIMIZED.get(service, action).split()
    if action not in actions:
        return f"{service} does not have the integration {action}{did_you_mean(action, actions)}"
    awaited = action.endswith("Job") or action in ("startExecution", "startBuild") or service not in OPTIMIZED
    if (wait.startswith(".sync") and not awaited) or (wait == ".waitForTaskToken" and service == "sagemaker"):
        return f"{service}:{action} cannot wait ({wait})"
    return ""


def check(root: Scope, report: Report) -> None:
    """Report problems of the Tasks' Resources."""
    tasks = [(name, scope.states[name].get("Resource")) for scope in root.every() for name in scope.reached]
    tasks = [(name, resource) for name, resource in tasks if resource is not None]
    partitions = Counter(called.partition for _, resource in tasks if (called := integration(resource)))
    usual = max(partitions, key=partitions.__getitem__, default="")
    for name, resource in tasks:
        called = integration(resource)
        if called is None:
            report.add("resource", name, f"Resource {resource!r} is not an ARN that a Task can call")
            continue
        if called.problem:
            report.add("resource", name, f"Resource {resource}: {called.problem}")
        if called.action in JOBS and called.optimized and not called.wait:
            report.add("not-awaited", name, f"Resource starts a job that nothing waits for; add .sync to {resource}")
        if called.partition != usual:
            message = f"Resource is in partition {called.partition}, and other Tasks are in {usual}"
            report.add("partition", name, f"{message}; one machine is in one")


def problems(called: Integration, request: Any) -> list[Problem]:
    """The problems for which the service would refuse a request: (path, code, message)."""
    if not isinstance(request, dict):
        return [("", "parameter-type", f"an object is expected, not {request!r:.40}")]
    found = called.api.problems(request) if called.api else []
    found += _placeholders(request)
    if found:  # the rules below rely on the types
        return found
    if called.action == "publish":
        found += subject_problems(request.get("Subject"))
    elif called.action in JOBS:
        outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", ())
        found += _parts(request.get("ProcessingInputs", ()), ".ProcessingInputs", "InputName", "S3Input")
        found += _parts(outputs, ".ProcessingOutputConfig.Outputs", "OutputName", "S3Output")
        found += _parts(request.get("InputDataConfig", ()), ".InputDataConfig", "ChannelName", "")
        found += _spot(request) if called.action == "createTrainingJob" else ()
    return found


def _placeholders(request: dict[str, Any]) -> Iterator[Problem]:
    for path, value in leaves(request, ""):
        found = _IMAGE.search(f"{path}={value}")
        # The repository's name ends with the image's: demo-mine@${MineDigest}.
        if (
            isinstance(value, str)
            and "${" in _TAG.sub("", value)
            and not (found and title_of(found[2]).endswith(found[3]))
        ):
            yield (
                path,
                "placeholder",
                f"{value[:80]!r} has ${{...}}, which is filled in only for an image's digest or tag",
            )


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


def _parts(entries: Any, where: str, key: str, place: str) -> Iterator[Problem]:
    """The inputs, outputs or channels of a job: unique names, and folders where SageMaker mounts them."""
    names = [entry[key] for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield where, "job-part-name", f"two entries have the {key} {name!r}; names are unique within a job"
    for number, entry in enumerate(entries):
        local = entry.get(place, {}).get("LocalPath", _ROOT)
        if not local.startswith(_ROOT):
            yield f"{where}[{number}].{place}.LocalPath", "job-path", f"it must begin with {_ROOT}, not {local!r}"


def _spot(request: dict[str, Any]) -> Iterator[Problem]:
    condition, spot = request.get("StoppingCondition", {}), request.get("EnableManagedSpotTraining")
    wait, runtime = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds", 0)
    place = ".StoppingCondition.MaxWaitTimeInSeconds"
    if spot and wait is None:
        yield place, "spot", "spot training needs it"
    elif wait is not None and not spot:
        yield place, "spot", "it is only for spot training (EnableManagedSpotTraining)"
    elif wait is not None and wait < runtime:
        yield place, "spot", f"{wait} must be at least MaxRuntimeInSeconds {runtime}"
