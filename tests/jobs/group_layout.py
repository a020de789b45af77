"""What the jobs of a run with a model per partition leave for post-process: some thousands of models in groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from job_sandbox import config

HASH, JOB = "f" * 64, "job"
Change = Callable[[dict[str, Any]], None]


def entries(count: int) -> list[dict[str, Any]]:
    """Models with different errors; in thousands, their values sort like their numbers."""
    chance = np.random.default_rng(7)
    errors = chance.lognormal(0.0, 0.5, count).round(3).tolist()
    return [
        {"name": f"store-{n:05}", "value": f"Store {n}", "mae": error, "mae_of_median": 2.0}
        for n, error in enumerate(errors)
    ]


def lay_out_groups(
    root: Path,
    models: list[dict[str, Any]],
    rows: int,
    /,
    per_group: int = 2,
    change: Change | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Every other row is a gap of the next model in turn, and its prediction is its number; return the profile.

    A model's `train` may be None, if it has too few rows. `change` may change each verdict.
    """
    given = config({"name": "store", "label": "y"}) | {
        "partitioned": {"column": "store", "min_rows": 4, "otherwise": "leave_open"}
    }
    inputs = root / "processing/input"
    gaps = np.arange(1, rows, 2)
    owners = np.arange(len(gaps)) % len(models)
    known = np.ones(rows, bool)
    known[gaps] = False
    stores = np.empty(rows, np.int64)
    stores[gaps], stores[known] = owners, np.arange(rows - len(gaps)) % len(models)
    table = {
        "stepgluon_row": np.arange(rows),
        "store": pa.array([one["value"] for one in models]).take(pa.array(stores)),
        "x": np.arange(rows) / 7,
        "y": pa.array(np.arange(rows) / 3, mask=~known),
    }
    _parquet(inputs / "rows/part-00000.parquet", pa.table(table))
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(models) + 1))
    for start in range(0, len(models), per_group):
        group = f"g{start // per_group:04}"
        these = models[start : start + per_group]
        parts = [gaps[order[bounds[n] : bounds[n + 1]]] for n in range(start, start + len(these))]
        _group(inputs, group, these, parts, change)
    profile = {"rows": rows, "gaps": len(gaps), "decimals": {"y": 2}, "seconds": 1.0, "files": [], "columns": []}
    profile |= {"models": {"count": len(models), "rows_train": rows, "rows_predict": len(gaps)}} | more
    _json(inputs / "config/config.json", given)
    _json(inputs / "profile/profile.json", profile)
    return profile


def _group(inputs: Path, group: str, models: list[dict[str, Any]], parts: list[Any], change: Change | None) -> None:
    listed, choices, results, place = [], [], [], 0
    folder = inputs / f"predictions/predictions/groups/{group}/{HASH}/{JOB}"
    kinds = pa.schema([("stepgluon_model", pa.dictionary(pa.int32(), pa.string())), ("prediction", pa.float64())])
    for file in (inputs / f"numbers/{group}.json", folder / "predictions.parquet"):
        file.parent.mkdir(parents=True, exist_ok=True)
    with (
        pq.ParquetWriter(inputs / f"numbers/{group}.parquet", pa.schema([("stepgluon_row", pa.int64())])) as numbers,
        pq.ParquetWriter(folder / "predictions.parquet", kinds) as answers,
    ):
        for model, rows in zip(models, parts, strict=True):
            groups = {"train": len(listed), "test": len(listed), "predict": place if len(rows) else None}
            counts = {"rows_train": 40, "rows_test": 10, "rows_predict": len(rows)}
            named = {"name": model["name"], "value": model["value"]}
            listed.append({**named, **counts, "train": model.get("train", HASH), "predict": HASH, "row_groups": groups})
            verdict = {"threshold": 2.0, "uses": "trained", "reason": "within the limit", **model, "cached": False}
            verdict["verdict"] = "accepted" if (model["mae"] or 9.9) <= 2.0 else "rejected"
            if change:
                change(verdict)
            choices.append(verdict)
            if not len(rows):
                continue
            numbers.write_table(pa.table({"stepgluon_row": rows}))
            if verdict["uses"] != "nothing":
                names = pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [model["name"]])
                answers.write_table(pa.table([names, rows * 1.0], schema=kinds))
                results.append({"name": model["name"], "row_group": len(results)})
            place += 1
    _json(inputs / f"numbers/{group}.json", {"group": group, "models": listed})
    _json(inputs / f"choices/{group}/choices.json", {"models": choices})
    _json(folder / "result.json", {"models": results})


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


def _parquet(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
