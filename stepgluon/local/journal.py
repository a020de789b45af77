"""Records which executions began, and for which commands, to continue after kill -9 or a power failure.

localaws/stepfunctions/execution_archive.py keeps ended executions; one that began but did not end was interrupted.
Restarted with its name and input, it is the same run: finished jobs and sent mails are not repeated.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from localaws.base.patches import Patches
from localaws.s3.store import Objects
from localaws.stepfunctions.execution_archive import KIND as ENDED
from localaws.stepfunctions.versions import unqualified

_BEGUN, _COMMAND = "begun", "asked"


@dataclass(frozen=True)
class Begun:
    """An execution, with the values it was started with."""

    arn: str
    machine: str
    name: str
    input: str

    @cached_property
    def given(self) -> dict[str, Any]:
        """Its input; empty if it is not an object, after a manual start."""
        given = json.loads(self.input)
        return given if isinstance(given, dict) else {}

    @property
    def run_file(self) -> str:
        """The upload that started it; empty if there was none."""
        return str(self.given.get("run_file", ""))


class Journal:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        documents = objects.documents(_BEGUN)
        # Folders from before 0.1.0 have empty documents for refused starts.
        self._begun = {arn: Begun(**json.loads(text)) for arn, text in documents if text}
        self._changed = threading.Condition()
        self._running: set[str] = set()

    def install(self) -> Patches:
        """Record every execution before it begins; install last, to be notified of its end last."""
        from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
        from moto.stepfunctions.parser.models import StepFunctionsParserBackend

        start, ended = StepFunctionsParserBackend.start_execution, BaseExecutionWorkerCommunication.terminated

        def started(
            backend: Any,
            state_machine_arn: str,
            name: str | None = None,
            execution_input: str | None = None,
            *more: Any,
        ) -> Any:
            name = name or str(uuid.uuid4())
            arn = f"{unqualified(state_machine_arn).replace(':stateMachine:', ':execution:', 1)}:{name}"
            begun = Begun(arn, state_machine_arn, name, execution_input or "{}")
            with self._changed:
                fresh = not self.knows(arn)
                if fresh:
                    self._objects.write_document(_BEGUN, arn, json.dumps(asdict(begun)).encode())
            try:
                execution = start(backend, state_machine_arn, name, execution_input, *more)
            except BaseException:
                if fresh:
                    self._objects.remove_document(_BEGUN, arn)
                raise
            with self._changed:
                self._begun.setdefault(arn, begun)
                if not self.ended(arn):
                    self._running.add(arn)
                self._changed.notify_all()
            return execution

        def terminated(communication: Any) -> None:
            try:
                ended(communication)
            finally:
                with self._changed:
                    # A child execution, of which there can be hundreds, wakes nothing.
                    if communication.execution.exec_arn in self._running:
                        self._running.remove(communication.execution.exec_arn)
                        self._changed.notify_all()

        patches = Patches()
        patches.attribute(StepFunctionsParserBackend, "start_execution", started)
        patches.attribute(BaseExecutionWorkerCommunication, "terminated", terminated)
        return patches

    def wait(self, seconds: float) -> None:
        """Wait until an execution begins or ends."""
        with self._changed:
            self._changed.wait(seconds)

    def wake(self) -> None:
        """End wait() immediately."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_end(self, arn: str, seconds: float) -> bool:
        """Wait until an execution has ended and its end was handled; False after a timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: arn not in self._running, seconds)

    def running(self) -> list[str]:
        """The ARNs of the executions that are running in this server."""
        with self._changed:
            return sorted(self._running)

    def begun(self) -> list[Begun]:
        """All begun executions, in order."""
        return list(self._begun.values())

    def knows(self, arn: str) -> bool:
        """Whether it began, or is about to."""
        return self._objects.document(_BEGUN, arn) is not None

    def cut_off(self) -> list[Begun]:
        """Executions that neither ended nor are running."""
        return [begun for begun in self.begun() if not self.ended(begun.arn) and begun.arn not in self._running]

    def ended(self, arn: str) -> bool:
        return self._objects.document(ENDED, arn) is not None

    def of_upload(self, run_file: str, without: Collection[str] = ()) -> list[Begun]:
        return [begun for begun in self.begun() if begun.run_file == run_file and begun.arn not in without]

    # Commands that have begun but not ended, with the executions that their upload had started before

    def command(self, identity: str) -> list[str] | None:
        content = self._objects.document(_COMMAND, identity)
        return json.loads(content) if content else None

    def begin_command(self, identity: str, before: list[str]) -> None:
        self._objects.write_document(_COMMAND, identity, json.dumps(before).encode())

    def end_command(self, identity: str) -> None:
        self._objects.remove_document(_COMMAND, identity)
