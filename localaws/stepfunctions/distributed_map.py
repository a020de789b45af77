"""A Distributed Map in JSONata: a Map Run of child executions, a few at a time, each an execution of its own.

A child has its own history, context and variables, and is archived as it ends, so that a thousand need little memory.
The parent's history has only the Map Run. If the parent is redriven, the children that did not succeed are redriven,
and those that never started are started. For AWS's behaviour and its sources, see docs/decisions/0073.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.failed_evaluation import evaluation_failed
from localaws.moto_fixes.registry import Here, failure
from localaws.stepfunctions.child_executions import RUNNING, ChildExecutions, forget_cut_off
from localaws.stepfunctions.map_items import ItemReaderFailed, batches, evaluated, read
from localaws.stepfunctions.map_results import write
from localaws.stepfunctions.map_run import KIND, MapRun, now

_OUTPUT_BYTES = 256 * 1024  # quota: a state's output


def install(patches: Patches, here: Here) -> None:
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

    plain, entry, environment = (
        StateMap._eval_execution,
        ExecutionWorker._get_evaluation_entrypoint,
        ExecutionWorker._get_evaluation_environment,
    )

    def eval_execution(state: Any, env: Any) -> None:
        if hasattr(state, "distributed"):
            _Map(state, env, here).run()
        else:
            plain(state, env)

    def entrypoint(worker: Any) -> Any:
        return getattr(worker._execution_communication.execution, "program", None) or entry(worker)

    def with_execution(worker: Any) -> Any:
        env = environment(worker)
        env.map_run_record_pool_manager.execution = worker._execution_communication.execution  # all frames share it
        return env

    patches.attribute(StateMap, "_eval_execution", eval_execution)
    patches.attribute(ExecutionWorker, "_get_evaluation_entrypoint", entrypoint)
    patches.attribute(ExecutionWorker, "_get_evaluation_environment", with_execution)
    patches.later(RUNNING.clear)


class _Map:
    """One evaluation of the Map state, from its fields to its events and result."""

    def __init__(self, state: Any, env: Any, here: Here) -> None:
        self.state, self.env, self.here = state, env, here
        self.fields: dict[str, Any] = state.distributed
        self.parent = env.map_run_record_pool_manager.execution
        store = env.variable_store
        self._variables = {**store._outer_scope, **store._inner_scope}

    def value(self, template: Any, field: str, **context: Any) -> Any:
        states = self.env.states._states_data
        if context:
            states = {**states, "context": {**states["context"], **context}}
        failed = partial(evaluation_failed, self.env)
        return evaluated(template, {**self._variables, "states": states}, field, failed)

    def of(self, field: str) -> Any:
        return self.value(self.fields[field], field) if field in self.fields else None

    def event(self, kind: str, details: Any = None, **more: Any) -> None:
        given = {f"{kind[0].lower()}{kind[1:]}EventDetails": details} if details is not None else None
        self.env.event_manager.add_event(self.env.event_history_context, kind, given, **more)

    def run(self) -> None:
        concurrency = int(self.of("MaxConcurrency") or 0)
        items = None if "ItemReader" in self.fields else self._given_items()
        self.event("MapStateStarted", {"length": len(items or ())})
        run = self._redriven() or self._begun(concurrency)
        try:
            output = self._results(run, items)
        except Exception as problem:  # any failure ends the Map Run, and the state fails with it
            self._ended(run, problem)
            raise
        self._ended(run, None)
        self.event("MapStateSucceeded", update_source_event_id=False)
        self.env.stack.append(output)

    def _given_items(self) -> list[Any]:
        items = self.of("Items") if "Items" in self.fields else self.env.states.get_input()
        if not isinstance(items, list):
            cause = f"Map state input must be an array but was: {type(items)}"  # moto's words
            raise evaluation_failed(self.env, cause, "Items")
        return items

    # The Map Run

    def _begun(self, concurrency: int) -> MapRun:
        count, percentage = self.of("ToleratedFailureCount"), self.of("ToleratedFailurePercentage")
        run = MapRun.new(
            self.parent.state_machine.arn,
            self.fields.get("Label"),
            execution=self.parent.exec_arn,
            state=self.state.name,
            kind=self.fields["ItemProcessor"]["ProcessorConfig"].get("ExecutionType", "STANDARD"),
            concurrency=concurrency,
            tolerated_count=None if count is None else int(count),
            tolerated_percentage=None if percentage is None else float(percentage),
        )
        if self.here.objects:
            forget_cut_off(self.here.objects, self.parent.exec_arn, self.env.event_manager._history_event_list)
        self._keep(run)
        self.event("MapRunStarted", {"mapRunArn": run.arn})
        return run

    def _redriven(self) -> MapRun | None:
        """The Map Run that a redriven execution continues, if its state had started one."""
        arn, redriven = "", False
        for event in reversed(self.env.event_manager._history_event_list):
            kind = str(getattr(event["type"], "value", event["type"]))
            if kind in ("MapRunStarted", "MapRunRedriven"):
                arn = next(iter(value for key, value in event.items() if key.startswith("mapRun")))["mapRunArn"]
                known = self.here.objects and self.here.objects.document(KIND, arn)
                if known and MapRun.of(known).state == self.state.name:
                    break
            redriven |= kind == "ExecutionRedriven"
            if event.get("stateEnteredEventDetails", {}).get("name") == self.state.name:
                return None
        else:
            return None
        if not redriven:  # a retried state starts a new Map Run
            return None
        run = MapRun.of(known)
        run.redrives, run.redriven, run.status, run.stopped = run.redrives + 1, now(), "RUNNING", ""
        self.event("MapRunRedriven", {"mapRunArn": arn, "redriveCount": run.redrives})
        return run

    def _keep(self, run: MapRun) -> None:
        if self.here.objects:
            self.here.objects.write_document(KIND, run.arn, run.content())

    def _ended(self, run: MapRun, problem: Exception | None) -> None:
        RUNNING.pop(run.arn, None)
        run.stopped = now()
        run.status = "SUCCEEDED" if problem is None else "FAILED" if self.env.is_running() else "ABORTED"
        self._keep(run)
        details = None
        if isinstance(problem, _failure_event()):
            error, cause = problem.extract_error_cause_pair() or (None, None)
            details = {key: value for key, value in (("error", error), ("cause", cause)) if value}
        elif problem and run.status == "FAILED":
            details = {"error": "States.Runtime", "cause": str(problem)}
        self.event(f"MapRun{run.status.capitalize()}", details)

    def _results(self, run: MapRun, items: list[Any] | None) -> Any:
        role = self.parent.role_arn
        s3 = partial(self.here.client, "s3", self.parent.region_name, role)
        refused = self.here.may_not_start(role, self.parent.state_machine.arn)
        if refused:
            raise self._failure("StepFunctions.AccessDeniedException", refused)
        inputs = self._inputs(items, s3)
        run.sizes = [size for _, size in inputs]
        children = RUNNING[run.arn] = ChildExecutions(
            run,
            self.parent,
            self.env.is_running,
            self.state.iteration_component._get_iteration_program(),
            self.fields["ItemProcessor"],
            [_text(given) for given, _ in inputs],
            "ResultWriter" in self.fields,
            self.here.objects,
        )
        children.work()
        if not self.env.is_running():
            raise RuntimeError("the execution was stopped")  # a_stopped_execution_stays_stopped drops it
        if run.exceeded():
            cause = "The specified tolerated failure threshold was exceeded"
            raise self._failure("States.ExceedToleratedFailureThreshold", cause)
        if "ResultWriter" in self.fields:
            return write(self.fields["ResultWriter"], self.value, run, children.results, s3())
        output = [one["value"] for one in children.results]
        if len(_text(output).encode()) > _OUTPUT_BYTES:
            cause = (
                f"The state/task '{self.state.name}' returned a result with a size exceeding the maximum number of "
                "bytes service limit."
            )
            raise self._failure("States.DataLimitExceeded", cause)
        return output

    def _inputs(self, items: list[Any] | None, s3: Callable[[], Any]) -> list[tuple[Any, int]]:
        """The children's inputs, each with its number of items."""
        try:
            found = read(self.fields["ItemReader"], self.value, s3()) if items is None else items
        except ItemReaderFailed as problem:
            raise self._failure("States.ItemReaderFailed", str(problem)) from None
        selected = [self._selected(index, item) for index, item in enumerate(found)]
        return list(batches(selected, self.fields.get("ItemBatcher"), self.value))

    def _selected(self, index: int, item: Any) -> Any:
        if "ItemSelector" not in self.fields:
            return item
        return self.value(self.fields["ItemSelector"], "ItemSelector", Map={"Item": {"Index": index, "Value": item}})

    def _failure(self, error: str, cause: str) -> Any:
        return failure(self.env, "MapRunFailed", error, cause)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _failure_event() -> Any:
    from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException

    return FailureEventException
