"""The progress of a run's Distributed Maps, in an account or the local AWS."""

from __future__ import annotations

from typing import Any

from stepgluon.runs.history import Story

_ENDED = ("succeeded", "failed", "timedOut", "aborted")


def map_words(client: Any, story: Story) -> list[str]:
    """`Train groups: 37 of 200 groups, 1 failed` for each running Map; nothing without permission, or if throttled."""
    from botocore.exceptions import BotoCoreError, ClientError

    words = []
    for state, arn in story.running_maps.items():
        try:
            counts = client.describe_map_run(mapRunArn=arn)["executionCounts"]
        except (BotoCoreError, ClientError):
            continue
        failed = counts["failed"] + counts["timedOut"]
        done = f"{state}: {sum(counts[kind] for kind in _ENDED)} of {counts['total']} groups"
        words.append(f"{done}, {failed} failed" if failed else done)
    return words
