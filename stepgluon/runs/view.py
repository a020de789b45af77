"""How a run's end reads: a panel for people, made from what run.json says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.runs import follow
from stepgluon.runs.executions import LAST_LINES
from stepgluon.runs.follow import number

WORDS = {
    **follow.WORDS,
    "SUCCEEDED": "finished",
    "RUNNING": "is running",
    "CUT OFF": "was cut off",
}


def panel(
    told: dict[str, Any], command: str = "", repeats: str = "only the jobs that did not finish", look: bool = True
) -> str:
    """The run's end: verdicts, then the result and where it is, or why there is none and what to do.

    `command` goes on where it failed, and repeats what `repeats` says; `look` tells how to see more of it.
    """
    lines = [f"Run {told['run']} {WORDS[told['status']]}{_where(told)} after {told['seconds']:.1f} s.", ""]
    if told["models"]:
        lines += [*table(told["models"]), ""]
        reasons = [f"  {model['name']}: {model['failure']}" for model in told["models"] if model["failure"]]
        lines += [*reasons, ""] if reasons else []
    if told["status"] == "SUCCEEDED":
        lines += _result(told)
    elif told["failure"]:
        lines += _failure(told, command, repeats, look)
    return "\n".join(lines) + "\n"


def _where(told: dict[str, Any]) -> str:
    failure = told["failure"]
    return f" in the state {failure['state']}" if failure and failure["state"] else ""


def why(told: dict[str, Any]) -> str:
    """Where and why a run did not finish, to follow its status; nothing where it did."""
    return f"{_where(told)}: {told['failure']['sentence'] or 'no reason is known'}" if told["failure"] else ""


def _result(told: dict[str, Any]) -> list[str]:
    lines = []
    if told["predictions"] is not None and told["rows"] is not None:
        lines.append(f"  {told['predictions']:,} of {told['rows']:,} rows predicted")
    lines += [
        f"  results  {shown(told['results'] or told['folder'])}",
        f"  logs     {told.get('logs') or shown(told['folder']) + '/logs'}",
        f"  mails    {shown(told['outbox'])}",
    ]
    if any(model["verdict"] == "accepted" and model["uses"] == "trained" for model in told["models"]):
        lines += [
            f"  next     {pipeline_py('promote ' + told.get('home', told['run']))}",
            "           makes its accepted models the defaults: they predict whenever a later one is not good enough",
        ]
    return lines


def _failure(told: dict[str, Any], command: str, repeats: str, look: bool) -> list[str]:
    lines = [f"  {told['failure']['sentence'] or 'No reason is known.'}", ""]
    job = last_failed(told)
    log = told.get("logs") or f"{shown(told['folder'])}/logs/{job}.log"
    said = told["said"] if "said" in told else last_lines(Path(told["folder"]) / "logs" / f"{job}.log") if job else []
    if said:
        lines += [f"  The last lines of {job or 'the log'}:", *(f"  | {line}" for line in said), ""]
    if job:
        lines.append(f"  logs     {log}")
    lines.append(f"  mails    {shown(told['outbox'])}")
    if look:
        lines.append(f"  look     {pipeline_py('show ' + told['run'])}")
    if command:
        lines.append(f"  again    {command}")
        lines.append(f"           repeats {repeats}")
    return lines


def last_failed(told: dict[str, Any]) -> str:
    failed = [job["name"] for job in told["jobs"] if job["status"] == "Failed"]
    return failed[-1] if failed else ""


def last_lines(log: Path) -> list[str]:
    try:
        return log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []


def table(models: list[dict[str, Any]]) -> list[str]:
    rows = [("model", "error", "at most", "verdict", "predicts with")]
    rows += [(m["name"], number(m["mae"]), number(m["threshold"]), m["verdict"], uses(m)) for m in models]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  " + "  ".join(map(_aligned, row, widths, (False, True, True, False, False))).rstrip() for row in rows]


def _aligned(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def uses(model: dict[str, Any]) -> str:
    if model["uses"] == "default":
        run, error = model.get("default_of_run"), model.get("default_mae")
        known = f", error {number(error)}" if error is not None else ""
        return f"the model promoted from {run}{known}" if run else "the default model"
    if model["uses"] == "nothing":
        return "nothing: no model was promoted"
    return "the trained model" + (", there is no other" if model["verdict"] == "rejected" else "")


def runs_table(runs: list[dict[str, Any]], start: str = "run --local --data FILE") -> str:
    if not runs:
        return f"No runs yet. Start one: {pipeline_py(start)}\n"
    lines = []
    for told in runs:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told["started"])) if told["started"] else "-"
        lines.append(
            f"{started}  {told['status']:<9}  {told['seconds']:8.1f} s  {told['run']}  {told['note']}".rstrip()
        )
    return "\n".join(lines) + "\n"


def details(told: dict[str, Any]) -> str:
    """`show RUN`: the states with their times, the jobs, then the panel."""
    jobs = [
        f"  {job['status']:<10}  {job['seconds']:7.1f} s  {job['name']}{'  remembered' if job['remembered'] else ''}"
        for job in told["jobs"]
    ]
    again, stages = pipeline_py(f"redrive {told['run']}"), "only the stages that did not finish"
    return "\n".join([*told["lines"], "", "Jobs:", *jobs, ""]) + "\n" + panel(told, again, stages, look=False)


def shown(path: str) -> str:
    """A path as short as it can be written here; an address as it is."""
    if "://" in path:
        return path
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) and not relative.startswith("..") else path
