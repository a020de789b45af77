"""Trainings of XGBoost without its container: what it reads, trains and packs, and archives that no training packs."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import encoding
import numpy as np
import part_files
import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from job_sandbox import Outcome, Sandbox, config

ALGORITHM: dict[str, Any] = {"name": "xgboost", "version": "3.0-5", "image": "i", "set": {"num_round": 30}}
ALGORITHM |= {"channels": ["train"], "encoded": True}


def prepared(box: Sandbox, rows: str, **model: Any) -> Path:
    """Runs prepare for one model of XGBoost; returns its folder, with test and training rows and the encoding."""
    box.write("rows.csv", rows)
    box.configure(config({"algorithm": ALGORITHM} | model))
    prepare.main()
    return box.out / "models/all"


def training_rows(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in part_files.part_paths(folder / "train"))


def trained(folder: Path, rounds: int = 30, **settings: Any) -> xgboost.Booster:
    rows = training_rows(folder)
    matrix = encoding.load(folder / "encoding.json").matrix(rows)
    return fitted(matrix, rows["y"].to_numpy().astype(float), rounds, **settings)


def fitted(matrix: Any, labels: Any, rounds: int = 30, **settings: Any) -> xgboost.Booster:
    data = xgboost.DMatrix(np.asarray(matrix, np.float32), np.asarray(labels))
    return xgboost.train({"nthread": 1, "max_depth": 4, "verbosity": 0} | settings, data, rounds)


def saved(booster: xgboost.Booster, form: str = "ubj") -> bytes:
    return bytes(booster.save_raw(form))


def packed(files: dict[str, bytes], *entries: tarfile.TarInfo) -> bytes:
    """A model.tar.gz with these files, and entries without content."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz") as tar:
        for entry in entries:
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return into.getvalue()


def scored(box: Sandbox, folder: Path, archive: bytes, **model: Any) -> Outcome:
    """Runs score.py on this archive and the folder that prepare wrote."""
    box.put_folder(folder, "processing/input/data")
    config = json.loads((folder / "config.json").read_text())
    config["models"][0] |= model
    box.put_json("processing/input/data/config.json", config)
    place = box.root / "processing/input/archive/model.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(archive)
    return box.run("score.py", STEPGLUON_MODEL="all")
