"""DIR/runs/<run>/: what is left of a run for its user, without any server.

    run.json         what `show` and `runs` tell (runs/run_json.py)
    history.json     the execution's events
    logs/<job>.log   what each job said
    predictions.csv, predictions.parquet, summary.json   the result, when there is one

Each file is whole or absent.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from stepgluon.local.deployed import Deployed
from stepgluon.local.journal import Begun
from stepgluon.runs.follow import Job, Story, read
from stepgluon.runs.run_json import run_json

RESULTS = ("predictions.csv", "predictions.parquet", "summary.json")
_ONE_AT_A_TIME = threading.Lock()  # two would write the same files, and the slower one what is older
CACHED = (
    "This job did not run again: its outputs are those of an earlier job with the same code, settings and inputs.\n"
)


def collect(place: Deployed, begun: Begun) -> dict[str, Any]:
    """Brings the run's folder up to date and returns what run.json says."""
    with _ONE_AT_A_TIME:
        return _collect(place, begun)


def _collect(place: Deployed, begun: Begun) -> dict[str, Any]:
    folder = place.work / "runs" / begun.name
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    events = place.aws.history(begun.arn)
    story = read(events, lambda job: "cached" if cached(place, job) else "")
    _write(folder / "history.json", json.dumps(events, default=str, indent=1))
    for job in story.jobs:
        log = folder / "logs" / f"{job.name}.log"
        lines = place.aws.logs.lines(job.kind, job.name)
        if lines or not log.exists():
            _write(log, "".join(f"{line}\n" for line in lines) or _no_log(place, job))
    if story.delivered:
        _fetch_results(place, begun, folder)
    run = tell(place, begun, story, folder)
    _write(folder / "run.json", json.dumps(run, indent=1, ensure_ascii=False))
    return run


def tell(place: Deployed, begun: Begun, story: Story, folder: Path) -> dict[str, Any]:
    result = folder / "predictions.csv"
    return run_json(
        begun.name,
        _given(begun),
        story,
        _summary(folder / "summary.json"),
        lambda job: cached(place, job),
        now=time.time(),
        arn=begun.arn,
        results=os.fspath(result) if story.delivered and result.exists() else None,
        folder=os.fspath(folder),
        outbox=os.fspath(place.outbox),
    )


def _given(begun: Begun) -> dict[str, Any]:
    """The run's input; who starts an execution by hand may give anything."""
    given = json.loads(begun.input)
    return given if isinstance(given, dict) else {}


def _summary(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def cached(place: Deployed, job: Job) -> bool:
    """Whether the job did not run, because its outputs were known."""
    known = place.aws.sagemaker.jobs()
    return any(one.name == job.name and one.kind == job.kind and one.state.remembered for one in known)


def _no_log(place: Deployed, job: Job) -> str:
    return CACHED if cached(place, job) else ""


def _fetch_results(place: Deployed, begun: Begun, folder: Path) -> None:
    prefix = f"runs/{begun.name}/result/"
    found = {
        stored.key.removeprefix(prefix): stored for stored in place.aws.objects.below(place.names.work_bucket, prefix)
    }
    for name in RESULTS:
        if name in found:
            part = folder / f".{name}.part"
            shutil.copyfile(place.aws.objects.file(found[name].content), part)
            part.replace(folder / name)


def _write(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
