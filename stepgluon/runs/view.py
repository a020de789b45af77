"""A run's record as text: the panel after a run, what `show` prints, and the table of its models."""

from __future__ import annotations

import os
import re
from typing import Any

from stepgluon.advice import asking, pipeline_py
from stepgluon.cost.billed import cost_words
from stepgluon.cost.used import used_words
from stepgluon.figures import aligned
from stepgluon.runs import headline, history
from stepgluon.runs.critical_path import path_lines
from stepgluon.runs.history import metric_of, number, parsed, with_unit
from stepgluon.runs.run_record import last_failed, log_tail, releases

PORT = 4566  # of the local AWS in suggested commands
MOST_JOBS = 40  # that `show` lists
AGAIN = re.compile(r"-again-\d+$")  # ends the name of a run that repeats another
WORDS = {
    **history.WORDS,
    "SUCCEEDED": "finished",
    "RUNNING": "is running",
    "CUT OFF": "was cut off",
}


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
    region = str(record.get("arn") or ":::").split(":")[3]
    files = record["gaps"] is None and record["predictions"] is not None

    def ask(address: str) -> str:
        return asking(serving[0], address, region, target, files)

    if str(record["folder"]).startswith("s3://"):
        return [*lines, f"  ask      {ask('')}"]
    if address:
        return [*lines, f"  ask      {ask(address)}"]
    lines += [f"  ask      {pipeline_py('local up', '--port', str(PORT))}, and in another shell"]
    return [*lines, f"           {ask(f'http://127.0.0.1:{PORT}')}"]


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
    right = [place for place, name in enumerate(columns) if name in numbers]
    return aligned([tuple(columns), *zip(*columns.values(), strict=True)], right, "  ")


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
    jobs += [f"  {record['unread']}"] if record.get("unread") else []
    end = panel(record, pipeline_py("redrive", record["run"]), look=False, address=address)
    cost = ["", said] if (said := cost_words(record)) else []
    path = ["", "Critical path:", *path_lines(found)] if (found := record.get("critical_path")) else []
    course = [*_course(record, end), *(f"  {line}" for line in record.get("progress") or [])]
    return "\n".join([*course, "", "Jobs:", *jobs, *path, *cost, ""]) + "\n" + end


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
