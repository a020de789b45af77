"""DIR/runs/<run>/: what is left of a run for its user, without any server.

    run.json         what `show` and `runs` tell: state, times, jobs, verdicts, reason of a failure
    history.json     the execution's events
    logs/<job>.log   what each job said
    predictions.csv, predictions.parquet, summary.json   the result, when there is one

Each file is whole or absent.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from stepgluon.follow import Job, Story, finite, history, read
from stepgluon.local.deployed import Deployed
from stepgluon.local.journal import Begun

RESULTS = ("predictions.csv", "predictions.parquet", "summary.json")
REMEMBERED = (
    "This job did not run again: its outputs are those of an earlier job with the same code, settings and inputs.\n"
)


def collect(place: Deployed, begun: Begun) -> dict[str, Any]:
    """Brings the run's folder up to date and returns what run.json says."""
    folder = place.work / "runs" / begun.name
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    events = history(place.aws.client("stepfunctions"), begun.arn)
    story = read(events, lambda job: "remembered" if remembered(place, job) else "")
    _write(folder / "history.json", json.dumps(events, default=str, indent=1))
    for job in story.jobs:
        log = folder / "logs" / f"{job.name}.log"
        lines = place.aws.logs.lines(job.kind, job.name)
        if lines or not log.exists():
            _write(log, "".join(f"{line}\n" for line in lines) or _no_log(place, job))
    if story.status == "SUCCEEDED":
        _fetch_results(place, begun, folder)
    told = tell(place, begun, story, folder)
    _write(folder / "run.json", json.dumps(told, indent=1, ensure_ascii=False))
    return told


def tell(place: Deployed, begun: Begun, story: Story, folder: Path) -> dict[str, Any]:
    given = json.loads(begun.input)
    result = folder / "predictions.csv"
    counts = _counts(folder / "summary.json") if story.status == "SUCCEEDED" else {}
    return {
        "run": begun.name,
        "arn": begun.arn,
        "status": story.status,
        "started": story.started,
        "seconds": round(story.seconds, 1),
        "data": given.get("data", ""),
        "note": given.get("note", ""),
        "models": [_model(model) for model in story.models],
        "jobs": [_job(place, story, job) for job in story.jobs],
        "rows": counts.get("rows"),
        "predictions": counts.get("predictions"),
        "failure": None
        if story.status in ("RUNNING", "SUCCEEDED")
        else {"state": story.failed_state, "error": story.error, "sentence": story.sentence},
        "results": os.fspath(result) if story.status == "SUCCEEDED" and result.exists() else None,
        "folder": os.fspath(folder),
        "outbox": os.fspath(place.outbox),
        "lines": story.lines,
    }


def _counts(summary: Path) -> dict[str, int]:
    """How many rows there are; postprocess.py is the user's to change, so its summary may say anything."""
    try:
        told = json.loads(summary.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    counts = told if isinstance(told, dict) else {}
    return {key: counts[key] for key in ("rows", "predictions") if type(counts.get(key)) is int}


def _model(model: dict[str, Any]) -> dict[str, Any]:
    failure = model.get("failure") or {}
    return {
        **{key: model.get(key) for key in ("name", "verdict", "uses", "model_uri")},
        **{key: finite(model.get(key)) for key in ("mae", "threshold")},
        "failure": f"{failure.get('Error', '')}: {failure.get('Cause', '')}".strip(": ") or None,
        "default_of_run": model.get("run") if model.get("uses") == "default" else None,
        "default_mae": model.get("default_mae") if model.get("uses") == "default" else None,
    }


def _job(place: Deployed, story: Story, job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "kind": job.kind,
        "state": job.state,
        "status": job.status,
        "seconds": round((job.ended or story.ended or job.started) - job.started, 1),
        "remembered": remembered(place, job),
        "sentence": job.sentence,
    }


def remembered(place: Deployed, job: Job) -> bool:
    """Whether the job did not run, because its outputs were known."""
    known = place.aws.sagemaker.jobs()
    return any(one.name == job.name and one.kind == job.kind and one.state.remembered for one in known)


def _no_log(place: Deployed, job: Job) -> str:
    return REMEMBERED if remembered(place, job) else ""


def _fetch_results(place: Deployed, begun: Begun, folder: Path) -> None:
    prefix = f"runs/{begun.name}/result/"
    found = {
        stored.key.removeprefix(prefix): stored for stored in place.aws.objects.below(place.stack.work_bucket, prefix)
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
