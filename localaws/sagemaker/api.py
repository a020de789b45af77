"""The API of SageMaker's jobs, which really run (job.py), of its models and their registry, and of endpoints; moto
answers all other calls.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from typing import Any

from localaws.base import api_model, requests
from localaws.base.api_error import ApiError
from localaws.base.requests import Application
from localaws.iam.required_rights import KINDS as NAMES
from localaws.iam.required_rights import job_arn
from localaws.sagemaker import checkpoints, transform, tuning
from localaws.sagemaker import endpoints as of_endpoints
from localaws.sagemaker.endpoint import Alarms
from localaws.sagemaker.endpoints import Endpoints
from localaws.sagemaker.job import Job, Workshop
from localaws.sagemaker.job_files import NO_ROLE
from localaws.sagemaker.metrics import unreadable
from localaws.sagemaker.model_registry import ACTIONS, ModelRegistry, changed_tags
from localaws.sagemaker.models import Models
from localaws.sagemaker.pages import page

MOST_JOBS = 1000  # in memory; older ones are in the executions' histories
KINDS = {kind: f"{name}Job" for kind, name in NAMES.items()}
PROCESSING = "/opt/ml/processing"
_KIND = f"({'|'.join(NAMES.values())})"
_ACTION = re.compile(f"(?:(Create|Describe|Stop){_KIND}Job|(List){_KIND}Jobs)")
_TRIALS = "ListTrainingJobsForHyperParameterTuningJob"
_TAGS = ("AddTags", "DeleteTags", "ListTags")
_TAGGED = re.compile(
    ":((training|processing|transform|hyper-parameter-tuning)-job|model-package-group|endpoint|endpoint-config)/"
)
_OTHERS = ("CreateModel", _TRIALS, *_TAGS, *ACTIONS, *of_endpoints.ACTIONS)


class SageMaker:
    def __init__(self, workshop: Workshop, alarms: Alarms, deploying: float) -> None:
        self.workshop = workshop
        self.models = Models(workshop)
        self.endpoints = Endpoints(workshop, self.models, alarms, deploying)
        self.registry = ModelRegistry(workshop.buckets.objects, workshop.permissions)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._closed = False
        self._names: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def read_model(self) -> None:
        """Read the service's model in the background, so the first job need not wait for it."""
        threading.Thread(target=api_model.service_model, args=("sagemaker",), name="model", daemon=True).start()

    def call(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """The response, with times in seconds since 1970; raises ApiError."""
        found = _ACTION.fullmatch(action)
        if not found and action not in _OTHERS:
            raise ApiError("UnknownOperationException", f"{action} is not available locally.")
        if wrong := api_model.problems("sagemaker", action, request):
            count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected"
            raise ApiError("ValidationException", f"{count}: {'; '.join(wrong)}")
        if action == "CreateModel":
            return self.models.create(request)
        if action == _TRIALS:
            job: Any = self.job(tuning.KIND, request["HyperParameterTuningJobName"])
            return page("TrainingJobSummaries", job.summaries(request), request)
        if action in ACTIONS:
            return self.registry.call(action, request)
        if action in of_endpoints.ACTIONS:
            return self.endpoints.call(action, request)
        if not found:
            return self._tags(action, request)
        verb, kind = (word.lower() for word in found.groups() if word)
        if verb == "list":
            return self._list(kind, request)
        name = request[f"{KINDS[kind]}Name"]
        if verb == "create":
            return self._create(kind, name, request)
        return described(self.job(kind, name)) if verb == "describe" else self._stop(self.job(kind, name))

    def known(self, kind: str, name: str) -> Job | None:
        return self._jobs.get((kind, name))

    def job(self, kind: str, name: str) -> Job:
        job = self.known(kind, name)
        if job is None:
            raise ApiError("ValidationException", f"Could not find requested job with name: {name}")
        return job

    def tags(self, kind: str, name: str) -> dict[str, str]:
        if kind == "model":
            return self.models.tags(name)
        if kind.startswith("endpoint"):
            return self.endpoints.tags_of(kind, name)
        job = self._jobs.get((kind, name))
        return job.tags if job else {}

    def jobs(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def close(self, seconds: float) -> None:
        """Stop all jobs and wait for them; an execution that is still running can start no more."""
        with self._lock:
            self._closed = True
            running = [job for job in self._jobs.values() if not job.done.is_set()]
        for job in running:
            job.stop()
        self.endpoints.close()
        for job in running:
            job.join(seconds)

    # Actions

    def _create(self, kind: str, name: str, request: dict[str, Any]) -> dict[str, Any]:
        self._check_surroundings(kind, request)
        arn = job_arn(self.workshop.permissions, NAMES[kind], name)
        job: Job
        if kind == "transform":
            model = self.models.get(request["ModelName"])
            if model.prefix:
                raise ApiError("ValidationException", "Batch transform needs an archive: set ModelDataUrl.")
            if model.multi:
                raise ApiError("ValidationException", "Batch transform does not support models of Mode MultiModel.")
            job = transform.TransformJob(name, arn, request, self.workshop, model)
        elif kind == tuning.KIND:
            job = tuning.TuningJob(name, arn, request, self.workshop, self._train)
        else:
            job = Job(kind, name, arn, request, self.workshop)
        with self._lock:
            if self._closed:
                raise ApiError("InternalFailure", "The local AWS has ended.")
            # Names are case-insensitive and reserved forever.
            if (kind, name.lower()) in self._names:
                raise ApiError(
                    "ResourceInUse",
                    f"{kind.title()} job names must be unique within an AWS account and region, and a {kind.title()} "
                    f"job with this name already exists ({arn})",
                )
            self._names.add((kind, name.lower()))
            self._jobs[kind, name] = job
            ended = [known for known, old in self._jobs.items() if old.done.is_set()]
            for known in ended[: max(0, len(self._jobs) - MOST_JOBS)]:
                del self._jobs[known]
            job.start()
        return {f"{KINDS[kind]}Arn": arn}

    def _train(self, name: str, request: dict[str, Any]) -> Job:
        self._create("training", name, request)
        return self.job("training", name)

    def _check_surroundings(self, kind: str, request: dict[str, Any]) -> None:
        if kind == tuning.KIND and (wrong := tuning.refused(request)):
            raise ApiError("ValidationException", wrong)
        request = request.get("TrainingJobDefinition", request)
        role, outputs = request.get("RoleArn"), request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if role and self.workshop.permissions.role(role) is None:
            raise ApiError("ValidationException", NO_ROLE.format(role=role))
        uris = [output["S3Output"]["S3Uri"] for output in outputs if "S3Output" in output]
        if kind == "transform":
            uris.append(request["TransformOutput"]["S3OutputPath"])
            if wrong := transform.refused(request):
                raise ApiError("ValidationException", wrong)
        if "OutputDataConfig" in request:
            uris.append(request["OutputDataConfig"]["S3OutputPath"])
            uris += [request["CheckpointConfig"]["S3Uri"]] if "CheckpointConfig" in request else []
            wrong = unreadable(request["AlgorithmSpecification"].get("MetricDefinitions", []))
            if wrong := wrong or checkpoints.refused(request):
                raise ApiError("ValidationException", wrong)
        for uri in uris:
            bucket = uri.removeprefix("s3://").split("/")[0]
            if not self.workshop.buckets.exists(bucket):
                raise ApiError("ValidationException", f"The bucket {bucket} of the output path {uri} does not exist.")
        for given in [*request.get("ProcessingInputs", []), *outputs]:
            path = given.get("S3Input", given.get("S3Output", {})).get("LocalPath", PROCESSING)
            if not f"{path}/".startswith(f"{PROCESSING}/") or ".." in path.split("/"):
                raise ApiError("ValidationException", f"LocalPath {path} must be a path below {PROCESSING}.")

    def _stop(self, job: Job) -> dict[str, Any]:
        if job.done.is_set():
            reason = f"The request was rejected because the {job.kind} job is in status {job.state.status}."
            raise ApiError("ValidationException", reason)
        job.stop()
        return {}

    def _list(self, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        noun, status = KINDS[kind], request.get("StatusEquals")
        found = [job for job in self.jobs() if job.kind == kind and request.get("NameContains", "") in job.name]
        found = [job for job in found if status in (None, job.state.status)]
        by_name = request.get("SortBy") == "Name"
        found.sort(
            key=lambda job: job.name if by_name else job.state.created,
            reverse=request.get("SortOrder", "Descending") == "Descending",
        )
        return page(f"{noun}Summaries", [described(job) for job in found], request)

    def _tags(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["ResourceArn"]
        if ":model-package-group/" in arn:
            return self.registry.tags(action, request)
        if ":endpoint" in arn:
            return self.endpoints.tags(action, request, changed_tags)
        job = next((job for job in self.jobs() if job.arn == arn), None)
        if job is None:
            raise ApiError("ResourceNotFound", f"Job {arn} does not exist.")
        if action != "ListTags":
            job.request["Tags"] = changed_tags(job.request.get("Tags", []), request)
        return {} if action == "DeleteTags" else {"Tags": job.request.get("Tags", [])}


def described(job: Job) -> dict[str, Any]:
    if isinstance(job, tuning.TuningJob):
        return job.described()
    noun, state = KINDS[job.kind], job.state
    ended = state.ended if state.started else None
    answer: dict[str, Any] = {
        **{key: value for key, value in job.request.items() if key != "Tags"},
        f"{noun}Arn": job.arn,
        f"{noun}Status": state.status,
        "CreationTime": state.created,
        "LastModifiedTime": state.changed,
        f"{job.kind.title()}StartTime": state.started,
        f"{job.kind.title()}EndTime": ended,
        "FailureReason": state.failure or None,
    }
    if job.kind == "processing":
        answer["ExitMessage"] = state.message or None
    elif job.kind == "training":
        seconds = int(ended - state.started) if ended and state.started else None
        model = {"S3ModelArtifacts": f"{job.outputs[0].uri}/{job.outputs[0].archive}"}
        answer |= {
            "SecondaryStatus": state.secondary,
            "ModelArtifacts": model if state.status in ("Completed", "Stopped") else None,
            "FinalMetricDataList": state.metrics or None,
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": seconds,
        }
    return {key: value for key, value in answer.items() if value is not None}


def sagemaker_door(sagemaker: SageMaker, moto: Application) -> Application:
    """Answers requests about jobs, models, their registry and endpoints, and passes all others to moto."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        service, _, action = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        request = requests.json_body(environ) if service == "SageMaker" else {}
        own = action in _OTHERS or _ACTION.fullmatch(action)
        if action in _TAGS:
            own = _TAGGED.search(str(request.get("ResourceArn")))
        if service != "SageMaker" or not own:
            return moto(environ, start_response)
        try:
            status, answer = "200 OK", sagemaker.call(action, request)
        except ApiError as error:
            status, answer = "400 Error", {"__type": error.code, "message": error.message}
        return requests.respond(start_response, status, "application/x-amz-json-1.1", json.dumps(answer))

    return application
