"""Executions that have ended, on disk: what they were survives the server, and their memory is given back.

moto keeps each execution with all threads' data for ever; here an ended one is swapped for a `PastExecution`, which
reads what is asked. A state machine that is made again finds its past executions, so that a name is used once.
"""

from __future__ import annotations

import datetime
import json
import time
import zlib
from typing import Any

from localaws.base.patches import Patches
from localaws.s3.store import Objects

KIND = "execution"
_LARGE = ("input", "output", "events", "definition", "role")  # what only the document has
_HEADER = "execution's header"  # what of it is read at each start; all else is read when it is asked for


class PastExecution:
    """As much of moto's Execution as its answers need."""

    exec_worker = None
    output_details = {"included": True}  # noqa: RUF012 - a constant

    def __init__(self, objects: Objects, told: dict[str, Any]) -> None:
        self._objects = objects
        self.execution_arn = self.exec_arn = told["arn"]
        self.name = told["name"]
        self.status = told["status"]
        self.state_machine_arn = told["machine"]
        self.start_date = datetime.datetime.fromisoformat(told["started"])
        self.stop_date = datetime.datetime.fromisoformat(told["stopped"])
        self.error, self.cause = told["error"], told["cause"]
        self.version_arn, self.alias_arn = told.get("version"), told.get("alias")
        self.redrives, redriven = told.get("redrives", 0), told.get("redriven")
        self.redriven = datetime.datetime.fromisoformat(redriven) if redriven else None
        self.redriven_with, self.event_count = told.get("redriven_with"), told.get("event_count")

    @property
    def execution_input(self) -> str:
        return str(self.document()["input"])

    @property
    def output(self) -> Any:
        return self.document()["output"]

    def to_history_output(self) -> dict[str, Any]:
        return {"events": self.document()["events"]}

    def stop(self, *values: Any, **named: Any) -> None:
        """It has ended."""

    def document(self) -> dict[str, Any]:
        content = self._objects.document(KIND, self.execution_arn)
        assert content is not None, "documents are never removed while the server runs"
        document: dict[str, Any] = json.loads(zlib.decompress(content))
        return document


def history(account: str, region: str, arn: str) -> list[dict[str, Any]]:
    """The events of an execution as a client has them, but not through moto's serializer: of a whole run that takes
    longer than a job.
    """
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    told = stepfunctions_parser_backends[account][region].get_execution_history(arn)
    return [
        {
            **event,
            "type": str(getattr(event["type"], "value", event["type"])),
            "timestamp": datetime.datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")),
        }
        for event in told["events"]
    ]


def keep(execution: Any, objects: Objects) -> None:
    """Writes an execution of moto's that has just ended, and swaps it in its machine's list."""
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    events = execution.to_history_output()["events"]
    told = {
        "arn": execution.exec_arn,
        "name": execution.name,
        "status": str(getattr(execution.exec_status, "value", execution.exec_status)),
        "machine": execution.state_machine_arn,
        "started": execution.start_date.isoformat(),
        "stopped": execution.stop_date.isoformat(),
        "version": execution.version_arn,
        "alias": execution.alias_arn,
        "error": execution.error,
        "cause": execution.cause,
        "redrives": getattr(execution, "redrives", 0),
        "redriven_with": getattr(execution, "redriven_with", None),
        "event_count": len(events),
        "redriven": execution.redriven.isoformat() if hasattr(execution, "redriven") else None,
    }
    document = {
        **told,
        "input": execution.execution_input,
        "output": execution.output,
        "events": events,
        "definition": execution.state_machine.definition,
        "role": execution.role_arn,
    }
    objects.write_document(KIND, execution.exec_arn, zlib.compress(json.dumps(document).encode(), 1))
    objects.write_document(_HEADER, execution.exec_arn, json.dumps(told).encode())
    backend = stepfunctions_parser_backends[execution.account_id][execution.region_name]
    for machine in backend.state_machines:
        if execution in machine.executions:
            machine.executions[machine.executions.index(execution)] = PastExecution(objects, told)


def bring_back(patches: Patches, objects: Objects) -> None:
    """Gives each state machine that is made its past executions."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    plain = StepFunctionsParserBackend.create_state_machine

    def create(self: Any, *values: Any, **named: Any) -> Any:
        machine = plain(self, *values, **named)
        if not machine.executions:
            prefix = machine.arn.replace(":stateMachine:", ":execution:") + ":"
            machine.executions += [PastExecution(objects, told) for told in _headers(objects, prefix)]
        return machine

    patches.attribute(StepFunctionsParserBackend, "create_state_machine", create)


def _headers(objects: Objects, prefix: str) -> list[dict[str, Any]]:
    """In the order of the executions' ends. One that is not there, as in an older folder, is written now."""
    headers, found = dict(objects.documents(_HEADER)), []
    for name in objects.names(KIND):
        if name not in headers:
            content = objects.document(KIND, name) or b""
            document = json.loads(zlib.decompress(content))
            told = {field: value for field, value in document.items() if field not in _LARGE}
            headers[name] = json.dumps(told).encode()
            objects.write_document(_HEADER, name, headers[name])
        if name.startswith(prefix):
            found.append(json.loads(headers[name]))
    return sorted(found, key=lambda told: str(told["stopped"]))


def abandon(account: str, region: str, seconds: float) -> None:
    """Ends the threads of all executions that still run, and waits so long for them."""
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    backend = stepfunctions_parser_backends[account][region]
    now = datetime.datetime.now(datetime.timezone.utc)
    running = [one for machine in backend.state_machines for one in machine.executions if one.status == "RUNNING"]
    for execution in running:
        if execution.exec_worker.env:
            execution.exec_worker.env.set_stop(stop_date=now, error=None, cause=None)
    end = time.monotonic() + seconds
    while any(one.status == "RUNNING" for one in running) and time.monotonic() < end:
        time.sleep(0.01)
