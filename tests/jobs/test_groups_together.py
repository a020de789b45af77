"""All jobs of a run with a model for each partition, one after the other, with models that AutoGluon really fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import partitions
import pyarrow as pa
import pyarrow.parquet as pq
from group_sandbox import choose, entries, results
from job_sandbox import Sandbox, config, points

LEVELS = {"本店": 0, "Quay 1": 1000, "quay 1": 2000}  # each shop has labels of its own, so its model is known by them
ROWS = 60


def shops() -> pa.Table:
    """Rows of three shops in turn, some with a gap; then a shop with few rows, and rows of none."""
    learnt = points(ROWS)
    rows = [
        {"shop": shop, "a": learnt["a"][n], "b": learnt["b"][n], "y": None if n % 6 == 5 else learnt["y"][n] + level}
        for n in range(ROWS)
        for shop, level in LEVELS.items()
    ]
    rest = {"a": 1.0, "b": "north"}
    rows += [{"shop": "new", "y": 5.0, **rest}, {"shop": "new", "y": None, **rest}, {"shop": None, "y": None, **rest}]
    return pa.Table.from_pylist(rows)


def test_the_result_has_each_partition_s_predictions_at_its_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    rows = shops()
    pq.write_table(rows, sandbox.raw / "shops.parquet")
    template = {"name": "shop", "train": {"presets": "fast", "time_limit": 300}}
    given = {"column": "shop", "min_rows": 20, "otherwise": "leave_open"}
    resolved = config(template) | {"partitioned": given, "fan_out": {"models_per_job": 3}}
    sandbox.configure(resolved)
    outcome = sandbox.run("prepare.py")
    assert outcome.code == 0, outcome.log
    groups = [item["group"] for item in json.loads((sandbox.out / "groups.json").read_text())]
    assert len(groups) == 2

    last = Sandbox(tmp_path / "last")
    last.configure(resolved)
    for place in ("rows", "numbers"):
        last.put_folder(sandbox.out / place, f"processing/input/{place}")
    last.put_json("processing/input/profile/profile.json", json.loads((sandbox.out / "profile.json").read_text()))
    for group in groups:
        choices, predicted = trained_and_predicted(sandbox.out / "groups" / group, tmp_path / group)
        last.put_json(f"processing/input/choices/{group}/choices.json", {"models": choices})
        shutil.copytree(predicted, last.root / f"processing/input/predictions/predictions/groups/{group}/f/job")
    outcome = last.run("postprocess.py")
    assert outcome.code == 0, outcome.log

    found = pq.read_table(last.out / "predictions.parquet").to_pylist()
    assert [{name: row[name] for name in rows.column_names} for row in found] == rows.to_pylist()
    filled = [row for row in found if row["prediction"] is not None]
    assert len(filled) == 30, "ten gaps of each shop; the others stay open"
    for row in filled:
        assert row["y"] is None
        assert LEVELS[row["shop"]] - 100 < row["prediction"] < LEVELS[row["shop"]] + 140
    summary = json.loads((last.out / "summary.json").read_text())
    outcomes = {model["name"]: model["outcome"] for model in summary["models"]}
    assert outcomes == {**{partitions.name_of(shop): "predicted" for shop in LEVELS}, "new": "open"}


def trained_and_predicted(group: Path, place: Path) -> tuple[list[dict[str, Any]], Path]:
    """What the machine would choose from, and the folder with the predictions."""
    models = json.loads((group / "group.json").read_text("utf-8"))["models"]
    todo = [model["name"] for model in models if model["train"]]
    box = Sandbox(place)
    box.put_folder(group, "input/data/data")
    box.put_folder(group, "processing/input/group")
    box.put_json("input/data/todo/todo.json", {"models": todo})
    box.put_json("input/config/hyperparameters.json", {"group": group.name})
    outcome = box.run("train.py")
    assert outcome.code == 0, outcome.log
    trained = entries(box)
    assert set(trained) == set(todo) and not any("Error" in one for one in trained.values()), outcome.log
    choices = {}
    for model in models:
        name, key = model["name"], f"models/groups/{group.name}/{model['name']}.tar.gz"
        verdict = {"name": name, "verdict": "accepted", "reason": None, "threshold": None, "key": key}
        if name in trained:
            assert trained[name]["fingerprint"] == model["train"]
            own = {key: trained[name][key] for key in ("mae", "mae_of_median", "manifest")}
            choices[name] = {**verdict, **own, "uses": "trained"}
            target = box.root / "processing/input/models" / key
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(box.model / f"{name}.tar.gz", target)
        else:
            choices[name] = {
                **verdict,
                "verdict": "rejected",
                "reason": model["reason"],
                "mae": None,
                "uses": "nothing",
            }
    choose(box, choices)
    outcome = box.run("predict.py")
    assert outcome.code == 0, outcome.log
    assert not any("Error" in one for one in results(box).values()), outcome.log
    return list(choices.values()), box.out
