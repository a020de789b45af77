"""report.html: one page about a run that opens offline: the filled gaps, the models' errors, the data.

It is written by post-process, whose result is complete without it. The page's comments RUN, TIMELINE and one for each
model are replaced by what only stepgluon knows, after the end of a run: its name, duration and states, earlier errors.
"""

from __future__ import annotations

import base64
import hashlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import charts
import model_details
import report_files
import report_models
from job_io import log
from markup import Markup, counted, finite, joined, number, percent, short, tag, text
from report_models import Model
from report_page import PAGE, SCRIPT, STYLE

REPORT = "report.html"
RUN, TIMELINE = Markup("<!--stepgluon:run-->"), Markup("<!--stepgluon:timeline-->")
BYTES = 1_800_000  # of a page; details of further models are left out
COLUMNS = 100
SHA256 = 12  # digits of the data's
NAMED = 3  # values of a `where` without a model
FOOTER = tag("footer", "Made by stepgluon. The page contains data of this run and loads nothing from other servers.")


def evaluations_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The models' evaluations, below `folder` as .../models/<model>/<fingerprint>/<job>/output/model/evaluation.json.

    A damaged one is left out, because the report is useful without it.
    """
    found = {}
    for path in sorted(folder.rglob("models/*/*/*/output/model/evaluation.json")):
        try:
            found[path.parts[-6]] = dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as problem:
            log.info("the report leaves out the evaluation of model %s: %s", path.parts[-6], problem)
    return found


def write(out: Path, *known: Any, made: Callable[..., str] | None = None) -> None:
    """Write the report, or log why there is none. `made` makes the page, if it is not the one in this module."""
    try:
        (out / REPORT).write_text((made or page)(*known), "utf-8")
    except Exception:  # the result is complete without a report, and an edited job may leave anything in these files
        log.exception("report.html was not written: a bug in stepgluon; please report it with this log.")
        (out / REPORT).unlink(missing_ok=True)


def page(
    config: dict[str, Any],
    verdicts: dict[str, dict[str, Any]],
    profile: dict[str, Any],
    summary: dict[str, Any],
    evaluations: dict[str, dict[str, Any]],
) -> str:
    by_name = {each["name"]: each for each in summary["models"]}
    wheres = {each["name"]: each.get("where") for each in config.get("models", [])}
    models = [
        Model(verdict, by_name.get(name, {}), evaluations.get(name, {}), wheres.get(name))
        for name, verdict in verdicts.items()
    ]
    name, headline = str(config.get("name", "stepgluon")), filled(summary)
    body = [
        header(name, headline, _lead(models, profile, summary.get("unit", "gap"))),
        _figures(models, profile, summary),
        RUN,
        tag("h2", "Models"),
        tag(
            "p",
            f"Measured on held-out {summary.get('unit', 'row')}s, which the model has not seen.",
            report_models.marks() if len(models) > report_models.CARDS else None,
        ),
        report_models.models(models),
        _details([] if "unit" in summary else models),
        report_files.parts(summary, evaluations),
        TIMELINE,
        data(profile),
        FOOTER,
    ]
    return document(f"{name}: {headline}", body)


def document(title: str, body: list[Any], script: str = "", style: str = "") -> str:
    """The page around its content; `script` and `style` are added to those of all pages."""
    parts = {"script_hash": _sha256(SCRIPT + script), "script": SCRIPT + script, "style": STYLE + style}
    return Template(PAGE).substitute(parts, title=text(title), body=joined(body))


def header(name: str, headline: str, lead: Markup) -> Markup:
    return tag("header", tag("p", f"{name} · predictions", class_="over"), tag("h1", headline), lead)


def filled(summary: dict[str, Any]) -> str:
    """The first sentence: how many of the empty labels have a prediction now."""
    done, gaps = summary["predictions"], finite(summary.get("gaps"))
    if unit := summary.get("unit"):
        return f"Predicted {counted(done, unit)}."
    if gaps is None:
        return f"Filled {counted(done, 'gap')}."
    if gaps == 0:
        return "There were no gaps to fill."
    if done == gaps:
        return "Filled the one gap." if gaps == 1 else f"Filled {_all(gaps)} gaps."
    return f"Filled {done:,} of {gaps:,} gaps."


def _all(count: float) -> str:
    return "both" if count == 2 else f"all {count:,}"


def without_model(profile: dict[str, Any]) -> list[str]:
    """`80 gaps have no model: Stadt = Köln.`, for each label with such gaps."""
    sentences = []
    for each in profile.get("open_gaps", []):
        label = f" of {short(each['label'])}" if len(profile["open_gaps"]) > 1 else ""
        where = next(iter(each["where"].items()), None) if len(each["where"]) == 1 else None
        which = ""
        if where and where[1]:
            names = [short("empty" if value is None else value) for value, _ in where[1]]
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            which = f": {short(where[0])} = {', '.join(names[:NAMED])}{more}"
        has = "has" if each["rows"] == 1 else "have"
        sentences.append(f"{counted(each['rows'], 'gap')}{label} {has} no model{which}.")
    return sentences


def _lead(models: list[Model], profile: dict[str, Any], unit: str) -> Markup:
    good, count = sum(model.accepted for model in models), len(models)
    words = f"{good} of {counted(count, 'model')} accepted."
    if good == count:
        words = f"{_all(count).capitalize()} models accepted." if count > 1 else "The model was accepted."
    failed = [
        f"{counted(model.rows['rows_predict'], unit)} of {model.name} could not be predicted."
        for model in models
        if model.failure
    ]
    rest = [
        *failed[:NAMED],
        *(["More models failed, see below."] if len(failed) > NAMED else []),
        *without_model(profile),
    ]
    return tag("p", tag("b", words), " ", " ".join(rest), class_="lead")


def _figures(models: list[Model], profile: dict[str, Any], summary: dict[str, Any]) -> Markup:
    better = [
        1 - model.mae / model.median
        for model in models
        if model.metric == "mae" and model.mae is not None and model.median and model.verdict.get("uses") != "default"
    ]
    gaps = finite(summary.get("gaps"))
    figures: list[tuple[str, str, str]] = [
        (
            "Files predicted" if summary.get("unit") else "Gaps filled",
            f"{summary['predictions']:,}",
            f"of {gaps:,}" if gaps is not None else "",
        ),
        ("Models accepted", f"{sum(model.accepted for model in models):,}", f"of {len(models):,}"),
    ]
    if better:
        middle = statistics.median(better)
        name = "Typical error" if len(better) > 1 else "Error"
        change = f"{percent(abs(middle), 1)} {'lower' if middle >= 0 else 'higher'}"
        figures.append((name, change, "than always guessing the median"))
    files, data = profile.get("files", []), str(profile.get("sha256") or "")
    read = [f"in {counted(len(files), 'file')}" if files else "", f"SHA-256 {data[:SHA256]}" if data else ""]
    figures.append(
        (f"{summary.get('unit', 'row').title()}s read", f"{profile['rows']:,}", ", ".join(filter(None, read)))
    )
    return figures_of(figures)


def figures_of(figures: list[tuple[str, str, str]]) -> Markup:
    """Large numbers, each between its name and a short remark."""
    cells = [
        tag("div", tag("dt", name), tag("dd", value, tag("small", more) if more else None))
        for name, value, more in figures
    ]
    return tag("dl", cells, class_="figures")


def _details(models: list[Model]) -> list[Markup]:
    shown, size = [], 0
    for model in models:
        try:
            part = model_details.details(model, unfolded=len(models) == 1)
        except Exception:  # an edited job may have left anything in the evaluation; the other models are shown
            log.exception("The report leaves out the details of model %s.", model.name)
            continue
        if part is not None:
            size += len(part.encode())
            if size > BYTES:
                shown.append(
                    tag(
                        "p", "The details of the other models are left out: the page would be too large.", class_="said"
                    )
                )
                break
            shown.append(part)
    return (
        [
            tag("h2", "Each model in detail"),
            tag("p", "Its held-out rows, its largest errors, and the models that were tried."),
            *shown,
        ]
        if shown
        else []
    )


def data(profile: dict[str, Any]) -> list[Markup]:
    columns = profile.get("columns", [])
    if not columns:
        return []
    rows, sampled = profile["rows"], profile.get("sampled_rows", profile["rows"])
    some = f" Values and distributions are those of a sample of {sampled:,} rows." if 0 < sampled < rows else ""
    key = tag(
        "p",
        f"{counted(rows, 'row')} and {counted(len(columns), 'column')}.{some} ",
        tag("span", class_="key"),
        "rows with a known value ",
        tag("span", class_="key line"),
        "rows to predict",
    )
    heads = [("column", None), ("type", None), ("missing", "n"), ("distinct", "n"), ("values", None)]
    lines = [_column(each, rows, sampled < rows) for each in columns[:COLUMNS]]
    table = tag(
        "table", tag("thead", tag("tr", [tag("th", name, class_=side) for name, side in heads])), tag("tbody", lines)
    )
    more = len(columns) - COLUMNS
    left = tag("p", f"and {counted(more, 'column')} more", class_="said") if more > 0 else None
    notes = [
        *profile.get("assumed", []),
        *(f"{f['name']}: {s}" for f in profile["files"] for s in f.get("assumed", [])),
    ]
    said = [tag("p", note, class_="note") for note in notes[:COLUMNS]]
    return [tag("h2", "The data"), key, *said, tag("div", table, left, class_="panel")]


def _column(each: dict[str, Any], rows: int, is_sample: bool) -> Markup:
    missing, distinct = each.get("missing", 0), each.get("distinct")
    return tag(
        "tr",
        tag("td", tag("b", short(each["name"], 60))),
        tag("td", _type(each.get("type", "")), class_="soft"),
        tag("td", percent(missing, rows) if missing else "–", class_="n", title=f"{missing:,} rows"),
        tag("td", "–" if distinct is None else f"{'≥ ' if is_sample else ''}{distinct:,}", class_="n"),
        tag("td", _values(each)),
    )


def _values(each: dict[str, Any]) -> Any:
    if histogram := each.get("histogram"):
        ends = [
            short(number(end, 4) if finite(end) is not None else end, 24)
            for end in (histogram["from"], histogram["to"])
        ]
        drawn = charts.columns_histogram(histogram["known"], histogram["predict"])
        return [drawn, tag("span", f"{ends[0]} to {ends[1]}", class_="values")]
    if top := each.get("top"):
        if top[0][1] + top[0][2] <= 1:
            return tag("span", "different in each row", class_="values")
        return tag(
            "span", " · ".join(f"{short(value, 24)} {known + asked:,}" for value, known, asked in top), class_="values"
        )
    return tag("span", "no values", class_="values")


def _type(kind: str) -> str:
    if kind in ("int64", "double"):
        return "whole number" if kind == "int64" else "number"
    return "yes or no" if kind == "bool" else "date" if kind.startswith(("date", "timestamp")) else "text"


def _sha256(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
