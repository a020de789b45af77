"""Follows a run from afar: gently, and through throttling and lost connections."""

from __future__ import annotations

from collections.abc import Callable

from stepgluon import aws
from stepgluon.aws import Door
from stepgluon.runs.follow import Event, Remark, Story, no_remark, read
from stepgluon.runs.history import History

SOON, LATE, SLOWER = 2.0, 20.0, 1.5  # seconds between two looks: at first, at most; and how they grow
PATIENCE = 60  # looks that may fail in a row: about a quarter of an hour with the client's own tries


def story_of(door: Door, arn: str, remark: Remark = no_remark) -> Story:
    return read(History(door.client("stepfunctions"), arn).look(), remark)


def watch(
    door: Door, arn: str, tell: Callable[[Story], None], say: Callable[[str], None], wait: Callable[[float], None]
) -> Story:
    """Tells the story until it has ended."""
    history = History(door.client("stepfunctions"), arn)
    pause, lost, known = SOON, 0, 0
    while True:
        events = _look(history, lost >= PATIENCE)
        if events is None:
            if lost == 0:
                say("AWS does not answer. The run goes on; trying again.")
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
    """The events, or None where the reason is likely to pass."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return history.look()
    except (BotoCoreError, ClientError) as error:
        if last or not aws.passes(error):
            raise
        return None
