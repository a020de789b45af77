"""What moto makes of a definition is kept: it is made once, and what is read is a definition or nothing."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from local_aws import settings
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser, ASLParserException

from localaws.server.aws import LocalAws
from localaws.stepfunctions import parse_cache

DEFINITION = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": 1, "End": True}}})


class Counted:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        plain = AmazonStateLanguageParser.parse

        def parse(definition: str) -> object:
            self.times += 1
            return plain(definition)

        monkeypatch.setattr(AmazonStateLanguageParser, "parse", staticmethod(parse))


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    with LocalAws(settings(tmp_path.parent / f"{tmp_path.name}-work")), pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse_cache, "_made", {})
        yield Counted(patch)


def program(folder: Path, another_process: bool = True, definition: str = DEFINITION) -> object:
    if another_process:
        parse_cache._made.clear()
    patches = parse_cache.install(folder)
    try:
        return AmazonStateLanguageParser.parse(definition)[0]
    finally:
        patches.undo()


def test_a_definition_is_parsed_once_for_all_processes(tmp_path: Path, counted: Counted) -> None:
    first = program(tmp_path)
    assert program(tmp_path, another_process=False) is first
    again = program(tmp_path)
    assert again is not first and type(again) is type(first)
    assert counted.times == 1


@pytest.mark.parametrize("action", ["sagemaker:createTrainingJob.sync", "codebuild:startBuild.sync"])
def test_a_definition_with_jobs_is_read_by_the_next_process(tmp_path: Path, counted: Counted, action: str) -> None:
    task = {"Type": "Task", "Resource": f"arn:aws:states:::{action}", "Parameters": {}, "End": True}
    definition = json.dumps({"StartAt": "T", "States": {"T": task}})
    program(tmp_path, definition=definition)
    program(tmp_path, definition=definition)
    assert counted.times == 1


def test_runs_that_begin_at_once_parse_their_definition_once(tmp_path: Path, counted: Counted) -> None:
    together = threading.Barrier(8)

    def begin(definition: str) -> int:
        together.wait()
        return id(AmazonStateLanguageParser.parse(definition)[0])

    patches = parse_cache.install(tmp_path)
    with ThreadPoolExecutor(8) as runs:
        for number in range(20):
            made = runs.map(begin, [f"{DEFINITION}{' ' * number}"] * 8)
            assert len(set(made)) == 1
    patches.undo()
    assert counted.times == 20


def test_a_change_of_what_decides_makes_it_anew(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"language.py", "executions.py", "sync_task.py", "waiting_task.py"} <= {
        file.name for file in parse_cache._deciding()
    }
    ours = tmp_path / "ours.py"
    monkeypatch.setattr(parse_cache, "_deciding", lambda: [ours])
    for text in ("a = 1", "a = 2"):
        ours.write_text(text)
        program(tmp_path / "compiled")
    assert counted.times == 2


def test_the_definitions_that_are_held_are_the_last_ones(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse_cache, "_MOST", 2)
    made = [program(tmp_path, False, f"{DEFINITION}{' ' * number}") for number in range(3)]
    assert list(parse_cache._made.values()) == made[1:]


@pytest.mark.parametrize("content", [b"", b"\x80\x05K", pickle.dumps(os.getpid)], ids=["empty", "cut", "another"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, counted: Counted, content: bytes) -> None:
    program(tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(content)
    program(tmp_path)
    assert counted.times == 2 and file.read_bytes() == whole


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def test_a_file_that_somebody_changed_runs_nothing(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "compiled"
    program(folder)
    (file,) = folder.iterdir()
    file.write_bytes(pickle.dumps(Harmful()))
    program(folder)
    assert counted.times == 2 and not Path("harmed").exists()


def test_what_is_no_definition_is_refused_each_time(tmp_path: Path, counted: Counted) -> None:
    patches = parse_cache.install(tmp_path)
    for _ in range(2):
        with pytest.raises(ASLParserException):
            AmazonStateLanguageParser.parse("{}")
    patches.undo()
    assert list(tmp_path.iterdir()) == []
