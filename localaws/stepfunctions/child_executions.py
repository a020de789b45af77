"""The child executions of a Map Run, run by a pool of threads."""

from __future__ import annotations

import copy
import datetime
import json
import threading
from collections.abc import Callable
from typing import Any

from localaws.stepfunctions import execution_archive
from localaws.stepfunctions.map_run import KIND, MapRun, result
from localaws.stepfunctions.versions import new_execution

MOST_AT_ONCE = 32  # each is a thread; the jobs of more would wait for a core anyway
_POLL_SECONDS = 0.05  # how often the parent checks whether it was stopped
RUNNING: dict[str, ChildExecutions] = {}  # by the Map Run's ARN


class ChildExecutions:
    def __init__(
        self,
        run: MapRun,
        parent: Any,
        parent_runs: Callable[[], bool],
        program: Any,
        processor: dict[str, Any],
        inputs: list[str],
        whole: bool,
        objects: Any,
    ) -> None:
        """`whole` keeps the results together with the executions' metadata."""
        self.run, self._parent, self._parent_runs, self._inputs = run, parent, parent_runs, inputs
        self._program, self._whole, self._objects = program, whole, objects
        self._lock, self._idle = threading.Lock(), threading.Condition()
        self._before = self._past()
        run.statuses = [""] * len(inputs)
        self.results: list[Any] = [None] * len(inputs)
        self.running: dict[int, Any] = {}
        self._next, self._workers = iter(range(len(inputs))), 0
        self._broken: Exception | None = None
        self._machine = self._child_machine(processor)

    def work(self) -> None:
        """Wait until all have ended. If the parent ends or too many fail, stop the running ones and start no more."""
        count = min(len(self._inputs), self.run.concurrency or MOST_AT_ONCE, MOST_AT_ONCE)
        self._workers = count
        for number in range(count):
            threading.Thread(target=self._worker, name=f"{self.run.state} {number}", daemon=True).start()
        with self._idle:
            while self._workers:
                self._idle.wait(_POLL_SECONDS)
                if not self._wanted():
                    self._stop()
        if self._broken:
            raise self._broken

    def _wanted(self) -> bool:
        return self._parent_runs() and not self._broken and not self.run.exceeded()

    def _stop(self) -> None:
        for child in list(self.running.values()):
            env = child.exec_worker.env
            if env is not None:
                env.set_stop(stop_date=datetime.datetime.now(datetime.timezone.utc), error=None, cause=None)

    def _worker(self) -> None:
        try:
            while self._wanted() and (index := self._taken()) is not None:
                self._one(index)
        except Exception as problem:  # a full disk, or a bug of ours or moto's: the state fails with it
            self._broken = problem
        finally:
            with self._idle:
                self._workers -= 1
                self._idle.notify_all()

    def _taken(self) -> int | None:
        with self._lock:
            return next(self._next, None)

    def _one(self, index: int) -> None:
        past = self._before.get(self._inputs[index])
        if past is None or past.status != "SUCCEEDED":
            self.run.statuses[index] = "RUNNING"
            child = self.running[index] = self._renewed(past) if past else self._new(index)
            try:
                child.exec_worker._execution_logic()
            finally:
                del self.running[index]
            past = child
        self.run.statuses[index] = str(past.status)
        full = result(past) if self._whole or past.status != "SUCCEEDED" else None
        value = json.loads(past.output) if past.status == "SUCCEEDED" else full
        self.results[index] = {"status": str(past.status), "value": value, "full": full}

    # Child executions

    def _child_machine(self, processor: dict[str, Any]) -> Any:
        machine = copy.copy(self._parent.state_machine)
        machine.arn, machine.executions, machine.sm_type = self.run.machine, [], self.run.kind
        machine.name = machine.arn.rpartition(":")[2]
        machine.definition = json.dumps({"QueryLanguage": "JSONata", **processor})
        return machine

    def _new(self, index: int) -> Any:
        began = datetime.datetime.now(datetime.timezone.utc)
        return self._made(new_execution(self._parent, self._machine, self.run.new_child(), began, self._inputs[index]))

    def _made(self, child: Any) -> Any:
        child.version_arn = child.alias_arn = None
        child.program, child.map_run_arn = self._program, self.run.arn
        child.exec_worker = child._get_start_execution_worker()
        return child

    def _past(self) -> dict[str, Any]:
        """By input: the earlier children of a redriven Map Run."""
        if not self.run.redrives or not self._objects:
            return {}
        return {
            child.execution_input: child for child in execution_archive.children(self._objects, self.run.child_prefix)
        }

    def _renewed(self, past: Any) -> Any:
        child = new_execution(self._parent, self._machine, past.exec_arn, past.start_date, past.execution_input)
        child.continued = {**past.document(), "definition": self._machine.definition}
        child.redrives = past.redrives + 1
        child.redriven = datetime.datetime.now(datetime.timezone.utc)
        return self._made(child)


def map_runs(objects: Any, execution: str) -> list[MapRun]:
    """The Map Runs of an execution: the running ones, then those on disk."""
    running = [children.run for children in list(RUNNING.values()) if children.run.execution == execution]
    prefix = execution.rpartition(":")[0].replace(":execution:", ":mapRun:", 1) + "/"
    past = [MapRun.of(content) for _, content in objects.documents(KIND, prefix)] if objects else []
    known = {run.arn for run in running}
    return [*running, *(run for run in past if run.execution == execution and run.arn not in known)]


def map_run(objects: Any, arn: str) -> MapRun | None:
    if arn in RUNNING:
        return RUNNING[arn].run
    content = objects.document(KIND, arn) if objects else None
    return MapRun.of(content) if content else None


def children(objects: Any, arn: str) -> list[Any]:
    """The child executions of a Map Run: the ended ones, then the running ones."""
    run = map_run(objects, arn)
    past = execution_archive.children(objects, run.child_prefix) if objects and run else []
    running = list(RUNNING[arn].running.values()) if arn in RUNNING else []
    again = {child.execution_arn for child in running}
    return [*(child for child in past if child.execution_arn not in again), *running]


def running_child(arn: str) -> Any:
    every = [child for known in list(RUNNING.values()) for child in list(known.running.values())]
    return next((child for child in every if child.execution_arn == arn), None)


def forget_cut_off(objects: Any, execution: str, events: list[Any]) -> None:
    """Remove the Map Runs that are missing from the history of an execution that was killed and starts over."""
    own = {
        value["mapRunArn"]
        for event in events
        for value in event.values()
        if isinstance(value, dict) and "mapRunArn" in value
    }
    for run in map_runs(objects, execution):
        if run.arn not in own:
            execution_archive.forget_children(objects, run.child_prefix)
            objects.remove_document(KIND, run.arn)
