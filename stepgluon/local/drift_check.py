"""Compares new rows with those that trained a model, and two models on the same rows, in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from localaws.sagemaker.job_process import Surroundings, environment
from stepgluon.errors import StepgluonError, SurroundingsError
from stepgluon.figures import aligned, cut
from stepgluon.local.data_check import CODE, CORES
from stepgluon.names import Names

Fetch = Callable[[Path], object]  # copies files to the folder of the job's inputs


def drift_of(names: Names, model: str, files: Sequence[Path], limit: float, fetch: Fetch, to: Path) -> dict[str, Any]:
    """Write the page and its numbers to the folder `to`; return the numbers. `fetch` copies the model."""
    variables = {"STEPGLUON_DRIFT": f"{limit:g}", "STEPGLUON_PREDICT": "true"}
    return _ran("monitor", "drift", names, {"STEPGLUON_MODEL": model, **variables}, files, fetch, to)


def rehearsal_of(names: Names, model: str, files: Sequence[Path], fetch: Fetch, to: Path) -> dict[str, Any]:
    """The same for two models on the same rows; `fetch` copies both models and, without tables, the rows."""
    return _ran("rehearse", "rehearse", names, {"STEPGLUON_MODEL": model}, files, fetch, to)


def _ran(
    script: str, result: str, names: Names, variables: dict[str, str], files: Sequence[Path], fetch: Fetch, to: Path
) -> dict[str, Any]:
    try:
        with tempfile.TemporaryDirectory(prefix="stepgluon-drift-") as name:
            folder = Path(name)
            inputs, output = folder / "processing/input", folder / "processing/output"
            for place in (inputs / "tables", inputs / "config", output, folder / "tmp"):
                place.mkdir(parents=True)
            for file in files:
                (inputs / "tables" / file.name).symlink_to(file.resolve())
            (inputs / "config" / "config.json").write_text(names.config_json, encoding="utf-8")
            fetch(inputs)
            done = subprocess.run(
                [sys.executable, os.fspath(CODE / f"{script}.py")],
                env=environment(Surroundings(folder, {**names.config.prepare.environment, **variables}, {}, CORES)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
            if done.returncode:
                raise StepgluonError(_reason(done.stderr))
            to.mkdir(parents=True, exist_ok=True)
            for ending in ("html", "json"):
                shutil.copyfile(output / f"{result}.{ending}", to / f"{result}.{ending}")
    except OSError as problem:
        raise SurroundingsError(f"the rows cannot be compared: {(problem.strerror or str(problem)).lower()}") from None
    found: dict[str, Any] = json.loads((to / f"{result}.json").read_text("utf-8"))
    return found


def _reason(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if not line.startswith("cell: ")]
    return f"the rows cannot be compared: {lines[-1] if lines else 'unknown reason'}"


def words(found: dict[str, Any], page: str) -> str:
    """What `monitor` prints."""
    drifted = [each for each in found["columns"] if each["drifted"]]
    lines = [found["sentence"]]
    if drifted:
        rows = [("column", "PSI", "KS", "JS", "missing")]
        for each in drifted[:20]:
            psi, ks, js = (f"{each[key]:.2f}" if key in each else "" for key in ("psi", "ks", "js"))
            missing = " -> ".join(f"{each[f'missing_{when}']:.1%}" for when in ("before", "now"))
            rows.append((cut(each["name"], 40), psi, ks, js, missing))
        lines += ["", *aligned(rows, right=range(1, 5))]
    return "\n".join([*lines, "", f"Page: {page}"]) + "\n"


def rehearsed_words(found: dict[str, Any], page: str) -> str:
    """What `rehearse` prints."""
    rows = [("", "serves", "new"), *((name, str(one["old"]), str(one["new"])) for name, one in found["figures"])]
    lines = [found["sentence"], "", *aligned(rows, right=(1, 2))]
    return "\n".join([*lines, "", f"Page with the largest differences: {page}"]) + "\n"
