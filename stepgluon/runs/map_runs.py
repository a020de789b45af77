"""The progress of a run's Distributed Maps, in an account or the local AWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepgluon.runs.history import Story

if TYPE_CHECKING:
    from stepgluon.runs.child_jobs import Child

_ENDED = ("succeeded", "failed", "timedOut", "aborted")


def map_words(client: Any, story: Story, models: Mapping[str, str] | None = None) -> list[str]:
    """`Train groups: 37 of 200 groups, 1 failed` for each running Map; nothing without permission, or if throttled.

    `models` has the words of models_done by the ARNs of Map Runs.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    words = []
    for state, arn in story.running_maps.items():
        try:
            counts = client.describe_map_run(mapRunArn=arn)["executionCounts"]
        except (BotoCoreError, ClientError):
            continue
        failed = counts["failed"] + counts["timedOut"]
        done = f"{state}: {sum(counts[kind] for kind in _ENDED)} of {counts['total']} groups"
        done += f", {models[arn]}" if models and arn in models else ""
        words.append(f"{done}, {failed} failed" if failed else done)
    return words


def models_done(children: Sequence[Child], groups: Any) -> dict[str, str]:
    """`1,850 of 10,000 models` by the ARN of the Map Run; `groups` is prepare's groups.json."""
    sizes = {one["group"]: one["models"] for one in groups or ()}
    done = dict.fromkeys((child.map_run for child in children), 0)
    for child in children:
        done[child.map_run] += sizes.get(child.group, 0) if child.ended else 0
    return {arn: f"{count:,} of {sum(sizes.values()):,} models" for arn, count in done.items()} if sizes else {}
