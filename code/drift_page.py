"""drift.html: one page about a check of the monitor, the worst columns first, in the style of the report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone
from string import Template
from typing import Any

import charts
from drift import MEASURES
from markup import Markup, counted, joined, number, percent, short, tag, text
from model_folder import family
from report_page import PAGE, SCRIPT, STYLE

COLUMNS = 200
NAMED = 3  # values of a column
TITLES = {"drift": "The rows have drifted.", "none": "No drift.", "unknown": "Too few rows to compare."}


def page(name: str, found: Mapping[str, Any]) -> str:
    body = [
        tag(
            "header",
            tag("p", f"{name} · drift of {found['model']}", class_="over"),
            tag("h1", TITLES[found["outcome"]]),
            tag("p", found["sentence"], class_="lead"),
        ),
        _figures(found),
        *_answers(found),
        *_columns(found),
        *_notes(found),
        tag("footer", "Made by stepgluon. The page contains data of new rows and loads nothing from other servers."),
    ]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    parts = {"script_hash": f"sha256-{digest}", "script": SCRIPT, "style": STYLE}
    title = text(f"{name}: drift of {found['model']}")
    return Template(PAGE).substitute(parts, title=title, body=joined(body))


def _figures(found: Mapping[str, Any]) -> Markup:
    drifted = sum(each["drifted"] for each in found["columns"])
    from_requests = f"in {counted(found['requests'], 'request')}" if found["requests"] else "in tables"
    figures = [
        ("New rows", f"{found['rows']:,}", from_requests),
        ("Trained on", f"{found['trained_on']:,}", "rows"),
        ("Columns that differ", f"{drifted:,}", f"of {len(found['columns']):,}; by {found['limit']:g} or more"),
    ]
    if error := found.get("error"):
        was = f"was {number(error['before'])} on the held-out rows"
        figures.append(("Error", number(error["now"]), was))
    return tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value, tag("small", more))) for name, value, more in figures],
        class_="figures",
    )


def _answers(found: Mapping[str, Any]) -> list[Markup]:
    lines = [
        {"name": words, **found[key]}
        for key, words in (("prediction", "predictions"), ("truth", found["label"]))
        if key in found
    ]
    if not lines:
        return []
    words = "Predictions are compared with those of the held-out rows, labels with the training rows'."
    return [tag("h2", "Predictions and labels"), tag("p", words), tag("div", _table(lines), class_="panel")]


def _columns(found: Mapping[str, Any]) -> list[Markup]:
    if not found["columns"]:
        return []
    key = tag(
        "p",
        "The new values of each column beside those of the training rows: ",
        tag("span", class_="key"),
        "training rows ",
        tag("span", class_="key line"),
        "new rows",
    )
    more = len(found["columns"]) - COLUMNS
    left = tag("p", f"and {counted(more, 'column')} that differ less", class_="said") if more > 0 else None
    return [tag("h2", "Columns"), key, tag("div", _table(found["columns"][:COLUMNS]), left, class_="panel")]


def _table(lines: list[dict[str, Any]]) -> Markup:
    heads = [("column", None), ("result", None), ("difference", "n"), ("missing", "n more"), ("values", None)]
    head = tag("tr", [tag("th", name, class_=side) for name, side in heads])
    return tag("table", tag("thead", head), tag("tbody", [_line(each) for each in lines]), class_="sortable")


def _line(each: dict[str, Any]) -> Markup:
    result = "drifted" if each["drifted"] else "date" if family(each["type"]) == "date" else "alike"
    drifted, was, is_ = each["drifted"], each["missing_before"], each["missing_now"]
    said = ", ".join(f"{words} {each[key]:.3f}" for key, words in MEASURES.items() if key in each)
    gaps = percent(is_, 1) if is_ else "–"
    return tag(
        "tr",
        tag("td", tag("b", short(each["name"], 60))),
        tag(
            "td",
            tag("span", result, class_="pill bad" if drifted else "pill"),
            data_value=int(drifted),
        ),
        tag(
            "td",
            f"{MEASURES[each['measure']].split()[0]} {each['score']:.2f}",
            class_="n",
            title=said,
            data_value=each["score"],
        ),
        tag(
            "td",
            gaps if abs(is_ - was) < 0.005 else f"{percent(was, 1)} → {percent(is_, 1)}",
            class_="n more",
            data_value=is_,
        ),
        tag("td", charts.columns_histogram(each["before"], each["now"]), tag("span", _values(each), class_="values")),
    )


def _values(each: dict[str, Any]) -> str:
    if middles := each.get("middles"):
        return f"median {' → '.join(_moment(one, each['type']) for one in middles)}"
    parts = []
    if new := each.get("new_values"):
        word = "new" if not each["before"][-1] else "new or rare"
        parts.append(f"{word}: {', '.join(f'{short(value, 24)} ({rows:,})' for value, rows in new[:NAMED])}")
    if "values" in each:
        sides = [[count / max(1, sum(each[side])) for count in each[side]] for side in ("before", "now")]
        order = sorted(range(len(sides[0])), key=lambda n: -abs(sides[1][n] - sides[0][n]))
        for place in [n for n in order if each["values"][n] is not None][:NAMED]:
            was, is_ = (percent(side[place], 1) for side in sides)
            parts.append(f"{short(each['values'][place], 24)} {was}{'' if was == is_ else f' → {is_}'}")
    return " · ".join(parts)


def _moment(value: float, kind: str) -> str:
    if family(kind) != "date":
        return number(value, 4)
    return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d")


def _notes(found: Mapping[str, Any]) -> list[Markup]:
    notes = list(found["assumed"])
    if found["missing_columns"]:
        notes.insert(
            0, f"The tables lack columns of the training rows: {', '.join(found['missing_columns'][:COLUMNS])}."
        )
    for column, kind in list(found["other_type"].items())[:COLUMNS]:
        notes.insert(0, f"{column} holds {kind}, a different type than in the training rows.")
    if found["new_columns"]:
        notes.append(f"The model ignores new columns: {', '.join(found['new_columns'][:COLUMNS])}.")
    if found["refused"]:
        notes.append(f"{counted(found['refused'], 'request')} did not fit the model and were left out.")
    if found["sampled"] < found["rows"]:
        notes.append(f"A sample of {found['sampled']:,} rows was compared.")
    return [tag("h2", "Notes"), *(tag("p", note, class_="note") for note in notes[:COLUMNS])] if notes else []
