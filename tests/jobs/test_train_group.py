from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tarfile
import time
from pathlib import Path

import forks
import pytest
from children import LINES
from group_sandbox import (
    STAND_IN,
    entries,
    fingerprint,
    to_train,
    train_with_stand_in,
    tries,
)
from job_sandbox import CODE, MINUTES, Sandbox


def until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + MINUTES
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_model_becomes_an_archive_and_an_entry(sandbox: Sandbox) -> None:
    to_train(sandbox, ["a", "b", "c"], ["c", "a"])
    outcome = train_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    assert sorted(path.name for path in sandbox.model.iterdir()) == ["a.tar.gz", "c.tar.gz", "group.json"]
    group = json.loads((sandbox.model / "group.json").read_text())
    assert (group["group"], group["failed"], [each["name"] for each in group["models"]]) == ("g0007", 0, ["c", "a"])
    entry = entries(sandbox)["a"]
    assert (entry["fingerprint"], entry["mae"], entry["mae_of_median"]) == (fingerprint("a"), 1.5, None)
    with tarfile.open(sandbox.model / "a.tar.gz") as archive:
        assert archive.getnames() == ["manifest.json", "metrics.json", "predictor/model.pkl"]
        metrics = archive.extractfile("metrics.json")
        assert metrics and json.load(metrics)["manifest"] == entry["manifest"]
    assert "progress: 1 of 2 models" in outcome.log and "progress: 2 of 2 models" in outcome.log
    assert "a | fitting a" in outcome.log and "cores 1" in outcome.log


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ("refused", "Not retried: It has too few rows."),
        ("broken", "This is a bug in stepgluon, please report it with the job's log: ZeroDivisionError: one over"),
        ("large", "The job ran out of memory; give it an instance with more memory."),
        ("crashed", "Model crashed: its process crashed (SIGSEGV); look at the job's log."),
        ("killed", "Model killed: its process was killed, which usually means that memory ran out; give the job an"),
    ],
)
def test_a_failure_costs_one_model(sandbox: Sandbox, bad: str, cause: str) -> None:
    to_train(sandbox, ["a", bad, "z"])
    outcome = train_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    found = entries(sandbox)
    assert (found["a"]["mae"], found["z"]["mae"]) == (1.5, 1.5)
    assert set(found[bad]) == {"name", "fingerprint", "Error", "Cause"}
    assert found[bad]["Cause"].startswith(cause)
    assert json.loads((sandbox.model / "group.json").read_text())["failed"] == 1
    assert not (sandbox.model / f"{bad}.tar.gz").exists()
    assert tries(sandbox).count(bad) == (2 if bad == "killed" else 1)
    assert "group g0007: 2 models trained, 1 failed" in outcome.log


def test_a_model_that_was_killed_is_tried_once_more_alone(sandbox: Sandbox) -> None:
    to_train(sandbox, ["killed-once", "a", "b"])
    train_with_stand_in(sandbox)
    assert entries(sandbox)["killed-once"]["mae"] == 1.5
    assert tries(sandbox)[-1] == "killed-once"


def test_a_model_fills_the_log_with_its_last_lines_only(sandbox: Sandbox) -> None:
    to_train(sandbox, ["chatty"])
    log = train_with_stand_in(sandbox).log
    assert log.count("chatty | line of a loop") == LINES - 1  # and the line break of print
    assert len(log) < 2000


def test_a_stopped_job_keeps_what_is_finished_and_ends_its_forks(sandbox: Sandbox) -> None:
    to_train(sandbox, ["a", "waits"])
    script = sandbox.write("stand_in.py", STAND_IN)
    command = [sys.executable, str(script), str(CODE), str(sandbox.root)]
    with forks.Popen(command, env=sandbox.environment(STEPGLUON_CORES="2"), modules=()) as process:
        until(lambda: (sandbox.root / "waiting").exists() and (sandbox.root / "waiting").read_text())
        until(lambda: (sandbox.root / f"checkpoints/{fingerprint('a')}.json").exists())
        fork = int((sandbox.root / "waiting").read_text())
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(MINUTES) == 143
    until(lambda: not running(fork))
    assert list(sandbox.model.iterdir()) == []
    (sandbox.root / "released").touch()
    outcome = train_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    assert sorted(tries(sandbox)) == ["a", "waits", "waits"]
    assert "1 model finished by an earlier try" in outcome.log
    assert [each["mae"] for each in entries(sandbox).values()] == [1.5, 1.5]
    assert (sandbox.model / "a.tar.gz").is_file()


def test_a_job_that_is_killed_leaves_no_fork_behind(sandbox: Sandbox) -> None:
    to_train(sandbox, ["waits"])
    script = sandbox.write("stand_in.py", STAND_IN)
    command = [sys.executable, str(script), str(CODE), str(sandbox.root)]
    with forks.Popen(command, env=sandbox.environment(), modules=()) as process:
        until(lambda: (sandbox.root / "waiting").exists() and (sandbox.root / "waiting").read_text())
        fork = int((sandbox.root / "waiting").read_text())
        assert running(fork)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(MINUTES)
    until(lambda: not running(fork))


def running(process: int) -> bool:
    """A zombie that its new parent has not reaped yet has ended, too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("damage", ["archive", "json", "entry", "missing"])
def test_a_damaged_checkpoint_is_trained_again(sandbox: Sandbox, damage: str) -> None:
    to_train(sandbox, ["a", "b"])
    train_with_stand_in(sandbox)
    archive, described = (sandbox.root / f"checkpoints/{fingerprint('a')}{end}" for end in (".tar.gz", ".json"))
    content = archive.read_bytes()
    archive.unlink()  # the job's output has the same file
    if damage != "missing":
        archive.write_bytes(content[:-1] if damage == "archive" else content)
    if damage in ("json", "entry"):
        described.write_text("{}" if damage == "entry" else '{"sha')
    outcome = train_with_stand_in(sandbox)
    assert sorted(tries(sandbox)) == ["a", "a", "b"]
    assert "model a: its checkpoint is damaged; training it again" in outcome.log
    with tarfile.open(sandbox.model / "a.tar.gz") as whole:
        assert len(whole.getnames()) == 3


def test_partitions_with_equal_rows_have_models_of_their_own(sandbox: Sandbox) -> None:
    to_train(sandbox, ["a", "b"])
    place = sandbox.root / "input/data/data/group.json"
    place.write_text(place.read_text().replace(fingerprint("b"), fingerprint("a")))
    for _ in range(2):
        train_with_stand_in(sandbox)
        for name in ("a", "b"):
            with tarfile.open(sandbox.model / f"{name}.tar.gz") as archive:
                content = archive.extractfile("predictor/model.pkl")
                assert content and content.read() == name.encode()


@pytest.mark.parametrize("seconds", [60, 63])  # 60 of them are for the end: the time is up at once, or while it fits
def test_models_without_time_left_fail_and_the_others_count(sandbox: Sandbox, seconds: int) -> None:
    to_train(sandbox, ["a", "waits"], ["a"])
    train_with_stand_in(sandbox)
    shutil.rmtree(sandbox.root / "input")
    settings = {"presets": "fast", "time_limit": 10, "max_runtime": seconds}
    to_train(sandbox, ["a", "waits"], train=settings)
    outcome = train_with_stand_in(sandbox)
    assert outcome.code == 0, outcome.log
    found = entries(sandbox)
    assert found["a"]["mae"] == 1.5
    assert found["waits"]["Cause"] == (
        "Model waits: its group's job had no time left for it; raise max_runtime or lower fan_out.models_per_job."
    )
    if (waiting := sandbox.root / "waiting").exists():
        until(lambda: not running(int(waiting.read_text())))


def test_nothing_to_train_is_a_group_without_models(sandbox: Sandbox) -> None:
    to_train(sandbox, ["a"], [])
    assert train_with_stand_in(sandbox).code == 0
    assert entries(sandbox) == {}


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("todo/todo.json", '{"models": ["b"]}', "Not retried: The group g0007 has no model 'b'."),
        ("todo/todo.json", "[]", 'Not retried: todo.json has no list of models; it must be like {"models": ["NAME"]}.'),
        ("data/group.json", "{}", "Not retried: group.json and config.json in {} do not describe a group of models."),
        ("data/group.json", "", "group.json in {} is not JSON: Expecting value: line 1 column 1 (char 0)."),
    ],
)
def test_inputs_that_do_not_fit_fail_the_job(sandbox: Sandbox, file: str, content: str, sentence: str) -> None:
    to_train(sandbox, ["a"])
    place = sandbox.root / "input/data" / file
    place.write_text(content)
    outcome = train_with_stand_in(sandbox)
    assert (outcome.code, outcome.message) == (
        1,
        sentence.replace("{}", str(place.parent), 1) if "in {}" in sentence else sentence,
    )


def test_rows_that_do_not_fit_cost_their_model(sandbox: Sandbox) -> None:
    to_train(sandbox, ["a", "b", "c"])
    place = sandbox.root / "input/data/data/group.json"
    group = json.loads(place.read_text())
    group["models"][1]["rows_train"] = 41
    group["models"][2]["row_groups"]["train"] = 3
    place.write_text(json.dumps(group))
    train_with_stand_in(sandbox)
    found = entries(sandbox)
    assert "mae" in found["a"]
    assert "does not have as many rows of model b as group.json says" in found["b"]["Cause"]
    assert "ends before the rows of model c" in found["c"]["Cause"]
