"""The Task `codebuild:startBuild.sync` in moto's interpreter: it starts a build, waits for its end, and stops it if its
execution no longer waits.
"""

from __future__ import annotations

import json
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)

from localaws.base.patches import Patches
from localaws.codebuild.api import CodeBuild
from localaws.iam.required_rights import Right
from localaws.moto_fixes.registry import failure
from localaws.sagemaker.errors import ApiError

_STILL_WANTED_SECONDS = 0.2  # how often a waiting Task checks that its execution is still running


class _NotWanted(Exception):
    """The execution was stopped or the Task timed out."""


class _Failed(Exception):
    """The build did not succeed; the message is its description."""


def install(patches: Patches, codebuild: CodeBuild) -> None:
    others = state_task_factory.state_task_service_for

    def service_for(service_name: str) -> Any:
        return CodeBuildTask() if service_name == "codebuild" else others(service_name)

    patches.attribute(CodeBuildTask, "codebuild", codebuild)
    patches.attribute(state_task_factory, "state_task_service_for", service_for)


class CodeBuildTask(StateTaskServiceCallback):  # type: ignore[misc] # moto has no types
    codebuild: CodeBuild  # a class attribute, so that a parsed definition can outlive the server

    def __init__(self) -> None:
        super().__init__(supported_integration_patterns={ResourceCondition.Sync})

    def _get_supported_parameters(self) -> set[str] | None:
        """None refuses the definition."""
        return set() if self.resource.api_action == "startBuild" else None

    def _eval_service_task(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        given = lower_first(normalised_parameters)
        self._check(state_credentials, "StartBuild", given.get("projectName", ""))
        env.stack.append(self.codebuild.start(given).id)

    def _eval_integration_pattern(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        build = self.codebuild.build(env.stack.pop())
        name = build.project["name"]
        while not build.done.wait(_STILL_WANTED_SECONDS):
            if not env.is_running():
                self._check(state_credentials, "StopBuild", name)
                build.stop()
                raise _NotWanted
        self._check(state_credentials, "BatchGetBuilds", name)
        described = {"Build": upper_first(build.described())}
        if build.status != "SUCCEEDED":
            raise _Failed(json.dumps(described, separators=(",", ":"), ensure_ascii=False))
        env.stack.append(described)

    def _check(self, credentials: Any, action: str, project: str) -> None:
        permissions = self.codebuild.workshop.permissions
        right = Right(f"codebuild:{action}", permissions.arn("codebuild", f"project/{project}"))
        if refused := permissions.refused(permissions.user(credentials.role_arn), [right]):
            raise ApiError("AccessDeniedException", refused)

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, _Failed):
            error, cause = "States.TaskFailed", str(ex)
        elif isinstance(ex, ApiError):
            named = ex.code != "AccessDeniedException"
            error = f"CodeBuild.{ex.code}" if named else "CodeBuild.AWSCodeBuildException"
            cause = f"{ex.message} (Service: AWSCodeBuild; Status Code: 400; Error Code: {ex.code})"
        else:
            return super()._from_error(env=env, ex=ex)
        place = {"resource": self._get_sfn_resource(), "resourceType": self._get_sfn_resource_type()}
        return failure(env, "TaskFailed", error, cause, **place).failure_event


def lower_first(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lower_first(item) for key, item in value.items()}
    return [lower_first(item) for item in value] if isinstance(value, list) else value


def upper_first(value: Any, key: str = "") -> Any:
    """As Step Functions returns it: keys with a capital, and times in milliseconds."""
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: upper_first(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [upper_first(item) for item in value]
    return int(value * 1000) if isinstance(value, float) and key.endswith("Time") else value
