"""What a run's history tells: a function of the events alone."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from golden import HERE

from localaws.stepfunctions.jsonata import evaluate
from stepgluon.deploy.release import TELL
from stepgluon.runs import history
from stepgluon.runs.history import Event, Job, number, read, seconds, verdict
from stepgluon.runs.run_record import run_json
from stepgluon.runs.watch import follow
from stepgluon.workflow.mails import reason

START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
BLANK = {"Error": "", "Cause": ""}
JSONATA = (
    "An error occurred while executing the state 'Prepare again?' (entered at the event id #7). The JSONata expression"
)


class History:
    """Writes events as Step Functions does; each takes half a second."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.add("ExecutionStarted", 0)

    def add(self, kind: str, after: int | None = None, **details: Any) -> int:
        number = len(self.events) + 1
        key = f"{kind[0].lower()}{kind[1:]}EventDetails"
        if kind.endswith(("StateEntered", "StateExited")):
            key = f"state{kind[-len('Entered') if kind.endswith('Entered') else -len('Exited') :]}EventDetails"
        at = START + timedelta(seconds=0.5 * (number - 1))
        before = number - 1 if after is None else after
        self.events.append({"id": number, "previousEventId": before, "type": kind, "timestamp": at, key: details})
        return number

    def enter(self, kind: str, name: str, data: Any = None, after: int | None = None) -> int:
        return self.add(f"{kind}StateEntered", after, name=name, input=json.dumps(data or {}))

    def leave(self, kind: str, name: str, data: Any = None, after: int | None = None) -> int:
        return self.add(f"{kind}StateExited", after, name=name, output=json.dumps(data or {}))

    def job(self, name: str, after: int | None = None, kind: str = "Training") -> int:
        parameters = json.dumps({f"{kind}JobName": name})
        resource = f"create{kind}Job.sync"
        return self.add("TaskScheduled", after, resourceType="sagemaker", resource=resource, parameters=parameters)

    def failed_job(self, after: int, **description: str) -> int:
        cause = json.dumps({"TrainingJobArn": "arn", **description})
        return self.add("TaskFailed", after, error="States.TaskFailed", cause=cause)


def model(name: str, **changed: Any) -> dict[str, Any]:
    usual = {"mae": 231.5, "threshold": 350, "verdict": "accepted", "failure": BLANK, "uses": "trained"}
    return {"name": name, **usual, **changed}


@pytest.fixture
def good() -> History:
    """Two trainings whose events are mixed, one tried twice."""
    history = History()
    parallel = history.enter("Parallel", "Train models")
    a = history.enter("Task", "Train a", after=parallel)
    b = history.enter("Task", "Train b", after=parallel)
    a, b = history.job("train-a-0", a), history.job("train-b-0", b)
    a = history.failed_job(a, FailureReason="AlgorithmError: lost the machine, exit code: 1")
    a = history.job("train-a-1", a)
    b = history.leave("Task", "Train b", after=history.add("TaskSucceeded", b))
    b = history.leave("Pass", "Accept b", model("b"), history.enter("Pass", "Accept b", after=b))
    a = history.leave("Task", "Train a", after=history.add("TaskSucceeded", a))
    history.leave("Parallel", "Train models", {"models": [model("a", mae=400, verdict="rejected"), model("b")]}, a)
    history.enter("Task", "Record verdicts")
    history.add("TaskScheduled", resourceType="aws-sdk:s3", resource="putObject", parameters="{}")
    history.leave("Task", "Record verdicts", {"models": [model("a", uses="default", run="old"), model("b")]})
    history.add("ExecutionSucceeded")
    return history


def test_lines_tell_each_state_with_its_time_and_each_verdict(good: History) -> None:
    assert [" ".join(line.split("s  ", 1)[1].split()) for line in read(good.events).lines] == [
        "Train a failed, retrying: lost the machine",
        "Train b 3.0 s",
        "b: accepted. MAE 231.5 (limit 350).",
        "Train a 5.5 s",
        "Train models 6.5 s",
    ]


def test_what_was_told_stays_as_the_history_grows(good: History) -> None:
    whole = read(good.events).lines
    for count in range(len(good.events)):
        lines = read(good.events[:count]).lines
        assert lines == whole[: len(lines)]


def test_jobs_have_their_state_and_their_end(good: History) -> None:
    assert [(job.name, job.state, job.status) for job in read(good.events).jobs] == [
        ("train-a-0", "Train a", "Failed"),
        ("train-b-0", "Train b", "Completed"),
        ("train-a-1", "Train a", "Completed"),
    ]
    assert [job.name for job in read(good.events[:7]).running] == ["train-b-0"]
    assert read(good.events).running == []


def test_the_latest_verdicts_count(good: History) -> None:
    story = read(good.events)
    assert [(m["name"], m["uses"]) for m in story.models] == [("a", "default"), ("b", "trained")]
    assert story.status == "SUCCEEDED"
    assert story.ended == story.started + 0.5 * (len(good.events) - 1)


def test_a_remark_stands_beside_the_state_of_its_job(good: History) -> None:
    def remark(job: Job) -> str:
        return "cached" if job.name == "train-b-0" else ""

    assert [line for line in read(good.events, remark).lines if "cached" in line] == [
        f"{4.5:7.1f} s  {'Train b':<24} {3.0:6.1f} s  cached"
    ]


def test_a_history_that_was_written_as_json_tells_the_same(good: History) -> None:
    written = json.loads(json.dumps(good.events, default=str))
    assert read(written) == read(good.events)
    assert seconds("2026-01-31T12:00:00+00:00") == START.timestamp()


def test_a_failure_has_its_state_and_the_jobs_own_sentence() -> None:
    history = History()
    started = history.job("prepare-0", history.enter("Task", "Prepare data"), "Processing")
    described = {"ExitMessage": "row 7 has no species", "FailureReason": "AlgorithmError: See job logs"}
    history.leave("Task", "Prepare data", after=history.failed_job(started, **described))
    history.enter("Choice", "Prepare again?")
    wrapped = f"{JSONATA} threw an error during evaluation. D3137: row 7 has no species"
    history.add("EvaluationFailed", error="States.QueryEvaluationError", cause=wrapped, state="Prepare again?")
    history.add("ExecutionFailed", error="States.QueryEvaluationError", cause=wrapped)
    story = read(history.events)
    assert (story.status, story.failed_state, story.sentence) == ("FAILED", "Prepare data", "row 7 has no species")
    assert story.lines[0].endswith("failed: row 7 has no species")


@pytest.mark.parametrize(("kind", "status"), [("ExecutionAborted", "ABORTED"), ("ExecutionTimedOut", "TIMED_OUT")])
def test_an_end_from_outside_names_the_state_that_was_running(kind: str, status: str) -> None:
    history = History()
    history.job("prepare-0", history.enter("Task", "Prepare data"), "Processing")
    history.add(kind, error="Interrupted", cause="The run was stopped.")
    story = read(history.events)
    assert (story.status, story.failed_state) == (status, "Prepare data")
    assert story.sentence == "The run was stopped."
    assert [job.status for job in story.jobs] == ["Stopped"]


@pytest.mark.parametrize(
    ("kind", "told"), [("Aborted", "was stopped: enough"), ("TimedOut", "took too long"), ("Failed", "failed")]
)
def test_the_last_line_says_what_ended_the_run_where_no_job_did(kind: str, told: str) -> None:
    history = History()
    history.leave("Pass", "Settings", after=history.enter("Pass", "Settings"))
    history.enter("Choice", "Where to begin?")
    history.add(f"Execution{kind}", **({"error": "Mine", "cause": "enough"} if kind == "Aborted" else {}))
    assert read(history.events).lines == [f"{2.0:7.1f} s  {'Where to begin?':<24} {told}"]
    unbegun = read([history.events[0], history.events[-1]])
    assert unbegun.lines == [f"{2.0:7.1f} s  {'The run':<24} {told}"]


def test_an_error_that_no_state_handles_is_of_the_innermost_state() -> None:
    history = History()
    prepared = history.add("TaskSucceeded", history.job("prepare-0", history.enter("Task", "Prepare data")))
    history.leave("Task", "Prepare data", after=prepared)
    parallel = history.enter("Parallel", "Train models")
    for name in ("Train a", "Train b"):
        history.enter("Task", name, after=parallel)
    passed = ("Train models", 31), ("Train a", 27)
    where = "".join(
        f"An error occurred while executing the state '{name}' (entered at the event id #{n}). " for name, n in passed
    )
    history.add("ExecutionFailed", error="States.Runtime", cause=f"{where}maximum recursion\ndepth exceeded")
    story = read(history.events)
    assert (story.failed_state, story.sentence) == ("Train a", "States.Runtime: maximum recursion depth exceeded")
    assert story.lines[-1] == f"{4.0:7.1f} s  {'Train a':<24} failed: {story.sentence}"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "accepted. MAE 231.5 (limit 350)."),
        ({"threshold": None}, "accepted. MAE 231.5 (no limit)."),
        ({"threshold": None, "mae_of_median": 923}, "accepted. MAE 231.5 (no limit; always guessing the median: 923)."),
        ({"mae_of_median": 612.25}, "accepted. MAE 231.5 (limit 350; always guessing the median: 612.25)."),
        (
            {"threshold": 738.4, "better_than_median": 20, "mae_of_median": 923},
            "accepted. MAE 231.5 (limit 738.4, 20 % better than always guessing the median: 923).",
        ),
        (
            {"verdict": "rejected", "threshold": None, "better_than_median": 12.5},
            "rejected. MAE 231.5 (limit 12.5 % better than always guessing the median, whose error is missing).",
        ),
        ({"verdict": "rejected", "mae": 400}, "rejected. MAE 400 (limit 350)."),
        ({"verdict": "rejected", "mae": None}, "rejected. No score."),
        ({"verdict": "rejected", "mae": "low"}, "rejected. No score."),
        ({"verdict": "rejected", "mae": None, "failure": {"Error": "x", "Cause": "few rows."}}, "rejected. few rows."),
        ({"verdict": "rejected", "mae": None, "failure": {"Error": "x", "Cause": "killed"}}, "rejected. killed."),
        (
            {"verdict": "rejected", "mae": None, "failure": {"Error": "S3.NoSuchKeyException", "Cause": "gone"}},
            "rejected. No score.",
        ),
    ],
)  # fmt: skip
def test_a_verdict_is_told_in_the_same_words_in_the_terminal_and_in_mails(changed: dict[str, Any], words: str) -> None:
    told = model("a", **changed)
    assert verdict(told) == words
    assert evaluate(reason("$v", only_thresholds=False), {"v": told}) == words
    if told["threshold"] is not None and "better_than_median" not in told:
        assert evaluate(reason("$v"), {"v": told}) == words


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"threshold": 350}, "limit 350"),
        ({"better_than_median": 20}, "limit 489.6, 20 % better than always guessing the median: 612"),
        ({}, "no limit; always guessing the median: 612"),
    ],
)
def test_a_branchs_verdict_has_its_limit_before_all_branches_have_ended(limit: dict[str, Any], words: str) -> None:
    history = History()
    settings = json.dumps([{"name": "a", **limit}])
    entered = history.enter("Task", "Read fingerprints")
    history.add("TaskStateExited", entered, name="Read fingerprints", assignedVariables={"models": settings})
    median = {"mae_of_median": 612} if words[-3:] == "612" else {}
    branch = {"verdict": "accepted", "mae": 231.5, **median}
    history.leave("Pass", "Accept a", branch, history.enter("Pass", "Accept a"))
    assert read(history.events).lines[-1].endswith(f"a: accepted. MAE 231.5 ({words}).")


def test_a_score_that_is_no_number_is_none() -> None:
    assert verdict(model("a", verdict="rejected", mae=float("nan"))) == "rejected. No score."


def test_the_states_that_a_story_knows_by_name_are_in_the_machine() -> None:
    definition = json.loads((HERE / "golden" / "demo" / "definition.asl.json").read_text("utf-8"))
    names = set(all_states(definition))
    assert {history.DELIVERS, history.MAILS_RESULT, history.INCOMPLETE} <= names
    known = [history._LOOKED_UP, history._OUTCOME]
    assert [sum(bool(each.fullmatch(name)) for name in names) for each in known] == [6, 9]
    looked_up = [history._LOOKED_UP.fullmatch(name) for name in names]
    assert {f"{'Predict' if match[2] else 'Train'} {match[1]}" for match in looked_up if match} <= names
    asks = [name.removesuffix(history.AGAIN) for name in names if name.endswith(history.AGAIN)]
    assert sorted(asks) == ["Post-process", "Prepare"]


def all_states(definition: dict[str, Any]) -> Iterator[str]:
    for name, state in definition["States"].items():
        yield name
        for branch in state.get("Branches", ()):
            yield from all_states(branch)


@pytest.mark.parametrize("file", [file for file in TELL if file.parent.name == "runs"], ids=lambda file: file.stem)
def test_what_lambda_has_of_the_generator_needs_the_standard_library_alone(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    modules = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names


def test_a_run_that_step_functions_redrives_goes_on() -> None:
    history = History()
    history.job("job-a", history.enter("Task", "Train a"))
    history.add("ExecutionFailed", error="States.Runtime", cause="x")
    assert read(history.events).status == "FAILED"
    history.add("ExecutionRedriven")
    running = read(history.events)
    assert (running.status, running.ended, running.failed_state, running.error) == ("RUNNING", None, "", "")
    history.leave("Task", "Train b", after=history.enter("Task", "Train b"))
    history.add("ExecutionSucceeded")
    assert read(history.events).status == "SUCCEEDED"


def test_a_result_that_was_delivered_is_one_whatever_came_afterwards() -> None:
    history = History()
    history.job("post-0", history.enter("Task", "Post-process"), "Processing")
    history.leave("Task", "Post-process", after=history.add("TaskSucceeded"))
    assert not read(history.events).delivered, "the run has not ended"
    history.add("ExecutionAborted")
    assert read(history.events).delivered


@pytest.mark.parametrize("value", [None, "12", True, float("nan"), float("inf"), {}])
def test_what_is_no_number_is_a_dash(value: Any) -> None:
    assert number(value) == "-"


def test_following_looks_until_the_end(good: History) -> None:
    told: list[int] = []
    waits: list[float] = []
    story = follow(lambda: good.events[: len(waits) + 1], lambda story: told.append(len(story.lines)), waits.append)
    assert story == read(good.events)
    assert len(waits) == len(good.events) - 1
    assert told[-1] == len(story.lines)


def test_what_has_not_ended_has_lasted_until_it_was_looked_at() -> None:
    history = History()
    history.enter("Task", "Train a")
    history.job("job-a")
    now = START.timestamp() + 20
    told = run_json("run", {}, read(history.events), None, now=now)
    begun = read(history.events).jobs[0].started
    assert (told["seconds"], told["jobs"][0]["seconds"]) == (20.0, round(now - begun, 1))
    history.add("ExecutionAborted")
    ended = run_json("run", {}, read(history.events), None, now=now)
    assert 0 < ended["seconds"] < 20
    assert run_json("run", {}, read([]), None, now=now)["seconds"] == 0.0


def test_the_sentence_of_awss_xgboost_container_is_given_once() -> None:
    source = "XGB train call failed with exception:\n [11:13:56] /workspace/src/objective/a.cu:114: Check failed"
    for error, said, meant in (
        ("AlgorithmError", source, "Check failed"),
        ("UserError", "eta must be a number.", "eta must be a number."),
    ):
        text = f"framework error: \nsagemaker_algorithm_toolkit.exceptions.{error}: {said}\n \n{said}"
        cause = json.dumps({"TrainingJobName": "a-1", "FailureReason": f"AlgorithmError: {text}, exit code: 1"})
        assert history.sentence("States.TaskFailed", cause) == meant
        shortened = text.replace("AlgorithmError: ", "")  # as the machine shortens it for a model's failure
        assert history.sentence("", shortened) == meant
