"""Predict a group: applies each model that the state machine chose to its rows, several at once.

Reads   processing/input/group/                 prepared/groups/<g>/: group.json, config.json, predict.parquet
        processing/input/choices/choices.json   {"models": [{"name", "uses", "key", "manifest"}, ...]}
        processing/input/models/<key>           the models' archives, as train_group.py wrote them; and below
                                                predictions/, if there is one, the output of the group's last job
Writes  processing/output/predictions.parquet   `stepgluon_model` and the columns of predict.py; a row group for each
                                                model that predicted, in the order of group.json, with a row for each
                                                row of its row group in predict.parquet
        processing/output/result.json           {"failed", "models": [{"name", "of", "row_group"}]}, "row_group" null
                                                without rows to predict; or in its place "Error" and "Cause". "of" is a
                                                hash of the model and its rows, by which the next job of the group takes
                                                over predictions that would be the same.

A model that fails costs its predictions alone. Each process unpacks, checks and loads one model at a time; while
AutoGluon is imported, which uses one core, the others unpack the first models.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import archive
import children
import job_io
import pyarrow as pa
import pyarrow.parquet as pq
from children import Failure
from group_folder import Group
from job_io import JobError, RetryableError, counted, log, shown
from metrics import has_classes

MODEL = "stepgluon_model"
SMALL = 64 * 1024**2  # bytes; the forests of a smaller model are loaded whole, which is faster
PART = "part-00000.parquet"

Predict = Callable[[Path, Path, str, str, Path, bool], int]  # predict.predict


def main(predict: Predict) -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out, job_io.scratch() as scratch:
        group = Group(job_io.processing_input("group"))
        choices = choices_in(job_io.processing_input("choices"), group)
        found = predict_all(predict, group, choices, scratch)
        failed = sum("Error" in each for each in found.values())
        results = assemble(group, found, scratch, out / "predictions.parquet")
        job_io.write_json(out / "result.json", {"failed": failed, "models": results})
    done, seconds = counted(len(found) - failed, "model"), time.monotonic() - started
    log.info("group %s: %s predicted in %.1f s, %d failed", group.name, done, seconds, failed)


def choices_in(folder: Path, group: Group) -> dict[str, dict[str, Any]]:
    """The models that are to predict, in the order of group.json."""
    found = job_io.read_json(folder / "choices.json")
    try:
        chosen = {each["name"]: each for each in found["models"] if each["uses"] != "nothing"}
    except (KeyError, TypeError):
        raise JobError("choices.json has no list of models that each have a name and what it uses.") from None
    for name in chosen:
        group[name]
    return {name: chosen[name] for name in group.entries if name in chosen}


def predict_all(
    predict: Predict, group: Group, choices: dict[str, dict[str, Any]], scratch: Path
) -> dict[str, dict[str, Any]]:
    """The entries of result.json by name, without row groups; predictions are in scratch/<name>.parquet."""
    found = {name: {"name": name, "of": hash_of(group, choice)} for name, choice in choices.items()}
    done = taken_over(group, found, scratch)
    due = [name for name in choices if group[name]["rows_predict"] and name not in done]
    due.sort(key=lambda name: -group[name]["rows_predict"])
    if done:
        log.info("group %s: %s as in the last run", group.name, counted(len(done), "model"))
    if due:
        with children.meanwhile(due, lambda name: unpack(choices[name], scratch)):
            children.import_autogluon("autogluon.tabular")

    def work(name: str) -> None:
        os.environ["STEPGLUON_CORES"] = "1"
        predict_one(predict, group, choices[name], scratch)

    for ended, (name, outcome) in enumerate(children.results(due, work, scratch, fresh=False), 1):
        if isinstance(outcome, Failure):
            log.warning("%s", outcome.sentence)
            found[name] = outcome.entry(name)
        log.info("progress: %d of %s", ended, counted(len(due), "model"))
    return found


def hash_of(group: Group, choice: dict[str, Any]) -> str:
    """Of what a model's predictions depend on, besides the image and the environment of the job."""
    depends = [group[choice["name"]]["predict"], choice.get("key"), choice.get("manifest")]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:32]


def taken_over(group: Group, wanted: dict[str, dict[str, Any]], scratch: Path) -> set[str]:
    """The models whose predictions the group's last job has; write them to scratch/<name>.parquet."""
    done = set()
    for result in job_io.processing_input("models").glob("predictions/groups/*/*/*/result.json"):
        try:
            places = {one["of"]: one["row_group"] for one in job_io.read_json(result)["models"] if "Error" not in one}
            with pq.ParquetFile(result.with_name("predictions.parquet")) as file:
                for name, entry in wanted.items():
                    if (place := places.get(entry["of"])) is None:
                        continue
                    rows = file.read_row_group(place, use_threads=False)  # threads do not survive a fork
                    if len(rows) == group[name]["rows_predict"]:
                        empty = [each for each in rows.column_names if rows[each].null_count == len(rows)]
                        pq.write_table(rows.drop_columns([MODEL, *empty]), scratch / f"{name}.parquet")
                        done.add(name)
        except (JobError, KeyError, TypeError, OSError, pa.ArrowException) as problem:
            log.warning("The group's last predictions are damaged, and not used: %s", problem)
    return done


def predict_one(predict: Predict, group: Group, choice: dict[str, Any], scratch: Path) -> None:
    name, folder = choice["name"], scratch / choice["name"]
    shutil.rmtree(folder, ignore_errors=True)  # of a try that was killed
    (folder / "rows").mkdir(parents=True)
    if not choice.get("manifest"):
        raise JobError(f"Model {name} is not loaded: choices.json does not have the sha256 of its manifest.")
    unpack(choice, scratch).rename(folder / "model")
    pq.write_table(group.rows(name, "predict"), folder / "rows" / PART)
    size = sum(path.stat().st_size for path in (folder / "model").rglob("*"))
    predict(folder / "rows", folder / "model", name, choice["manifest"], folder / "predicted", size < SMALL)
    kind = pq.read_schema(folder / "predicted" / PART).field("prediction").type
    if kind != columns_of(group)["prediction"]:
        does, needs = ("classes", "numbers") if kind == pa.string() else ("numbers", "classes")
        label = shown(group.template["label"])
        raise JobError(f"Model {name} predicts {does}, but the metric of {label} needs {needs}; train it again.")
    (folder / "predicted" / PART).rename(scratch / f"{name}.parquet")
    shutil.rmtree(folder)


def unpack(choice: dict[str, Any], scratch: Path) -> Path:
    """The folder with the model's files, which is complete or absent."""
    whole, begun = (scratch / f"{choice['name']}.{state}" for state in ("unpacked", "begun"))
    if not whole.is_dir():
        shutil.rmtree(begun, ignore_errors=True)
        archive.unpack(archive_of(choice), begun, choice["name"], archive.limits_of_disk(scratch))
        begun.rename(whole)
    return whole


def archive_of(choice: dict[str, Any]) -> Path:
    key = PurePosixPath(choice["key"])
    path = job_io.processing_input("models") / key
    if ".." in key.parts or not path.is_file():
        raise RetryableError(f"Model {choice['name']}: its archive {shown(str(key), 300)} is missing from the inputs.")
    return path


def columns_of(group: Group) -> dict[str, pa.DataType]:
    """The columns that all models of the group have."""
    if has_classes(group.template):
        return {"prediction": pa.string(), "probability": pa.float64()}
    return {"prediction": pa.float64()}


def assemble(group: Group, found: dict[str, dict[str, Any]], scratch: Path, target: Path) -> list[dict[str, Any]]:
    """Write all predictions into one file; return the entries with their row groups."""
    files = {name: scratch / f"{name}.parquet" for name, entry in found.items() if "Error" not in entry}
    files = {name: path for name, path in files.items() if path.is_file()}
    columns = columns_of(group)
    for path in files.values():  # each model's positive class has a column
        columns |= {field.name: field.type for field in pq.read_schema(path)}
    schema = pa.schema([(MODEL, pa.dictionary(pa.int32(), pa.string())), *columns.items()])
    places = {name: place for place, name in enumerate(files)}
    with pq.ParquetWriter(target, schema) as writer:
        for name, path in files.items():
            rows = pq.read_table(path)
            own = {each: rows[each] if each in rows.column_names else pa.nulls(len(rows)) for each in columns}
            names = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int32()), [name])
            writer.write_table(pa.table({MODEL: names, **own}).cast(schema), row_group_size=len(rows))
    return [entry if "Error" in entry else {**entry, "row_group": places.get(name)} for name, entry in found.items()]
