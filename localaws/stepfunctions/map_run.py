"""A Map Run: the state of a Distributed Map's child executions, and the results that they leave.

A running Map Run is in memory; its children are archived as they end. Afterwards everything is read from disk.
"""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from localaws.moto_fixes.registry import timestamp

KIND = "map run"
_STATUSES = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "timedOut", "ABORTED": "aborted"}


@dataclass
class MapRun:
    arn: str
    execution: str  # the parent's ARN
    state: str
    kind: str  # of the child executions: STANDARD or EXPRESS
    concurrency: int
    tolerated_count: int | None
    tolerated_percentage: float | None
    status: str = "RUNNING"
    started: str = ""
    stopped: str = ""
    redrives: int = 0
    redriven: str = ""
    written: int = 0  # results in S3
    sizes: list[int] = field(default_factory=list)  # the number of items of each child execution
    statuses: list[str] = field(default_factory=list)  # of each child; empty while it waits for its turn

    @classmethod
    def new(cls, machine: str, label: str | None, **known: Any) -> MapRun:
        name = f"{machine.replace(':stateMachine:', ':mapRun:', 1)}/{label or uuid.uuid4()}:{uuid.uuid4()}"
        return cls(arn=name, started=now(), **known)

    @property
    def machine(self) -> str:
        """The state machine's ARN, as its child executions have it."""
        return self.arn.rpartition(":")[0].replace(":mapRun:", ":stateMachine:", 1)

    @property
    def id(self) -> str:
        return self.arn.rpartition(":")[2]

    @property
    def child_prefix(self) -> str:
        """The beginning of its children's ARNs, with half of the Map Run's UUID, so that they can be listed."""
        return f"{self.machine.replace(':stateMachine:', ':execution:', 1)}:{self.id[:19]}"

    def new_child(self) -> str:
        return self.child_prefix + str(uuid.uuid4())[18:]

    def exceeded(self) -> bool:
        """[sfn] Whether more items failed or timed out than are tolerated; without a threshold, any failure counts."""
        bad = [
            size for size, status in zip(self.sizes, self.statuses, strict=True) if status in ("FAILED", "TIMED_OUT")
        ]
        count, percentage = self.tolerated_count, self.tolerated_percentage
        if count is None and percentage is None:
            count = 0
        share = 100 * sum(bad) / max(sum(self.sizes), 1)
        return (count is not None and sum(bad) > count) or (percentage is not None and share > percentage)

    def counts(self, weights: list[int]) -> dict[str, int]:
        found = dict.fromkeys(("pending", "running", "succeeded", "failed", "timedOut", "aborted"), 0)
        for weight, status in zip(weights, self.statuses, strict=True):
            found[_STATUSES.get(status, "running" if status else "pending")] += weight
        return {**found, "total": sum(weights), "resultsWritten": self.written}

    def listed(self) -> dict[str, Any]:
        stopped = {"stopDate": self.stopped} if self.stopped else {}
        arns = {"executionArn": self.execution, "mapRunArn": self.arn, "stateMachineArn": self.machine}
        return {**arns, "startDate": self.started, **stopped}

    def described(self) -> dict[str, Any]:
        known = {key: value for key, value in self.listed().items() if key != "stateMachineArn"}
        return {
            **known,
            "status": self.status,
            "maxConcurrency": self.concurrency,
            "toleratedFailureCount": self.tolerated_count or 0,
            "toleratedFailurePercentage": self.tolerated_percentage or 0.0,
            "itemCounts": self.counts(self.sizes),
            "executionCounts": self.counts([1] * len(self.sizes)),
            "redriveCount": self.redrives,
            **({"redriveDate": self.redriven} if self.redriven else {}),
        }

    def content(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, content: bytes) -> MapRun:
        return cls(**json.loads(content))


def now() -> str:
    return timestamp(datetime.datetime.now(datetime.timezone.utc))


def result(child: Any) -> dict[str, Any]:
    """[sfn] ResultWriter, Transformation NONE: a child execution's result with the workflow's metadata."""
    succeeded = child.status == "SUCCEEDED"
    output = {"Output": child.output, "OutputDetails": {"Included": True}} if succeeded else {}
    return {
        "ExecutionArn": child.execution_arn,
        "Input": child.execution_input,
        "InputDetails": {"Included": True},
        "Name": child.name,
        **output,
        **({"Error": child.error} if child.error is not None else {}),
        **({"Cause": child.cause} if child.cause is not None else {}),
        "RedriveCount": getattr(child, "redrives", 0),
        "RedriveStatus": "NOT_REDRIVABLE" if succeeded else "REDRIVABLE_BY_MAP_RUN",
        "StartDate": timestamp(child.start_date),
        "StateMachineArn": child.state_machine_arn,
        "Status": child.status,
        "StopDate": timestamp(child.stop_date),
    }
