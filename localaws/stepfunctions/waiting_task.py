"""A `.sync` Task in moto's interpreter: starts a job or build, waits for its end, and stops it if the execution stops
or the Task times out.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)

from localaws.base.api_error import ApiError
from localaws.base.patches import Patches
from localaws.moto_fixes.registry import failure

_STILL_WANTED_SECONDS = 0.2  # how often a waiting Task checks that its execution is still running


class NotWanted(Exception):
    """The execution was stopped or the Task timed out."""


class Failed(Exception):
    """What the Task waited for did not succeed; the message is its description."""


def install(patches: Patches, name: str, task: type[WaitingTask], service: Any) -> None:
    """Give moto's interpreter the Tasks of the service with this name."""
    others = state_task_factory.state_task_service_for

    def service_for(service_name: str) -> Any:
        return task() if service_name == name else others(service_name)

    patches.attribute(task, "service", service)
    patches.attribute(state_task_factory, "state_task_service_for", service_for)


class WaitingTask(StateTaskServiceCallback):  # type: ignore[misc] # moto has no types
    service: Any = None  # a class attribute, so that a parsed definition can outlive the server

    def __init__(self) -> None:
        super().__init__(supported_integration_patterns={ResourceCondition.Sync})

    @abstractmethod
    def _error_of(self, refusal: ApiError) -> tuple[str, str]:
        """The error and its cause as Step Functions reports them."""

    def _wait(self, env: Any, done: threading.Event, stop: Callable[[], None]) -> None:
        while not done.wait(_STILL_WANTED_SECONDS):
            if not env.is_running():
                stop()
                raise NotWanted

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if isinstance(ex, Failed):
            error, cause = "States.TaskFailed", str(ex)
        elif isinstance(ex, ApiError):
            error, cause = self._error_of(ex)
        else:
            return super()._from_error(env=env, ex=ex)
        place = {"resource": self._get_sfn_resource(), "resourceType": self._get_sfn_resource_type()}
        return failure(env, "TaskFailed", error, cause, **place).failure_event
