"""How long groups of models take to train and predict, as ratios to a plain loop over the partitions in two processes.

    python benchmarks/groups.py [--partitions 50] [--rows 2000] [--models-per-job 50] [--turns 1]

The data job prepares a generated table; its parts are what both sides read. The plain side fits the same models with
AutoGluon and measures their errors, then loads and predicts with each. Each side runs as a process with two workers,
one side after the other, in turns: on a busy computer compare the processor time. The predictions must be the same.
With --partitions 500 the table has 1,000,000 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from jobs import MODEL, job
from process_cost import Cost, best, compare, measured, script

CORES = {"STEPGLUON_CORES": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
CONFIG: dict[str, Any] = {
    "name": "scale",
    "models": [MODEL | {"name": "store", "train": {"presets": "fast", "time_limit": 600, "max_runtime": 36000}}],
    "partitioned": {"column": "store", "min_rows": 4, "otherwise": "leave_open"},
    "data": {"format": "auto", "test_fraction": 0.2, "seed": 7},
    "predict": {"instance": {"count": 1}},
}

PLAIN = """
    import json, multiprocessing, sys
    from pathlib import Path
    import pyarrow.parquet as pq

    def rows(folder, part, place):
        table = pq.ParquetFile(f"{folder}/{part}.parquet").read_row_group(place)
        return table.to_pandas().drop(columns=["stepgluon_row", "store"], errors="ignore")

    def fit(task):
        from autogluon.tabular import TabularPredictor
        folder, entry, out = task
        known, unknown = (rows(folder, part, entry["row_groups"][part]) for part in ("train", "test"))
        path = f"{out}/{entry['name']}"
        predictor = TabularPredictor(
            "y", problem_type="regression", eval_metric="mean_absolute_error", path=path, verbosity=0
        )
        predictor.fit(known, hyperparameters={"GBM": {}, "XGB": {}}, time_limit=600, num_cpus=1, num_gpus=0)
        return float((predictor.predict(unknown.drop(columns="y")) - unknown["y"]).abs().mean())

    def predict(task):
        from autogluon.tabular import TabularPredictor
        folder, entry, out = task
        predictor = TabularPredictor.load(f"{out}/{entry['name']}", verbosity=0)
        found = predictor.predict(rows(folder, "predict", entry["row_groups"]["predict"]))
        found.to_frame("prediction").to_parquet(f"{out}/{entry['name']}.parquet")

    if __name__ == "__main__":
        prepared, out, step = sys.argv[1:]
        tasks = [
            (str(path.parent), entry, out)
            for path in sorted(Path(prepared).glob("groups/*/group.json"))
            for entry in json.loads(path.read_text())["models"]
        ]
        with multiprocessing.Pool(2) as pool:
            list(pool.imap_unordered({"fit": fit, "predict": predict}[step], tasks))
"""


def table(path: Path, partitions: int, rows: int) -> None:
    """Each partition has a rule of its own, and a tenth of its labels is missing."""
    generator = np.random.default_rng(0)
    count = partitions * rows
    store = np.repeat(np.arange(partitions), rows)
    words = np.array(["alpha", "beta", "gamma"])
    columns: dict[str, Any] = {f"n{n}": np.round(generator.normal(100, 20, count), 2) for n in range(4)}
    columns |= {"word": words[generator.integers(0, 3, count)], "day": generator.integers(0, 7, count)}
    y = columns["n0"] * (2 + store % 7) + columns["n1"] / 3 + 10 * (columns["word"] == "beta")
    y = np.round(y + generator.normal(0, 3, count), 2)
    columns["y"] = pa.array(y, mask=generator.random(count) < 0.1)
    order = generator.permutation(count)
    names = pa.array([f"store {number}" for number in range(partitions)])
    written = pa.table({"store": names.take(pa.array(store)), **columns}).take(pa.array(order))
    pyarrow.csv.write_csv(written, path)


def prepare(folder: Path, given: argparse.Namespace) -> tuple[Path, Cost]:
    root = folder / "prepare"
    for place in ("raw", "config"):
        (root / "processing/input" / place).mkdir(parents=True)
    table(root / "processing/input/raw/table.csv", given.partitions, given.rows)
    config = CONFIG | {"fan_out": {"models_per_job": given.models_per_job}}
    (root / "processing/input/config/config.json").write_text(json.dumps(config))
    cost = measured(job("prepare.py"), {"STEPGLUON_ROOT": str(root)})
    return root / "processing/output", cost


def laid_out(folder: Path, group: Path, todo: bool) -> Path:
    """The folder of a group's training or prediction job."""
    root = folder / ("train" if todo else "predict") / group.name
    data = root / ("input/data/data" if todo else "processing/input/group")
    data.parent.mkdir(parents=True)
    shutil.copytree(group, data)
    if todo:
        models = [each["name"] for each in json.loads((group / "group.json").read_text())["models"]]
        for place, content in (
            ("data/todo/todo", {"models": models}),
            ("config/hyperparameters", {"group": group.name}),
        ):
            path = root / f"input/{place}.json"
            path.parent.mkdir()
            path.write_text(json.dumps(content))
        return root
    trained, choices = folder / "train" / group.name / "model", []
    (root / "processing/input/models").mkdir()
    for entry in json.loads((trained / "group.json").read_text())["models"]:
        shutil.copy(trained / f"{entry['name']}.tar.gz", root / "processing/input/models")
        own = {"uses": "trained", "key": f"{entry['name']}.tar.gz", "manifest": entry["manifest"]}
        choices.append({"name": entry["name"], **own})
    (root / "processing/input/choices").mkdir()
    (root / "processing/input/choices/choices.json").write_text(json.dumps({"models": choices}))
    return root


def together(costs: list[Cost]) -> Cost:
    """Of jobs that ran one after the other."""
    seconds, cpu = sum(cost.seconds for cost in costs), sum(cost.cpu for cost in costs)
    return Cost(seconds, cpu, max(cost.megabytes for cost in costs))


def jobs(folder: Path, groups: list[Path], name: str, todo: bool) -> Cost:
    shutil.rmtree(folder / name.removesuffix(".py"), ignore_errors=True)
    roots = [laid_out(folder, group, todo) for group in groups]
    return together([measured(job(name), CORES | {"STEPGLUON_ROOT": str(root)}) for root in roots])


def same_predictions(folder: Path, groups: list[Path]) -> int:
    """The number of models; raises an error if any prediction differs."""
    models = 0
    for group in groups:
        out = folder / "predict" / group.name / "processing/output"
        file = pq.ParquetFile(out / "predictions.parquet")
        for entry in json.loads((out / "result.json").read_text())["models"]:
            ours = file.read_row_group(entry["row_group"])["prediction"].to_numpy()
            plain = pq.read_table(folder / "plain" / f"{entry['name']}.parquet")["prediction"].to_numpy()
            np.testing.assert_allclose(ours, plain, rtol=1e-5)
            models += 1
    return models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=50)
    parser.add_argument("--rows", type=int, default=2000, help="of each partition")
    parser.add_argument("--models-per-job", type=int, default=50)
    parser.add_argument("--turns", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        prepared, cost = prepare(folder, given)
        groups = sorted(path.parent for path in prepared.glob("groups/*/group.json"))
        print(f"prepare: {given.partitions} partitions in {len(groups)} groups, {cost.cpu:.1f} s of processor time")
        sides: dict[str, list[Cost]] = {"plain fit": [], "fit": [], "plain predict": [], "predict": []}
        for _ in range(given.turns):
            plain = folder / "plain"
            shutil.rmtree(plain, ignore_errors=True)
            plain.mkdir()
            sides["plain fit"].append(measured(plain_loop(folder, prepared, plain, "fit"), CORES))
            sides["fit"].append(jobs(folder, groups, "train.py", todo=True))
            sides["plain predict"].append(measured(plain_loop(folder, prepared, plain, "predict"), CORES))
            sides["predict"].append(jobs(folder, groups, "predict.py", todo=False))
        models = same_predictions(folder, groups)
        compare(f"train {models} models", best(sides["plain fit"]), best(sides["fit"]))
        compare(f"predict with {models} models", best(sides["plain predict"]), best(sides["predict"]))


def plain_loop(folder: Path, *arguments: object) -> list[str]:
    """As a file: the workers of a pool import it."""
    command = script(PLAIN)
    (folder / "plain.py").write_text(command[2])
    return [sys.executable, os.fspath(folder / "plain.py"), *map(str, arguments)]


if __name__ == "__main__":
    main()
