"""Prepare, with files in place of tables: runs the user's script, which sorts the files into folders.

Reads   processing/input/raw/                every object of the .run file's folder, but the .run file
        processing/input/config/config.json
        processing/input/code/               the user's scripts
Writes  processing/output/files/             train/, validation/, test/ and predict/, as the script left them
        processing/output/profile.json       the numbers of files; each model's fingerprints
        processing/output/fingerprints.json  the part of it that the state machine reads

The script reads processing/input/raw and writes these folders below processing/output. It must write train and test;
each file in predict gets one prediction.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import job_io
import user_script
from job_io import JobError, counted, log, shown

FOLDERS = ("train", "validation", "test", "predict")
_NO_SETTING = {"name", "label", "where", "drop", "train", "threshold", "at_most", "at_least", "default_model"}
_NO_SETTING |= {"better_than_median"}
_NOT_OF_A_TRAINING = {"spot", "max_runtime", "instance"}


def main() -> None:
    started = time.monotonic()
    with job_io.complete_or_absent(job_io.processing_output()) as out:
        config = job_io.read_config(job_io.processing_input("config"))
        script = Path(config["data"]["prepare"]).name
        raw = job_io.processing_input("raw")
        for file in raw.glob("*.run"):
            file.unlink()
        given = user_script.files_in(raw, "the upload")
        sums = user_script.listing(given)
        user_script.run(script)
        made = folders_of(job_io.processing_output(), out, script)
        profile = profile_of(made, config)
        profile |= {"sha256": hashlib.sha256(sums.encode()).hexdigest(), "rows": len(given)}
        profile["seconds"] = round(time.monotonic() - started, 1)
        job_io.write_json(out / "profile.json", profile)
        job_io.write_json(out / "fingerprints.json", fingerprints_in(profile))


def folders_of(written: Path, out: Path, script: str) -> dict[str, dict[str, Path]]:
    """Move the folders to `out`/files; return the files in each."""
    unknown = sorted(path.name for path in written.iterdir() if path.name not in (*FOLDERS, out.name))
    if unknown:
        raise JobError(f"{script} wrote {job_io.listed(unknown)}; only the folders {', '.join(FOLDERS)} are used.")
    (out / "files").mkdir(parents=True)
    found = {}
    for name in FOLDERS:
        folder = written / name
        if folder.is_symlink():
            raise JobError(f"{script} made {name} a link; make it a folder.")
        files = user_script.files_in(folder, script)
        if not files and name in ("train", "test"):
            why = "the model is measured on them" if name == "test" else "models learn from them"
            raise JobError(f"{script} left no files in {folder}; {why}.")
        deep = next((file for file in files if "/" in file), None)
        if name == "predict" and deep:
            raise JobError(f"{script} wrote {shown('predict/' + deep)}; files to predict must be in predict itself.")
        if files:
            folder.rename(out / "files" / name)
            found[name] = {file: out / "files" / name / file for file in files}
            log.info("%s: %s", name, counted(len(files), "file"))
    return found


def profile_of(made: dict[str, dict[str, Path]], config: dict[str, Any]) -> dict[str, Any]:
    sums = {name: user_script.listing(files) for name, files in made.items()}
    asked = [f"{name}.out" for name in made.get("predict", {})]  # [sm] the names of the answers
    rows = {f"rows_{name}": len(made.get(name, {})) for name in FOLDERS}
    models = []
    for model in config["models"]:
        train = {key: value for key, value in model["train"].items() if key not in _NOT_OF_A_TRAINING}
        train["instance"] = model["train"].get("instance", {}).get("type")
        settings = {key: value for key, value in model.items() if key not in _NO_SETTING}
        learnt = {name: text for name, text in sums.items() if name != "predict"}
        whole = {"files": learnt, "settings": settings, "train": train, "scripts": config["scripts"]}
        models.append(
            {
                "name": model["name"],
                "label": model["label"],
                **rows,
                "channels": [name for name in ("train", "validation") if name in made],
                "train_fingerprint": _hash(whole),
                "predict_fingerprint": _hash(sums.get("predict", "")),
                "predict_files": asked,
            }
        )
    return {"files": [], "assumed": [], "columns": [], "models": models}


def fingerprints_in(profile: dict[str, Any]) -> dict[str, Any]:
    keys = {"name": "name", "train": "train_fingerprint", "predict": "predict_fingerprint", "channels": "channels"}
    keys |= {"rows": "rows_predict"}
    models = [{key: model[name] for key, name in keys.items()} for model in profile["models"]]
    return {"models": models}


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(job_io.run("processing", main))
