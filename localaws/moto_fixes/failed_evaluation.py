"""Fixes of failed expressions: the field name in the message, the events, Retry and Catch."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import COMMON, STATES, Here, failure, fix, loaded

ERROR = "States.QueryEvaluationError"
PREFIX = "An error occurred while executing the state"
_here = threading.local()  # the field that this thread is evaluating, like ["Output", "models"]


def path() -> list[str]:
    if not hasattr(_here, "path"):
        _here.path = []
    path: list[str] = _here.path
    return path


@contextmanager
def at(name: str) -> Iterator[None]:
    path().append(name)
    try:
        yield
    finally:
        path().pop()


def evaluation_failed(env: Any, cause: str, field: str) -> Any:
    """The exception that fails a state for an expression in this field."""
    state = env.states.context_object.context_object_data["State"]["Name"]
    whole = f"{PREFIX} '{state}' (entered at the event id #{getattr(env, 'entered', 0)}). {cause}"
    return failure(env, "EvaluationFailed", ERROR, whole, location=field, state=state)


@fix
def a_failed_evaluation_is_one_event(patches: Patches, here: Here) -> None:
    """One EvaluationFailed event, with the state's name and the number of the event that entered it."""
    exception = loaded(f"{COMMON}.error_name.failure_event").FailureEventException
    execution_failed = exception.get_execution_failed_event_details
    state, executing = loaded(f"{STATES}.state").CommonStateField, loaded(f"{STATES}.exec.execute_state").ExecutionState
    parallel = loaded(f"{STATES}.exec.state_parallel.state_parallel").StateParallel
    plain_input, plain, plain_error = state._eval_state_input, state._eval_body, executing._from_error

    def once(self: Any) -> Any:
        details = execution_failed(self)
        cause = (self.extract_error_cause_pair() or (None, None))[1]
        return {**details, "cause": cause} if cause and cause.startswith(PREFIX) else details

    def enter(self: Any, env: Any) -> None:
        env.entered = env.event_history_context.source_event_id
        plain_input(self, env)

    def evaluated(self: Any, env: Any) -> None:
        env.came_from = env.event_history_context.source_event_id
        try:
            plain(self, env)
        except exception as failed:
            _record(env, failed.failure_event)
            raise

    def from_error(self: Any, env: Any, ex: Exception) -> Any:
        event = plain_error(self, env, ex)
        if isinstance(self, parallel):
            _record(env, event)
        elif _details(event):  # a Task and a Map record it themselves
            _step_back(env)
            event.recorded = True
        return event

    patches.attribute(exception, "get_execution_failed_event_details", once)
    patches.attribute(
        exception, "get_evaluation_failed_event_details", lambda self: _details(self.failure_event) or None
    )
    patches.attribute(state, "_eval_state_input", enter)
    patches.attribute(state, "_eval_body", evaluated)
    patches.attribute(executing, "_from_error", from_error)


def _details(event: Any) -> Any:
    return (event.event_details or {}).get("evaluationFailedEventDetails")


def _step_back(env: Any) -> None:
    """If the last event entered the state, EvaluationFailed points to the one before it, as on AWS."""
    context = env.event_history_context
    if context.source_event_id == env.entered:
        context.source_event_id = env.came_from


def _record(env: Any, event: Any) -> None:
    if _details(event) and not getattr(event, "recorded", False):
        event.recorded = True
        _step_back(env)
        env.event_manager.add_event(
            context=env.event_history_context, event_type=event.event_type, event_details=event.event_details
        )


@fix
def output_and_arguments_fail_within_the_state(patches: Patches, here: Here) -> None:
    """Retry and Catch handle failures of Output and of a Parallel's Arguments; moto evaluates both outside."""
    executing = loaded(f"{STATES}.exec.execute_state").ExecutionState
    parallel = loaded(f"{STATES}.exec.state_parallel.state_parallel").StateParallel
    caught = loaded(f"{COMMON}.catch.catch_outcome").CatchOutcome
    attempt, output = executing._evaluate_with_timeout, executing._eval_state_output
    start, branches = parallel._eval_state, parallel._eval_execution

    def evaluate_with_timeout(self: Any, env: Any) -> None:
        env.heap.pop("assigned", None)
        try:
            attempt(self, env)
            if self.output and env.is_running():
                with at("Output"):
                    self.output.jsonata_template_value.eval(env)
                env.heap["output"] = env.stack.pop()
        except Exception:  # of any kind: a failed attempt assigns nothing
            env.heap.pop("assigned", None)
            raise

    def state_output(self: Any, env: Any) -> None:
        if "output" in env.heap and not isinstance(env.stack[-1], caught):
            env.stack.pop()
            env.states.reset(input_value=env.heap.pop("output"))
        else:
            output(self, env)

    def eval_state(self: Any, env: Any) -> None:
        if self._is_language_query_jsonpath():
            start(self, env)
            return
        each = copy.copy(self)  # moto evaluates `parargs` before the first attempt
        each.arguments, each.parargs = self.parargs, None
        start(each, env)

    def eval_execution(self: Any, env: Any) -> None:
        arguments = getattr(self, "arguments", None)
        if arguments:
            arguments.eval(env)
            env.stack.append(copy.deepcopy(env.stack.pop()))
        branches(self, env)

    patches.attribute(executing, "_evaluate_with_timeout", evaluate_with_timeout)
    patches.attribute(executing, "_eval_state_output", state_output)
    patches.attribute(parallel, "_eval_state", eval_state)
    patches.attribute(parallel, "_eval_execution", eval_execution)
