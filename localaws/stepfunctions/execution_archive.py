"""Ended executions on disk: they survive the server, and their memory is freed.

moto keeps each execution with the data of all its threads. An ended one is replaced by a `PastExecution`, which reads
its document on demand. A recreated state machine gets its past executions back, so names stay unique.
"""

from __future__ import annotations

import datetime
import json
import zlib
from typing import Any

from localaws.base.patches import Patches
from localaws.s3.store import Objects

KIND = "execution"
_HEADER = "execution's header"  # read at startup; the document itself only on demand
_CHILD = "child execution's header"  # of a Distributed Map; not read at startup, because there can be many
_TIMES = ("start_date", "stop_date", "redriven")


class PastExecution:
    """The part of moto's Execution that moto's responses need."""

    exec_worker = None
    output_details = {"included": True}  # noqa: RUF012 - a constant

    def __init__(self, objects: Objects, header: dict[str, Any]) -> None:
        self._objects = objects
        self.execution_arn: str
        for field, value in header.items():
            setattr(self, field, datetime.datetime.fromisoformat(value) if value and field in _TIMES else value)
        self.exec_arn = self.execution_arn

    @property
    def execution_input(self) -> str:
        return str(self.document()["input"])

    @property
    def output(self) -> Any:
        return self.document()["output"]

    def to_history_output(self) -> dict[str, Any]:
        return {"events": self.document()["events"]}

    def stop(self, *values: Any, **named: Any) -> None:
        """Do nothing: it has ended."""

    def document(self) -> dict[str, Any]:
        content = self._objects.document(KIND, self.execution_arn)
        assert content is not None, "documents are never removed while the server runs"
        document: dict[str, Any] = json.loads(zlib.decompress(content))
        return document


def history(account: str, region: str, arn: str) -> list[dict[str, Any]]:
    """The events as a client gets them, without moto's serializer, which for a whole run takes longer than a job."""
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    found = stepfunctions_parser_backends[account][region].get_execution_history(arn)
    return [
        {
            **event,
            "type": str(getattr(event["type"], "value", event["type"])),
            "timestamp": datetime.datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")),
        }
        for event in found["events"]
    ]


def keep(execution: Any, objects: Objects) -> None:
    """Write one of moto's executions that has just ended, and replace it in its machine's list."""
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    events = execution.to_history_output()["events"]
    header = {
        "execution_arn": execution.exec_arn,
        "status": str(getattr(execution.exec_status, "value", execution.exec_status)),
        "redrives": getattr(execution, "redrives", 0),
        "event_count": len(events),
    }
    for field in ("name", "state_machine_arn", "version_arn", "alias_arn", "error", "cause"):
        header[field] = getattr(execution, field)
    is_child = hasattr(execution, "map_run_arn")
    if is_child:
        header["map_run_arn"] = execution.map_run_arn
    for field in _TIMES:
        moment = getattr(execution, field, None)
        header[field] = moment and moment.isoformat()
    document = {
        "input": execution.execution_input,
        "output": execution.output,
        "events": events,
        **({} if is_child else {"definition": execution.state_machine.definition, "role": execution.role_arn}),
    }
    kind, text = _CHILD if is_child else _HEADER, json.dumps(header).encode()
    objects.write_documents(execution.exec_arn, {KIND: zlib.compress(json.dumps(document).encode(), 1), kind: text})
    if is_child:
        return
    backend = stepfunctions_parser_backends[execution.account_id][execution.region_name]
    for machine in backend.state_machines:
        if execution in machine.executions:
            machine.executions[machine.executions.index(execution)] = PastExecution(objects, header)


def children(objects: Objects, prefix: str) -> list[PastExecution]:
    """The ended child executions whose ARNs begin like this, in the order of their ends."""
    return [PastExecution(objects, json.loads(text)) for _, text in objects.documents(_CHILD, prefix)]


def child(objects: Objects, arn: str) -> PastExecution | None:
    header = objects.document(_CHILD, arn)
    return PastExecution(objects, json.loads(header)) if header else None


def forget_children(objects: Objects, prefix: str) -> None:
    for name, _ in objects.documents(_CHILD, prefix):
        for kind in (_CHILD, KIND):
            objects.remove_document(kind, name)


def bring_back(patches: Patches, objects: Objects) -> None:
    """Give each newly created state machine its past executions, in the order of their ends."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    plain = StepFunctionsParserBackend.create_state_machine

    def create(self: Any, *values: Any, **named: Any) -> Any:
        machine = plain(self, *values, **named)
        if not machine.executions:
            prefix = machine.arn.replace(":stateMachine:", ":execution:") + ":"
            headers = [json.loads(text) for name, text in objects.documents(_HEADER) if name.startswith(prefix)]
            headers.sort(key=lambda header: str(header["stop_date"]))
            machine.executions += [PastExecution(objects, header) for header in headers]
        return machine

    patches.attribute(StepFunctionsParserBackend, "create_state_machine", create)
