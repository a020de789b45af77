"""The stand-in of prepare writes groups of models as the real job does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stand_in import MINUTES, SCRIPTS


def written(root: Path, **orders: Any) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The output's folder, and the models of its groups by name."""
    inputs = root / "processing/input"
    for place in ("raw", "config"):
        (inputs / place).mkdir(parents=True)
    config = {"partitioned": {"column": "store", "min_rows": 4, "otherwise": "leave_open"}, "models": [{}]}
    (inputs / "config/config.json").write_text(json.dumps({**config, "fan_out": {"models_per_job": 50}}))
    (inputs / "raw/orders.json").write_text(json.dumps(orders))
    environment = {**os.environ, "STEPGLUON_ROOT": str(root)}
    subprocess.run([sys.executable, SCRIPTS / "prepare.py"], env=environment, check=True, timeout=MINUTES)
    out = root / "processing/output"
    models = {}
    for item in json.loads((out / "groups.json").read_text()):
        group = json.loads((out / "groups" / item["group"] / "group.json").read_text())
        assert (group["group"], len(group["models"])) == (item["group"], item["models"])
        models |= {model["name"]: model for model in group["models"]}
    return out, models


def test_the_stand_in_writes_each_model_in_one_group(tmp_path: Path) -> None:
    out, models = written(tmp_path, partitions=500, small=3)
    assert set(models) == {f"store-{number}" for number in range(500)}
    assert len([None for model in models.values() if model["train"] is None]) == 3
    found = json.loads((out / "fingerprints.json").read_text())
    assert found == {"partitioned": {"groups": 10, "models": 500, "to_train": 497, "small": 3}, "gaps": 500}


def test_an_order_for_one_model_changes_its_fingerprint_alone(tmp_path: Path) -> None:
    _, before = written(tmp_path / "before", partitions=60)
    _, after = written(tmp_path / "after", partitions=60, rows={"store-7": "more"})
    assert [name for name in before if before[name] != after[name]] == ["store-7"]
