"""Versions and aliases of state machines: moto stores some of them, but neither publishes nor starts them.

Each function says what AWS does; tests/local/test_machine_versions.py shows it.
"""

from __future__ import annotations

import copy
import datetime
import json
import random
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import aws_error


def install(patches: Patches) -> None:
    """Install before anything that wraps StartExecution."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from moto.stepfunctions.responses import StepFunctionResponse

    patches.attribute(StepFunctionsParserBackend, "start_execution", _starting(threading.Lock()))
    create, update = StepFunctionsParserBackend.create_state_machine, StepFunctionsParserBackend.update_state_machine

    def created(backend: Any, *values: Any, **named: Any) -> Any:
        machine = create(backend, *values, **named)
        if not hasattr(machine, "revision"):
            _revised(machine, "INITIAL")
        return machine

    def updated(backend: Any, arn: str, *values: Any, **named: Any) -> Any:
        machine = update(backend, arn, *values, **named)
        _revised(machine, str(uuid.uuid4()))
        return machine

    patches.attribute(StepFunctionsParserBackend, "create_state_machine", created)
    patches.attribute(StepFunctionsParserBackend, "update_state_machine", updated)
    for name, answer in _ANSWERS.items():
        patches.attribute(StepFunctionResponse, name, answer)
    for name, more in _ADDITIONS.items():
        patches.attribute(StepFunctionResponse, name, with_more(getattr(StepFunctionResponse, name), more))
    for name in ("create_state_machine_alias", "update_state_machine_alias"):
        patches.attribute(StepFunctionResponse, name, _with_routes(getattr(StepFunctionResponse, name)))


def _revised(machine: Any, revision: str) -> None:
    machine.revision = revision
    if machine.latest_version and not hasattr(machine.latest_version, "revision"):
        machine.latest_version.revision = revision  # published by the same call


# Starting


def _starting(lock: Any) -> Callable[..., Any]:
    """An alias or a version runs as published, and its execution belongs to the machine.

    A lock covers checking and reserving the name: in moto, two threads can both find it free. A shallow copy of the
    machine is enough, because an update replaces its values and modifies none.
    """

    def start_execution(
        backend: Any,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: Any = None,
    ) -> Any:
        from moto.stepfunctions.exceptions import InvalidExecutionInput

        machine, version, alias = _route(backend, state_machine_arn)
        _check_name(name)
        text = "{}" if execution_input is None else execution_input
        try:
            json.loads(text)
        except ValueError as problem:
            raise InvalidExecutionInput(f"Invalid State Machine Execution Input: '{problem}'") from None
        with lock:
            there = machine._handle_name_input_idempotency(name, text)
            if there is not None:
                return there
            snapshot = copy.copy(version or machine)
            snapshot.arn, snapshot.executions = machine.arn, []
            now = datetime.datetime.now(datetime.timezone.utc)
            arn = f"{machine.arn.replace(':stateMachine:', ':execution:', 1)}:{name}"
            execution = new_execution(backend, snapshot, arn, now, text, trace_header)
            execution.version_arn = version.arn if version else None
            execution.alias_arn = alias.arn if alias else None
            # Before others can find it: moto's `start` creates the worker too late for that.
            execution.exec_worker = execution._get_start_execution_worker()
            machine.executions.append(execution)
        execution.exec_worker.start()
        return execution

    return start_execution


# [states] StartExecution, name. It is also the name of the run's folder in the work folder.
_NAME = re.compile(r'(?!\.{1,2}$)[^\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}')


def _check_name(name: str | None) -> None:
    from moto.stepfunctions.exceptions import InvalidName

    if name is not None and (not _NAME.fullmatch(name) or len(name.encode()) > 255):
        raise InvalidName(f"Invalid Name: '{name}'")


def new_execution(
    backend: Any, machine: Any, arn: str, start: datetime.datetime, text: str, trace_header: Any = None
) -> Any:
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
        trace_header=trace_header,
        activity_store={},
    )
    execution.exec_status = ExecutionStatus.RUNNING
    return execution


def _route(backend: Any, arn: str) -> tuple[Any, Any, Any]:
    """The machine, version and alias that an ARN names; an alias picks a version by its routes' weights."""
    from moto.stepfunctions.exceptions import StateMachineDoesNotExist

    machine, qualifier = _machine(backend, arn), _qualifier(arn)
    if not qualifier:
        return machine, None, None
    if qualifier.isdigit():
        found, alias = qualifier, None
    else:
        alias = machine.aliases.get(qualifier)
        if alias is None:
            raise StateMachineDoesNotExist(f"State Machine Alias Does Not Exist: '{arn}'")
        routes = alias.routing_configuration
        chosen = random.choices(routes, [int(route["weight"]) for route in routes])[0]
        found = chosen["stateMachineVersionArn"].rpartition(":")[2]
    if int(found) not in machine.versions:
        raise StateMachineDoesNotExist(f"State Machine Version Does Not Exist: '{machine.arn}:{found}'")
    return machine, machine.versions[int(found)], alias


def unqualified(arn: str) -> str:
    """A state machine's ARN without the version or alias at its end."""
    return ":".join(arn.split(":")[:7])


def _qualifier(arn: str) -> str:
    return ":".join(arn.split(":")[7:])


def _machine(backend: Any, arn: str) -> Any:
    from moto.stepfunctions.exceptions import StateMachineDoesNotExist

    backend._validate_machine_arn(arn)
    for machine in backend.state_machines:
        if machine.arn == unqualified(arn):
            return machine
    raise StateMachineDoesNotExist(f"State Machine Does Not Exist: '{arn}'")


# Calls that moto lacks


def _answer(content: dict[str, Any]) -> Any:
    from moto.core.responses import ActionResult

    return ActionResult(content)


def publish_state_machine_version(response: Any) -> Any:
    """Publish the machine's current state, or return the newest version if nothing has changed since."""
    machine = _machine(response.stepfunction_backend, response._get_param("stateMachineArn"))
    wanted = response._get_param("revisionId")
    if wanted and wanted != machine.revision:
        raise aws_error("ConflictException", f"The state machine's revision is {machine.revision}, not {wanted}")
    newest = machine.latest_version
    if newest is None or newest.revision != machine.revision:
        machine.publish(response._get_param("description"))
        newest = machine.latest_version
        newest.revision = machine.revision
    return _answer({"stateMachineVersionArn": newest.arn, "creationDate": newest.creation_date})


def list_state_machine_versions(response: Any) -> Any:
    """The newest first."""
    machine = _machine(response.stepfunction_backend, response._get_param("stateMachineArn"))
    versions = [machine.versions[number] for number in sorted(machine.versions, reverse=True)]
    told = [{"stateMachineVersionArn": one.arn, "creationDate": one.creation_date} for one in versions]
    return _answer({"stateMachineVersions": told})


def delete_state_machine_version(response: Any) -> Any:
    """Refused while an alias uses it; its number is never used again."""
    arn = response._get_param("stateMachineVersionArn")
    backend = response.stepfunction_backend
    machines = [machine for machine in backend.state_machines if machine.arn == unqualified(arn)]
    for machine in machines:
        for alias in machine.aliases.values():
            if any(route["stateMachineVersionArn"] == arn for route in alias.routing_configuration):
                reason = f"Version to be deleted must not be referenced by an alias: {alias.arn}"
                raise aws_error("ConflictException", reason)
        machine.versions.pop(int(_qualifier(arn)), None)
        if machine.latest_version and machine.latest_version.arn == arn:
            machine.latest_version = None
    return _answer({})


def list_executions(response: Any) -> Any:
    """The executions of a machine, or of one version or alias, newest first."""
    arn, wanted = response._get_param("stateMachineArn"), response._get_param("statusFilter")
    machine, qualifier = _machine(response.stepfunction_backend, arn), _qualifier(arn)
    if qualifier:
        _route(response.stepfunction_backend, arn)  # refuses an unknown version or alias
    found = [one for one in machine.executions if not wanted or one.status == wanted]
    if qualifier:
        found = [one for one in found if arn in (getattr(one, "version_arn", None), getattr(one, "alias_arn", None))]
    found.sort(key=lambda one: one.start_date, reverse=True)
    begin, count = int(response._get_param("nextToken") or 0), response._get_int_param("maxResults") or 100
    told = [
        {
            "executionArn": one.execution_arn,
            "name": one.name,
            "startDate": one.start_date,
            "stateMachineArn": machine.arn,
            "status": one.status,
            **({"stopDate": one.stop_date} if one.stop_date else {}),
            **qualified(one),
        }
        for one in found[begin : begin + count]
    ]
    more = {"nextToken": str(begin + count)} if begin + count < len(found) else {}
    return _answer({"executions": told, **more})


def qualified(execution: Any) -> dict[str, str]:
    """The version and alias that an execution was started through."""
    told = {
        "stateMachineVersionArn": getattr(execution, "version_arn", None),
        "stateMachineAliasArn": getattr(execution, "alias_arn", None),
    }
    return {key: arn for key, arn in told.items() if arn}


_ANSWERS = {
    "publish_state_machine_version": publish_state_machine_version,
    "list_state_machine_versions": list_state_machine_versions,
    "delete_state_machine_version": delete_state_machine_version,
    "list_executions": list_executions,
}


# Calls that moto supports, with additional fields or checks


def with_more(plain: Callable[[Any], Any], more: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
    def answered(response: Any) -> Any:
        return _answer({**plain(response).result, **more(response)})

    return answered


def _with_routes(plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Refuses an alias of versions that do not exist."""

    def answered(response: Any) -> Any:
        for route in response._get_param("routingConfiguration") or []:
            _route(response.stepfunction_backend, route["stateMachineVersionArn"])
        return plain(response)

    return answered


def _of_an_execution(response: Any) -> dict[str, Any]:
    return qualified(response.stepfunction_backend.describe_execution(response._get_param("executionArn")))


def _revision(response: Any) -> dict[str, Any]:
    """Only after the first change."""
    machine = response.stepfunction_backend.describe_state_machine(response._get_param("stateMachineArn"))
    revision = getattr(machine, "revision", "INITIAL")
    return {} if revision == "INITIAL" else {"revisionId": revision}


_ADDITIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "describe_execution": _of_an_execution,
    "describe_state_machine": _revision,
    "update_state_machine": _revision,
}
