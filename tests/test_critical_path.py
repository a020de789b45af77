"""The chain of states that determined how long a run took, from its history."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepgluon.runs import report
from stepgluon.runs.history import Event, Story, read
from stepgluon.runs.run_record import run_json
from stepgluon.runs.view import details

START = 1_700_000_000


class History:
    """Writes events as Step Functions does; `at` is in seconds since the run's start."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.add("ExecutionStarted", 0, 0)

    def add(self, kind: str, at: float, after: int | None = None, **details: Any) -> int:
        number = len(self.events) + 1
        key = f"{kind[0].lower()}{kind[1:]}EventDetails"
        if kind.endswith(("StateEntered", "StateExited")):
            key = f"stateE{kind.rpartition('StateE')[2]}EventDetails"
        before = number - 1 if after is None else after
        event = {"id": number, "previousEventId": before, "type": kind, "timestamp": START + at, key: details}
        self.events.append(event)
        return number

    def task(self, name: str, since: float, until: float, after: int | None = None) -> int:
        self.add("TaskStateEntered", since, after, name=name)
        return self.add("TaskStateExited", until, name=name)

    def schedule(self, at: float, name: str, after: int | None = None) -> int:
        parameters = json.dumps({"TrainingJobName": name})
        return self.add("TaskScheduled", at, after, resourceType="sagemaker", parameters=parameters)

    def job(self, name: str, since: float, began: float, until: float, after: int | None = None) -> int:
        self.add("TaskStateEntered", since, after, name=name)
        self.schedule(since, name.replace(" ", "-"))
        described = {"TrainingJobName": "x", "TrainingStartTime": 1000 * int(START + began)}
        self.add("TaskSucceeded", until, output=json.dumps(described))
        return self.add("TaskStateExited", until, name=name)

    def branches(self, name: str, at: float) -> int:
        self.add("ParallelStateEntered", at, name=name)
        return self.add("ParallelStateStarted", at)

    def story(self, at: float, end: str = "ExecutionSucceeded", **details: Any) -> Story:
        self.add(end, at, **details)
        return read(self.events)


def recorded(story: Story, folder: str = "s3://bucket/runs/r") -> dict[str, Any]:
    return run_json("r", {}, story, None, arn="arn", results=None, folder=folder, outbox="outbox", said=[])


def path(story: Story, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = recorded(story, **more)["critical_path"]
    return found


def two_trainings(a: float, b: float) -> History:
    """Prepare, a look-up and a training for each of two models, and post-process; trainings end at these times."""
    history = History()
    history.task("Prepare data", 0, 30)
    started = history.branches("Train models", 30)
    ends = {}
    for name, end in (("a", a), ("b", b)):
        looked_up = history.task(f"Look up {name}", 30, 31, started)
        ends[end] = history.task(f"Train {name}", 31, end, looked_up)
    last = max(a, b)
    history.add("ParallelStateSucceeded", last, ends[last])
    history.add("ParallelStateExited", last, ends[last], name="Train models")
    history.task("Post-process", last, last + 10)
    return history


def test_the_slowest_branch_is_on_the_path_wherever_it_is_listed() -> None:
    for a, b, slowest, other in ((100, 231, "Train b", "Train a"), (231, 100, "Train a", "Train b")):
        found = path(two_trainings(a, b).story(241))
        assert [step["state"] for step in found["steps"]] == ["Prepare data", slowest, "Post-process"]
        assert [step["seconds"] for step in found["steps"]] == [30, 200, 10]
        assert [step["gain"] for step in found["steps"]] == [30, 131, 10]
        assert found["other"] == 1.0  # the look-up
        assert found["advice"] == (
            f"To shorten the run by up to 2 min 11 s (then {other} takes longest), shorten {slowest}: "
            "a shorter train.time_limit, faster presets or a larger train.instance."
        )


def test_two_branches_that_take_as_long_are_both_to_be_shortened() -> None:
    found = path(two_trainings(220, 231).story(241))
    assert found["advice"].startswith(
        "To shorten the run, shorten both Train b and Train a, which ended only 11.0 s earlier: "
    )


def test_show_and_the_report_have_the_path_with_its_shares() -> None:
    story = two_trainings(100, 231).story(241)
    text, page = (
        details(recorded(story)),
        report.completed("<main><!--stepgluon:timeline--></main>", recorded(story), story),
    )
    assert "Critical path:\n  Prepare data   30.0 s  12 %\n  Train b       200.0 s  83 %\n" in text
    assert "Critical path: <b>Prepare data</b> 12 % → <b>Train b</b> 83 % → <b>Post-process</b> 4 %. To shorten" in page


def test_jobs_that_wait_for_machines_are_the_advice() -> None:
    history = History()
    history.job("Prepare data", 0, 180, 200)
    history.job("Post-process", 200, 390, 400)
    story = history.story(400)
    found = path(story)
    assert [step["waited"] for step in found["steps"]] == [180, 190]
    assert found["advice"] == (
        "Jobs on the path waited 6 min 10 s for a machine. "
        "Each of 2 jobs in a row starts a machine; a larger machine would not shorten that."
    )
    assert "200.0 s  50 %  including 3 min 00 s waiting for a machine\n" in details(recorded(story))
    assert "Locally, jobs share this computer's cores" in path(story, folder="/data/runs/r")["advice"]


def test_a_failed_run_s_path_ends_in_the_state_that_failed() -> None:
    history = History()
    started = history.branches("Train models", 0)
    history.add("TaskStateEntered", 1, started, name="Train a")
    scheduled = history.schedule(1, "train-a")
    history.add("TaskStateEntered", 0, started, name="Train b")
    history.add("TaskFailed", 90, scheduled, error="States.TaskFailed", cause="No.")
    found = path(history.story(90, "ExecutionFailed", error="States.TaskFailed", cause="No."))
    assert [step["state"] for step in found["steps"]] == ["Train a"]


def test_tries_that_failed_are_named() -> None:
    history = History()
    history.add("TaskStateEntered", 0, name="Train a")
    first = history.schedule(0, "train-a-0")
    history.add("TaskFailed", 60, first, error="SageMaker.AmazonSageMakerException", cause="No capacity.")
    history.schedule(70, "train-a-1")
    history.add("TaskSucceeded", 100, output="{}")
    history.add("TaskStateExited", 100, name="Train a")
    story = history.story(100)
    assert path(story)["steps"][0]["tries"] == 70
    assert "Train a  100.0 s  100 %  including 1 min 10 s on tries that failed\n" in details(recorded(story))


@pytest.mark.parametrize("name", ["Train and predict groups", "Train groups"])
def test_a_distributed_map_is_one_state_of_the_path(name: str) -> None:
    history = History()
    history.task("Prepare data", 0, 30)
    history.add("MapStateEntered", 30, name=name)
    history.add("MapStateStarted", 30)
    history.add("MapRunStarted", 31)
    ended = history.add("MapRunSucceeded", 990)
    history.add("MapStateSucceeded", 990, ended)
    history.add("MapStateExited", 990, name=name)
    found = path(history.story(1000))
    assert [(step["state"], step["gain"]) for step in found["steps"]] == [
        ("Prepare data", 30),
        (name, 960),
    ]
    assert found["advice"].endswith("more fan_out.jobs_at_once, or fewer models_per_job.")


def test_a_state_that_is_visited_again_and_again_is_one_step() -> None:
    history = History()
    history.job("Train a", 0, 0, 10)
    for at in (10, 50, 90):
        history.task("Wait for endpoint of a", at, at + 30)
        history.task("Describe endpoint of a", at + 30, at + 40)
    path = recorded(history.story(130))["critical_path"]
    steps = [(step["state"], step["seconds"], step["gain"]) for step in path["steps"]]
    assert steps == [
        ("Train a", 10, 10),
        ("Wait for endpoint of a", 90, 90),
        ("Describe endpoint of a", 30, 30),
    ]
    assert path["other"] == 0


def test_a_run_in_progress_or_without_a_history_has_none() -> None:
    history = two_trainings(100, 231)
    assert recorded(read(history.events))["critical_path"] is None
    assert recorded(Story(started=START, ended=START + 9.0, status="FAILED"))["critical_path"] is None


def test_after_a_redrive_the_path_is_what_ran_since() -> None:
    history = History()
    history.add("TaskStateEntered", 0, name="Train a")
    history.add("TaskFailed", 60, error="Boom", cause="No.")
    history.add("ExecutionFailed", 60, error="Boom", cause="No.")
    redriven = history.add("ExecutionRedriven", 500)
    history.add("TaskStateEntered", 500, redriven, name="Train a")
    history.add("TaskStateExited", 560, name="Train a")
    found = path(history.story(561))
    assert [(one["state"], one["seconds"]) for one in found["steps"]] == [("Train a", 60)]
    assert (found["seconds"], found["other"]) == (61, 1)
