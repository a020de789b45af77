"""A group of partitions as prepare writes it, and the job that trains it with a stand-in for AutoGluon."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import forks
import model_folder
import pyarrow as pa
import pyarrow.parquet as pq
from job_sandbox import CODE, MINUTES, Outcome, Sandbox, config, points

PARTS = ("train", "test", "predict")


def fingerprint(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def write_group(folder: Path, names: Sequence[str], rows: dict[str, int] | None = None, **settings: Any) -> None:
    """The files of prepared/groups/<g>/; each model learns from rows of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"train": 40, "test": 10, "predict": 5} | (rows or {})
    entries = [
        {
            "name": name,
            "value": name.upper(),
            "row_groups": {},
            "train": fingerprint(name),
            "predict": fingerprint(name),
        }
        for name in names
    ]
    for part in PARTS:
        table = pa.table(points(rows[part]))
        table = table.drop_columns(["y"]) if part == "predict" else table
        with pq.ParquetWriter(folder / f"{part}.parquet", table.schema) as writer:
            for place, entry in enumerate(entries):
                start = 1000 * sum(map(ord, entry["name"]))  # the rows depend on the name alone
                own = pa.table(points(rows[part], start + 100 * PARTS.index(part))).select(table.column_names)
                if rows[part]:
                    writer.write_table(own)
                entry["row_groups"][part] = place if rows[part] else None
                entry[f"rows_{part}"] = rows[part]
    template = {"name": "store", "train": {"presets": "fast", "time_limit": 300, "max_runtime": 3600}} | settings
    resolved = config(template) | {"partitioned": {"column": "store", "min_rows": 4, "otherwise": "leave_open"}}
    (folder / "config.json").write_text(json.dumps(resolved))
    (folder / "group.json").write_text(json.dumps({"group": "g0007", "models": entries}))


def to_train(box: Sandbox, names: Sequence[str], todo: Sequence[str] | None = None, **settings: Any) -> None:
    write_group(box.root / "input/data/data", names, **settings)
    box.put_json("input/data/todo/todo.json", {"models": list(names if todo is None else todo)})
    box.put_json("input/config/hyperparameters.json", {"group": "g0007"})


STAND_IN = """
import os, pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
import children, job_io, model_folder, train_group

children.import_autogluon = lambda *_: None
here = pathlib.Path(sys.argv[2])

def fit(config, model, data, out, scratch, brief):
    name = model["name"]
    with (here / "tries").open("a") as tries:
        tries.write(name + "\\n")
    print("fitting", name)
    job_io.log.info("cores %d", job_io.cores())
    if name.startswith("refused"):
        raise job_io.JobError("It has too few rows.")
    if name.startswith("broken"):
        raise ZeroDivisionError("one over nothing")
    if name.startswith("large"):
        raise MemoryError
    if name.startswith("chatty"):
        print("line of a loop\\n" * 100_000)
    if name.startswith("crashed"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("killed") and not (name == "killed-once" and (here / name).exists()):
        (here / name).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("waits") and not (here / "released").exists():
        (here / "waiting").write_text(str(os.getpid()))
        time.sleep(3600)
    (out / "predictor").mkdir()
    (out / "predictor/model.pkl").write_text(name)
    manifest = model_folder.write_manifest(out, "y", {"a": "double"})
    job_io.write_json(out / "metrics.json", {"model": name, "mae": 1.5, "rows_train": 40, "manifest": manifest})

sys.exit(job_io.run("training", lambda: train_group.main(fit)))
"""


def train_with_stand_in(box: Sandbox) -> Outcome:
    return _run(box, STAND_IN)


def _run(box: Sandbox, script: str) -> Outcome:
    path = box.root / "stand_in_group.py"
    path.write_text(script)
    done = forks.run(
        [sys.executable, str(path), str(CODE), str(box.root)],
        env=box.environment(STEPGLUON_CORES="2"),
        capture_output=True,
        text=True,
        timeout=MINUTES,
    )
    reports = [box.root / "output" / name for name in ("failure", "message")]
    sentence = next((path.read_text() for path in reports if path.exists()), None)
    return Outcome(done.returncode, sentence, done.stdout + done.stderr, False)


def entries(box: Sandbox) -> dict[str, dict[str, Any]]:
    found = json.loads((box.model / "group.json").read_text())
    return {each["name"]: each for each in found["models"]}


def tries(box: Sandbox) -> list[str]:
    return (box.root / "tries").read_text().split()


def to_predict(box: Sandbox, names: Sequence[str], **settings: Any) -> dict[str, dict[str, Any]]:
    """A model for each name, whose file the stand-in reads; returns the choices, for `choose`."""
    write_group(box.root / "processing/input/group", names, **settings)
    choices = {}
    for name in names:
        folder = box.root / "trained" / name
        (folder / "predictor").mkdir(parents=True)
        (folder / "predictor/model.pkl").write_text(name)
        manifest = model_folder.write_manifest(folder, "y", {"a": "double"})
        key = f"models/groups/g0007/{name}.tar.gz"
        archive = box.root / "processing/input/models" / key
        archive.parent.mkdir(parents=True, exist_ok=True)
        model_folder.pack(folder, archive)
        choices[name] = {"name": name, "uses": "trained", "key": key, "manifest": manifest}
    choose(box, choices)
    return choices


def choose(box: Sandbox, choices: dict[str, dict[str, Any]]) -> None:
    box.put_json("processing/input/choices/choices.json", {"models": list(choices.values())})


PREDICT_STAND_IN = """
import os, pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
import children, job_io, model_folder, predict_group
import pyarrow as pa
import pyarrow.parquet as pq

children.MEMORY = 1
inputs = pathlib.Path(sys.argv[2]) / "processing/input"

def importing(*_):
    waits = inputs / "ahead.txt"  # for these models to be unpacked; then it removes their archives
    if waits.exists():
        (scratch,) = job_io._scratch
        for name in waits.read_text().split():
            while not (scratch / f"{name}.unpacked").exists():
                time.sleep(0.01)
            next(inputs.rglob(f"{name}.tar.gz")).unlink()

children.import_autogluon = importing

def predict(rows, folder, name, expected, out, in_memory):
    model_folder.verified(folder, name, expected)
    said = (folder / "predictor/model.pkl").read_text()
    if name.startswith("crashed"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("broken"):
        raise ZeroDivisionError("one over nothing")
    out.mkdir()
    table = pq.read_table(rows / predict_group.PART)
    columns = {"prediction": [float(len(said)) + a for a in table["a"].to_pylist()]}
    if name.startswith("classes"):
        columns = {"prediction": ["yes"] * len(table), "probability": [0.75] * len(table)}
    if name == "classes-two":
        columns["probability_yes"] = [0.75] * len(table)
    pq.write_table(pa.table(columns), out / predict_group.PART)
    print("predicted", name)
    return len(table)

sys.exit(job_io.run("processing", lambda: predict_group.main(predict)))
"""


def predict_with_stand_in(box: Sandbox) -> Outcome:
    return _run(box, PREDICT_STAND_IN)


def results(box: Sandbox) -> dict[str, dict[str, Any]]:
    found = json.loads((box.out / "result.json").read_text())
    assert found["failed"] == sum("Error" in each for each in found["models"])
    return {each["name"]: each for each in found["models"]}
