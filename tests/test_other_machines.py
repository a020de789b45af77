"""The machines around the runs: one that releases an approved version, and one that looks for drift."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import pipeline
from stepgluon.cli.main import main
from stepgluon.config.load import load
from stepgluon.config.schema import PipelineConfig
from stepgluon.local.compile_cache import compiled
from stepgluon.workflow.sdk import Succeed

PLAIN = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
  - {name: price, label: price, threshold: 350}
"""
SERVED = PLAIN + "    serve: {}\n    register: {approval: manual}\n    monitor: {}\n"
SERVED = SERVED.replace("{name: price, label: price, threshold: 350}", "name: price\n    label: price")


def workflow(config: PipelineConfig) -> Any:
    return pipeline.workflow(config)


def release(config: PipelineConfig) -> Any:
    return Succeed("Released", output={"models": [model.name for model in config.served_after_approval]})


def monitoring(config: PipelineConfig) -> Any:
    return Succeed("Watched", output={"models": [model.name for model in config.monitored]})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(text: str) -> None:
    Path("pipeline-config.yml").write_text(text, encoding="utf-8")


def test_compile_writes_a_definition_for_each_machine_that_the_config_needs(folder: Path) -> None:
    given(SERVED)
    assert main(workflow, ["compile", "--out", "build"], {}) == 0
    assert sorted(os.listdir("build")) == ["definition.asl.json", "monitor.asl.json", "release.asl.json"]
    found = json.loads(Path("build/release.asl.json").read_text("utf-8"))
    assert found["StartAt"] == "Released"
    assert found["States"]["Released"]["Output"] == {"models": ["price"]}


def test_a_config_without_endpoints_has_one_machine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given(PLAIN)
    assert main(workflow, ["compile", "--out", "build"], {}) == 0
    assert os.listdir("build") == ["definition.asl.json"]
    assert main(workflow, ["graph", "--machine", "monitor"], {}) == 2
    assert "--machine monitor: the config needs no such machine" in capsys.readouterr().err


def test_each_machine_can_be_printed_and_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given(SERVED)
    assert main(workflow, ["compile", "--stdout", "--machine", "monitor"], {}) == 0
    assert json.loads(capsys.readouterr().out)["StartAt"] == "Watched"
    assert main(workflow, ["graph", "--machine", "release", "--detail", "full"], {}) == 0
    assert "Released" in capsys.readouterr().out


def test_the_cache_and_the_templates_have_them_too(folder: Path) -> None:
    given(SERVED)
    loaded = load(Path("pipeline-config.yml"), None, {})
    first, second = (compiled(loaded, workflow, folder / "work") for _ in range(2))
    assert first == second
    assert set(first) == {"definition", "release", "monitor"}
    assert main(workflow, ["template", "--out", "reviewed"], {}) == 0
    assert Path("reviewed/monitor.asl.json").read_text("utf-8") == first["monitor"]


def test_a_machine_that_cannot_run_is_refused_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(SERVED)
    broken = Succeed("Released", output="{% $lookup(5 %}")
    monkeypatch.setitem(globals(), "release", lambda config: broken)
    assert main(workflow, ["compile", "--out", "build"], {}) == 1
    assert "the machine release would not run on AWS" in capsys.readouterr().err
    assert os.listdir() == ["pipeline-config.yml"]
