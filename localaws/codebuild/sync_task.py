"""The Task `codebuild:startBuild.sync` in moto's interpreter: it starts a build, waits for its end, and stops it if its
execution no longer waits.
"""

from __future__ import annotations

import json
from typing import Any

from localaws.base.api_error import ApiError
from localaws.base.patches import Patches
from localaws.codebuild.api import CodeBuild
from localaws.iam.required_rights import Right
from localaws.stepfunctions import waiting_task
from localaws.stepfunctions.waiting_task import Failed, WaitingTask


def install(patches: Patches, codebuild: CodeBuild) -> None:
    waiting_task.install(patches, "codebuild", CodeBuildTask, codebuild)


class CodeBuildTask(WaitingTask):
    service: CodeBuild

    def _get_supported_parameters(self) -> set[str] | None:
        """None refuses the definition."""
        return set() if self.resource.api_action == "startBuild" else None

    def _eval_service_task(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        given = lower_first(normalised_parameters)
        self._check(state_credentials, "StartBuild", given.get("projectName", ""))
        env.stack.append(self.service.start(given).id)

    def _eval_integration_pattern(
        self, env: Any, normalised_parameters: dict[str, Any], state_credentials: Any, **_: Any
    ) -> None:
        build = self.service.build(env.stack.pop())
        name = build.project["name"]

        def stop() -> None:
            self._check(state_credentials, "StopBuild", name)
            build.stop()

        self._wait(env, build.done, stop)
        self._check(state_credentials, "BatchGetBuilds", name)
        described = {"Build": upper_first(build.described())}
        if build.status != "SUCCEEDED":
            raise Failed(json.dumps(described, separators=(",", ":"), ensure_ascii=False))
        env.stack.append(described)

    def _check(self, credentials: Any, action: str, project: str) -> None:
        permissions = self.service.workshop.permissions
        right = Right(f"codebuild:{action}", permissions.arn("codebuild", f"project/{project}"))
        if refused := permissions.refused(permissions.user(credentials.role_arn), [right]):
            raise ApiError("AccessDeniedException", refused)

    def _error_of(self, refusal: ApiError) -> tuple[str, str]:
        named = refusal.code != "AccessDeniedException"
        error = f"CodeBuild.{refusal.code}" if named else "CodeBuild.AWSCodeBuildException"
        details = f"Service: AWSCodeBuild; Status Code: 400; Error Code: {refusal.code}"
        return error, f"{refusal.message} ({details})"


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
