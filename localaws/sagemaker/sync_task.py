"""The Task `sagemaker:create...Job.sync` in moto's interpreter: it creates the job, waits for its end, and stops
it if the execution is no longer waiting.
"""

from __future__ import annotations

import json
from typing import Any

from localaws.base.api_error import ApiError
from localaws.base.patches import Patches
from localaws.base.requests import REQUEST_ID
from localaws.iam.required_rights import KINDS, job_right, list_tags
from localaws.sagemaker.api import SageMaker, described
from localaws.sagemaker.job import Job
from localaws.stepfunctions import waiting_task
from localaws.stepfunctions.waiting_task import Failed, WaitingTask

# Errors of SageMaker's model; Step Functions reports all others as AmazonSageMakerException.
_NAMED = ("ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "Conflict")
# [sfn] Calls without `.sync`; all others are aws-sdk's.
_CALLS = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint")


def install(patches: Patches, sagemaker: SageMaker) -> None:
    waiting_task.install(patches, "sagemaker", SageMakerTask, sagemaker)


class SageMakerTask(WaitingTask):
    service: SageMaker

    @property
    def _action(self) -> str:
        name: str = self.resource.api_action
        return name[0].upper() + name[1:]

    def _get_supported_parameters(self) -> set[str] | None:
        """None refuses the definition; without names, moto drops no parameters before they are checked."""
        jobs, sync = [f"Create{kind}Job" for kind in KINDS.values()], self.resource.condition is not None
        return set() if self._action in (jobs if sync else [*jobs, *_CALLS]) else None

    def _eval_service_task(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        permissions = self.service.workshop.permissions
        user = permissions.user(state_credentials.role_arn)
        _check(permissions.why_not(user, f"sagemaker:{self._action}", normalised_parameters))
        env.stack.append(self.service.call(self._action, normalised_parameters))

    def _eval_integration_pattern(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        env.stack.pop()
        kind = self._action.removeprefix("Create").removesuffix("Job")
        job = self.service.job(kind.lower(), normalised_parameters[f"{kind}JobName"])
        permissions = self.service.workshop.permissions
        user = permissions.user(state_credentials.role_arn)

        def refused(verb: str) -> str:
            return permissions.refused(user, [job_right(permissions, verb, kind, job.name, job.tags)])

        self._wait(env, job.done, lambda: None if refused("Stop") else job.stop())
        _check(refused("Describe") or permissions.refused(user, [list_tags(permissions, kind, job.name)]))
        if job.state.status != "Completed":
            raise Failed(json.dumps(_for_step_functions(job), separators=(",", ":"), ensure_ascii=False))
        env.stack.append(_for_step_functions(job))

    def _error_of(self, refusal: ApiError) -> tuple[str, str]:
        name = refusal.code.removesuffix("Exception")
        error = f"SageMaker.{name}Exception" if name in _NAMED else "SageMaker.AmazonSageMakerException"
        details = f"Service: AmazonSageMaker; Status Code: 400; Error Code: {refusal.code}; Request ID: {REQUEST_ID}"
        return error, f"{refusal.message} ({details}; Proxy: null)"


def _check(refused: str) -> None:
    if refused:
        raise ApiError("AccessDeniedException", refused)


def _for_step_functions(job: Job) -> dict[str, Any]:
    """The description as Step Functions returns it: times in milliseconds, and tags."""
    answer: dict[str, Any] = _milliseconds(described(job))
    return answer | {"Tags": job.request.get("Tags", [])}


def _milliseconds(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {inner: _milliseconds(item, inner) for inner, item in value.items()}
    if isinstance(value, list):
        return [_milliseconds(item) for item in value]
    return int(value * 1000) if isinstance(value, float) and key.endswith(("Time", "Timestamp")) else value
