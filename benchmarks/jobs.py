"""How fast the jobs are and how much memory they take, as ratios to plain ways of doing the same.

    python benchmarks/jobs.py check [--gb 1]
    python benchmarks/jobs.py prepare [--gb 1]
    python benchmarks/jobs.py partitions [--millions 1] [--partitions 500]
    python benchmarks/jobs.py predict [--millions 1] [--flat-to 10]
    python benchmarks/jobs.py postprocess [--millions 1]
    python benchmarks/jobs.py report [--models 40]
    python benchmarks/jobs.py groups [--millions 1] [--models 10000]

Each side runs as a process of its own, one after the other, in turns; times are the best of the turns, memory is the
highest resident size of the process (on Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from plain_scripts import (
    GROUPS,
    MAKE,
    MAKE_PARTITIONS,
    PLAIN_CHECK,
    PLAIN_POSTPROCESS,
    PLAIN_PREDICT,
    PLAIN_PREPARE,
    WITHOUT_REPORT,
)
from process_cost import Cost, best, compare, measured, script

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "code"
ALL = ("check", "prepare", "partitions", "predict", "postprocess", "report", "groups")
MODEL = {"label": "y", "where": {}, "drop": [], "threshold": None, "default_model": None}
TRAIN = {"presets": "medium_quality", "time_limit": 60}
BYTES_PER_ROW = 99.3


def lay_out(root: Path, models: list[dict[str, Any]], **more: Any) -> dict[str, str]:
    """A job's folder with its config; returns the environment that leads the job there."""
    config = {
        "models": [MODEL | {"train": TRAIN} | model for model in models],
        "data": {"format": "auto", "test_fraction": 0.2, "seed": 7},
        "predict": {"instance": {"count": 1}},
        **more,
    }
    for place in ("processing/input/config", "input/data/data"):
        (root / place).mkdir(parents=True)
        (root / place / "config.json").write_text(json.dumps(config))
    return {"STEPGLUON_ROOT": str(root)}


def job(name: str) -> list[str]:
    return [sys.executable, str(CODE / name)]


def big_table(folder: Path, gigabytes: float) -> tuple[Path, dict[str, str]]:
    """A CSV in the raw folder of a job, and the environment that leads the job there."""
    environment = lay_out(folder / "ml", [{"name": "all"}])
    table = folder / "ml/processing/input/raw/big.csv"
    table.parent.mkdir()
    subprocess.run(script(MAKE, int(gigabytes * 1e9 / BYTES_PER_ROW), table, 0.3), check=True)
    return table, environment


def bench_reading(name: str, folder: Path, gigabytes: float, turns: int) -> None:
    """check.py against reading the table, or prepare.py against reading it and writing it as Parquet."""
    table, environment = big_table(folder, gigabytes)
    read, budget = {
        "check": (script(PLAIN_CHECK, table), "time 2.0"),
        "prepare": (script(PLAIN_PREPARE, table, folder / "plain.parquet"), "time 1.5, 2000 MB"),
    }[name]
    plain, ours = [], []
    for _ in range(turns):
        plain.append(measured(read, {}))
        ours.append(measured(job(f"{name}.py"), environment))
    compare(f"{name}, a CSV of {table.stat().st_size / 1e9:.2f} GB (budget: {budget})", best(plain), best(ours))


def bench_partitions(folder: Path, millions: float, partitions: int, turns: int) -> None:
    """prepare.py with one model for all rows, and with one for each partition that it finds."""
    found = {"column": "store", "min_rows": 4, "otherwise": "leave_open"}
    each = lay_out(folder / "each", [{"name": "store"}], partitioned=found, fan_out={"models_per_job": 50})
    one = lay_out(folder / "one", [{"name": "all"}])
    table = folder / "each/processing/input/raw/stores.csv"
    for raw in (table.parent, folder / "one/processing/input/raw"):
        raw.mkdir()
    subprocess.run(script(MAKE_PARTITIONS, int(millions * 1e6), partitions, table), check=True)
    os.link(table, folder / "one/processing/input/raw" / table.name)
    plain, ours = [], []
    for _ in range(turns):
        plain.append(measured(job("prepare.py"), one))
        ours.append(measured(job("prepare.py"), each))
    title = f"prepare {millions:g} million rows in {partitions:,} partitions, and for one model (budget: time 2)"
    compare(title, best(plain), best(ours))


def fitted(folder: Path, rows: int) -> Path:
    """A medium_quality model that learnt from four fifths of so many rows."""
    environment = lay_out(folder / "prepare", [{"name": "all"}])
    raw = folder / "prepare/processing/input/raw"
    raw.mkdir()
    subprocess.run(script(MAKE, rows, raw / "a.csv", 0.0), check=True)
    measured(job("prepare.py"), environment)
    environment = lay_out(folder / "train", [{"name": "all"}])
    for part in ("train", "test"):
        shutil.copytree(folder / "prepare/processing/output/models/all" / part, folder / "train/input/data/data" / part)
    (folder / "train/input/config").mkdir()
    (folder / "train/input/config/hyperparameters.json").write_text('{"model": "all"}')
    measured(job("train.py"), environment)
    metrics = json.loads((folder / "train/model/metrics.json").read_text())
    kept = sorted(path.name for path in (folder / "train/model/predictor/models").iterdir() if path.is_dir())
    print(f"model: {metrics['best_model']} of {', '.join(kept)}; MAE {metrics['mae']:.2f}", flush=True)
    return folder / "train/model"


def rows_to_predict(folder: Path, millions: float) -> tuple[Path, dict[str, str]]:
    """A CSV of rows without label, and the folder of a prediction job on them."""
    environment = lay_out(folder / "prepare", [{"name": "all"}])
    raw = folder / "prepare/processing/input/raw"
    raw.mkdir()
    subprocess.run(script(MAKE, int(millions * 1e6), raw / "a.csv", 1.0), check=True)
    measured(job("prepare.py"), environment)
    environment = lay_out(folder / "predict", [{"name": "all"}]) | {"STEPGLUON_MODEL": "all"}
    shutil.move(folder / "prepare/processing/output/predict/all", folder / "predict/processing/input/rows")
    return raw / "a.csv", environment


def bench_predict(
    folder: Path, millions: float, flat_to: float, train_rows: int, turns: int, ready: Path | None
) -> None:
    model = ready.resolve() if ready else fitted(folder / "model", train_rows)
    table, environment = rows_to_predict(folder / "small", millions)
    (folder / "small/predict/processing/input/model").symlink_to(model)
    plain, ours = [], []
    for _ in range(turns):
        plain.append(measured(script(PLAIN_PREDICT, table, model / "predictor", folder / "plain.csv"), {}))
        ours.append(measured(job("predict.py"), environment))
    compare(f"predict, {millions:g} million rows (budget: time 1.0, memory 0.5)", best(plain), best(ours))
    if flat_to > millions:
        _, environment = rows_to_predict(folder / "large", flat_to)
        (folder / "large/predict/processing/input/model").symlink_to(model)
        large = measured(job("predict.py"), environment)
        print(f"predict, {flat_to:g} million rows: {large.seconds:.2f} s, {large.megabytes:.0f} MB")
        print(
            f"  memory, against {millions:g} million (budget: 1.2): {large.megabytes / best(ours).megabytes:.2f}",
            flush=True,
        )


def before_postprocess(folder: Path, models: list[dict[str, Any]], rows: int) -> dict[str, str]:
    """The folder of a post-process job whose models have predicted."""
    environment = lay_out(folder / "prepare", models)
    raw = folder / "prepare/processing/input/raw"
    raw.mkdir()
    subprocess.run(script(MAKE, rows, raw / "a.csv", 0.3), check=True)
    measured(job("prepare.py"), environment)
    prepared = folder / "prepare/processing/output"
    environment = lay_out(folder / "post", models)
    put = folder / "post/processing/input"
    answer = """
        import sys
        from pathlib import Path
        import numpy as np, pyarrow as pa, pyarrow.parquet as pq
        for path in Path(sys.argv[1]).rglob("*.parquet"):
            answers = np.arange(pq.read_metadata(path).num_rows) / 7
            to = Path(sys.argv[2]) / path.parent.name / "fingerprint" / "job" / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"prediction": answers}), to)
    """
    subprocess.run(script(answer, prepared / "predict", put / "predictions/predictions"), check=True)
    for name in ("rows", "numbers"):
        shutil.move(prepared / name, put / name)
    for name in ("verdicts", "profile"):
        (put / name).mkdir()
    shutil.move(prepared / "profile.json", put / "profile/profile.json")
    verdict = {"verdict": "accepted", "uses": "trained", "mae": 5.0, "mae_of_median": 32.0, "threshold": 10.0}
    verdicts = [{"name": model["name"], **verdict} for model in models]
    (put / "verdicts/verdicts.json").write_text(json.dumps(verdicts))
    return environment


def bench_postprocess(folder: Path, millions: float, turns: int) -> None:
    environment = before_postprocess(folder, [{"name": "all"}], int(millions * 1e6))
    put = folder / "post/processing/input"
    plain, ours = [], []
    for _ in range(turns):
        merge = script(
            PLAIN_POSTPROCESS, *(put / name for name in ("rows", "predictions", "numbers")), folder / "p.csv"
        )
        plain.append(measured(merge, {}))
        ours.append(measured(job("postprocess.py"), environment))
    compare(f"post-process, {millions:g} million rows, against a pandas merge", best(plain), best(ours))


def bench_report(folder: Path, models: int, turns: int) -> None:
    """What the report adds to post-process, for 300,000 rows and models with 5,000 held-out predictions each."""
    share = 5000 // models
    named = [{"name": f"m{n}", "where": {"i0": [*range(n * share, (n + 1) * share)]}} for n in range(models)]
    environment = before_postprocess(folder, named, 300_000)
    actual = [round(n / 7 % 300, 3) for n in range(5000)]
    predicted = [round(value + (n * 7919 % 1000 - 500) / 100, 3) for n, value in enumerate(actual)]
    evaluation = {
        **{
            "label": "y",
            "r2": 0.98,
            "rmse": 6.5,
            "presets": "medium_quality",
            "time_limit": 60,
            "best_model": "CatBoost",
        },
        **{"seconds": {"fit": 50.0}, "notes": [], "held_out": {"actual": actual, "predicted": predicted, "of": 9000}},
        "worst": {
            "columns": [f"n{n}" for n in range(6)],
            "rows": [{"values": ["100.25"] * 6, "actual": 10.0, "predicted": 25.0}] * 10,
        },
        "importance": [{"column": f"n{n}", "importance": 5.0 - n, "stddev": 0.5} for n in range(12)],
        "leaderboard": [{"model": f"Model{n}", "mae_test": 5.0, "mae_val": 5.1, "fit_time": 3.0} for n in range(12)],
    }
    for model in named:
        place = folder / f"post/processing/input/predictions/models/{model['name']}/f/job/output/model/evaluation.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(evaluation))
    plain, ours = [], []
    for _ in range(turns):
        plain.append(measured(script(WITHOUT_REPORT, CODE), environment))
        ours.append(measured(job("postprocess.py"), environment))
    page = folder / "post/processing/output/report.html"
    print(f"report.html: {page.stat().st_size / 1e6:.2f} MB")
    title = f"post-process with the report of {models} models and 300,000 rows, and without it (budget: 3 s, 500 MB)"
    compare(title, best(plain), best(ours))


def bench_groups(folder: Path, millions: float, models: int, turns: int) -> None:
    """What thousands of models of partitions cost post-process, in groups of 50, with half of the rows to predict."""
    for count in (2, models):
        places = ROOT / "tests", ROOT / "tests/jobs", folder / str(count)
        subprocess.run(script(GROUPS, *places, count, int(millions * 1e6)), check=True)
    costs: dict[int, list[Cost]] = {2: [], models: []}
    for _ in range(turns):
        for count, found in costs.items():
            found.append(measured(job("postprocess.py"), {"STEPGLUON_ROOT": str(folder / str(count))}))
    page = folder / str(models) / "processing/output/report.html"
    print(f"report.html: {page.stat().st_size / 1e6:.2f} MB")
    compare(f"post-process of {models} models, {millions:g} million rows, against 2", *map(best, costs.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the jobs against plain ways of doing the same.")
    parser.add_argument("what", choices=ALL, nargs="*")
    parser.add_argument("--gb", type=float, default=1.0, help="size of the table that is checked or prepared")
    parser.add_argument("--millions", type=float, default=1.0, help="rows that are predicted or put together")
    parser.add_argument("--partitions", type=int, default=500, help="values of the column that makes the models")
    parser.add_argument("--flat-to", type=float, default=0.0, help="millions of rows to compare the memory at")
    parser.add_argument("--models", type=int, help="models in the report (40) or in groups (10,000)")
    parser.add_argument("--train-rows", type=int, default=5000, help="rows that the model for predict learns from")
    parser.add_argument("--model", type=Path, help="predict with this model that train wrote, on the same columns")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the tables are made; it needs some times their size")
    chosen = parser.parse_args()
    what = chosen.what or ALL
    for each in what:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            if each in ("check", "prepare"):
                bench_reading(each, Path(name), chosen.gb, chosen.turns)
            elif each == "partitions":
                bench_partitions(Path(name), chosen.millions, chosen.partitions, chosen.turns)
            elif each == "predict":
                bench_predict(
                    Path(name), chosen.millions, chosen.flat_to, chosen.train_rows, chosen.turns, chosen.model
                )
            elif each == "report":
                bench_report(Path(name), chosen.models or 40, chosen.turns)
            elif each == "groups":
                bench_groups(Path(name), chosen.millions, chosen.models or 10_000, chosen.turns)
            else:
                bench_postprocess(Path(name), chosen.millions, chosen.turns)


if __name__ == "__main__":
    main()
