"""A queue of executions: they begin in the order of their starts, and a few run at once.

moto runs an execution in a dozen threads. AWS runs a million executions at once; locally their jobs wait for a core
anyway. A waiting execution is RUNNING without a history, and becomes ABORTED if stopped.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from localaws.base.patches import Patches

AT_ONCE = 16
BEGINS_SECONDS = 10


def install(patches: Patches) -> Callable[[float], None]:
    """Return a function that drops all executions, and waits so many seconds for the running ones."""
    from moto.stepfunctions.parser.api import ExecutionStatus
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

    start, stop, run = ExecutionWorker.start, ExecutionWorker.stop, ExecutionWorker._execution_logic
    lock, waiting, running = threading.Lock(), deque[Any](), set[Any]()

    def started(worker: Any) -> None:
        with lock:
            waiting.append(worker)
        begin()

    def begin() -> None:
        with lock:
            ready = [waiting.popleft() for _ in range(min(len(waiting), AT_ONCE - len(running)))]
            running.update(ready)
        for worker in ready:
            start(worker)

    def lived(worker: Any) -> None:
        try:
            run(worker)
        except Exception as problem:  # a full disk, or a bug in ours or moto's code: otherwise the run would never end
            _fail(worker, problem)
        finally:
            with lock:
                running.discard(worker)
            begin()

    def stopped(worker: Any, **reason: Any) -> None:
        with lock:
            waits = worker in waiting
            if waits:
                waiting.remove(worker)
        if waits:
            _abort(worker, reason)
        elif _has_begun(worker):
            stop(worker, **reason)

    patches.attribute(ExecutionWorker, "start", started)
    patches.attribute(ExecutionWorker, "stop", stopped)
    patches.attribute(ExecutionWorker, "_execution_logic", lived)

    def leave(seconds: float) -> None:
        with lock:
            for worker in waiting:
                worker._execution_communication.execution.exec_status = ExecutionStatus.ABORTED
            waiting.clear()
            environments = [worker.env for worker in running if worker.env]
        for env in environments:
            env.set_stop(stop_date=datetime.now(timezone.utc), error=None, cause=None)
        end = time.monotonic() + seconds
        while running and time.monotonic() < end:
            time.sleep(0.01)

    return leave


def _has_begun(worker: Any) -> bool:
    """Wait until a begun execution can be stopped: moto loses a stop that arrives before its first state."""
    end = time.monotonic() + BEGINS_SECONDS
    while worker.env is None or worker.env.program_state() is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def _abort(worker: Any, reason: dict[str, Any]) -> None:
    """End an execution whose first state never began: its history is a start and an end."""
    program = worker._get_evaluation_entrypoint()
    env = _begun(worker)
    env.next_state_name = program.start_at.start_at_name  # moto stops only a program that has a next state
    env.set_stop(**reason)
    program._eval_body(env)
    worker._execution_communication.terminated()


def _fail(worker: Any, problem: Exception) -> None:
    """Fail an execution for a problem outside its states."""
    from moto.stepfunctions.parser.api import HistoryEventType
    from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

    env = worker.env or _begun(worker)
    if env.program_state() is None:
        env.next_state_name = "none"  # moto fails only a program that has a next state
    if not env.is_running():
        raise problem
    env.set_error({"error": "States.Runtime", "cause": f"{type(problem).__name__}: {problem}"})
    env.event_manager.add_event(
        context=env.event_history_context,
        event_type=HistoryEventType.ExecutionFailed,
        event_details=EventDetails(executionFailedEventDetails=env.program_state().error),
    )
    worker._execution_communication.terminated()


def _begun(worker: Any) -> Any:
    """An execution's environment, with the start in its history."""
    from moto.stepfunctions.parser.api import ExecutionStartedEventDetails, HistoryEventType
    from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

    env = worker.env = worker._get_evaluation_environment()
    given = json.dumps(worker._evaluation_details.execution_details.inpt)
    role = worker._evaluation_details.aws_execution_details.role_arn
    started = ExecutionStartedEventDetails(input=given, inputDetails={"truncated": False}, roleArn=role)
    env.event_manager.add_event(
        context=env.event_history_context,
        event_type=HistoryEventType.ExecutionStarted,
        event_details=EventDetails(executionStartedEventDetails=started),
        update_source_event_id=False,
    )
    return env
