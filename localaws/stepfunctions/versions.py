"""Versions and aliases of state machines: moto keeps some of them, but publishes none and starts none.

Each function here tells what AWS does; tests/local/test_machine_versions.py shows it.
"""

from __future__ import annotations

import copy
import datetime
import json
import random
import threading
import uuid
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches


def install(patches: Patches) -> None:
    """From now on machines have versions and aliases, until `undo`; what wraps StartExecution comes after it."""
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
        patches.attribute(StepFunctionResponse, name, _with_more(getattr(StepFunctionResponse, name), more))
    for name, check in _CHECKS.items():
        patches.attribute(StepFunctionResponse, name, _checked(getattr(StepFunctionResponse, name), check))


def _revised(machine: Any, revision: str) -> None:
    machine.revision = revision
    if machine.latest_version and not hasattr(machine.latest_version, "revision"):
        machine.latest_version.revision = revision  # published with the same call


# Starting


def _starting(lock: Any) -> Callable[..., Any]:
    """What an alias or a version leads to is run as it was published, and belongs to the machine.

    The name is looked for and taken under a lock: in moto two threads can both find it free. The machine as it is now
    is copied shallowly: an update gives it other values, and changes none.
    """

    def start_execution(
        backend: Any,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: Any = None,
    ) -> Any:
        from moto.stepfunctions.exceptions import InvalidExecutionInput
        from moto.stepfunctions.parser.api import ExecutionStatus
        from moto.stepfunctions.parser.backend.execution import Execution

        machine, version, alias = _led_to(backend, state_machine_arn)
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
            execution = Execution(
                name=name,
                sm_type=snapshot.sm_type,
                role_arn=snapshot.roleArn,
                exec_arn=f"{machine.arn.replace(':stateMachine:', ':execution:', 1)}:{name}",
                account_id=backend.account_id,
                region_name=backend.region_name,
                state_machine=snapshot,
                start_date=datetime.datetime.now(datetime.timezone.utc),
                cloud_watch_logging_session=None,
                input_data=text,
                trace_header=trace_header,
                activity_store={},
            )
            execution.version_arn = version.arn if version else None
            execution.alias_arn = alias.arn if alias else None
            # All that others ask of an execution is there before they can find it; moto's `start` makes it after that.
            execution.exec_status = ExecutionStatus.RUNNING
            execution.exec_worker = execution._get_start_execution_worker()
            machine.executions.append(execution)
        execution.exec_worker.start()
        return execution

    return start_execution


def _led_to(backend: Any, arn: str) -> tuple[Any, Any, Any]:
    """The machine, the version and the alias that an ARN names; an alias's routes are taken by their weights."""
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


# What moto does not answer


def publish_state_machine_version(response: Any) -> Any:
    """A version of the machine as it is; the newest, if that is what it is already."""
    from moto.core.responses import ActionResult

    machine = _machine(response.stepfunction_backend, response._get_param("stateMachineArn"))
    asked = response._get_param("revisionId")
    if asked and asked != machine.revision:
        raise _error("ConflictException", f"The state machine's revision is {machine.revision}, and not {asked}")
    newest = machine.latest_version
    if newest is None or newest.revision != machine.revision:
        machine.publish(response._get_param("description"))
        newest = machine.latest_version
        newest.revision = machine.revision
    return ActionResult({"stateMachineVersionArn": newest.arn, "creationDate": newest.creation_date})


def list_state_machine_versions(response: Any) -> Any:
    """The newest first."""
    from moto.core.responses import ActionResult

    machine = _machine(response.stepfunction_backend, response._get_param("stateMachineArn"))
    versions = [machine.versions[number] for number in sorted(machine.versions, reverse=True)]
    told = [{"stateMachineVersionArn": one.arn, "creationDate": one.creation_date} for one in versions]
    return ActionResult({"stateMachineVersions": told})


def delete_state_machine_version(response: Any) -> Any:
    """Refused while an alias leads to it; its number is never given again."""
    from moto.core.responses import ActionResult

    arn = response._get_param("stateMachineVersionArn")
    backend = response.stepfunction_backend
    machines = [machine for machine in backend.state_machines if machine.arn == unqualified(arn)]
    for machine in machines:
        for alias in machine.aliases.values():
            if any(route["stateMachineVersionArn"] == arn for route in alias.routing_configuration):
                reason = f"Version to be deleted must not be referenced by an alias: {alias.arn}"
                raise _error("ConflictException", reason)
        machine.versions.pop(int(_qualifier(arn)), None)
        if machine.latest_version and machine.latest_version.arn == arn:
            machine.latest_version = None
    return ActionResult({})


def list_executions(response: Any) -> Any:
    """Of a machine, or of one version or alias alone; the newest first."""
    from moto.core.responses import ActionResult

    arn, wanted = response._get_param("stateMachineArn"), response._get_param("statusFilter")
    machine, qualifier = _machine(response.stepfunction_backend, arn), _qualifier(arn)
    if qualifier:
        _led_to(response.stepfunction_backend, arn)  # refuses what is not there
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
    return ActionResult({"executions": told, **more})


def qualified(execution: Any) -> dict[str, str]:
    """The version and the alias that an execution was started by."""
    told = {
        "stateMachineVersionArn": getattr(execution, "version_arn", None),
        "stateMachineAliasArn": getattr(execution, "alias_arn", None),
    }
    return {key: arn for key, arn in told.items() if arn}


def _error(code: str, message: str) -> Exception:
    from moto.stepfunctions.exceptions import AWSError

    made: Exception = type(code, (AWSError,), {"TYPE": code, "STATUS": 400})(message)
    return made


_ANSWERS = {
    "publish_state_machine_version": publish_state_machine_version,
    "list_state_machine_versions": list_state_machine_versions,
    "delete_state_machine_version": delete_state_machine_version,
    "list_executions": list_executions,
}


# What moto does not tell, or takes


def _with_more(plain: Callable[[Any], Any], more: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
    def answered(response: Any) -> Any:
        from moto.core.responses import ActionResult

        return ActionResult({**plain(response).result, **more(response)})

    return answered


def _checked(plain: Callable[[Any], Any], check: Callable[[Any], None]) -> Callable[[Any], Any]:
    def answered(response: Any) -> Any:
        check(response)
        return plain(response)

    return answered


def _of_an_execution(response: Any) -> dict[str, Any]:
    return qualified(response.stepfunction_backend.describe_execution(response._get_param("executionArn")))


def _revision(response: Any) -> dict[str, Any]:
    """Told from the first change on."""
    machine = response.stepfunction_backend.describe_state_machine(response._get_param("stateMachineArn"))
    revision = getattr(machine, "revision", "INITIAL")
    return {} if revision == "INITIAL" else {"revisionId": revision}


def _routes_exist(response: Any) -> None:
    for route in response._get_param("routingConfiguration") or []:
        _led_to(response.stepfunction_backend, route["stateMachineVersionArn"])


def _alias_is_new(response: Any) -> None:
    _routes_exist(response)
    name, routes = response._get_param("name"), response._get_param("routingConfiguration")
    machine = _machine(response.stepfunction_backend, routes[0]["stateMachineVersionArn"])
    there = machine.aliases.get(name)
    if there and there.routing_configuration != routes:
        reason = "an alias with the same name and a different routing configuration already exists"
        raise _error("ConflictException", f"Failed to create alias because {reason}: {there.arn}")


_ADDITIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "describe_execution": _of_an_execution,
    "describe_state_machine": _revision,
    "update_state_machine": _revision,
}
_CHECKS: dict[str, Callable[[Any], None]] = {
    "create_state_machine_alias": _alias_is_new,
    "update_state_machine_alias": _routes_exist,
}
