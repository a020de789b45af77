"""The registry of the fixes, and the helpers they share."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.base.patches import Patches

ASL = "moto.stepfunctions.parser.asl"
STATES = f"{ASL}.component.state"
COMMON = f"{ASL}.component.common"
SERVICE = f"{STATES}.exec.state_task.service"


@dataclass(frozen=True)
class Here:
    """What the fixes need from this server."""

    client: Callable[[str, str, str], Any]  # service, region, role -> a client of the local AWS
    seconds: float  # how long one second of a Retry or Wait lasts
    execution_ended: Callable[[Any], None] = lambda execution: None
    objects: Any = None  # where child executions are archived; without it, they are forgotten with their Map Run
    direct_s3: Callable[[str, str, dict[str, Any]], Any] = lambda operation, role, given: None  # None: call over HTTP
    may_not_start: Callable[[str, str], str] = lambda role, machine: ""  # why a role cannot start executions


Fix = Callable[[Patches, Here], None]
FIXES: dict[str, Fix] = {}


def fix(function: Fix) -> Fix:
    FIXES[function.__name__] = function
    return function


def loaded(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def timestamp(moment: datetime.datetime) -> str:
    """In Step Functions' format: UTC, milliseconds, Z."""
    utc = moment.astimezone(datetime.timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def aws_error(code: str, message: str) -> Exception:
    """An exception that moto turns into a response with this error code."""
    base = loaded("moto.stepfunctions.exceptions").AWSError
    error: Exception = type(code, (base,), {"TYPE": code, "STATUS": 400})(message)
    return error


def failure(env: Any, kind: str, error: str, cause: str, **more: Any) -> Any:
    """The exception that fails a state in moto; `kind` is the type of its event, like TaskFailed."""
    module = loaded(f"{COMMON}.error_name.failure_event")
    event = module.FailureEvent(
        env=env,
        error_name=loaded(f"{COMMON}.error_name.custom_error_name").CustomErrorName(error),
        event_type=loaded("moto.stepfunctions.parser.api").HistoryEventType(kind),
        event_details={f"{kind[0].lower()}{kind[1:]}EventDetails": {"error": error, "cause": cause, **more}},
    )
    return module.FailureEventException(failure_event=event)
