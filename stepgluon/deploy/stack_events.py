"""Follows a stack's events while CloudFormation changes it: prints them, and keeps the first failure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

POLL_SECONDS = 3.0
QUIET_POLLS = 40  # without an event; after that, trust the stack's status alone
_DONE = {
    "CREATE_COMPLETE": "created",
    "UPDATE_COMPLETE": "changed",
    "DELETE_COMPLETE": "removed",
    "DELETE_SKIPPED": "kept",
    "IMPORT_COMPLETE": "found again",
}


@dataclass(frozen=True)
class End:
    """How a change of a stack ended, and its first failure."""

    status: str
    failed: dict[str, Any] | None  # an event

    @property
    def good(self) -> bool:
        return self.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "DELETE_COMPLETE")


class Events:
    """The events of one stack from now on."""

    def __init__(
        self, cloudformation: Any, stack_id: str, tell: Callable[[str], None], wait: Callable[[float], None]
    ) -> None:
        self._client = cloudformation
        self._stack_id = stack_id
        self._tell = tell
        self._wait = wait
        self._failed: dict[str, Any] | None = None
        self._rolls_back = False
        self._last = next((event["EventId"] for event in self._newest_first()), "")

    def follow(self, begun: bool = False) -> End:
        """Return when the stack's change has ended. Unless it has `begun`, wait for an event with the stack's status:
        without one, the status may still be the previous one.
        """
        quiet, reported = 0, ""
        while True:
            status = self._status()  # read before the events, so none is missed
            fresh = self._new()
            for event in fresh:
                self._note(event)
                reported = str(event["ResourceStatus"]) if self._is_stack(event) else reported
            quiet = 0 if fresh else quiet + 1
            if not status.endswith("_IN_PROGRESS") and (begun or reported == status or quiet > QUIET_POLLS):
                return End(status, self._failed)
            self._wait(POLL_SECONDS)

    def _status(self) -> str:
        return str(self._client.describe_stacks(StackName=self._stack_id)["Stacks"][0]["StackStatus"])

    def _newest_first(self) -> Any:
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=self._stack_id):
            yield from page["StackEvents"]

    def _new(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for event in self._newest_first():
            if event["EventId"] == self._last:
                break
            found.append(event)
        if found:
            self._last = found[0]["EventId"]
        return found[::-1]

    def _is_stack(self, event: dict[str, Any]) -> bool:
        return str(event["ResourceType"]) == "AWS::CloudFormation::Stack"

    def _note(self, event: dict[str, Any]) -> None:
        status, reason = str(event["ResourceStatus"]), str(event.get("ResourceStatusReason") or "")
        if self._is_stack(event):
            if "ROLLBACK_IN_PROGRESS" in status and not self._rolls_back:
                self._rolls_back = True
                self._failed = self._failed or event
                self._tell("  it goes wrong, and is rolled back")
        elif status.endswith("_FAILED"):
            # Cancelled resources only follow an earlier failure.
            if self._failed is None and "cancelled" not in reason.lower():
                self._failed = event
            self._tell(f"  {event['LogicalResourceId']} failed: {plain(reason)}")
        elif status in _DONE and not self._rolls_back:
            self._tell(f"  {_DONE[status]} {event['LogicalResourceId']}")


def plain(reason: str) -> str:
    """A reason without the wrapping added by CloudFormation's handlers."""
    text = " ".join(reason.split())
    text = re.sub(r'^Resource handler returned message: "(.*)"( \([^()]*\))?$', r"\1", text)
    text = re.sub(r" \((Service|RequestToken|HandlerErrorCode): [^()]*\)", "", text)
    return text.rstrip(". ") or "AWS gives no reason"
