"""A trained model as a folder: the predictor, its metadata, and a manifest with the checksum of every file.

    predictor/       saved by AutoGluon; contains pickles, and unpickling runs code
    leaderboard.csv  importance.csv  evaluation.json  profile.json
    manifest.json    {"program", "files": {path: sha256}, "autogluon", "python", "label", "features": {column: type}};
                     of a model that predicts classes also "classes": the last of two is the positive one
    metrics.json     the metrics, and the manifest's own sha256; not listed in the manifest

score.py writes the folder of XGBoost's models: program/ with the files of the training's archive and encoding.json take
the place of the first two lines, and "xgboost" that of the versions. For a container, score_answers.py writes it, and
model.tar.gz is all that the training left. Do not read the predictor before `verified` has returned.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import job_io
import pyarrow as pa
from job_io import JobError, RetryableError, shown
from programs import AUTOGLUON, PROGRAMS

MANIFEST = "manifest.json"
METRICS = "metrics.json"
EVALUATION = "evaluation.json"  # for the report; listed in the manifest like all files but these two
PREDICTOR = "predictor"
PROGRAM = "program"  # a foreign trainer's files; also the manifest's key for what trained the model
ARCHIVE = "model.tar.gz"  # of a container that is not ours, which alone opens it
_SHA256 = re.compile(r"[0-9a-f]{64}")


def versions(program: str = AUTOGLUON) -> dict[str, str]:
    """The versions that decide whether a predictor can be read; see `_check_versions`."""
    for package in PROGRAMS[program].packages:
        try:
            return {program: importlib.metadata.version(package), "python": platform.python_version()}
        except importlib.metadata.PackageNotFoundError:
            continue
    raise ModuleNotFoundError(f"{PROGRAMS[program].title} is not installed")


def write_manifest(
    folder: Path,
    label: str,
    features: dict[str, str],
    program: str = AUTOGLUON,
    classes: Sequence[str] = (),
    script: str = "",
) -> str:
    """Write the manifest; return its sha256. `script` is that of the user's scripts that an AWS image needs."""
    sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in _files(folder)}
    learnt = {"label": label, "features": features} | ({"classes": list(classes)} if classes else {})
    learnt |= {"script": script} if script else {}
    known = {} if PROGRAMS[program].answers else versions(program)
    job_io.write_json(folder / MANIFEST, {PROGRAM: program, "files": sums, **known, **learnt})
    return sha256_of(folder / MANIFEST)


def pack(folder: Path, archive: Path | None = None) -> None:
    """Write the model as an archive; by default into its folder, for a transform job, which alone reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with tarfile.open(archive or folder / ARCHIVE, "w:gz", compresslevel=1) as tar:
        for path in files:
            tar.add(path, path.relative_to(folder).as_posix())


def verified(folder: Path, model: str, expected: str = "") -> dict[str, Any]:
    """Check that every file is unchanged since training, and that the versions match; return the manifest."""
    manifest = read_manifest(folder, model, expected)
    sums = manifest["files"]
    here = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted(sums.keys() | here.keys() - {MANIFEST, METRICS, ARCHIVE}):
        file = f"Model {model} is not loaded: its file {shown(name, 200)}"
        if name not in sums:
            raise JobError(f"{file} is not in the manifest; train the model again.")
        if name not in here:
            raise RetryableError(f"{file} is missing; train the model again.")
        if sha256_of(here[name]) != sums[name]:
            raise RetryableError(f"{file} was changed after training; train the model again.")
    _check_versions(manifest, model)
    return manifest


def read_manifest(folder: Path, model: str, expected: str) -> dict[str, Any]:
    """The manifest, checked for its form.

    It protects against corruption. `expected`, the manifest's sha256 from a place that jobs cannot write to, protects
    against someone with write access to the bucket.
    """
    if expected and (folder / MANIFEST).is_file() and sha256_of(folder / MANIFEST) != expected:
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
    return manifest


def program_of(manifest: Mapping[str, Any]) -> str:
    """What trained the model; manifests from before there was a choice do not say it."""
    return str(manifest.get(PROGRAM, AUTOGLUON))


def _check_versions(manifest: dict[str, Any], model: str) -> None:
    """Pickles need the same version, and Python's major and minor one.

    Other programs read what any older version saved. The manifest has the version that read the model when it was
    scored, so that one and all newer ones can.
    """
    program = program_of(manifest)
    row = PROGRAMS.get(program)
    if row is None or row.answers:
        raise JobError(
            f"Model {model} was trained by {shown(program)}, which this version of stepgluon does not support."
        )
    try:
        installed = versions(program)
    except ModuleNotFoundError:
        raise JobError(
            f"Model {model} was trained with {row.title}, which this job's image does not have; predict with "
            "the image of the run that trained it, or train it again."
        ) from None
    for what, version in installed.items():
        saved = str(manifest.get(what))
        if what == "python":
            fits = not row.pickled or _numbers(saved) == _numbers(version)
        else:
            fits = saved == version if row.pickled else _numbers(saved) <= _numbers(version)
        if not fits:
            title = "Python" if what == "python" else row.title
            raise JobError(
                f"Model {model} was trained with {title} {saved} and cannot be loaded with {title} {version}; "
                "train it again, or promote a model of a run with this image."
            )


def _numbers(version: str) -> list[int]:
    """Major and minor."""
    return [int(each) if each.isdigit() else -1 for each in version.split(".")[:2]]


def check_columns(features: Mapping[str, str], schema: pa.Schema, model: str) -> None:
    """Raise JobError if the rows lack one of the model's columns, or have another type of value in it.

    Columns may be in any order, and unknown columns are ignored.
    """
    missing = [name for name in features if name not in schema.names]
    if missing:
        raise JobError(
            f"Model {model} learnt from the column {shown(missing[0])}, which the rows do not have; add the column to "
            "the tables, or train the model again without it."
        )
    for name, learnt in features.items():
        kind = schema.field(name).type
        if family(learnt) != family(str(kind)):
            raise JobError(
                f"Model {model} learnt from {shown(name)} as {learnt}, but the rows hold {kind} there; restore the "
                "column's type, or train the model again."
            )


def family(kind: str) -> str:
    """The group of types that a model treats alike."""
    if kind in ("int64", "double", "bool"):
        return "number"
    return "date" if kind.startswith(("date", "timestamp")) else kind


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


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
