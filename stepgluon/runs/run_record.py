"""The record of a run, as JSON: what run.json has and `show --json` prints.

run, arn           its name and its execution
status, started, seconds, data, note
models             the verdicts, with each prediction's outcome; for a promoted default also its run; `promoted` if the
                   trained model already was
shared             the release of the endpoint that the models of all partitions share, by its name in the config
jobs               each with its state, status and times, and the sentence if it failed; `billed` are the seconds that
                   AWS bills for each of its instances, an estimate; `used` is what its log says that it used
critical_path      {steps, seconds, other, advice}: the states that determined how long the run took (critical_path.py)
cost               {usd, published, models, unpriced}: what these jobs cost on AWS by its prices, an estimate
headline           of a run with a model for each partition, in place of models: their counts, the worst, and why some
                   did not predict, see headline.py
rows, predictions, gaps  their counts, from summary.json; data_sha256 is that of the tables
config             the address of the config that the jobs got
failure            {state, error, sentence}, or null
results, folder    the paths of the result, if there is one, and of everything else
report             the path of report.html, once the run has ended; the key is missing in runs of earlier versions
outbox             the path of the mails
progress           of a run in progress: how far its Distributed Maps are
unread             of a run in an account: why jobs of its groups are missing, if any are
lines              what `watch` prints
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepgluon.cost.billed import cost_of
from stepgluon.runs import headline
from stepgluon.runs.critical_path import critical_path
from stepgluon.runs.history import Job, Story, finite, metric_of, parsed
from stepgluon.runs.job_log import CELL, LAST_LINES, tidied


def run_json(
    run: str,
    given: dict[str, Any],
    story: Story,
    summary: Any,
    cached: Callable[[Job], bool] = lambda job: False,
    now: float = 0.0,
    **places: Any,
) -> dict[str, Any]:
    """`given` is the execution's input, `summary` summary.json; `places` are arn, results, folder, outbox.

    The duration of an unfinished job or run is computed up to `now`.
    """
    until = story.ended or max(now, story.started)
    return {
        "run": run,
        "status": story.status,
        "started": story.started,
        "seconds": round(until - story.started, 1) if story.started else 0.0,
        "data": given.get("data", ""),
        "note": given.get("note", ""),
        "models": [_model(model, _quality(summary, model.get("name"))) for model in story.models],
        "jobs": (jobs := [_job(job, until, cached(job)) for job in story.jobs]),
        **({"shared": story.shared} if story.shared else {}),
        "critical_path": critical_path(story, not str(places.get("folder", "")).startswith("s3://")),
        "cost": cost_of(jobs, str(places.get("arn", ""))),
        **(
            {"headline": found}
            if story.delivered and (found := headline.checked(parsed(summary).get("headline")))
            else {}
        ),
        **_counts(summary if story.delivered else None),
        "data_sha256": parsed(summary).get("data_sha256"),
        "config": story.config,
        "failure": _failure_of(story),
        **places,
        "lines": story.lines,
    }


def _model(model: dict[str, Any], quality: dict[str, Any]) -> dict[str, Any]:
    promoted = model.get("uses") == "default" and "default_mae" in model  # not a default named in the config
    return {
        **{key: model.get(key) for key in ("name", "verdict", "reason", "uses", "model_uri", "outcome")},
        **{key: finite(model.get(key)) for key in ("mae", "mae_of_median", "threshold")},
        "unit": model.get("unit"),
        **({"version": model["version"]} if model.get("version") else {}),
        **_judged(model),
        **quality,
        **{key: _why(model.get(key)) for key in ("failure", "outcome_failure")},
        "cached": model.get("cached") is True,
        **({"release": release} if (release := parsed(model.get("release"))) else {}),
        "promoted": model.get("promoted") is True,
        "predictions_cached": model.get("predictions_cached") is True,
        "default_of_run": model.get("run") if promoted else None,
        "default_mae": model["default_mae"] if promoted else None,
    }


def _judged(model: dict[str, Any]) -> dict[str, Any]:
    """The score of a model judged by a metric other than mae."""
    if metric_of(model) == "mae":
        return {}
    numbers = {key: finite(model.get(key)) for key in ("score", "baseline", "at_most", "at_least")}
    return {"metric": metric_of(model), **numbers}


def _quality(summary: Any, name: Any) -> dict[str, Any]:
    """R² and the learner, from summary.json, which the user's own postprocess.py may have written."""
    models = summary.get("models") if isinstance(summary, dict) else None
    listed = models if isinstance(models, list) else []
    found = next((one for one in listed if isinstance(one, dict) and one.get("name") == name), {})
    learner = found.get("learner")
    return {"r2": finite(found.get("r2")), "learner": learner if isinstance(learner, str) else None}


def _why(failure: Any) -> str | None:
    """The sentence in a verdict's failure."""
    record = failure if isinstance(failure, dict) else {}
    return str(record.get("Cause") or record.get("Error") or "") or None


def _job(job: Job, until: float, cached: bool) -> dict[str, Any]:
    return {
        "name": job.name,
        "kind": job.kind,
        "state": job.state,
        "status": job.status,
        "started": job.started,
        "seconds": round((job.ended or max(until, job.started)) - job.started, 1),
        "cached": cached,
        "instance": job.instance,
        "instances": job.instances,
        "billed": None if cached else job.billed if job.ended else max(0.0, until - job.started),
        "sentence": job.sentence,
    }


def _counts(summary: Any) -> dict[str, int | None]:
    """The counts, checked: the user may change postprocess.py, so its summary may contain anything."""
    counts = summary if isinstance(summary, dict) else {}
    return {key: counts[key] if type(counts.get(key)) is int else None for key in ("rows", "predictions", "gaps")}


def _failure_of(story: Story) -> dict[str, Any] | None:
    if story.status in ("RUNNING", "SUCCEEDED"):
        return None
    return {"state": story.failed_state, "error": story.error, "sentence": story.sentence}


# What is read in a record


def releases(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What became of each endpoint, by the name of its model or models."""
    own = [(model["name"], model["release"]) for model in record["models"] if "release" in model]
    return [*own, *record.get("shared", {}).items()]


def log_tail(record: dict[str, Any]) -> list[str]:
    """The last lines of the failed job's log, without its cells and the sentences that are shown beside them."""
    known = [(record["failure"] or {}).get("sentence"), *(model.get("failure") for model in record["models"])]
    return tidied((line for line in _end_of_log(record) if not CELL.search(line)), filter(None, known))


def wrong_cells(record: dict[str, Any]) -> list[list[str]]:
    """File, row, column and value of the cells that made a job fail, as code/job_io.py logs them."""
    found = (CELL.search(line) for line in _end_of_log(record))
    return [json.loads(each[1]) for each in found if each]


def _end_of_log(record: dict[str, Any]) -> list[str]:
    job = last_failed(record)
    return (
        record["said"]
        if "said" in record
        else last_lines(Path(record["folder"]) / "logs" / f"{job}.log")
        if job
        else []
    )


def last_failed(record: dict[str, Any]) -> str:
    failed = [job["name"] for job in record["jobs"] if job["status"] == "Failed"]
    return failed[-1] if failed else ""


def last_lines(log: Path) -> list[str]:
    try:
        return log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []
