"""Versions and aliases of state machines: moto stores them, but neither publishes nor starts them.

Each function says what AWS does; tests/local/test_machine_versions.py shows it.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import random
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches

_INPUT_BYTES = 256 * 1024  # quota: input of an execution
# [states] StartExecution, name. It is also the name of the run's folder in the work folder.
_NAME = re.compile(r'(?!\.{1,2}$)[^\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}')


def install(patches: Patches) -> None:
    """Install before anything that wraps StartExecution."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from moto.stepfunctions.responses import StepFunctionResponse

    patches.attribute(StepFunctionsParserBackend, "start_execution", _starting(threading.Lock()))
    patches.attribute(StepFunctionResponse, "publish_state_machine_version", _publish)
    patches.attribute(StepFunctionResponse, "list_state_machine_versions", _list)
    for name, more in (("describe_execution", _started_through), ("describe_state_machine", _revision_id)):
        patches.attribute(StepFunctionResponse, name, with_more(getattr(StepFunctionResponse, name), more))


def _starting(lock: Any) -> Callable[..., Any]:
    """An alias or a version runs as published, and its execution belongs to the machine.

    A lock covers checking and reserving the name: in moto, two threads can both find it free. A shallow copy of the
    machine is enough, because an update replaces its values and modifies none.
    """

    def start_execution(
        backend: Any, state_machine_arn: str, name: str | None = None, execution_input: str | None = None
    ) -> Any:
        machine, version, alias = _route(backend, state_machine_arn)
        name, text = name or str(uuid.uuid4()), "{}" if execution_input is None else execution_input
        _check(machine, name, text)
        with lock:
            there = machine._handle_name_input_idempotency(name, text)
            if there is not None:
                return there
            snapshot = copy.copy(version or machine)
            snapshot.arn, snapshot.executions = machine.arn, []
            now = datetime.datetime.now(datetime.timezone.utc)
            arn = f"{machine.arn.replace(':stateMachine:', ':execution:', 1)}:{name}"
            execution = new_execution(backend, snapshot, arn, now, text)
            execution.version_arn = version.arn if version else None
            execution.alias_arn = alias.arn if alias else None
            # Before others can find it: moto's `start` creates the worker too late for that.
            execution.exec_worker = execution._get_start_execution_worker()
            machine.executions.append(execution)
        execution.exec_worker.start()
        return execution

    return start_execution


def _check(machine: Any, name: str, text: str) -> None:
    from moto.stepfunctions.exceptions import InvalidExecutionInput, InvalidName

    if not _NAME.fullmatch(name) or len(name.encode()) > 255:
        raise InvalidName(f"Invalid Name: '{name}'")
    machine._validate_execution_input(text)
    if len(text.encode()) > _INPUT_BYTES:
        raise InvalidExecutionInput("Invalid State Machine Execution Input: 'larger than 262144 bytes'")


def new_execution(backend: Any, machine: Any, arn: str, start: datetime.datetime, text: str) -> Any:
    """A running execution in moto, not yet in the machine's list."""
    from moto.stepfunctions.parser.api import ExecutionStatus
    from moto.stepfunctions.parser.backend.execution import Execution

    execution = Execution(
        name=arn.rpartition(":")[2],
        sm_type=machine.sm_type,
        role_arn=machine.roleArn,
        exec_arn=arn,
        account_id=backend.account_id,
        region_name=backend.region_name,
        state_machine=machine,
        start_date=start,
        cloud_watch_logging_session=None,
        input_data=text,
        activity_store={},
    )
    execution.exec_status = ExecutionStatus.RUNNING
    return execution


def _route(backend: Any, arn: str) -> tuple[Any, Any, Any]:
    """The machine, version and alias that an ARN names; an alias picks a version by its routes' weights."""
    from moto.stepfunctions.exceptions import StateMachineDoesNotExist

    machine, alias, version = backend.describe_state_machine(unqualified(arn)), None, arn
    qualifier = arn[len(machine.arn) + 1 :]
    if not qualifier:
        return machine, None, None
    if not qualifier.isdigit():
        alias = machine.aliases.get(qualifier)
        if alias is None:
            raise StateMachineDoesNotExist(f"State Machine Alias Does Not Exist: '{arn}'")
        routes = alias.routing_configuration
        version = random.choices(routes, [int(route["weight"]) for route in routes])[0]["stateMachineVersionArn"]
    return machine, backend.describe_state_machine(version), alias


def unqualified(arn: str) -> str:
    """A state machine's ARN without the version or alias at its end."""
    return ":".join(arn.split(":")[:7])


def _answer(content: dict[str, Any]) -> Any:
    from moto.core.responses import ActionResult

    return ActionResult(content)


def _described(response: Any) -> Any:
    return response.stepfunction_backend.describe_state_machine(response._get_param("stateMachineArn"))


def _publish(response: Any) -> Any:
    """Publish the machine's current state, or return the newest version if nothing has changed since."""
    machine = _described(response)
    if machine.latest_version is None or _revision(machine.latest_version) != _revision(machine):
        machine.publish(response._get_param("description"))
    newest = machine.latest_version
    return _answer({"stateMachineVersionArn": newest.arn, "creationDate": newest.creation_date})


def _list(response: Any) -> Any:
    """The newest first."""
    versions = _described(response).versions
    listed = [versions[number] for number in sorted(versions, reverse=True)]
    entries = [{"stateMachineVersionArn": one.arn, "creationDate": one.creation_date} for one in listed]
    return _answer({"stateMachineVersions": entries})


def with_more(plain: Callable[[Any], Any], more: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
    """A call of moto whose answer gets more fields."""
    return lambda response: _answer({**plain(response).result, **more(response)})


def _started_through(response: Any) -> dict[str, Any]:
    """The version and alias that an execution was started through."""
    execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
    arns = {"stateMachineVersionArn": execution.version_arn, "stateMachineAliasArn": execution.alias_arn}
    return {key: arn for key, arn in arns.items() if arn}


def _revision_id(response: Any) -> dict[str, Any]:
    return {"revisionId": _revision(_described(response))}


def _revision(machine: Any) -> str:
    """Identifies what a version keeps of a machine: its definition and its configuration."""
    parts = (machine.definition, machine.roleArn, machine.loggingConfiguration, machine.tracingConfiguration)
    return str(uuid.UUID(bytes=hashlib.sha256(json.dumps(parts).encode()).digest()[:16]))
