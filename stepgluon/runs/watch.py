"""Follows a run: `follow` locally, `watch` through Step Functions, gently, despite throttling and lost connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepgluon import aws
from stepgluon.aws import Door
from stepgluon.runs.history import Event, Remark, Story, no_remark, read

FIRST_PAGE, NEXT_PAGE = 1000, 100  # little happens between two looks
SOON, LATE, SLOWER = 2.0, 20.0, 1.5  # seconds between two looks: initial, maximum; growth factor
PATIENCE = 60  # consecutive failed looks: about a quarter of an hour with the client's own retries


class History:
    """The events of an execution. A look reads only the newest page if that reaches back to known events."""

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
                self._events |= found  # only now: an interrupted look must leave no gap
                return [self._events[number] for number in sorted(self._events)]
            token = {"nextToken": page["nextToken"]}


def story_of(door: Door, arn: str) -> Story:
    return read(History(door.client("stepfunctions"), arn).look())


def watch(
    door: Door, arn: str, tell: Callable[[Story], None], say: Callable[[str], None], wait: Callable[[float], None]
) -> Story:
    """Pass the story to `tell` after each look, until the run has ended."""
    history = History(door.client("stepfunctions"), arn)
    pause, lost, known = SOON, 0, 0
    while True:
        events = _look(history, lost >= PATIENCE)
        if events is None:
            if lost == 0:
                say("AWS does not answer. The run continues; retrying.")
            lost, pause = lost + 1, min(pause * SLOWER, LATE)
        else:
            lost, story = 0, read(events)
            tell(story)
            if story.ended is not None:
                return story
            pause = SOON if len(events) > known else min(pause * SLOWER, LATE)
            known = len(events)
        wait(pause)


def _look(history: History, last: bool) -> list[Event] | None:
    """The events, or None after a temporary error."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return history.look()
    except (BotoCoreError, ClientError) as error:
        if last or not aws.passes(error):
            raise
        return None


def follow(
    look: Callable[[], list[Event]],
    tell: Callable[[Story], None],
    wait: Callable[[float], None],
    remark: Remark = no_remark,
) -> Story:
    """Pass the story to `tell` after each look, until the run has ended; `wait` gets the seconds between looks."""
    looks = 0
    while True:
        story = read(look(), remark)
        tell(story)
        if story.ended is not None:
            return story
        looks += 1
        wait(0.2 if looks < 50 and not story.running_maps else 1.0)
