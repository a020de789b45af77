"""The runs as a table: pipeline, start, duration, state, accepted models, and why a run failed."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer
from stepgluon.figures import aligned, cells, cut, took
from stepgluon.names import Names
from stepgluon.runs import headline
from stepgluon.runs.executions import Execution, find, listed, read_json
from stepgluon.runs.history import INCOMPLETE, sentence
from stepgluon.runs.promote import verdicts_of

STATES = {"SUCCEEDED": "finished", "ABORTED": "stopped", "TIMED_OUT": "took too long"}  # others in lower case
READERS = 8
NOTE = 16  # characters of a note that are worth a column
_GONE = ("AccessDenied", "403", "NoSuchBucket")  # the table is useful without the models, too


def runs_of(door: Door, names: Names, most: int) -> list[dict[str, Any]]:
    """The last runs of an account with their models, latest first, with the keys of run.json that the table needs."""

    def row(execution: Execution) -> dict[str, Any]:
        full = find(door, names, execution.run) or execution
        bucket, summed = names.work_bucket, None
        if names.config.partitioned:
            key, verdicts = f"runs/{execution.run}/result/{headline.FILE}", []
            summed = headline.checked(answer(lambda: read_json(s3, bucket, key), *_GONE))
        else:
            verdicts = answer(lambda: verdicts_of(s3, bucket, execution.run), *_GONE) or []
        failed = full.status not in ("SUCCEEDED", "RUNNING", "PENDING_REDRIVE")
        why = {"state": "", "error": full.error, "sentence": sentence("", full.cause) or full.error}
        return {
            **full.row(),
            "arn": full.arn,
            "note": full.given.get("note", ""),
            "models": [{key: v.get(key) for key in ("name", "verdict", "mae", "metric", "score")} for v in verdicts],
            **({"headline": summed} if summed else {}),
            "failure": why if failed else None,
        }

    runs, s3 = listed(door, names, most), door.client("s3")
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(row, runs))


def runs_table(runs: list[dict[str, Any]], start: str = "run --data FILE") -> str:
    """A line for each run, and below it why it failed; as wide as the terminal, if the output is one."""
    if not runs:
        return f"No runs yet. Start one: {pipeline_py(start)}\n"
    width = shutil.get_terminal_size().columns if os.isatty(1) else 10**6
    columns = {
        "run": [record["run"] for record in runs],
        "pipeline": [_pipeline(record) for record in runs],
        "started": [started(record["started"]) for record in runs],
        "took": [took(record["seconds"]) for record in runs],
        "state": [state(record) for record in runs],
        "accepted": [_accepted(record) for record in runs],
    }
    for name in ("pipeline", "accepted"):  # a run's name begins with the pipeline's
        if _wide(columns) > width:
            del columns[name]
    beside = any(record["note"] for record in runs) and width - _wide(columns) > NOTE
    if beside:
        columns["note"] = [record["note"] for record in runs]
    head, *rows = aligned([tuple(columns), *zip(*columns.values(), strict=True)], right=[[*columns].index("took")])
    lines = [head]
    for record, row in zip(runs, rows, strict=True):
        failure, note = record.get("failure"), record["note"]
        lines.append(cut(row, width) if beside else row)
        below = [failure["sentence"] or failure["error"]] if failure else []
        lines += [cut(f"    {text}", width) for text in below + ([note] if note and not beside else [])]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wide(columns: dict[str, list[str]]) -> int:
    return sum(max(map(cells, (name, *rows))) + 2 for name, rows in columns.items()) - 2


def _pipeline(record: dict[str, Any]) -> str:
    return str(record.get("arn", "")).split(":")[6] if str(record.get("arn", "")).count(":") == 7 else ""


def started(seconds: float) -> str:
    form = "%m-%d %H:%M" if time.time() - seconds < 180 * 86400 else "%Y-%m-%d"
    return time.strftime(form, time.localtime(seconds)) if seconds else "-"


def state(record: dict[str, Any]) -> str:
    if record.get("failure") and record["failure"]["error"] == INCOMPLETE:
        return "incomplete"
    status = str(record["status"])
    return STATES.get(status, status.lower().replace("_", " "))


def _accepted(record: dict[str, Any]) -> str:
    """The number of accepted models, like `2 of 3`; empty until the models are evaluated."""
    if summed := record.get("headline"):
        return f"{summed['accepted']:,} of {summed['models']:,}"
    models = record.get("models") or []
    return f"{sum(model['verdict'] == 'accepted' for model in models)} of {len(models)}" if models else ""
