"""Many runs in one server: each upload is one run, a few go on at a time, and memory does not grow with what was."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_aws import until
from whole import Whole, whole

from localaws.base import logs
from localaws.s3 import buckets
from localaws.sagemaker import api
from localaws.stepfunctions.queue import AT_ONCE

CAPS = [
    (buckets, "IN_MEMORY"),
    (logs, "MOST_LINES"),
    (logs, "MOST_STREAMS"),
    (api, "MOST_JOBS"),
]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("work")) as running:
        yield running


def test_twenty_uploads_at_once_are_twenty_runs(pipeline: Whole) -> None:
    """Most of them fail in their first job, so that this is quick; the whole way is in benchmarks/local.py uploads."""
    pipeline.run(prepare="exit 1")
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    folders = [pipeline.upload(**({} if n % 10 == 0 else {"prepare": "exit 1"})) for n in range(20)]
    ended = [pipeline.ended(folder) for folder in folders]
    assert len({run.name for run in ended}) == 20
    assert [run.code for run in ended] == [0 if n % 10 == 0 else 1 for n in range(20)]
    assert len(pipeline.place.journal.begun()) == 21, "none twice"
    until(lambda: threading.active_count() <= threads)
    until(lambda: len(os.listdir("/proc/self/fd")) <= files)


def test_a_run_leaves_in_memory_that_it_was_and_nothing_else(pipeline: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of jobs, log streams and keys the server holds so many; here so few that the first runs fill it."""
    for module, most in CAPS:
        monkeypatch.setattr(module, most, 10)
    runs, looks = 4, []
    for _ in range(3):
        for _ in range(runs):
            pipeline.run()
        things()  # a first look adds objects of its own
        looks.append(things())
    # botocore makes the parts of its models when a call first needs them, and once: a leak grows each time.
    first, second, third = looks
    steps = {kind: min(third[kind] - second[kind], second[kind] - first[kind]) for kind in third}
    grown = {kind: count for kind, count in steps.items() if count >= runs}
    assert grown.pop("PastExecution") == grown.pop("Begun") == runs
    grown.pop("ReferenceType", None)  # a weak one, which holds nothing
    plain = [grown.pop(kind, 0) for kind in ("dict", "list", "tuple")]
    assert grown == {} and sum(plain) < 12 * runs, f"{grown} {plain}"


def things() -> Counter[str]:
    """How many objects of each kind there are; those that stand-up made are looked at, too."""
    gc.unfreeze()
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def test_a_run_that_waits_for_its_turn_can_be_stopped(pipeline: Whole, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    folders = [pipeline.upload(prepare=f"wait for {gate}, then exit 1") for _ in range(AT_ONCE + 1)]
    last = pipeline.begun(folders[-1])
    assert pipeline.machines.get_execution_history(executionArn=last.arn)["events"] == []
    assert pipeline.machines.describe_execution(executionArn=last.arn)["status"] == "RUNNING"
    pipeline.machines.stop_execution(executionArn=last.arn, error="Mine", cause="I changed my mind")
    ended = pipeline.ended(folders[-1], holds=False)
    assert (ended.told["status"], ended.kinds) == ("ABORTED", ["stopped"])
    gate.touch()
    assert {pipeline.ended(folder).code for folder in folders[:-1]} == {1}
