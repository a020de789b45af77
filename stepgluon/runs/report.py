"""report.html after the end of a run: post-process's page with the run's name and timeline, or why the run failed.

Post-process knows neither the run and its states nor earlier runs, so its page has comments in their places. A run that
failed before it gets a page made from the same skeleton, code/report_page.py, read as data: docs/decisions/0014.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import re
import time
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from string import Template
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer
from stepgluon.cost.billed import cost_words
from stepgluon.figures import took
from stepgluon.graph.text import clean
from stepgluon.names import Names
from stepgluon.runs import earlier as runs_before
from stepgluon.runs import model_registry
from stepgluon.runs.critical_path import share
from stepgluon.runs.earlier import Earlier
from stepgluon.runs.history import Job, Story, number
from stepgluon.runs.run_record import log_tail, releases, wrong_cells
from stepgluon.runs.view import WORDS, scored, uses

SKELETON = Path(__file__).parents[2] / "code" / "report_page.py"
RUN, TIMELINE = "<!--stepgluon:run-->", "<!--stepgluon:timeline-->"
ERRORS = re.compile(r"<!--stepgluon:errors (.*?)-->")  # in each model's card
NOTHING = Earlier()
FOLDED = 20  # lanes of a timeline; a longer one is folded
KINDS = {"waited": "waiting for a machine", "ran": "running", "cachedjob": "cached", "broke": "failed"}


def completed(
    page: str,
    record: dict[str, Any],
    story: Story,
    logs: bool = False,
    earlier: Earlier = NOTHING,
    versions: Sequence[list[str]] = (),
) -> str:
    """Post-process's page with what only the caller knows. `record` is run.json; `logs`: they are in logs/; `versions`
    lists the registered models.
    """
    errors, limits = earlier.errors(record), {each["name"]: _limit(each) for each in record["models"]}
    page = ERRORS.sub(lambda found: _line(errors.get(name := unescape(found[1]), []), limits.get(name)), page)
    page = page.replace(RUN, _about(record, logs, earlier), 1)
    table = _table("Versions in the model registry", ("model", "version", "approval", "ARN"), list(versions))
    return page.replace(TIMELINE, table + _endpoints(record) + timeline(record, story, logs), 1)


def in_account(door: Door, names: Names, record: dict[str, Any], story: Story) -> str:
    """The page about a run that has ended; empty if there is none."""
    s3, key = door.client("s3"), f"runs/{record['run']}/result/report.html"
    found = answer(lambda: s3.get_object(Bucket=names.work_bucket, Key=key), "NoSuchKey", "NoSuchBucket", "404")
    if not found and (story.delivered or not story.ended):
        return ""
    earlier = runs_before.in_account(door, names, record)
    if found:
        versions = model_registry.of_run(lambda: door.client("sagemaker"), names, record["models"])
        page = found["Body"].read().decode("utf-8", "replace")
        return completed(page, record, story, earlier=earlier, versions=versions)
    return failed(record, story, earlier=earlier)


def failed(record: dict[str, Any], story: Story, logs: bool = False, earlier: Earlier = NOTHING) -> str:
    """A page of a run without a result; empty if the skeleton was edited beyond recognition."""
    try:
        assigned = [node for node in ast.parse(SKELETON.read_text("utf-8")).body if isinstance(node, ast.Assign)]
        known = {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assigned}
        page, script, style = Template(known["PAGE"]), known["SCRIPT"], known["STYLE"]
    except (OSError, SyntaxError, ValueError, KeyError):
        return ""
    failure = record["failure"] or {"state": "", "sentence": ""}
    word = WORDS[record["status"]].removeprefix("was ")
    headline = f"{word.capitalize()}{' in ' + failure['state'] if failure['state'] else ''}."
    redrive = pipeline_py("redrive", record["run"])
    said = log_tail(record)
    body = [
        f'<header><p class="over">Run {_text(record["run"])}</p><h1>{_text(headline)}</h1>',
        *(f'<p class="reason">{_text(sentence)}</p>' for sentence in _reasons(record, failure["sentence"])),
        "</header>",
        _about(record, logs, earlier),
        _cells(wrong_cells(record)),
        "<h2>What to do</h2><p>If the data or the config is the cause, fix it and start a new run. Otherwise redrive "
        "this one; finished models and predictions are reused.</p>",
        f"<pre>{_text(redrive)}</pre>",
        f"<h2>The last lines of the log</h2><p></p><pre>{'<br>'.join(map(_text, said))}</pre>" if said else "",
        _models(record["models"]),
        timeline(record, story, logs),
        "<footer>Made by stepgluon. The page loads nothing from other servers.</footer>",
    ]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {"title": _text(f"{record['run']}: {headline}"), "body": "".join(body), "style": style, "script": script}
    return page.safe_substitute(parts, script_hash=f"sha256-{digest}")


def _reasons(record: dict[str, Any], sentence: str) -> list[str]:
    """The reason; first those of the failed trainings, if the run ended because no model could predict."""
    failed = [f"{model['name']}: {model['failure']}" for model in record["models"] if model.get("failure")]
    first = failed[:3] if sentence.startswith("No model can predict for ") else []
    return [*first, sentence or "No reason is known."]


def _endpoints(record: dict[str, Any]) -> str:
    """What each endpoint serves. The address of a local one changes, so `show` says how it is asked."""
    found = releases(record)
    rows = [[name, str(release.get("endpoint") or ""), str(release.get("said") or "")] for name, release in found]
    how = f"<p>How to ask: <code>{_text(pipeline_py('show', record['run']))}</code></p>" if rows else ""
    return _table("Endpoints", ("model", "endpoint", "in this run"), rows) + how


def _cells(cells: list[list[str]]) -> str:
    """The first wrong cells of the tables."""
    return _table("Wrong cells", ("file", "row", "column", "value"), cells)


def timeline(record: dict[str, Any], story: Story, logs: bool = False) -> str:
    """A lane for each state with a job: waiting, running, failed and retried, or cached."""
    lanes: dict[str, list[Job]] = {}
    for job in story.jobs:
        lanes.setdefault(job.state, []).append(job)
    cached = {job["name"] for job in record["jobs"] if job["cached"]}
    order = [(jobs[0].started, state) for state, jobs in lanes.items()]
    order += [(at, state) for state, at in story.reused.items() if state not in lanes]
    if not order:
        return ""
    end = max(story.ended or story.started + record["seconds"], story.started + 0.1)
    rows = [_lane(state, lanes.get(state, []), at, story.started, end, cached, logs) for at, state in sorted(order)]
    head = f"<h2>Timeline</h2><p>{_moment(story.started)}, {took(end - story.started)}.{_legend(''.join(rows))}</p>"
    head += _path(record.get("critical_path"))
    table = f'<table class="timeline"><tbody>{"".join(rows)}</tbody></table>'
    if len(rows) > FOLDED:
        return f"{head}<details><summary>{len(rows)} jobs</summary><div>{table}</div></details>"
    return f'{head}<div class="panel">{table}</div>'


def _path(path: dict[str, Any] | None) -> str:
    """The states that determined how long the run took."""
    if not path:
        return ""
    steps = [f"<b>{_text(each['state'])}</b> {share(each['seconds'], path['seconds'])}" for each in path["steps"]]
    return f'<p class="note">Critical path: {" → ".join(steps)}. {_text(path["advice"])}</p>'


def _lane(state: str, jobs: list[Job], at: float, start: float, end: float, cached: set[str], logs: bool) -> str:
    def bar(kind: str, since: float, until: float) -> str:
        left, width = (100 * (since - start) / (end - start), max(0.5, 100 * (until - since) / (end - start)))
        return f'<rect class="{kind}" x="{min(left, 99.5):.2f}" width="{width:.2f}" height="10" y="2"/>'

    bars, words = ['<rect class="lane" width="100" height="10" y="2"/>'], []
    for job in jobs:
        until, began = job.ended or end, job.began or job.started
        if job.name in cached:
            bars.append(bar("cachedjob", job.started, until))
            words.append("cached")
            continue
        if began - job.started > 0.5:
            bars.append(bar("waited", job.started, began))
            words.append(f"waited {took(began - job.started)}")
        bars.append(bar("broke" if job.status in ("Failed", "Stopped") else "ran", min(began, until), until))
        ending = {"Failed": "failed after ", "Stopped": "stopped after "}.get(job.status, "")
        words.append(f"{ending}{took(until - min(began, until))}")
    if not jobs:
        bars.append(bar("cachedjob", at, at))
        words.append("cached")
    name = _text(state)
    if jobs and logs:
        name = f'<a href="logs/{_text(jobs[-1].name)}.log">{name}</a>'
    drawn = f'<svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">{"".join(bars)}</svg>'
    return f'<tr><td>{name}</td><td>{drawn}</td><td class="values">{", ".join(words)}</td></tr>'


def _legend(rows: str) -> str:
    shown = [(kind, words) for kind, words in KINDS.items() if f'"{kind}"' in rows]
    return "".join(f' <span class="key {kind}"></span>{words}' for kind, words in shown)


def _limit(model: dict[str, Any]) -> float | None:
    return next((model[key] for key in ("threshold", "at_least", "at_most") if model.get(key) is not None), None)


def _line(errors: list[float], limit: float | None) -> str:
    """A model's errors in its last runs as a line, and its limit as a dashed one."""
    if len(errors) < 2:
        return ""
    low, high = min(errors), max(errors)
    if limit is not None and low / 2 <= limit <= high * 2:
        low, high = min(low, limit), max(high, limit)
    else:
        limit = None  # so far away that the line would be flat
    size = high - low or 1.0
    places = [(100 * n / (len(errors) - 1), 25 - 22 * (error - low) / size) for n, error in enumerate(errors)]
    dash = f'<path class="limit" d="M0 {25 - 22 * (limit - low) / size:.1f}H100"/>' if limit is not None else ""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    end = f'<path class="end" d="M{places[-1][0]:.1f} {places[-1][1]:.1f}h0"/>'
    drawn = (
        f'<svg viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true">{dash}<path d="M{path}"/>{end}</svg>'
    )
    first, last = (number(float(f"{error:.3g}")) for error in (errors[0], errors[-1]))
    words = f"last {len(errors)} runs: {first} → {last}"
    return f'<div class="runs">{drawn}<span>{words}</span></div>'


def _about(record: dict[str, Any], local: bool, earlier: Earlier) -> str:
    """The run, when it was and how long it took; the folder of the data only if it is in an account."""
    parts = [f"run {record['run']}", _moment(record["started"]), f"took {took(record['seconds'])}", record["note"]]
    parts += [] if local else [record["data"]]
    lines = (" · ".join(filter(None, parts)), earlier.compared(record), cost_words(record))
    return "".join(f'<p class="about">{_text(line)}</p>' for line in lines if line)


def _models(models: list[dict[str, Any]]) -> str:
    names = ("model", "result", "error", "limit", "median", "")
    rows = [
        [
            each["name"],
            each["verdict"] or "-",
            *(shown[key] for key in ("score", "limit", "baseline")),
            each["failure"] or each["outcome_failure"] or uses(each).removeprefix("-"),
        ]
        for each, shown in zip(models, scored(models), strict=True)
    ]
    return _table("Models", names, rows)


def _table(title: str, names: Sequence[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    head, *lines = (
        "".join(f"<t{kind}>{_text(cell)}</t{kind}>" for cell in row)
        for kind, row in [("h", names), *(("d", row) for row in rows)]
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h2>{title}</h2><p></p><div class="panel">{table}</div>'


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else ""


def _text(value: Any) -> str:
    return escape(clean(str(value)))
