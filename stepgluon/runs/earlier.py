"""The runs before one, for its report: the errors of its models so far, and what changed since the last of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stepgluon.aws import Door
from stepgluon.names import Names
from stepgluon.runs.compare import change, changed, config_of
from stepgluon.runs.executions import find, tell
from stepgluon.runs.history import metric_of, score_of
from stepgluon.runs.run_list import runs_of
from stepgluon.runs.watch import story_of

RUNS = 10  # in a model's line of errors, with the latest
SETTINGS = 5  # changed ones to show


@dataclass(frozen=True)
class Earlier:
    runs: tuple[dict[str, Any], ...] = ()  # run.json of each, the latest first
    configs: tuple[Any, Any] = (None, None)  # of the latest of them and of the run itself, as far as known

    def errors(self, record: dict[str, Any]) -> dict[str, list[float]]:
        """Each model's errors, the run's own last; those by another metric than the run's do not compare."""
        metrics = {model.get("name"): metric_of(model) for model in record["models"]}
        found: dict[str, list[float]] = {}
        for run in (*reversed(self.runs), record):
            for model in run["models"]:
                error = score_of(model) if metrics.get(model.get("name")) == metric_of(model) else None
                if error is not None:
                    found.setdefault(str(model.get("name")), []).append(error)
        return found

    def compared(self, record: dict[str, Any]) -> str:
        """`Compared with run shop-1129-3f2: same data; config: train.time_limit: 60 → 90.`; empty if all is unknown."""
        if not self.runs:
            return ""
        before, parts = self.runs[0], []
        if (was := before.get("data_sha256")) and (now := record.get("data_sha256")):
            rows = [f"{run['rows']:,}" for run in (record, before) if run.get("rows") is not None]
            counts = f" ({rows[0]} rows, {rows[1]} before)" if len(set(rows)) == 2 else ""
            parts.append("same data" if was == now else f"different data{counts}")
        if None not in self.configs:
            settings = [change(key, values) for key, values in changed(self.configs).items()]
            more = [f"{len(settings) - SETTINGS} more"] if len(settings) > SETTINGS else []
            shown = ", ".join(settings[:SETTINGS] + more)
            parts.append(f"config: {shown}" if settings else "same config")
        return f"Compared with run {before['run']}: {'; '.join(parts)}." if parts else ""


def before(record: dict[str, Any], runs: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The last runs before this one that have evaluated a model."""
    pipeline = record["arn"].rpartition(":")[0]
    found = (
        run
        for run in runs
        if run["arn"].rpartition(":")[0] == pipeline
        and run["started"] < record["started"]  # of the execution and of its first event: two clocks
        and run["run"] != record["run"]
        and (run.get("headline") or any(score_of(model) is not None for model in run["models"]))
    )
    return tuple(islice(found, RUNS - 1))


def in_account(door: Door, names: Names, record: dict[str, Any]) -> Earlier:
    runs = before(record, runs_of(door, names, 2 * RUNS))
    latest = find(door, names, runs[0]["run"]) if runs else None
    if latest is None:
        return Earlier(runs)
    first, s3 = tell(door, names, latest, story_of(door, latest.arn)), door.client("s3")
    return Earlier((first, *runs[1:]), (config_of(s3, first["config"]), config_of(s3, record["config"])))
