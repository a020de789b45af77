"""RedriveExecution: an execution that failed, timed out or was stopped continues at the state that did not end.

Everything that it needs is in the history: the input of that state, and the variables that earlier states assigned.
Of a Parallel only the branches continue that did not end, each at its own state. A Map runs all of its items again,
where AWS runs those that failed.
"""

from __future__ import annotations

import copy
import datetime
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localaws.base.patches import Patches

REDRIVABLE_DAYS = 14
MOST_EVENTS = 24_999
_TERMINAL = ("Succeed", "Fail")


@dataclass
class Point:
    """Where a machine or a branch continues."""

    state: str = ""  # none was entered: from the start
    given: Any = None  # the state's input; the output of a branch that had ended
    variables: dict[str, Any] = field(default_factory=dict)
    ended: bool = False
    branches: list[Point] | None = None


def point_of(machine: Mapping[str, Any], events: list[dict[str, Any]]) -> Point:
    """State names are unique in a whole definition, so that events say which branch they are of."""
    point, exited = Point(), False
    states, start = machine["States"], 0
    for index, event in enumerate(events):
        entering, leaving = event.get("stateEnteredEventDetails"), event.get("stateExitedEventDetails")
        if entering and entering["name"] in states:
            point.state, point.given, start = entering["name"], json.loads(entering["input"]), index
            exited = False
        elif leaving and leaving["name"] in states:
            exited, output = True, leaving["output"]
            assigned = leaving.get("assignedVariables") or {}
            point.variables.update({name: json.loads(value) for name, value in assigned.items()})
    if not point.state:
        return point
    state = states[point.state]
    if exited and (state.get("End") or state["Type"] in _TERMINAL):
        point.ended, point.given = True, json.loads(output)
    elif state["Type"] == "Parallel" and not exited:
        point.branches = [point_of(branch, events[start:]) for branch in state["Branches"]]
    return point


class _Continued:
    """A program of moto's that begins at a point, once; a Parallel that is tried again runs it from its start."""

    def __init__(self, program: Any, point: Point) -> None:
        self._program, self._point = program, point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)

    def eval(self, env: Any) -> None:
        point, self._point = self._point, Point()
        if not point.state:
            self._program.eval(env)
        elif point.ended:
            env.next_state_name = point.state  # moto ends only what runs
            env.states.reset(point.given)
            env.set_ended()
        else:
            for name, value in point.variables.items():
                env.variable_store.set(name, value)
            env.variable_store.reset_tracing()
            env.states.reset(point.given)
            env.event_history_context.inside = point.state
            _beginning_at(self._program, point).eval(env)


def _beginning_at(program: Any, point: Point) -> Any:
    """A copy: moto's program is shared by all executions of its definition."""
    copied = copy.copy(program)
    copied.start_at = copy.copy(program.start_at)
    copied.start_at.start_at_name = point.state
    if point.branches is not None:
        state = copy.copy(program.states.states[point.state])
        state.branches = copy.copy(state.branches)
        state.branches.programs = [
            _Continued(one, at) for one, at in zip(state.branches.programs, point.branches, strict=True)
        ]
        copied.states = copy.copy(program.states)
        copied.states.states = {**program.states.states, point.state: state}
    return copied


# What moto is told


def install(patches: Patches) -> None:
    from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
    from moto.stepfunctions.responses import StepFunctionResponse

    entry, environment = ExecutionWorker._get_evaluation_entrypoint, ExecutionWorker._get_evaluation_environment
    describe = StepFunctionResponse.describe_execution

    def entrypoint(worker: Any) -> Any:
        program, document = entry(worker), _continued(worker)
        if document is None:
            return program
        return _Continued(program, point_of(json.loads(document["definition"]), document["events"]))

    def with_history(worker: Any) -> Any:
        env, document = environment(worker), _continued(worker)
        if document is not None:
            events, manager = document["events"], env.event_manager
            manager._history_event_list.extend(events)
            manager._event_id_gen._next_id = len(events) + 1
            execution = worker._execution_communication.execution
            told = env.states.context_object.context_object_data["Execution"]
            told.update(RedriveCount=execution.redrives, RedriveTime=_text(execution.redriven))
        return env

    def described(response: Any) -> Any:
        answer = describe(response)
        execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
        answer.result.update(_told(execution))
        return answer

    patches.attribute(ExecutionWorker, "_get_evaluation_entrypoint", entrypoint)
    patches.attribute(ExecutionWorker, "_get_evaluation_environment", with_history)
    patches.attribute(EventManager, "add_event", _adding(EventManager.add_event))
    patches.attribute(StepFunctionResponse, "describe_execution", described)
    patches.attribute(StepFunctionResponse, "redrive_execution", _redriving(threading.Lock()))


def _continued(worker: Any) -> Any:
    return getattr(worker._execution_communication.execution, "continued", None)


def _adding(plain: Callable[..., int]) -> Callable[..., int]:
    """A redriven execution has an ExecutionRedriven in place of the start, and does not enter its state again."""

    def add_event(
        manager: Any, context: Any, event_type: Any, event_details: Any = None, timestamp: Any = None, **more: Any
    ) -> int:
        kind = str(getattr(event_type, "value", event_type))
        if kind == "ExecutionStarted" and manager._history_event_list:
            count = 1 + sum(event["type"] == "ExecutionRedriven" for event in manager._history_event_list)
            details = {"executionRedrivenEventDetails": {"redriveCount": count}}
            return plain(manager, context, "ExecutionRedriven", details, timestamp)
        if (
            kind.endswith("StateEntered")
            and getattr(context, "inside", "") == event_details["stateEnteredEventDetails"]["name"]
        ):
            context.inside = ""
            return int(context.source_event_id)
        return plain(manager, context, event_type, event_details, timestamp, **more)

    return add_event


# The call


def _redriving(lock: threading.Lock) -> Callable[[Any], Any]:
    def redrive_execution(response: Any) -> Any:
        from moto.core.responses import ActionResult

        arn, token = response._get_param("executionArn"), response._get_param("clientToken")
        backend = response.stepfunction_backend
        with lock:
            past = backend.describe_execution(arn)
            if token and token == getattr(past, "redriven_with", None):
                return ActionResult({"redriveDate": past.redriven})
            if reason := _why_not(past):
                raise _error("ExecutionNotRedrivable", reason)
            execution = _again(backend, past)
            execution.redriven_with = token
        execution.start()
        return ActionResult({"redriveDate": execution.redriven})

    return redrive_execution


def _again(backend: Any, past: Any) -> Any:
    """The same execution once more, with the definition and the role that it had."""
    from moto.stepfunctions.parser.api import ExecutionStatus
    from moto.stepfunctions.parser.backend.execution import Execution

    machine = next(one for one in backend.state_machines if past in one.executions)
    document = past.document()
    snapshot = copy.copy(machine)
    snapshot.definition, snapshot.roleArn, snapshot.executions = document["definition"], document["role"], []
    execution = Execution(
        name=past.name,
        sm_type=machine.sm_type,
        role_arn=document["role"],
        exec_arn=past.exec_arn,
        account_id=backend.account_id,
        region_name=backend.region_name,
        state_machine=snapshot,
        start_date=past.start_date,
        cloud_watch_logging_session=None,
        input_data=document["input"],
        activity_store={},
    )
    execution.version_arn, execution.alias_arn = past.version_arn, past.alias_arn
    execution.continued, execution.redrives = document, past.redrives + 1
    execution.redriven = datetime.datetime.now(datetime.timezone.utc)
    execution.exec_status = ExecutionStatus.RUNNING
    machine.executions[machine.executions.index(past)] = execution
    return execution


def _why_not(execution: Any) -> str:
    if execution.status in ("RUNNING", "SUCCEEDED"):
        return f"Execution is {execution.status} and cannot be redriven"
    if not hasattr(execution, "document"):
        return "Execution is RUNNING and cannot be redriven"  # it is being archived
    if datetime.datetime.now(datetime.timezone.utc) - execution.stop_date > datetime.timedelta(days=REDRIVABLE_DAYS):
        return "Execution has exceeded its redrivable period"
    if execution.event_count is None:  # archived before there was RedriveExecution here
        return "Execution was started before the launch of RedriveExecution"
    return "Execution history event limit exceeded" if execution.event_count >= MOST_EVENTS else ""


def _told(execution: Any) -> dict[str, Any]:
    reason, redriven = _why_not(execution), getattr(execution, "redriven", None)
    return {
        "redriveCount": getattr(execution, "redrives", 0),
        "redriveStatus": "NOT_REDRIVABLE" if reason else "REDRIVABLE",
        **({"redriveStatusReason": reason} if reason else {}),
        **({"redriveDate": redriven} if redriven else {}),
    }


def _text(time: datetime.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _error(code: str, message: str) -> Exception:
    from moto.stepfunctions.exceptions import AWSError

    made: Exception = type(code, (AWSError,), {"TYPE": code, "STATUS": 400})(message)
    return made
