"""The API of SageMaker's training and processing jobs, over HTTP and in this process.

In moto, such jobs are records that never run; these really run (job.py). moto answers the rest of SageMaker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from localaws.base import api_model
from localaws.sagemaker.job import Job, Workshop
from localaws.sagemaker.outputs import outputs_of

MOST_JOBS = 1000  # in memory; older ones are in the executions' histories
KINDS = {"training": "TrainingJob", "processing": "ProcessingJob"}
PROCESSING = "/opt/ml/processing"
TAKEN = (
    "{kind} job names must be unique within an AWS account and region, and a {kind} job with this name already exists "
    "({arn})"
)
NO_ROLE = (
    "Could not assume role {role}. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' "
    "to assume the role."
)


class ApiError(Exception):
    """The service refuses a call."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class SageMaker:
    def __init__(self, workshop: Workshop, account: str, partition: str) -> None:
        self.workshop = workshop
        self._prefix = f"arn:{partition}:sagemaker:{workshop.region}:{account}"
        self._roles = _role_exists(account, partition)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._names: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ListTags": self._list_tags,
            "AddTags": self._add_tags,
        }
        for kind, noun in KINDS.items():
            self._actions[f"Create{noun}"] = partial(self._create, kind)
            self._actions[f"Describe{noun}"] = partial(self._describe, kind)
            self._actions[f"Stop{noun}"] = partial(self._stop, kind)
            self._actions[f"List{noun}s"] = partial(self._list, kind)

    def read_model(self) -> None:
        """Read the service's model in the background, so the first job need not wait for it."""
        threading.Thread(target=api_model.service_model, args=("sagemaker",), name="model", daemon=True).start()

    def answers(self, action: str, request: dict[str, Any]) -> bool:
        """Whether this module answers; moto answers for the tags of other resources."""
        if action in ("AddTags", "ListTags"):
            return any(f":{kind}-job/" in str(request.get("ResourceArn", "")) for kind in KINDS)
        return action in self._actions

    def call(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """The response, with times in seconds since 1970; raises ApiError."""
        if action not in self._actions:
            raise ApiError("UnknownOperationException", f"{action} is not available locally.")
        _validate(action, request)
        return self._actions[action](request)

    def job(self, kind: str, name: str) -> Job:
        job = self._jobs.get((kind, name))
        if job is None:
            raise ApiError("ValidationException", f"Could not find requested job with name: {name}")
        return job

    def tags(self, kind: str, name: str) -> dict[str, str]:
        job = self._jobs.get((kind, name))
        return tags_of(job) if job else {}

    def jobs(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def close(self, seconds: float) -> None:
        """Stop all jobs and wait for them."""
        running = [job for job in self.jobs() if not job.done.is_set()]
        for job in running:
            job.stop()
        for job in running:
            job.join(seconds)

    # Actions

    def _create(self, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        noun = KINDS[kind]
        name = request[f"{noun}Name"]
        refused = self.workshop.faults.refuse(kind, name)
        if refused:
            raise ApiError(*refused)
        self._check_surroundings(kind, request)
        arn = f"{self._prefix}:{kind}-job/{name}"
        with self._lock:
            # Names are case-insensitive and reserved forever.
            if (kind, name.lower()) in self._names:
                raise ApiError("ResourceInUse", TAKEN.format(kind=kind.title(), arn=arn))
            self._names.add((kind, name.lower()))
            job = self._jobs[kind, name] = Job(kind, name, arn, request, self.workshop)
            self._forget()
        job.start()
        return {f"{noun}Arn": arn}

    def _forget(self) -> None:
        """Drop the oldest ended jobs if there are too many; their names stay taken."""
        ended = [known for known, job in self._jobs.items() if job.state.ended is not None]
        for known in ended[: max(0, len(self._jobs) - MOST_JOBS)]:
            del self._jobs[known]

    def _check_surroundings(self, kind: str, request: dict[str, Any]) -> None:
        if not self._roles(request["RoleArn"]):
            raise ApiError("ValidationException", NO_ROLE.format(role=request["RoleArn"]))
        outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        uris = [output["S3Output"]["S3Uri"] for output in outputs if "S3Output" in output]
        if kind == "training":
            uris.append(request["OutputDataConfig"]["S3OutputPath"])
        for uri in uris:
            bucket = uri.removeprefix("s3://").split("/")[0]
            if not self.workshop.buckets.exists(bucket):
                raise ApiError("ValidationException", f"The bucket {bucket} of the output path {uri} does not exist.")
        for given in [*request.get("ProcessingInputs", []), *outputs]:
            path = given.get("S3Input", given.get("S3Output", {})).get("LocalPath", PROCESSING)
            if not f"{path}/".startswith(f"{PROCESSING}/") or ".." in path.split("/"):
                raise ApiError("ValidationException", f"LocalPath {path} must be a path below {PROCESSING}.")

    def _describe(self, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        return described(self.job(kind, request[f"{KINDS[kind]}Name"]))

    def _stop(self, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        job = self.job(kind, request[f"{KINDS[kind]}Name"])
        if job.done.is_set():
            raise ApiError(
                "ValidationException",
                f"The request was rejected because the {kind} job is in status {job.state.status}.",
            )
        job.stop()
        return {}

    def _list(self, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        noun = KINDS[kind]
        found = [job for job in self.jobs() if job.kind == kind and _matches(job, request)]
        by_name = request.get("SortBy") == "Name"
        found.sort(
            key=lambda job: job.name if by_name else job.state.created,
            reverse=request.get("SortOrder", "Descending") == "Descending",
        )
        start, most = int(request.get("NextToken", 0)), request.get("MaxResults", 10)
        answer: dict[str, Any] = {f"{noun}Summaries": [_summary(job) for job in found[start : start + most]]}
        if start + most < len(found):
            answer["NextToken"] = str(start + most)
        return answer

    def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": self._by_arn(request["ResourceArn"]).request.get("Tags", [])}

    def _add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._by_arn(request["ResourceArn"])
        tags = {tag["Key"]: tag for tag in [*job.request.get("Tags", []), *request["Tags"]]}
        job.request["Tags"] = list(tags.values())
        return {"Tags": job.request["Tags"]}

    def _by_arn(self, arn: str) -> Job:
        for job in self.jobs():
            if job.arn == arn:
                return job
        raise ApiError("ResourceNotFound", f"Job {arn} does not exist.")


def _validate(action: str, request: dict[str, Any]) -> None:
    wrong = api_model.problems("sagemaker", action, request)
    if wrong:
        count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected"
        raise ApiError("ValidationException", f"{count}: {'; '.join(wrong)}")


def _role_exists(account: str, partition: str) -> Callable[[str], bool]:
    from moto.iam.models import iam_backends

    backend = iam_backends[account][partition]
    return lambda arn: any(role.arn == arn for role in backend.roles.values())


def described(job: Job) -> dict[str, Any]:
    noun, state = KINDS[job.kind], job.state
    request = {key: value for key, value in job.request.items() if key != "Tags"}
    answer = {
        **request,
        f"{noun}Arn": job.arn,
        f"{noun}Status": state.status,
        "CreationTime": state.created,
        "LastModifiedTime": state.changed,
    }
    if state.failure:
        answer["FailureReason"] = state.failure
    if job.kind == "processing":
        times = {"ProcessingStartTime": state.started, "ProcessingEndTime": state.ended if state.started else None}
        answer |= {"ExitMessage": state.message} if state.message else {}
        answer.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": int(job.max_seconds)})
    else:
        times = {"TrainingStartTime": state.started, "TrainingEndTime": state.ended if state.started else None}
        answer |= {
            "SecondaryStatus": state.secondary,
            "SecondaryStatusTransitions": [dict(one) for one in state.transitions],
        }
        if state.status in ("Completed", "Stopped"):
            (model,) = outputs_of(job.kind, job.name, job.request)
            answer["ModelArtifacts"] = {"S3ModelArtifacts": model.uri if model.packed else f"{model.uri}/"}
        if state.started and state.ended:
            answer |= {
                "TrainingTimeInSeconds": int(state.ended - state.started),
                "BillableTimeInSeconds": int(state.ended - state.started),
            }
    return answer | {key: value for key, value in times.items() if value is not None}


def tags_of(job: Job) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in job.request.get("Tags", [])}


def _summary(job: Job) -> dict[str, Any]:
    answer, noun = described(job), KINDS[job.kind]
    keys = [f"{noun}Name", f"{noun}Arn", f"{noun}Status", "CreationTime", "LastModifiedTime", "SecondaryStatus"]
    keys += ["FailureReason", "ExitMessage", "ProcessingEndTime"] if job.kind == "processing" else ["TrainingEndTime"]
    return {key: answer[key] for key in keys if key in answer}


def _matches(job: Job, request: dict[str, Any]) -> bool:
    return (
        request.get("StatusEquals", job.state.status) == job.state.status
        and request.get("NameContains", "") in job.name
    )
