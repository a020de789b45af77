"""Train a group: each model of todo.json in a process of its own, as train.py trains a single one.

Reads   input/data/data/                        prepared/groups/<g>/: group.json, config.json, train and test.parquet
        input/data/todo/todo.json               {"models": [NAME, ...]}
        input/config/hyperparameters.json       {"group": "g0007"}
        checkpoints/                            what an earlier try of this job finished
Writes  model/<name>.tar.gz                     each model's folder; see model_folder.py
        model/group.json                        {"group", "seconds", "failed", "models": [...]}: of each model its
                                                metrics and its manifest's sha256, or "Error" and "Cause"
        checkpoints/<fingerprint>.tar.gz .json  each model as soon as it is finished

A model fits on one core, so its predictions depend neither on its group nor on the computer. As many models as there
are cores fit at once, those with the most rows first. The job succeeds even if models fail. When it is stopped, its
finished models are in the checkpoints.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import children
import job_io
import pyarrow.parquet as pq
from children import Failure
from group_folder import GROUP, Group
from job_io import JobError, counted, log
from model_folder import METRICS, pack, sha256_of

# AutoGluon imports some of these only when it fits, and each fork would import them again.
LIBRARIES = (
    *("autogluon.tabular", "autogluon.tabular.models.lgb.callbacks", "autogluon.tabular.models.xgboost.callbacks"),
    *("sklearn.ensemble", "catboost", "lightgbm", "xgboost", "narwhals.stable.v2", "networkx"),
)
# Seconds before max_runtime at which the job ends with the models that it has. At max_runtime SageMaker would stop it.
END = 60.0
KEPT = ("mae", "mae_of_median", "metric", "score", "baseline", "reason", "rows_train", "rows_test", "manifest")


Fit = Callable[[dict[str, Any], dict[str, Any], Path, Path, Path, bool], None]  # train.train_and_track


def main(fit: Fit) -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.model_output()) as out, job_io.scratch() as scratch:
        group = Group(job_io.channel("data"))
        todo = names_in(job_io.channel("todo"), group)
        deadline = started + group.template["train"].get("max_runtime", math.inf) - END
        found = train_all(fit, group, todo, Checkpoints(job_io.checkpoints()), out, scratch, deadline)
        failed = sum("Error" in each for each in found)
        known = {"group": group.name, "seconds": round(time.monotonic() - started, 1), "failed": failed}
        job_io.write_json(out / GROUP, {**known, "models": found})
    log.info("group %s: %s trained, %d failed", group.name, counted(len(found) - failed, "model"), failed)


def names_in(folder: Path, group: Group) -> list[str]:
    found = job_io.read_json(folder / "todo.json")
    names = found.get("models") if isinstance(found, dict) else None
    if not isinstance(names, list):
        raise JobError('todo.json has no list of models; it must be like {"models": ["NAME"]}.')
    for name in names:
        if not group[name]["train"]:
            raise JobError(f"Model {name} of the group {group.name} is not to be trained, but todo.json names it.")
    return list(dict.fromkeys(names))


def train_all(
    fit: Fit, group: Group, todo: list[str], checkpoints: Checkpoints, out: Path, scratch: Path, deadline: float
) -> list[dict[str, Any]]:
    """Write the models' archives to `out` and return the entries of group.json, in the order of `todo`."""
    entries = {name: entry for name in todo if (entry := checkpoints.find(name, group[name]["train"], out))}
    if entries:
        log.info("group %s: %s finished by an earlier try of this job", group.name, counted(len(entries), "model"))
    rest = sorted((name for name in todo if name not in entries), key=lambda name: -group[name]["rows_train"])
    if rest:
        children.import_autogluon(*LIBRARIES)

    def work(name: str) -> dict[str, Any]:
        os.environ["STEPGLUON_CORES"] = "1"
        return train_one(fit, group, name, scratch / name)

    for name, found in children.results(rest, work, scratch, fresh=True, deadline=deadline):
        fingerprint = group[name]["train"]
        if isinstance(found, Failure):
            log.warning("%s", found.sentence)
            entries[name] = {**found.entry(name), "fingerprint": fingerprint}
        else:
            entries[name] = {"name": name, "fingerprint": fingerprint, **found}
            checkpoints.keep(entries[name], scratch / name / "model.tar.gz", out)
        shutil.rmtree(scratch / name, ignore_errors=True)
        log.info("progress: %d of %s", len(entries), counted(len(todo), "model"))
    return [entries[name] for name in todo]


def train_one(fit: Fit, group: Group, name: str, folder: Path) -> dict[str, Any]:
    """Train into folder/model.tar.gz; return the model's entry of group.json."""
    started, model = time.monotonic(), group.model(name)
    shutil.rmtree(folder, ignore_errors=True)  # of a try that was killed
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
        pq.write_table(group.rows(name, part), folder / part / "part-00000.parquet")
    (folder / "model").mkdir()
    fit(group.config, model, folder, folder / "model", folder, True)
    pack(folder / "model", folder / "model.tar.gz")
    metrics = job_io.read_json(folder / "model" / METRICS)
    kept = {"mae": None, "mae_of_median": None} | {key: metrics[key] for key in KEPT if key in metrics}
    return {**kept, "seconds": round(time.monotonic() - started, 1)}


class Checkpoints:
    """Finished models by fingerprint; SageMaker stores them while the job runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, entry: Mapping[str, Any], archive: Path, out: Path) -> None:
        """The archive first: without a .json file it does not count."""
        kept, described = self._files(entry["fingerprint"])
        copy(archive, kept)
        unfinished = described.with_suffix(".tmp")
        job_io.write_json(unfinished, {"sha256": sha256_of(kept), "entry": entry})
        unfinished.rename(described)
        copy(kept, out / f"{entry['name']}.tar.gz")

    def find(self, name: str, fingerprint: str, out: Path) -> dict[str, Any] | None:
        """The entry of the finished model, whose archive is put into `out`."""
        archive, described = self._files(fingerprint)
        if not described.is_file():
            return None
        try:
            found = job_io.read_json(described)
            entry: dict[str, Any] = found["entry"]
            # Partitions with equal rows have equal fingerprints.
            same = (entry["name"], entry["fingerprint"]) == (name, fingerprint)
            if same and archive.is_file() and sha256_of(archive) == found["sha256"]:
                copy(archive, out / f"{name}.tar.gz")
                return entry
        except (JobError, KeyError, TypeError):
            same = True
        if same:
            log.warning("model %s: its checkpoint is damaged; training it again", name)
        return None

    def _files(self, fingerprint: str) -> tuple[Path, Path]:
        return self._folder / f"{fingerprint}.tar.gz", self._folder / f"{fingerprint}.json"


def copy(source: Path, target: Path) -> None:
    """Copy a file, as a link if both are on the same disk; the target is complete or absent."""
    unfinished = target.with_name(f"{target.name}.tmp")
    unfinished.unlink(missing_ok=True)
    try:
        os.link(source, unfinished)
    except OSError:
        shutil.copyfile(source, unfinished)
    unfinished.rename(target)
