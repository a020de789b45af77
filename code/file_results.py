"""Post-process, with files in place of tables: a row for each file, with each model's answer.

An answer is what the model's container returned for the file: a short text is the cell itself, any other answer is
named by its key in the work bucket.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from job_io import JobError, RetryableError, counted, log
from spreadsheet import defused, defused_names

LONGEST = 1000  # bytes of an answer that is a cell
TOP = 10  # answers that the report counts
END = ".out"  # [sm] of an answer's name


def results(
    verdicts: dict[str, dict[str, Any]],
    profile: dict[str, Any],
    answered: Path,
    failures: dict[str, str | None],
    out: Path,
) -> dict[str, Any]:
    """Write both files of the result to `out` and return the summary.

    `answered` has a folder of answers for each model that predicted; `failures` has the reasons of the others.
    """
    files = sorted({file for model in profile["models"] for file in model["predict_files"]})
    columns: dict[str, list[str | None]] = {}
    models, missing = [], []
    for model in profile["models"]:
        name, failure = model["name"], failures[model["name"]]
        column = "prediction" if len(profile["models"]) == 1 else f"{name}_prediction"
        verdict = verdicts[name]
        place = f"{verdict.get('place')}/{verdict.get('folder')}"
        found = {} if failure else answers(answered / name, place, name, model["predict_files"])
        columns[column] = [found.get(file) for file in files]
        known = {key: verdict.get(key) for key in ("mae", "threshold", "verdict", "reason", "uses", "model_uri")}
        known |= {key: verdict[key] for key in ("metric", "score", "baseline", "at_most", "at_least") if key in verdict}
        counts = {key: model[key] for key in ("label", "rows_train", "rows_test", "rows_predict")}
        ending = {"outcome": "failed" if failure else "predicted", "failure": failure, "column": column}
        top = Counter(filter(None, found.values())).most_common(TOP)
        models.append({"name": name, "rows": len(found), **counts, **known, **ending, "answers": top})
        if failure:
            missing.append({"name": name, "rows": model["rows_predict"], "reason": failure})
        log.info("model %s: %s", name, counted(len(found), "answer"))
    table = pa.table(
        {"file": pa.array(named(files), pa.string())} | {k: pa.array(v, pa.string()) for k, v in columns.items()}
    )
    pq.write_table(table, out / "predictions.parquet")
    cells = [defused(column.combine_chunks()) for column in table.columns]
    pyarrow.csv.write_csv(pa.table(cells, defused_names(table.column_names)), out / "predictions.csv")
    return {
        "unit": "file",
        "rows": profile["rows"],
        "predictions": sum(model["rows"] for model in models),
        "gaps": None,
        "data_sha256": profile.get("sha256"),
        "models": models,
        "missing": missing,
        "files": ["predictions.csv", "predictions.parquet"],
    }


def named(files: list[str]) -> list[str]:
    """The names of the files to predict, from those of the answers."""
    return [file.removesuffix(END) for file in files]


def answers(folder: Path, place: str, model: str, files: list[str]) -> dict[str, str]:
    """Each file's answer, or its key below `place`; raises JobError if one is missing."""
    found = {path.name: path for path in folder.glob(f"*{END}")}
    lacking = next((file for file in files if file not in found), None)
    if lacking:
        raise RetryableError(f"Model {model} has no answer for {lacking}; the job's inputs are not complete.")
    if more := found.keys() - set(files):
        raise JobError(f"Model {model} answered {min(more)}, which is not to be predicted; run the pipeline again.")
    return {file: _cell(found[file]) or f"{place}/{file}" for file in files}


def _cell(path: Path) -> str:
    """The answer if it is a short text, else an empty text."""
    if path.stat().st_size <= LONGEST:
        try:
            text = path.read_text("utf-8").strip()
        except UnicodeDecodeError:
            text = ""
        if text.isprintable():
            return text
    return ""
