"""A job's folder, and one model that was really fitted."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from job_sandbox import Sandbox, fit


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    box = Sandbox(tmp_path / "ml")
    monkeypatch.setenv("STEPGLUON_ROOT", str(box.root))
    monkeypatch.delenv("STEPGLUON_CORES", raising=False)
    return box


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was really fitted, shared by all tests: copy it before changing it."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # of all workers: one of them fits it
    with (place / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        box = place / "trained/ml"
        if not (box / "model/metrics.json").exists():
            fit(Sandbox(box))
    return box / "model"
