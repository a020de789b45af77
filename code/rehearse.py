"""Rehearse: predicts the same rows with the model that serves and with a new one, for `rehearse`; in no image.

Reads   processing/input/old/, new/        two models' folders, of AutoGluon or XGBoost
        processing/input/captured/         requests that an endpoint captured; or
        processing/input/tables/           tables, in any format of prepare; or
        processing/input/test/             the held-out rows of a run, written by prepare
        processing/input/config/config.json
        environment variable STEPGLUON_MODEL
Writes  processing/output/rehearse.json, rehearse.html
"""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from collections.abc import Mapping
from string import Template
from typing import Any

import charts
import job_io
import job_model
import new_rows
import numpy as np
import part_files
import pyarrow as pa
import pyarrow.compute as pc
from evaluation import TEXT
from job_io import JobError, counted, shown
from markup import Markup, joined, number, percent, short, tag, text
from model_folder import program_of, verified
from new_rows import LABEL, PREDICTION, NewRows
from programs import PROGRAMS, module_of
from report_page import PAGE, SCRIPT, STYLE
from row_profile import loss

SIDES = ("old", "new")
TITLES = {"old": "the model that serves", "new": "the new model"}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WORST = 10  # rows
COLUMNS = 8  # of a worst row
SINGLE = 20  # rows that are predicted one by one, to measure how long an answer takes
PAIRS = 5000


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        config = job_io.read_config(job_io.processing_input("config"))
        found = rehearse(job_io.model_of(config, job_model.prediction_model()), config)
        pairs = found.pop("pairs")
        found |= {"sentence": sentence(found), "figures": figures(found)}
        job_io.write_json(out / "rehearse.json", found)
        (out / "rehearse.html").write_text(page(found, pairs), "utf-8")


def rehearse(model: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    name = model["name"]
    manifests = {side: verified(job_io.processing_input(side), name) for side in SIDES}
    if any(PROGRAMS[program_of(one)].answers for one in manifests.values()):
        raise JobError(f"Model {name} is a container's, which runs only in its own image.")
    classes = {bool(one.get("classes")) for one in manifests.values()}
    if len(classes) > 1:
        raise JobError(f"One of the two models of {name} predicts classes, and the other numbers.")
    rows = rows_of(model, config, manifests, classes.pop())
    sample = rows.sample
    if not len(sample):
        raise JobError(f"Model {name} has no rows to predict; pass tables with rows for it with --data.")
    missing = rows.missing | rows.other_type.keys()
    if missing:
        raise JobError(f"The rows lack the column {shown(sorted(missing)[0])}, or it has another type.")
    answered = {side: answers_of(side, name, manifests[side], sample) for side in SIDES}
    return {"model": name, "rows": len(sample), **compared(sample, answered, rows.classes)}


def rows_of(
    model: Mapping[str, Any], config: Mapping[str, Any], manifests: Mapping[str, Any], classes: bool
) -> NewRows:
    features = {**manifests["old"]["features"], **manifests["new"]["features"]}
    rows = NewRows(features, classes, whole_texts=True)
    new_rows.read_captured(job_io.processing_input("captured"), model["name"], rows)
    new_rows.read_tables(job_io.processing_input("tables"), config, model, rows)
    if (held_out := job_io.processing_input("test")).is_dir():
        for path in part_files.part_paths(held_out):
            for batch in part_files.read_batches(path):
                rows.missing |= {name for name in features if name not in batch.schema.names}
                rows.add(new_rows.columns_of(batch, rows, model["label"]), batch.num_rows)
    return rows


def answers_of(side: str, model: str, manifest: dict[str, Any], sample: pa.Table) -> dict[str, Any]:
    """The predictions, and how long one row takes, in milliseconds: without HTTP, which is the same for both.

    Of a few rows, the fastest: other work of this computer only makes answers slower.
    """
    # Not predict.load, which for XGBoost keeps out packages that the other model may need.
    predictor = module_of(program_of(manifest)).Predictor(job_io.processing_input(side), model, manifest, True)

    def ask(rows: pa.RecordBatch) -> Any:
        found = predictor.answers(predictor.inputs(rows))
        return found["prediction"] if isinstance(found, dict) else found

    batches = sample.combine_chunks().to_batches()
    predictions = np.concatenate([ask(batch) for batch in batches])
    took = []
    for row in range(min(SINGLE, len(batches[0]))):
        began = time.perf_counter()
        ask(batches[0].slice(row, 1))
        took.append(time.perf_counter() - began)
    return {"predictions": predictions, "milliseconds": round(1000 * min(took), 2)}


def compared(sample: pa.Table, answered: Mapping[str, Any], classes: bool) -> dict[str, Any]:
    old, new = (np.asarray(answered[side]["predictions"], object if classes else float) for side in SIDES)
    apart = loss(old, new)
    known = pc.is_valid(sample.column(LABEL)).to_numpy()
    truth = sample.column(LABEL).to_numpy()
    found: dict[str, Any] = {"classes": classes, "difference": float(apart.mean()), "differ": int((apart > 0).sum())}
    for side, predictions in zip(SIDES, (old, new), strict=True):
        one: dict[str, Any] = {"milliseconds": answered[side]["milliseconds"]}
        if classes:
            names, counts = np.unique(predictions.astype(str), return_counts=True)
            one["values"] = dict(zip(names.tolist(), counts.tolist(), strict=True))
        else:
            one["quantiles"] = np.quantile(predictions, QUANTILES).tolist()
        if known.any():
            kept = truth[known].astype(object if classes else float)
            one["error"] = float(loss(kept, predictions[known]).mean())
        found[side] = one
    columns = [name for name in sample.column_names if name not in (LABEL, PREDICTION)][:COLUMNS]
    worst = np.argsort(-apart, kind="stable")[:WORST]
    cells = sample.take(pa.array(worst)).to_pylist()
    found["columns"] = columns
    found["worst"] = [
        {
            "values": [None if row[name] is None else short(row[name], TEXT) for name in columns],
            "actual": row[LABEL],
            "old": old[place],
            "new": new[place],
        }
        for place, row in zip(worst.tolist(), cells, strict=True)
        if apart[place] > 0
    ]
    return {**found, "pairs": (old[:PAIRS], new[:PAIRS])}


def sentence(found: Mapping[str, Any]) -> str:
    """`The new model predicts 12 of 40 rows differently. Its error is 3.1; the model that serves has 4.2.`"""
    said = f"The new model predicts {found['differ']} of {counted(found['rows'], 'row')} differently"
    if not found["classes"]:
        said += f", by {found['difference']:.6g} on average"
    old, new = found["old"], found["new"]
    errors = (
        f" Its error is {new['error']:.6g}; the model that serves has {old['error']:.6g}." if "error" in new else ""
    )
    return f"{said}.{errors}"


def page(found: Mapping[str, Any], pairs: tuple[Any, Any]) -> str:
    model, heads = found["model"], ["", TITLES["old"], TITLES["new"]]
    lines = [[name, *(cells[side] for side in SIDES)] for name, cells in figures(found)]
    chart = []
    if not found["classes"]:
        chart = [tag("h2", "Answers"), tag("p", "Each dot is a row; on the line, both models answer the same.")]
        chart.append(_panel(charts.scatter(*pairs, "answer", (TITLES["old"], TITLES["new"]))))
    worst = [
        [*map(_cell, row["values"]), *(_cell(row[key]) for key in ("actual", "old", "new"))] for row in found["worst"]
    ]
    body = [
        tag("header", tag("p", f"rehearsal of {model}", class_="over"), tag("h1", "Before the release"),
            tag("p", sentence(found), class_="lead")),
        tag("h2", "Side by side"),
        tag("p", f"Both predicted the same {counted(found['rows'], 'row')}."),
        _panel(_table(heads, lines)),
        *chart,
        *([tag("h2", "Largest differences"), _panel(_table([*found["columns"], "actual", "serves", "new"], worst))]
          if worst else []),
        tag("footer", "Made by stepgluon. The page contains data of rows and loads nothing from other servers."),
    ]  # fmt: skip
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    parts = {"script_hash": f"sha256-{digest}", "script": SCRIPT, "style": STYLE}
    return Template(PAGE).substitute(parts, title=text(f"rehearsal of {model}"), body=joined(body))


def figures(found: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The lines of the table, for the page and the terminal."""
    lines = [("time per answer", {side: f"{found[side]['milliseconds']:g} ms" for side in SIDES})]
    if "error" in found["new"]:
        title = "wrong classes" if found["classes"] else "mean absolute error"
        lines.append((title, {side: number(found[side]["error"], 4) for side in SIDES}))
    if found["classes"]:
        for name in sorted({*found["old"]["values"], *found["new"]["values"]})[:COLUMNS]:
            shares = {side: percent(found[side]["values"].get(name, 0), found["rows"]) for side in SIDES}
            lines.append((f"answers {short(name, 30)}", shares))
    else:
        for place, share in enumerate(QUANTILES):
            lines.append((f"{share:.0%} of answers below", {s: number(found[s]["quantiles"][place], 4) for s in SIDES}))
    return lines


def _cell(value: Any) -> str:
    return "–" if value is None else number(value, 4) if isinstance(value, float) else str(value)


def _panel(content: Markup) -> Markup:
    return tag("div", content, class_="panel")


def _table(heads: list[str], lines: list[list[Any]]) -> Markup:
    body = [tag("tr", [tag("td", cell) for cell in line]) for line in lines]
    return tag("table", tag("thead", tag("tr", [tag("th", head) for head in heads])), tag("tbody", body))


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
