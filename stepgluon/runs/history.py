"""The events of an execution, asked of Step Functions page by page."""

from __future__ import annotations

from typing import Any

from stepgluon.runs.follow import Event

FIRST_PAGE, NEXT_PAGE = 1000, 100  # between two looks little happens


class History:
    """The events of an execution. Each look asks for the newest page alone, as long as that reaches what is known."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client = client
        self._arn = arn
        self._events: dict[int, Event] = {}

    def look(self) -> list[Event]:
        found: dict[int, Event] = {}
        token: dict[str, str] = {}
        size = NEXT_PAGE if self._events else FIRST_PAGE
        while True:
            page = self._client.get_execution_history(
                executionArn=self._arn, maxResults=size, reverseOrder=True, **token
            )
            found |= {event["id"]: event for event in page["events"]}
            known = any(event["id"] in self._events for event in page["events"])
            if known or not page.get("nextToken"):
                self._events |= found  # not before: a look that is cut off leaves no gap
                return [self._events[number] for number in sorted(self._events)]
            token = {"nextToken": page["nextToken"]}
