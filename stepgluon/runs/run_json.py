"""The format of a run, local or in an account: for run.json, `show --json`, and the panel.

run, arn           its name and its execution
status, started, seconds, data, note
models             the verdicts, with each prediction's outcome; for a promoted default also its run
jobs               each with its state, status and time, and the sentence if it failed
rows, predictions, gaps  their counts, from summary.json
failure            {state, error, sentence}, or null
results, folder    the paths of the result, if there is one, and of everything else
outbox             the path of the mails
lines              what `watch` prints
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepgluon.runs.history import Job, Story, finite


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
        "models": [_model(model) for model in story.models],
        "jobs": [_job(job, until, cached(job)) for job in story.jobs],
        **_counts(summary if story.delivered else None),
        "failure": _failure(story),
        **places,
        "lines": story.lines,
    }


def _model(model: dict[str, Any]) -> dict[str, Any]:
    promoted = model.get("uses") == "default" and "default_mae" in model  # not a default named in the config
    return {
        **{key: model.get(key) for key in ("name", "verdict", "reason", "uses", "model_uri", "outcome")},
        **{key: finite(model.get(key)) for key in ("mae", "mae_of_median", "threshold")},
        **{key: _why(model.get(key)) for key in ("failure", "outcome_failure")},
        "cached": model.get("cached") is True,
        "predictions_cached": model.get("predictions_cached") is True,
        "default_of_run": model.get("run") if promoted else None,
        "default_mae": model["default_mae"] if promoted else None,
    }


def _why(failure: Any) -> str | None:
    """The sentence in a verdict's failure."""
    told = failure if isinstance(failure, dict) else {}
    return str(told.get("Cause") or told.get("Error") or "") or None


def _job(job: Job, until: float, cached: bool) -> dict[str, Any]:
    return {
        "name": job.name,
        "kind": job.kind,
        "state": job.state,
        "status": job.status,
        "seconds": round((job.ended or max(until, job.started)) - job.started, 1),
        "cached": cached,
        "sentence": job.sentence,
    }


def _counts(summary: Any) -> dict[str, int | None]:
    """The counts, checked: the user may change postprocess.py, so its summary may contain anything."""
    counts = summary if isinstance(summary, dict) else {}
    return {key: counts[key] if type(counts.get(key)) is int else None for key in ("rows", "predictions", "gaps")}


def _failure(story: Story) -> dict[str, Any] | None:
    if story.status in ("RUNNING", "SUCCEEDED"):
        return None
    return {"state": story.failed_state, "error": story.error, "sentence": story.sentence}
