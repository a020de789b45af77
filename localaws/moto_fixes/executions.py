"""Fixes of executions: times, ends, definitions and histories."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import time
import types
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import ASL, COMMON, SERVICE, STATES, Here, aws_error, fix, loaded

# Time


@fix
def waits_are_scaled_and_end_with_the_execution(patches: Patches, here: Here) -> None:
    """On AWS, a Retry can wait for minutes. `Here.seconds` scales that, and stopping the execution ends the wait; moto
    sleeps in real time.
    """
    module = loaded(f"{COMMON}.retry.retrier_decl")
    outcomes = loaded(f"{COMMON}.retry.retrier_outcome").RetrierOutcome
    plain, wanted = module.RetrierDecl._eval_body, threading.local()

    def evaluate(self: Any, env: Any) -> None:
        wanted.seconds = 0.0
        plain(self, env)
        if env.stack[-1] is outcomes.Executed:
            _pause(env, wanted.seconds * here.seconds)

    # moto sleeps in the middle of the evaluation: record the duration, and wait afterwards.
    noted = types.SimpleNamespace(sleep=lambda seconds: setattr(wanted, "seconds", seconds))
    patches.attribute(module, "time", noted)
    patches.attribute(module.RetrierDecl, "_eval_body", evaluate)
    wait = loaded(f"{STATES}.wait.wait_function.wait_function").WaitFunction
    patches.attribute(wait, "_wait_interval", lambda self, env, wait_seconds: _pause(env, wait_seconds * here.seconds))


def _pause(env: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while env.is_running() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


@fix
def retries_are_counted_under_one_key(patches: Patches, here: Here) -> None:
    """Executions share a parsed definition and count retries by its components' keys. moto creates a key on first use:
    two threads can create two, and a count whose key changes starts over.
    """
    component = loaded(f"{ASL}.component.eval_component").EvalComponent
    patches.attribute(component, "heap_key", property(lambda self: str(id(self))))


@fix
def a_timed_out_execution_is_over(patches: Patches, here: Here) -> None:
    """TIMED_OUT comes with its event and stop date; moto sets the status before the event, and no stop date. An
    execution that is stopped before its first state, or its branch's, also ends; moto's `eval` does nothing then, and
    its branch fails in its thread, for which the execution then waits forever.
    """
    program = loaded(f"{ASL}.component.program.program").Program

    def evaluate(self: Any, env: Any) -> None:
        with contextlib.suppress(RuntimeError):  # it is stopped already
            env.next_state_name = self.start_at.start_at_name
        timeout = self.timeout_seconds.timeout_seconds if self.timeout_seconds else None
        if timeout is None:  # a branch or an item: it has a thread already
            self._eval_body(env)
            return
        running = threading.Thread(target=self._eval_body, args=(env,), daemon=True)
        running.start()
        running.join(timeout)
        if running.is_alive():
            env.set_timed_out()
            running.join()

    patches.attribute(program, "eval", evaluate)
    status = loaded("moto.stepfunctions.responses").ExecutionStatus
    patches.attribute(
        loaded("moto.stepfunctions.responses"),
        "ExecutionStatus",
        types.SimpleNamespace(SUCCEEDED=status.SUCCEEDED, FAILED=_Ended(), ABORTED=status.ABORTED),
    )


class _Ended(str):
    """Equals FAILED and TIMED_OUT: moto compares with three of the four final statuses."""

    def __eq__(self, other: object) -> bool:
        return other in ("FAILED", "TIMED_OUT")

    def __hash__(self) -> int:
        return 0


@fix
def stopping_keeps_the_reason(patches: Patches, here: Here) -> None:
    """StopExecution's error and cause appear in the description and the history; the response has a date."""
    module = loaded("moto.stepfunctions.responses")
    execution = loaded("moto.stepfunctions.parser.backend.execution").Execution

    def stop(self: Any) -> Any:
        found = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        now = datetime.datetime.now(datetime.timezone.utc)
        if found.status == "RUNNING":
            found.error, found.cause = self._get_param("error"), self._get_param("cause")
            execution.stop(found, stop_date=now, error=found.error, cause=found.cause)
        return module.ActionResult({"stopDate": found.stop_date or now})

    patches.attribute(module.StepFunctionResponse, "stop_execution", stop)


@fix
def a_stopped_execution_calls_nothing(patches: Patches, here: Here) -> None:
    """An execution may be stopped while a task starts. moto then skips what is not yet evaluated, so that the task
    calls the service with half of its request; and it takes the request from its stack for the number of seconds in
    `TimeoutSeconds`, so that GetExecutionHistory answers with a TypeError from then on.
    """
    service = loaded(f"{SERVICE}.state_task_service").StateTaskService
    timeout = loaded(f"{COMMON}.timeouts.timeout").TimeoutSeconds
    plain = service._before_eval_execution

    def before_execution(self: Any, env: Any, *given: Any, **named: Any) -> None:
        _end_if_stopped(env)
        plain(self, env, *given, **named)
        _end_if_stopped(env)

    patches.attribute(service, "_before_eval_execution", before_execution)
    patches.attribute(timeout, "eval", timeout._eval_body)


def _end_if_stopped(env: Any) -> None:
    if not env.is_running():
        raise RuntimeError("the execution was stopped")  # a_stopped_execution_stays_stopped drops it


# Ends


@fix
def outputs_are_json(patches: Patches, here: Here) -> None:
    """DescribeExecution returns the output as JSON. moto returns a string unquoted, and the status too early."""
    module = loaded("moto.stepfunctions.parser.backend.execution")
    communication = module.BaseExecutionWorkerCommunication
    plain = communication._reflect_execution_status

    def reflect(self: Any) -> None:
        env = self.execution.exec_worker.env
        execution = types.SimpleNamespace(exec_worker=self.execution.exec_worker, output=None, error=None, cause=None)
        plain(types.SimpleNamespace(execution=execution))
        if isinstance(env.program_state(), module.ProgramEnded):
            self.execution.output = json.dumps(execution.output, ensure_ascii=False)
        self.execution.stop_date = execution.stop_date
        self.execution.error = self.execution.error or execution.error
        self.execution.cause = self.execution.cause or execution.cause
        self.execution.exec_status = execution.exec_status

    patches.attribute(communication, "_reflect_execution_status", reflect)


@fix
def the_end_of_an_execution_is_reported(patches: Patches, here: Here) -> None:
    """Step Functions sends an event when an execution ends; moto sends none."""
    communication = loaded("moto.stepfunctions.parser.backend.execution").BaseExecutionWorkerCommunication
    plain = communication.terminated

    def terminated(self: Any) -> None:
        plain(self)
        with contextlib.suppress(OSError):  # a full disk: the execution has still ended
            here.execution_ended(self.execution)

    patches.attribute(communication, "terminated", terminated)


# Definitions and histories


@fix
def definitions_are_checked(patches: Patches, here: Here) -> None:
    """InvalidDefinition if it does not parse; moto's error has no code."""
    backend = loaded("moto.stepfunctions.parser.models").StepFunctionsParserBackend
    refused = loaded("moto.stepfunctions.parser.api").InvalidDefinition
    check = backend._validate_definition

    def validate(definition: str) -> None:
        try:
            check(definition=definition)
        except refused as problem:
            message = f"Invalid State Machine Definition: '{problem.message[:1000]}'"
            raise aws_error("InvalidDefinition", message) from None

    patches.attribute(backend, "_validate_definition", staticmethod(validate))


@fix
def a_history_is_read_in_pages_and_from_its_end(patches: Patches, here: Here) -> None:
    """`reverseOrder`, `maxResults` and `nextToken` work; moto always returns all events, oldest first.
    https://github.com/localstack/localstack/pull/10131 (fixed there, not in moto's copy)
    """
    response = loaded("moto.stepfunctions.responses").StepFunctionResponse
    result = loaded("moto.core.responses").ActionResult

    def get_execution_history(self: Any) -> Any:
        history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
        events = history["events"][:: -1 if self._get_param("reverseOrder") else 1]
        start = int(self._get_param("nextToken") or 0)
        end = start + int(self._get_param("maxResults") or len(events))
        more = {"nextToken": str(end)} if end < len(events) else {}
        return result({"events": events[start:end], **more})

    patches.attribute(response, "get_execution_history", get_execution_history)
