"""The Task `sagemaker:create...Job.sync` in moto's interpreter: it creates the job, waits for its end, and stops
it if the execution is no longer waiting.
"""

from __future__ import annotations

import json
from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from localaws.base.patches import Patches
from localaws.base.requests import REQUEST_ID
from localaws.iam.required_rights import KINDS, job_right, list_tags
from localaws.sagemaker.api import SageMaker, described
from localaws.sagemaker.errors import ApiError
from localaws.sagemaker.job import Job

# Errors of SageMaker's model; Step Functions reports all others as AmazonSageMakerException.
_NAMED = ("ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "Conflict")
# [sfn] Calls without `.sync`; all others are aws-sdk's.
_CALLS = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint")
_STILL_WANTED_SECONDS = 0.2  # how often a waiting Task checks that its execution is still running


class _NotWanted(Exception):
    """The execution was stopped or the Task timed out."""


class _Failed(Exception):
    """The job did not complete; the message is its description."""


def install(patches: Patches, sagemaker: SageMaker) -> None:
    """Give moto's interpreter the Tasks of SageMaker."""
    others = state_task_factory.state_task_service_for

    def service_for(service_name: str) -> Any:
        return SageMakerTask() if service_name == "sagemaker" else others(service_name)

    patches.attribute(SageMakerTask, "sagemaker", sagemaker)
    patches.attribute(state_task_factory, "state_task_service_for", service_for)


class SageMakerTask(StateTaskServiceCallback):  # type: ignore[misc]
    sagemaker: SageMaker  # a class attribute, so that a parsed definition can outlive the server

    def __init__(self) -> None:
        super().__init__(supported_integration_patterns={ResourceCondition.Sync})

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
        permissions = self.sagemaker.workshop.permissions
        user = permissions.user(state_credentials.role_arn)
        _check(permissions.why_not(user, f"sagemaker:{self._action}", normalised_parameters))
        env.stack.append(self.sagemaker.call(self._action, normalised_parameters))

    def _eval_integration_pattern(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        env.stack.pop()
        kind = self._action.removeprefix("Create").removesuffix("Job")
        job = self.sagemaker.job(kind.lower(), normalised_parameters[f"{kind}JobName"])
        permissions = self.sagemaker.workshop.permissions
        user = permissions.user(state_credentials.role_arn)

        def refused(verb: str) -> str:
            return permissions.refused(user, [job_right(permissions, verb, kind, job.name, job.tags)])

        while not job.done.wait(_STILL_WANTED_SECONDS):
            if not env.is_running():
                if not refused("Stop"):
                    job.stop()
                raise _NotWanted
        _check(refused("Describe") or permissions.refused(user, [list_tags(permissions, kind, job.name)]))
        if job.state.status != "Completed":
            raise _Failed(json.dumps(_for_step_functions(job), separators=(",", ":"), ensure_ascii=False))
        env.stack.append(_for_step_functions(job))

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, _Failed):
            error, cause = "States.TaskFailed", str(ex)
        elif isinstance(ex, ApiError):
            name = ex.code.removesuffix("Exception")
            error = f"SageMaker.{name}Exception" if name in _NAMED else "SageMaker.AmazonSageMakerException"
            details = f"Service: AmazonSageMaker; Status Code: 400; Error Code: {ex.code}; Request ID: {REQUEST_ID}"
            cause = f"{ex.message} ({details}; Proxy: null)"
        else:
            return super()._from_error(env=env, ex=ex)
        failed = TaskFailedEventDetails(
            resourceType=self._get_sfn_resource_type(), resource=self._get_sfn_resource(), error=error, cause=cause
        )
        return FailureEvent(
            env=env,
            error_name=CustomErrorName(error),
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(taskFailedEventDetails=failed),
        )


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
