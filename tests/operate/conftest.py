"""The user of tests/local, without the cache of jobs: what is not repeated here was found by its fingerprint."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "local"))

from account import Picky
from stand_in import arrange
from test_run import User


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def faults() -> Picky:
    return Picky()


@pytest.fixture
def user(
    tmp_path: Path,
    shared: Path,
    faults: Picky,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[User]:
    monkeypatch.chdir(tmp_path)
    arrange(shared, monkeypatch.setattr, faults=faults, fresh=True)
    user = User(tmp_path, shared, capsys)
    yield user
    user.leaves()
