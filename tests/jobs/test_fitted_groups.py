"""Groups that AutoGluon really fits, alone and together."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
from group_sandbox import choose, entries, results, to_train, write_group
from job_sandbox import Sandbox

TEN = [f"store-{number}" for number in range(10)]
FEW = ["store-7", "store-2"]


def trained_and_predicted(box: Sandbox, names: list[str], cores: str) -> dict[str, list[float]]:
    to_train(box, names)
    outcome = box.run("train.py", STEPGLUON_CORES=cores)
    assert outcome.code == 0, outcome.log
    assert f"progress: {len(names)} of {len(names)} models" in outcome.log
    write_group(box.root / "processing/input/group", names)
    place = box.root / "processing/input/models/models/g"
    place.mkdir(parents=True)
    choices = {}
    for name, entry in entries(box).items():
        shutil.copy(box.model / f"{name}.tar.gz", place)
        key = f"models/g/{name}.tar.gz"
        choices[name] = {"name": name, "uses": "trained", "key": key, "manifest": entry["manifest"]}
    choose(box, choices)
    outcome = box.run("predict.py", STEPGLUON_CORES=cores)
    assert outcome.code == 0, outcome.log
    predictions = pq.ParquetFile(box.out / "predictions.parquet")
    found = {}
    for name, result in results(box).items():
        rows = predictions.read_row_group(result["row_group"])
        assert set(rows["stepgluon_model"].to_pylist()) == {name}
        found[name] = rows["prediction"].to_pylist()
    return found


def test_predictions_do_not_depend_on_the_group_its_order_and_the_cores(sandbox: Sandbox, tmp_path: Path) -> None:
    together = trained_and_predicted(sandbox, TEN, cores="2")
    fewer = trained_and_predicted(Sandbox(tmp_path / "fewer"), FEW, cores="1")
    assert list(together) == TEN
    assert fewer == {name: together[name] for name in FEW}
    assert len({tuple(found) for found in together.values()}) == 10, "each has rows of its own"
    entry = entries(sandbox)["store-2"]
    assert (entry["rows_train"], entry["rows_test"]) == (40, 10)
    assert 0 < entry["mae"] == entry["score"]
    assert entry["mae_of_median"] == entry["baseline"]
    with tarfile.open(sandbox.model / "store-2.tar.gz") as archive:
        names = set(archive.getnames())
        evaluated = archive.extractfile("evaluation.json")
        assert evaluated and json.load(evaluated)["model"] == "store-2"
    assert {"manifest.json", "metrics.json", "leaderboard.csv", "importance.csv"} <= names
    assert "profile.json" not in names
