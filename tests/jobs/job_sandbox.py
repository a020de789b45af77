"""A job's folder as SageMaker would lay it out, and the running of a job in it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import pyarrow as pa
import pyarrow.parquet as pq

HOUSE = Path(__file__).resolve().parents[2]
CODE = HOUSE / "code"
DEMO = HOUSE / "demo"
sys.path.insert(0, str(CODE))  # the scripts import each other by their bare names, as they do in the container
import job_io  # noqa: E402  found by the line before

MINUTES = 600.0  # a deadline for a machine that is slow and busy
TRAIN = {"presets": "medium_quality", "time_limit": 300}  # so few rows never take it; a busy computer needs it
MODEL: dict[str, Any] = {
    "name": "all",
    "label": "y",
    "where": {},
    "drop": [],
    "threshold": None,
    "default_model": None,
    "train": TRAIN,
}


def config(*models: dict[str, Any], instances: int = 1, **data: Any) -> dict[str, Any]:
    """A resolved config, as far as jobs read it."""
    return {
        "name": "test",
        "models": [copy.deepcopy(MODEL) | model for model in models or ({},)],
        "data": {"format": "auto", "test_fraction": 0.2, "seed": 7} | data,
        "predict": {"instance": {"type": "ml.m5.xlarge", "count": instances, "volume_gb": 30}},
    }


@dataclass
class Outcome:
    code: int
    message: str | None  # the sentence that SageMaker shows, without `Not retried: `; None where there is none
    log: str
    final: bool  # whether the sentence said that another try would fail as well


class Sandbox:
    """What stands in for /opt/ml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw = root / "processing/input/raw"
        self.out = root / "processing/output"
        self.model = root / "model"
        self.raw.mkdir(parents=True)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def put_json(self, place: str, value: Any) -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    def put_parquet(self, place: str, columns: dict[str, Any] | pa.Table) -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)

    def put_predictions(self, model: str, file: str, numbers: list[int], answers: list[Any], job: str = "job") -> None:
        """A file of predictions for post-process, where SageMaker puts it, and the numbers of its rows."""
        self.put_parquet(f"processing/input/numbers/{model}/{file}", {"stepgluon_row": pa.array(numbers, pa.int64())})
        place = f"processing/input/predictions/predictions/{model}/{'f' * 64}/{job}/{file}"
        self.put_parquet(place, {"prediction": pa.array(answers, pa.float64())})

    def put_folder(self, source: Path, place: str) -> None:
        shutil.copytree(source, self.root / place)

    def configure(self, config: dict[str, Any]) -> None:
        self.put_json("processing/input/config/config.json", config)
        self.put_json("input/data/data/config.json", config)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {"STEPGLUON_ROOT": str(self.root), "STEPGLUON_CORES": "1"} | more

    def run(self, script: str, **environment: str) -> Outcome:
        done = forks.run(
            [sys.executable, str(CODE / script)],
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=MINUTES,
        )
        reports = [self.root / "output" / name for name in ("failure", "message")]
        message = next((path.read_text() for path in reports if path.exists()), None)
        written = done.stdout + done.stderr
        final = message is not None and message.startswith(job_io.NOT_RETRIED)
        assert job_io.NOT_RETRIED not in written, "people do not need it"
        return Outcome(
            done.returncode, message[len(job_io.NOT_RETRIED) :] if message and final else message, written, final
        )

    def table(self, folder: str) -> pa.Table:
        """All rows of a folder of the output."""
        paths = sorted((self.out / folder).rglob("*.parquet"))
        return pa.concat_tables(pq.read_table(path, partitioning=None) for path in paths)

    def written(self) -> list[str]:
        return (
            sorted(path.relative_to(self.out).as_posix() for path in self.out.rglob("*")) if self.out.exists() else []
        )


def points(count: int, start: int = 0) -> dict[str, list[Any]]:
    """Rows that a model can learn: y is about 3 a, more in the north, and never quite."""
    places = range(start, start + count)
    a = [(n * 7919) % 101 / 10 for n in places]
    b = ["north" if (n * 31) % 7 < 3 else "south" for n in places]
    noise = [(n * 104729) % 97 / 50 for n in places]
    return {
        "a": a,
        "b": b,
        "y": [3 * x + (5 if side == "north" else 0) + z for x, side, z in zip(a, b, noise, strict=True)],
    }


def fit(box: Sandbox) -> None:
    box.configure(config())
    box.put_json("input/config/hyperparameters.json", {"model": "all"})
    box.put_parquet("input/data/data/train/part-00000.parquet", {"stepgluon_row": list(range(160)), **points(160)})
    box.put_parquet(
        "input/data/data/test/part-00000.parquet", {"stepgluon_row": list(range(160, 200)), **points(40, 160)}
    )
    outcome = box.run("train.py")
    assert outcome.code == 0, outcome.log
