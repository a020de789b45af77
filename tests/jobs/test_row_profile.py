"""What profile.json, beside a model, keeps of the rows that trained it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import row_profile


def part(folder: Path, columns: dict[str, Any], files: int = 1) -> Path:
    table = pa.table(columns)
    folder.mkdir(exist_ok=True)
    size = -(-len(table) // files)
    for number in range(files):
        pq.write_table(table.slice(number * size, size), folder / f"part-{number:05}.parquet")
    return folder


def shape(values: Any, most: int = 50) -> dict[str, Any]:
    return row_profile.shape(pa.chunked_array([pa.array(values)]), most)


def test_bins_of_numbers_have_about_the_same_number_of_rows(tmp_path: Path) -> None:
    found = shape(np.random.default_rng(0).permutation(1000).astype(float))
    assert found["edges"] == [49.0 + 50 * n for n in range(19)]
    assert found["counts"] == [50] * 20


def test_a_frequent_number_has_a_bin_of_its_own() -> None:
    found = shape([0.0] * 90 + [1.0] * 6 + [2.0] * 4)
    assert found["edges"] == [0.0, 1.0] and found["counts"] == [90, 6, 4]


def test_missing_and_infinite_numbers_are_missing() -> None:
    found = shape([None, float("nan"), float("inf"), *range(20)])
    assert found["missing"] == 3 and sum(found["counts"]) == 20


def test_no_single_row_can_be_read_from_a_profile(tmp_path: Path) -> None:
    """Neither a salary that only one person has, nor a name."""
    salaries = [1000.0 + n for n in range(99)] + [987654.0]
    names = ["Ada Lovelace", *["staff"] * 95, *["guest"] * 4]
    folder = part(tmp_path / "train", {"salary": salaries, "name": names})
    truth = np.array(salaries[:50])
    row_profile.write(tmp_path, folder, ["salary", "name"], salaries, truth, truth + 1, {"metric": "mae", "score": 1.0})
    written = (tmp_path / "profile.json").read_text()
    assert not any(one in written for one in ("987654", "1000.0", "Ada", "guest"))
    found = json.loads(written)
    assert found["columns"]["name"] == {"type": "string", "missing": 0, "values": {"staff": 95}, "others": 5}
    assert found["held_out"] == {"rows": 50, "metric": "mae", "score": 1.0, "loss": 1.0, "deviation": 0.0}


def test_a_profile_is_small_whatever_the_table(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wide = {f"number {n}": random.normal(size=500) * 1e-5 for n in range(1000)}
    wide |= {f"text {n}": random.integers(0, 60, 500).astype(str) for n in range(1000)}
    folder = part(tmp_path / "wide", wide, files=3)
    row_profile.write(tmp_path, folder, list(wide), [1.0], np.array([]), np.array([]), {"metric": "mae", "score": None})
    assert (tmp_path / "profile.json").stat().st_size < 2_000_000
    many = part(tmp_path / "many", {"id": np.arange(1_000_000).astype(str)}, files=2)
    found = row_profile.of_rows(many, ["id"])
    assert (found["rows"], found["sampled"]) == (1_000_000, 100_000)
    assert found["columns"]["id"] == {"type": "string", "missing": 0, "values": {}, "others": 100_000}


def test_files_and_groups_of_columns_change_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    columns = {"a": list(range(300)), "b": ["x", "y", None] * 100, "c": [True, False, True] * 100}
    whole = row_profile.of_rows(part(tmp_path / "one", columns), ["c", "a", "b"])
    monkeypatch.setattr(row_profile, "CELLS", 300)
    assert row_profile.of_rows(part(tmp_path / "two", columns, files=7), ["c", "a", "b"]) == whole
    assert whole["columns"]["c"]["values"] == {"true": 200, "false": 100}


def test_dates_are_seconds() -> None:
    found = shape(pa.array(np.arange(100) * 86_400 * 10**6, pa.timestamp("us")))
    assert found["type"] == "timestamp[us]" and found["edges"][0] == 4 * 86_400


def test_a_wrong_class_is_a_loss_of_one() -> None:
    truth, predicted = np.array(["a", "b", "a"], object), np.array(["a", "a", "a"], object)
    assert row_profile.loss(truth, predicted).tolist() == [0, 1, 0]
    assert row_profile.loss(np.array([1.0, 5.0]), np.array([2.0, 2.0])).tolist() == [1, 3]


def test_training_writes_the_profile_of_its_rows(trained: Path) -> None:
    found = json.loads((trained / "profile.json").read_text())
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (found["rows"], set(found["columns"]), found["held_out"]["rows"]) == (160, {"a", "b"}, 40)
    assert abs(found["held_out"]["loss"] - metrics["mae"]) < 1e-4
    assert sum(found["columns"]["b"]["values"].values()) == 160
    assert sum(found["label"]["counts"]) == 160 and sum(found["prediction"]["counts"]) == 40
    assert "profile.json" in json.loads((trained / "manifest.json").read_text())["files"]
