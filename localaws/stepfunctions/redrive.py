"""RedriveExecution: continues an execution that failed, timed out or was stopped at the state that did not end.

The history has everything needed: the input of that state, and the variables that earlier states assigned. In a
Parallel, only unfinished branches continue, each at its own state. A Map repeats all its items; AWS repeats only those
that failed.
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
from localaws.moto_fixes.registry import aws_error, timestamp
from localaws.stepfunctions.versions import new_execution, with_more

REDRIVABLE_DAYS = 14
MOST_EVENTS = 24_999
_TERMINAL = ("Succeed", "Fail")


@dataclass
class Point:
    """Where a machine or a branch continues."""

    state: str = ""  # empty if no state was entered: start from the beginning
    given: Any = None  # the state's input, or the output of a branch that ended
    variables: dict[str, Any] = field(default_factory=dict)
    ended: bool = False
    branches: list[Point] | None = None


def point_of(machine: Mapping[str, Any], events: list[dict[str, Any]]) -> Point:
    """State names are unique in a definition, so an event's state identifies its branch."""
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
    """moto's program, started at a point the first time; a retried Parallel runs it from its start."""

    def __init__(self, program: Any, point: Point) -> None:
        self._program, self._point = program, point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)

    def eval(self, env: Any) -> None:
        point, self._point = self._point, Point()
        if not point.state:
            self._program.eval(env)
        elif point.ended:
            env.next_state_name = point.state  # moto ends only a running program
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
    """Copies the program, because all executions of its definition share it."""
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


# Installation


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
            context = env.states.context_object.context_object_data["Execution"]
            context.update(RedriveCount=execution.redrives, RedriveTime=timestamp(execution.redriven))
        return env

    def fields(response: Any) -> dict[str, Any]:
        execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
        return _redrive_fields(execution)

    patches.attribute(ExecutionWorker, "_get_evaluation_entrypoint", entrypoint)
    patches.attribute(ExecutionWorker, "_get_evaluation_environment", with_history)
    patches.attribute(EventManager, "add_event", _adding(EventManager.add_event))
    patches.attribute(StepFunctionResponse, "describe_execution", with_more(describe, fields))
    patches.attribute(StepFunctionResponse, "redrive_execution", _redriving(threading.Lock()))


def _continued(worker: Any) -> Any:
    return getattr(worker._execution_communication.execution, "continued", None)


def _adding(plain: Callable[..., int]) -> Callable[..., int]:
    """A redriven execution gets an ExecutionRedriven instead of the start, and does not enter its state again."""

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

        backend = response.stepfunction_backend
        with lock:
            past = backend.describe_execution(response._get_param("executionArn"))
            if reason := _why_not(past):
                raise aws_error("ExecutionNotRedrivable", reason)
            execution = _renewed(backend, past)
        execution.start()
        return ActionResult({"redriveDate": execution.redriven})

    return redrive_execution


def _renewed(backend: Any, past: Any) -> Any:
    """The same execution, with its original definition and role."""
    machine = next(one for one in backend.state_machines if past in one.executions)
    document = past.document()
    snapshot = copy.copy(machine)
    snapshot.definition, snapshot.roleArn, snapshot.executions = document["definition"], document["role"], []
    execution = new_execution(backend, snapshot, past.exec_arn, past.start_date, document["input"])
    execution.version_arn, execution.alias_arn = past.version_arn, past.alias_arn
    execution.continued, execution.redrives = document, past.redrives + 1
    execution.redriven = datetime.datetime.now(datetime.timezone.utc)
    machine.executions[machine.executions.index(past)] = execution
    return execution


def _why_not(execution: Any) -> str:
    if execution.status in ("RUNNING", "SUCCEEDED"):
        return f"Execution is {execution.status} and cannot be redriven"
    if getattr(execution, "map_run_arn", ""):
        return "Execution is a child of a Map Run: redrive the parent execution"
    if not hasattr(execution, "document"):
        return "Execution is RUNNING and cannot be redriven"  # its document is still being written
    if datetime.datetime.now(datetime.timezone.utc) - execution.stop_date > datetime.timedelta(days=REDRIVABLE_DAYS):
        return "Execution has exceeded its redrivable period"
    return "Execution history event limit exceeded" if execution.event_count >= MOST_EVENTS else ""


def _redrive_fields(execution: Any) -> dict[str, Any]:
    reason, redriven = _why_not(execution), getattr(execution, "redriven", None)
    if getattr(execution, "map_run_arn", "") and execution.status not in ("RUNNING", "SUCCEEDED"):
        return {"redriveCount": execution.redrives, "redriveStatus": "REDRIVABLE_BY_MAP_RUN"}
    return {
        "redriveCount": getattr(execution, "redrives", 0),
        "redriveStatus": "NOT_REDRIVABLE" if reason else "REDRIVABLE",
        **({"redriveStatusReason": reason} if reason else {}),
        **({"redriveDate": redriven} if redriven else {}),
    }
