"""A trained model as a folder: the predictor, its metadata, and a manifest with the checksum of every file.

    predictor/       saved by AutoGluon; contains pickles, and unpickling runs code
    leaderboard.csv  importance.csv  evaluation.json
    manifest.json    {"files": {path: sha256}, "autogluon", "python", "label", "features": {column: type}}
    metrics.json     the errors, and the manifest's own sha256; not listed in the manifest

Do not read the predictor before `verified` has returned.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

import job_io
from job_io import JobError, RetryableError, shown

MANIFEST = "manifest.json"
METRICS = "metrics.json"
EVALUATION = "evaluation.json"  # for the report; listed in the manifest like all files but these two
PREDICTOR = "predictor"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def versions() -> dict[str, str]:
    """The versions that must match to read a predictor; for Python, major and minor."""
    return {"autogluon": importlib.metadata.version("autogluon.tabular"), "python": platform.python_version()}


def write_manifest(folder: Path, label: str, features: dict[str, str]) -> str:
    """Write the manifest; return its sha256."""
    sums = {path.relative_to(folder).as_posix(): _sha256(path) for path in _files(folder)}
    job_io.write_json(folder / MANIFEST, {"files": sums, **versions(), "label": label, "features": features})
    return _sha256(folder / MANIFEST)


def verified(folder: Path, model: str, expected: str = "") -> dict[str, Any]:
    """Check that every file is unchanged since training, and that the versions match; return the manifest.

    The manifest protects against corruption. `expected`, the manifest's sha256 from a place that jobs cannot write to,
    protects against someone with write access to the bucket.
    """
    if expected and (folder / MANIFEST).is_file() and _sha256(folder / MANIFEST) != expected:
        raise RetryableError(
            f"Model {model} is not loaded: its {MANIFEST} is not the one that training wrote (sha256 {expected}); "
            "train the model again."
        )
    manifest: dict[str, Any] = job_io.read_json(folder / MANIFEST)
    sums = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(sums, dict) or not isinstance(manifest.get("features"), dict):
        raise JobError(f"The manifest of model {model} is not one that training wrote; train the model again.")
    for name, digest in sums.items():
        safe = not name.startswith("/") and ".." not in name.split("/") and "\\" not in name
        if not safe or not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise JobError(f"The manifest of model {model} has a bad entry {shown(name)}; train the model again.")
    here = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted(sums.keys() | here.keys() - {MANIFEST, METRICS}):
        file = f"Model {model} is not loaded: its file {shown(name, 200)}"
        if name not in sums:
            raise JobError(f"{file} is not in the manifest; train the model again.")
        if name not in here:
            raise RetryableError(f"{file} is missing; train the model again.")
        if _sha256(here[name]) != sums[name]:
            raise RetryableError(f"{file} was changed after training; train the model again.")
    _check_versions(manifest, model)
    return manifest


def _check_versions(manifest: dict[str, Any], model: str) -> None:
    for what, here in versions().items():
        saved = str(manifest.get(what))
        same = saved == here if what == "autogluon" else saved.split(".")[:2] == here.split(".")[:2]
        if not same:
            called = {"autogluon": "AutoGluon", "python": "Python"}[what]
            raise JobError(
                f"Model {model} was trained with {called} {saved} and cannot be loaded with {called} {here}; "
                "train it again, or promote a model of a run with this image."
            )


def _files(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise JobError(
                f"The model's folder has a link or special file {shown(path.name)}; only files are expected."
            )
        if path.is_file():
            found.append(path)
    return found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
