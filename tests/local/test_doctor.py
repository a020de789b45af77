"""`doctor`: what this computer can do, and what it lacks."""

from __future__ import annotations

import json
import shutil
from importlib import metadata

import pytest

from localaws.sagemaker import bubblewrap
from stepgluon.cli.main import main
from stepgluon.local import doctor


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(None, ["doctor", *words], {}) == 0  # type: ignore[arg-type]  # it compiles no workflow
    return capsys.readouterr().out


def test_each_ability_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys).splitlines()
    assert [line.split()[0] for line in lines] == ["jobs", "serving", "containers", "builds"]
    assert lines[1].split()[1] == "yes" and f"gunicorn {metadata.version('gunicorn')}" in lines[1]
    assert (lines[2].split()[1] == "yes") == (not bubblewrap.missing())


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(doctor._PACKAGES, "gunicorn", ("not-a-package",))
    found = {one["name"]: one for one in json.loads(said(capsys, "--json"))}
    assert {name: one["able"] for name, one in found.items()} == {
        "jobs": True, "serving": False, "containers": False, "builds": False
    }  # fmt: skip
    assert found["serving"]["how"] == "gunicorn not installed (run `make setup`, then .venv/bin/python)"
    assert found["containers"]["how"] == "needs buildah and bubblewrap (apt-get install buildah bubblewrap)"
    assert found["builds"]["how"] == "needs buildah (apt-get install buildah)"
