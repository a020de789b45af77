"""Which executions began, and which commands asked for them: what is needed to go on after this computer was cut off.

An execution that ended is kept by localaws/stepfunctions/execution_archive.py; one that is here and not there was cut
off. Started again under its name and with its input it is the same run: jobs that had finished are not repeated, and
mails that were sent stay sent.
"""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from localaws.base.patches import Patches
from localaws.s3.store import Objects
from localaws.stepfunctions.execution_archive import KIND as ENDED
from localaws.stepfunctions.versions import unqualified

_BEGUN, _COMMAND = "begun", "command"


@dataclass(frozen=True)
class Begun:
    """An execution as it was asked for."""

    arn: str
    machine: str
    name: str
    input: str

    @cached_property
    def run_file(self) -> str:
        """The upload that it is for, or nothing."""
        given = json.loads(self.input)
        return str(given.get("run_file", "")) if isinstance(given, dict) else ""


class Journal:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        documents = objects.documents(_BEGUN)
        # Folders of before 0.1.0 have empty documents of starts that were refused.
        self._begun = {arn: Begun(**json.loads(told)) for arn, told in documents if told}
        self._changed = threading.Condition()
        self._running: set[str] = set()

    def install(self) -> Patches:
        """From now on every execution is written down before it begins; installed last, it hears of ends last."""
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
                    self._running.discard(communication.execution.exec_arn)
                    self._changed.notify_all()

        patches = Patches()
        patches.attribute(StepFunctionsParserBackend, "start_execution", started)
        patches.attribute(BaseExecutionWorkerCommunication, "terminated", terminated)
        return patches

    def wait(self, seconds: float) -> None:
        """Until an execution begins or ends."""
        with self._changed:
            self._changed.wait(seconds)

    def wake(self) -> None:
        """Whoever waits looks again."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_end(self, arn: str, seconds: float) -> bool:
        """Until an execution ended and all who had to hear of it did; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: arn not in self._running, seconds)

    def running(self) -> list[str]:
        """The ARNs of what runs in this server now."""
        with self._changed:
            return sorted(self._running)

    def begun(self) -> list[Begun]:
        """In the order in which they began; the local AWS can be asked for each, unless it was cut off."""
        return list(self._begun.values())

    def knows(self, arn: str) -> bool:
        """Whether it began, or is about to."""
        return self._objects.document(_BEGUN, arn) is not None

    def cut_off(self) -> list[Begun]:
        """Executions that neither ended nor run."""
        return [begun for begun in self.begun() if not self.ended(begun.arn) and begun.arn not in self._running]

    def ended(self, arn: str) -> bool:
        return self._objects.document(ENDED, arn) is not None

    # Commands: `{"before": [ARNs], "done": bool}` by what was asked for

    def command(self, identity: str) -> dict[str, Any] | None:
        content = self._objects.document(_COMMAND, identity)
        return json.loads(content) if content else None

    def write_command(self, identity: str, told: dict[str, Any]) -> None:
        self._objects.write_document(_COMMAND, identity, json.dumps(told).encode())
