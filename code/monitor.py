"""Monitor: compares the rows that a model gets with the profile of the rows that trained it.

Reads   processing/input/profile/profile.json     of the model's folder; see row_profile.py
        processing/input/manifest/manifest.json   also from there
        processing/input/config/config.json
        processing/input/captured/     captured requests, in SageMaker's lines of JSON
        processing/input/tables/       uploaded tables, in any format of prepare; with the column `prediction` and the
                                       label, as predictions.csv has them, the error is compared, too
        environment variables
            STEPGLUON_MODEL            the model's name
            STEPGLUON_DRIFT            the highest difference that is accepted; 0.2
            STEPGLUON_PREDICT          true: the model, whose folder is processing/input/model/, predicts rows that have
                                       no prediction, and the other two files are read from its folder
Writes  processing/output/drift.json   every column's measures; see drift.py
        processing/output/drift.html   the same for people
        processing/output/result.json  {"outcome", "sentence", "rows"} for the state machine, which reads small files
                                       only; the outcome is drift, none or unknown

Either of the two inputs may be missing. The rows need not fit in memory: new_rows.py keeps a sample.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and not os.environ.get("STEPGLUON_PREDICT"):
    from no_pandas import keep_pandas_out

    keep_pandas_out()  # before pyarrow is used

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import drift
import drift_page
import job_io
import job_model
import new_rows
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from job_io import JobError, counted, listed, log, shown
from model_folder import MANIFEST, family, program_of
from new_rows import LABEL, PREDICTION, NewRows
from row_profile import FILE, loss

LIMIT = 0.2
LEAST_ROWS = 50  # with fewer, only enormous differences are significant
DRIFT, NONE, UNKNOWN = "drift", "none", "unknown"
NAMED = 3  # columns in the sentence


def main() -> None:
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        config = job_io.read_config(job_io.processing_input("config"))
        model = job_io.model_of(config, job_model.prediction_model())
        found = monitor(model, config, limit_of(os.environ.get("STEPGLUON_DRIFT", str(LIMIT))))
        job_io.write_json(out / "drift.json", found)
        job_io.write_json(out / "result.json", {key: found[key] for key in ("outcome", "sentence", "rows")})
        (out / "drift.html").write_text(drift_page.page(str(config.get("name", "stepgluon")), found), "utf-8")
    log.info("%s", found["sentence"])


def limit_of(text: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise JobError(f"The environment variable STEPGLUON_DRIFT is {shown(text)}; it must be a number above 0.")
    return limit


def monitor(model: Mapping[str, Any], config: Mapping[str, Any], limit: float) -> dict[str, Any]:
    name, predicts = model["name"], bool(os.environ.get("STEPGLUON_PREDICT"))
    folder = job_io.processing_input("model")
    places = [(folder if predicts else job_io.processing_input(name_of)) for name_of in ("profile", "manifest")]
    if not (places[0] / FILE).is_file():
        raise JobError(f"Model {name} has no {FILE}: it was trained by an older version; train it again.")
    profile, manifest = job_io.read_json(places[0] / FILE), job_io.read_json(places[1] / MANIFEST)
    rows = NewRows(manifest["features"], bool(manifest.get("classes")), predicts)
    new_rows.read_captured(job_io.processing_input("captured"), name, rows)
    new_rows.read_tables(job_io.processing_input("tables"), config, model, rows)
    sample = rows.sample
    if predicts and len(sample):
        sample = predicted(sample, folder, name, manifest, rows)
    found = {
        "model": name,
        "label": manifest["label"],
        "limit": limit,
        "rows": rows.rows,
        "sampled": len(sample),
        "trained_on": profile["rows"],
        "requests": rows.requests,
        "refused": rows.refused,
        "new_columns": list(rows.new),
        "missing_columns": sorted(rows.missing),
        "other_type": dict(rows.other_type),
        "assumed": rows.assumed,
    }
    if len(sample) < LEAST_ROWS:
        sentence = (
            f"Model {name}, {counted(rows.rows, 'new row')}: too few to compare (at least {LEAST_ROWS} are needed)."
        )
        return {**found, "outcome": UNKNOWN, "sentence": sentence, "columns": []}
    return judged({**found, **measured(profile, sample, rows, limit)})


def measured(profile: Mapping[str, Any], sample: pa.Table, rows: NewRows, limit: float) -> dict[str, Any]:
    """The columns, the worst first, and the predictions, labels and errors as far as they are known."""
    known = [name for name in profile["columns"] if name not in rows.missing and name not in rows.other_type]
    tests = drift.TESTS * (len(known) + 2) + 1
    found: dict[str, Any] = {}
    columns = []
    for name in known:
        one = drift.compared(profile["columns"][name], sample.column(name), limit, tests)
        if family(one["type"]) == "date":  # time passes: new rows have later dates
            one["drifted"] = one["measure"] == "missing" and one["drifted"]
        columns.append({"name": name, **one})
    found["columns"] = sorted(columns, key=lambda each: (not each["drifted"], -each["score"]))
    for key, column in (("prediction", PREDICTION), ("truth", LABEL)):
        values = sample.column(column).drop_null()
        if len(values) >= LEAST_ROWS:
            found[key] = drift.compared(profile["label" if key == "truth" else key], values, limit, tests)
    both = sample.filter(pc.and_(pc.is_valid(sample.column(PREDICTION)), pc.is_valid(sample.column(LABEL))))
    if len(both) >= LEAST_ROWS:
        truth, answers = (
            both.column(name).to_numpy().astype(object if rows.classes else float) for name in (LABEL, PREDICTION)
        )
        found["error"] = drift.grown(profile["held_out"], loss(truth, answers), limit, tests)
    return found


def judged(found: dict[str, Any]) -> dict[str, Any]:
    """With the outcome, and the sentence for the mail."""
    bad = [each for each in found["columns"] if each["drifted"]]
    said = []
    if (error := found.get("error")) and error["drifted"]:
        said.append(f"its error is {error['now']:.6g} ({error['before']:.6g} on the held-out rows)")
    if bad:
        some = ", ".join(f"{shown(one['name'])} ({in_words(one)})" for one in bad[:NAMED])
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        said.append(f"{len(bad)} of {counted(len(found['columns']), 'column')} differ: {some}{more}")
    for key, words in (("prediction", "its predictions differ"), ("truth", "the labels differ")):
        if key in found and found[key]["drifted"]:
            said.append(f"{words} ({in_words(found[key])})")
    if found["missing_columns"]:
        said.append(f"the tables lack {listed(found['missing_columns'], NAMED)}")
    if found["other_type"]:
        said.append(f"the type of {listed(list(found['other_type']), NAMED)} differs")
    what = f"Model {found['model']}, {counted(found['rows'], 'new row')}"
    if not said:
        return {**found, "outcome": NONE, "sentence": f"{what}: no drift."}
    return {**found, "outcome": DRIFT, "sentence": f"{what}: {'; '.join(said)}."}


def in_words(one: Mapping[str, Any]) -> str:
    return f"{drift.MEASURES[one['measure']]} {one['score']:.2f}"


def predicted(sample: pa.Table, folder: Path, model: str, manifest: dict[str, Any], rows: NewRows) -> pa.Table:
    """The sample with the model's own predictions of rows that have none."""
    from model_folder import verified
    from predict import load

    gaps = pc.is_null(sample.column(PREDICTION))
    if not pc.any(gaps).as_py() or rows.missing or rows.other_type or program_of(manifest) == "container":
        return sample
    predictor = load(folder, model, verified(folder, model))
    answers = [predictor.answers(predictor.inputs(batch)) for batch in sample.to_batches()]
    plain = np.concatenate([one["prediction"] if isinstance(one, dict) else one for one in answers])
    place = sample.schema.get_field_index(PREDICTION)
    own = pa.chunked_array([pa.array(plain, sample.schema.field(place).type)])
    return sample.set_column(place, PREDICTION, pc.coalesce(sample.column(PREDICTION), own))


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
