"""Score, with files in place of tables: runs the user's script that measures a model, and writes the model's folder.

Reads   processing/input/archive/model.tar.gz   the training's output; unpacked only for a script
        processing/input/test/                  the files that the training has not seen
        processing/input/config/config.json
        processing/input/code/                  the user's scripts
        processing/input/trials/trials.json     of a tuned model: what its trainings tried
        environment variables STEPGLUON_MODEL, and STEPGLUON_LOGGED: the training's own metric with `score: {log: …}`
Writes  processing/output/model.tar.gz          as it was
        processing/output/evaluation.json       all that the script measured
        processing/output/manifest.json  processing/output/metrics.json

The script reads processing/input/model, with the archive's files, and processing/input/test; it writes
processing/output/metrics.json, like {"accuracy": 0.93}.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import archive
import job_io
import job_model
import user_script
from job_io import JobError, RetryableError, log, shown

METRICS = "metrics.json"
EXAMPLE = '{"accuracy": 0.93}'
MOST = 100  # metrics that are kept


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        name = job_model.prediction_model()
        model = job_io.model_of(job_io.read_config(job_io.processing_input("config")), name)
        packed, metric = job_io.processing_input("archive") / "model.tar.gz", model.get("metric") or "mae"
        if not packed.is_file():
            raise RetryableError(f"{packed.name} is missing in {packed.parent}; the job's inputs are not complete.")
        script = model["score"].get("with")
        if script:  # only the script reads the model
            folder = job_io.processing_input("model")
            archive.unpack(packed, folder, name, archive.limits_of_disk(folder.parent))
        logged = os.environ.get("STEPGLUON_LOGGED")
        found = measured(Path(script).name) if script else {metric: logged} if logged else {}
        score = score_in(found, metric, Path(script).name if script else "The training's log")
        log.info("model %s: %s %s", name, metric, score)
        shutil.move(os.fspath(packed), os.fspath(out / packed.name))
        trials = job_io.processing_input("trials")
        known = {key: value for key, value in found.items() if _number(value) is not None}
        about = {"model": name, "metric": metric, "score": score, "baseline": None}
        about |= {"program": "files", "seconds": round(time.monotonic() - started, 1)}
        more = {"metrics": dict(list(known.items())[:MOST]), "notes": [], **job_model.tried(trials)}
        job_io.write_json(out / "evaluation.json", {**about, **more})
        manifest = write_manifest(out, name)
        about |= {"mae": score} if metric == "mae" else {}
        job_io.write_json(out / METRICS, {**about, "manifest": manifest})


def measured(script: str) -> dict[str, Any]:
    """The metrics that the script wrote. Everything else in the output is removed."""
    folder = job_io.processing_output()
    user_script.run(script)
    path = folder / METRICS
    if not path.is_file() or path.is_symlink():
        raise JobError(f"{script} wrote no {path}; it must write its metrics there, like {EXAMPLE}.")
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as problem:
        raise JobError(f"{script} wrote {METRICS}, which is not JSON: {problem}.") from None
    if not isinstance(found, dict):
        raise JobError(f"{script} wrote {METRICS}, which is not an object like {EXAMPLE}.")
    for item in folder.iterdir():
        if item.name.startswith(".unfinished"):
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
    return found


def score_in(found: dict[str, Any], metric: str, where: str) -> float:
    if metric not in found:
        named = f", only {job_io.listed(sorted(map(str, found)))}" if found else ""
        raise JobError(f"{where} has no metric {shown(metric)}{named}.")
    score = _number(found[metric])
    if score is None:
        raise JobError(f"{where}: {metric} is {shown(found[metric])}, which is not a finite number.")
    return score


def _number(value: Any) -> float | None:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return float(f"{number:.6g}") if math.isfinite(number) else None  # for mails


def write_manifest(folder: Path, label: str) -> str:
    """Write the manifest in the form of model_folder.py; return its sha256."""
    sums = {path.name: user_script.sha256(path) for path in sorted(folder.iterdir())}
    job_io.write_json(folder / "manifest.json", {"program": "files", "files": sums, "label": label, "features": {}})
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
