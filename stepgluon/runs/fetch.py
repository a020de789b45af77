"""`fetch RUN`: copies a run's result or a model's folder to this computer."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import Any

from stepgluon.aws import transfers
from stepgluon.errors import StepgluonError, SurroundingsError
from stepgluon.runs.executions import read_json, sizes

RESULT, ONLY = "predictions.csv", "predicted.csv"
INNER = ("run.json", "history.json", "_SUCCESS")  # files beside a result that are not part of it


class NothingToFetch(StepgluonError):
    """The run has no such files."""


def download(s3: Any, address: str, to: Path, most: float = inf) -> list[Path]:
    """Download a folder of S3, or its last files, until they have `most` bytes; return the files."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    found = sizes(s3, bucket, prefix)
    after = accumulate((found[name] for name in reversed(found)), initial=0)
    last = [name for name, later in zip(reversed(found), after, strict=False) if later < most]
    names = [name for name in reversed(last) if name and name not in INNER]
    with transfers(s3) as manager:
        sent = []
        for name in names:
            _folder((to / name).parent)
            sent.append(manager.download(bucket, prefix + name, str(to / name)))
        for one in sent:
            one.result()
    return [to / name for name in names]


def copied(folder: Path, to: Path) -> list[Path]:
    """Copy the result out of a local run's folder; return the files."""
    files = [file for file in sorted(folder.glob("*")) if file.is_file() and file.name not in INNER]
    _folder(to)
    return [Path(shutil.copyfile(file, to / file.name)) for file in files]


def model_address(record: Mapping[str, Any], model: str) -> str:
    """The S3 folder of the model that predicts."""
    found = next((one for one in record["models"] if one["name"] == model), None)
    if found is None:
        names = ", ".join(one["name"] for one in record["models"]) or "none"
        raise NothingToFetch(f"{record['run']} has no model {model} (its models: {names})")
    if not found.get("model_uri"):
        raise NothingToFetch(
            f"{record['run']} predicts nothing with {model}, which was {found['verdict'] or 'not trained'}"
        )
    return str(found["model_uri"]).rstrip("/") + "/"


def archive(s3: Any, record: Mapping[str, Any], model: str, to: Path) -> list[Path]:
    """Download the archive of the model that predicts a partition, by its name or the partition's value."""
    found = of_partition(s3, record, model)
    if not found.get("key"):
        raise NothingToFetch(
            f"{record['run']} predicts nothing with {model}, which was {found['verdict'] or 'not trained'}"
        )
    _folder(to)
    file = to / f"{found['name']}.tar.gz"
    with transfers(s3) as manager:
        manager.download(_bucket(record), found["key"], str(file)).result()
    return [file]


def _bucket(record: Mapping[str, Any]) -> str:
    return str(record["config"]).removeprefix("s3://").partition("/")[0]  # a local run's folder names none


def of_partition(s3: Any, record: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A partition's entry in the summary of the result, by its model's name or by its value."""
    place = str(record["folder"])
    if place.startswith("s3://"):
        summary = read_json(s3, _bucket(record), f"runs/{record['run']}/result/summary.json")
    else:
        summary = json.loads((Path(place) / "summary.json").read_text("utf-8"))
    models: dict[str, dict[str, Any]] = {one["name"]: one for one in (summary or {}).get("models", [])}
    by_value = {str(one["value"]): one for one in models.values()}
    found = models.get(model) or by_value.get(model)
    if found is None:
        close = get_close_matches(model, [*models, *by_value], 1)
        hint = f"did you mean {close[0]}?" if close else "models.csv of the result has all names"
        raise NothingToFetch(f"{record['run']} has no model {model} ({hint})")
    return found


def only_predicted(folder: Path) -> Path:
    """Write the predicted rows of predictions.csv to predicted.csv."""
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    columns, separator = summary["columns"], summary.get("separator", ",")
    sizes = [len(each) - 1 for each in columns]  # without its label; each ends with model and verdict
    models = [-2 - sum(sizes[index + 1 :]) for index in range(len(sizes))]
    with (
        (folder / RESULT).open(newline="", encoding="utf-8") as source,
        (folder / ONLY).open("w", newline="", encoding="utf-8") as target,
    ):
        rows, out = csv.reader(source, delimiter=separator), csv.writer(target, delimiter=separator)
        out.writerow(next(rows))
        out.writerows(row for row in rows if any(row[model] for model in models))
    return folder / ONLY


def _folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SurroundingsError(f"{folder} cannot be a folder: a file is in its place (use --to DIR)") from None
