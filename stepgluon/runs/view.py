"""A run as JSON, for run.json and `show --json`, and as text: a panel made from the JSON.

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
lines              what `watch` prints
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.cost.billed import cost_of, cost_words
from stepgluon.cost.used import used_words
from stepgluon.runs import headline, history
from stepgluon.runs.critical_path import critical_path, path_lines
from stepgluon.runs.history import Job, Story, finite, metric_of, number, parsed, with_unit
from stepgluon.runs.job_log import CELL, LAST_LINES, tidied

PORT = 4566  # of the local AWS in suggested commands
took = history.took
MOST_JOBS = 40  # that `show` lists
AGAIN = re.compile(r"-again-\d+$")  # ends the name of a run that repeats another
WORDS = {
    **history.WORDS,
    "SUCCEEDED": "finished",
    "RUNNING": "is running",
    "CUT OFF": "was cut off",
}


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


def scored(models: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Metric, score, baseline and limit of each model, for a table; limits name their direction unless all are MAEs."""
    only_mae = all(metric_of(model) == "mae" for model in models)
    return [_scored(model, only_mae) for model in models]


def _scored(model: dict[str, Any], only_mae: bool) -> dict[str, str]:
    if metric_of(model) == "mae":
        baseline, limit = (number(model.get(key)) for key in ("mae_of_median", "threshold"))
        limit = limit if only_mae or limit == "-" else f"at most {limit}"
        return {"metric": "MAE", "score": with_unit(model), "baseline": baseline, "limit": limit}
    ends = [
        f"{key.replace('_', ' ')} {number(model[key])}" for key in ("at_least", "at_most") if model.get(key) is not None
    ]
    known = {key: number(model.get(key)) for key in ("score", "baseline")}
    return {"metric": metric_of(model), **known, "limit": (ends or ["-"])[0]}


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


# Text


def panel(record: dict[str, Any], command: str = "", look: bool = True, address: str | None = None) -> str:
    """The models; then why the run failed; then the result's path, if there is one; and what to do.

    `command` repeats the run; `look` adds the command that shows more. `address` is that of a local AWS with the
    run's endpoints: None if `local up` must start one, empty if the caller says how to ask them.
    """
    failure, incomplete = record["failure"], _incomplete(record)
    delivered = record["status"] == "SUCCEEDED" or bool(record["results"])
    word = "is incomplete" if incomplete else f"{WORDS[record['status']]}{_where(record)}"
    lines = [f"Run {record['run']} {word} after {record['seconds']:.1f} s{_missing(record)}.", ""]
    if record["models"]:
        lines += [*table(record["models"]), ""]
        lines += [*reasons, ""] if (reasons := _reasons(record, delivered)) else []
    if summed := record.get("headline"):
        lines += [*headline.words(summed), ""]
    if failure and not incomplete:
        lines += _failure(record)
    if delivered:
        lines += _gaps(record)
        lines.append(f"  results  {shown(record['results'] or record['folder'])}")
    lines += _endpoints(record, address)
    if record.get("report"):
        lines.append(f"  report   {shown(record['report'])}")
    job = last_failed(record)
    if delivered or job:
        log = f"{shown(record['folder'])}/logs{'' if delivered else f'/{job}.log'}"
        lines.append(f"  logs     {record.get('logs') or log}")
    if delivered or failure:
        lines.append(f"  mails    {shown(record['outbox'])}")
    promotable = any(each["verdict"] == "accepted" and not each.get("promoted") for each in record["models"])
    if delivered and (promotable or (summed and summed["accepted"])):
        lines.append(f"  next     {pipeline_py('promote', record['run'])}")
        lines.append(
            "           makes its accepted models the defaults, which predict if a later one is not good enough"
        )
    if record["status"] == "CUT OFF":
        again = AGAIN.search(record["run"]) is not None
        lines.append(f"  next     {pipeline_py('redrive', record['run']) if again else pipeline_py('local up')}")
        lines.append(f"           continues it{'' if again else ', and so does the command that started it'}")
    if failure and not incomplete and look:
        lines.append(f"  look     {pipeline_py('show', record['run'])}")
    if incomplete and summed and summed.get("repeatable") is False:
        lines.append("  next     loosen the limit, set fallback.if_missing: use_trained, or promote an earlier run")
    elif failure and command:
        lines.append(f"  again    {command}")
        lines.append("           repeats only what did not finish: trained models and predictions are reused")
    return "\n".join(lines) + "\n"


def _endpoints(record: dict[str, Any], address: str | None) -> list[str]:
    """What each endpoint serves, and how the first one is asked."""
    released = releases(record)
    lines = [f"  endpoint {name}: {release['said']}" for name, release in released]
    serving = [release["endpoint"] for _, release in released if release["outcome"] not in ("none", "failed")]
    if not serving or address == "":
        return lines
    target = str(parsed((record.get("headline") or {}).get("served")).get("target") or "")
    if str(record["folder"]).startswith("s3://"):
        return [*lines, f"  ask      {asking(serving[0], target=target)}"]
    if address:
        return [*lines, f"  ask      {asking(serving[0], address, target=target)}"]
    lines += [f"  ask      {pipeline_py('local up', '--port', str(PORT))}, and in another shell"]
    return [*lines, f"           {asking(serving[0], f'http://127.0.0.1:{PORT}', target=target)}"]


def releases(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What became of each endpoint, by the name of its model or models."""
    own = [(model["name"], model["release"]) for model in record["models"] if "release" in model]
    return [*own, *record.get("shared", {}).items()]


def asking(endpoint: str, address: str = "", region: str = "", target: str = "") -> str:
    """The command that asks an endpoint of the account, or of a local AWS, which needs no credentials.

    `target` is the archive of a model, for an endpoint of many.
    """
    where = f" --endpoint-url {address} --no-sign-request" if address else ""
    where += f" --region {region}" if region else ""
    call = f"aws{where} sagemaker-runtime invoke-endpoint --endpoint-name {endpoint}"
    call += f" --target-model {target}" if target else ""
    return f"{call} --content-type text/csv --body fileb://rows.csv answers.csv"


def _incomplete(record: dict[str, Any]) -> bool:
    """Whether the result lacks the predictions of some models."""
    return bool(record["failure"] and record["failure"]["error"] == history.INCOMPLETE)


def _missing(record: dict[str, Any]) -> str:
    if "headline" in record and _incomplete(record):
        return f": {record['headline']['missing']:,} models did not predict"
    missing = [model["name"] for model in record["models"] if model.get("outcome") == "failed"]
    return f": the rows of {', '.join(missing)} are not predicted" if missing and _incomplete(record) else ""


def _reasons(record: dict[str, Any], delivered: bool) -> list[str]:
    """Why models were not trained or could not predict, unless the run's own failure repeats it below."""
    said = "" if delivered or not record["failure"] else record["failure"]["sentence"]
    why = [(model["name"], model.get(key)) for model in record["models"] for key in ("failure", "outcome_failure")]
    return [f"  {name}: {reason}" for name, reason in why if reason and reason not in said]


def _where(record: dict[str, Any]) -> str:
    failure = record["failure"]
    return f" in the state {failure['state']}" if failure and failure["state"] else ""


def why(record: dict[str, Any]) -> str:
    """Where and why a run failed, appended to its status; empty if it did not fail."""
    return f"{_where(record)}: {record['failure']['sentence'] or 'no reason is known'}" if record["failure"] else ""


def _gaps(record: dict[str, Any]) -> list[str]:
    known = record["predictions"] is not None and record.get("gaps") is not None
    if known and not record["gaps"]:
        return ["  no gaps to fill"]
    return [f"  {record['predictions']:,} of {record['gaps']:,} gaps filled"] if known else []


def _failure(record: dict[str, Any]) -> list[str]:
    sentence, job = record["failure"]["sentence"], last_failed(record)
    said = [f"  | {line}" for line in log_tail(record)]
    lines = [f"  {sentence or 'No reason is known.'}", ""]
    return lines + ([f"  The last lines of {job or 'the log'}:", *said, ""] if said else [])


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


def table(models: list[dict[str, Any]]) -> list[str]:
    """A table with a row for each model."""
    each = scored(models)
    only_mae = all(one["metric"] == "MAE" for one in each)
    score, baseline = ("MAE", "of the median") if only_mae else ("score", "baseline")
    columns = {
        "model": [m["name"] for m in models],
        **({} if only_mae else {"metric": [one["metric"] for one in each]}),
        score: [one["score"] for one in each],
        baseline: [one["baseline"] for one in each],
        "R²": ["-" if m.get("r2") is None else f"{m['r2']:.3f}" for m in models],
        "limit": [one["limit"] for one in each],
        "result": [m["verdict"] + (", cached" if m.get("cached") else "") for m in models],
        "predicts with": [uses(m) for m in models],
    }
    for optional in (baseline, "R²"):
        if set(columns[optional]) == {"-"}:
            del columns[optional]
    numbers = (score, baseline, "R²", "limit")
    cells = [_column(name, rows, name in numbers) for name, rows in columns.items()]
    return ["  " + "  ".join(row).rstrip() for row in zip(*cells, strict=True)]


def _column(name: str, rows: list[str], right: bool) -> list[str]:
    width = max(map(len, (name, *rows)))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in (name, *rows)]


def uses(model: dict[str, Any]) -> str:
    failed = ", which failed" if model.get("outcome") == "failed" else ""
    cached = ", cached" if model.get("predictions_cached") else ""
    return f"{_used(model)}{failed}{cached}"


def _used(model: dict[str, Any]) -> str:
    if model["uses"] == "default":
        run, error = model.get("default_of_run"), model.get("default_mae")
        known = f", MAE {number(error)}" if error is not None else ""
        return f"the model promoted from {run}{known}" if run else "the default model"
    if model["uses"] == "trained":
        learner = model.get("learner") or "model"
        return f"the trained {learner}" + (" (no other model)" if model["verdict"] == "rejected" else "")
    return "-"  # the run ended before the decision


def details(record: dict[str, Any], address: str | None = None) -> str:
    """For `show RUN`: the states with their times, the jobs, then the panel."""
    jobs = [
        f"  {job['status']:<10}  {job['seconds']:7.1f} s  {job['name']}  "
        f"{'cached' if job.get('cached') else used_words(job.get('used'))}".rstrip()
        for job in _worth_showing(record["jobs"])
    ]
    jobs += [f"  and {len(record['jobs']) - len(jobs)} more"] if len(record["jobs"]) > len(jobs) else []
    end = panel(record, pipeline_py("redrive", record["run"]), look=False, address=address)
    cost = ["", said] if (said := cost_words(record)) else []
    path = ["", "Critical path:", *path_lines(found)] if (found := record.get("critical_path")) else []
    return "\n".join([*_course(record, end), "", "Jobs:", *jobs, *path, *cost, ""]) + "\n" + end


def _worth_showing(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All, or of many the failed and the slowest, in their order."""
    if len(jobs) <= MOST_JOBS:
        return jobs
    ranked = sorted(jobs, key=lambda job: (job["status"] == "Failed", job["seconds"]), reverse=True)
    chosen = {job["name"] for job in ranked[:MOST_JOBS]}
    return [job for job in jobs if job["name"] in chosen]


def _course(record: dict[str, Any], end: str) -> list[str]:
    """The lines of the run, without sentences that the panel repeats."""
    sentences = [
        record["failure"]["sentence"] if record["failure"] else "",
        *(job["sentence"] for job in record["jobs"]),
    ]
    lines = list(record["lines"])
    for sentence in sentences:
        if sentence and sentence in end:
            lines = [line.replace(f": {sentence}", "") for line in lines]
    return lines


def shown(path: str) -> str:
    """A path, relative if that is shorter; a URL unchanged."""
    if "://" in path:
        return path
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) and not relative.startswith("..") else path
