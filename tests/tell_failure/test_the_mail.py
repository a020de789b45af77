"""What the mail of a failure says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tell_failure.function import Cloud
from tell_failure.histories import RUN, History, evaluation, event, processing, training

SENTENCE = "data.csv, row 3: body_mass_g is 'heavy' (expected: a number)."
PREPARE = processing("penguins-prepare-1", f"Not retried: {SENTENCE}")
TRAINING, PROCESSING = "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"


def prepared(mistake: str = SENTENCE) -> History:
    """A run whose table has a mistake: the job fails, and the Choice after it ends the run in the job's words."""
    history = History()
    history.passed("Begin")
    history.failed_job("Prepare data", processing("penguins-prepare-1", f"Not retried: {mistake}"))
    history.leave("Prepare data")
    number = history.enter("Prepare again?", "Choice")
    cause = evaluation("Prepare again?", number, f"D3137: {mistake}")
    history.add("EvaluationFailed", "evaluationFailed", error="States.QueryEvaluationError", cause=cause, state="x")
    history.end("FAILED", "States.QueryEvaluationError", cause)
    return history


def told(history: History, **changed: Any) -> dict[str, Any]:
    ended = next(iter(value for key, value in history.events[-1].items() if key.endswith("EventDetails")))
    return event("FAILED", ended.get("error"), ended.get("cause"), **changed)


def test_a_mistake_in_a_table_is_told_in_the_jobs_words_then_where_and_then_what_to_do(cloud: Cloud) -> None:
    history = prepared()
    cloud.events = history.events
    cloud.said(PROCESSING, "penguins-prepare-1/algo-1-17", (1, "reading data.csv"), (2, f"ERROR {SENTENCE}"))
    subject, text = cloud.mail(told(history))
    assert subject == f"penguins {RUN}: failed"
    assert text == (
        f"{SENTENCE}\n"
        "\n"
        f"Run {RUN} of the pipeline penguins failed in Prepare data after 3 min 43 s.\n"
        "\n"
        "The end of the log of penguins-prepare-1:\n"
        "  reading data.csv\n"
        "\n"
        "Look closer:\n"
        f"  python pipeline.py show {RUN} --env prod\n"
        f"  https://console.example/arn:aws:states:eu-west-1:123456789012:execution:penguins:{RUN}\n"
        "\n"
        "When the cause is fixed, start it again; finished trainings and predictions are not repeated:\n"
        f"  python pipeline.py redrive {RUN} --env prod\n"
    )


def test_a_failure_in_a_branch_names_its_state_and_job_although_others_failed_and_went_on(cloud: Cloud) -> None:
    history = History()
    history.enter("Predict", "Parallel")
    start = history.add("ParallelStateStarted")
    history.failed_job("Predict adelie", processing("penguins-predict-adelie", "out of memory"))
    history.leave("Predict adelie")
    history.passed("Report adelie", {"outcome": "failed", "name": "adelie"})
    history.last = start
    history.job("Predict gentoo", "Processing", "penguins-predict-gentoo")
    history.last = start
    cause = processing("penguins-predict-chinstrap", "its disk is full")
    history.failed_job("Predict chinstrap", cause)
    history.add("ParallelStateFailed")
    history.end("FAILED", "States.TaskFailed", cause)
    cloud.events = history.events
    _, text = cloud.mail(told(history))
    assert text.splitlines()[0] == "its disk is full"
    assert " failed in Predict chinstrap after " in text


def test_another_tasks_failure_shows_no_log_of_a_job_that_was_rejected_before(cloud: Cloud) -> None:
    history = History()
    history.failed_job("Train adelie", training("penguins-train-adelie", "too few rows"))
    history.leave("Train adelie")
    history.passed(
        "Reject adelie",
        {"verdict": "rejected", "name": "adelie", "failure": {"Error": "States.TaskFailed", "Cause": "few rows"}},
    )
    history.task("Record verdicts")
    history.failed("S3.S3Exception", "Access Denied (Service: S3, Status Code: 403)")
    history.end("FAILED", "S3.S3Exception", "Access Denied (Service: S3, Status Code: 403)")
    cloud.events = history.events
    cloud.said(TRAINING, "penguins-train-adelie/algo-1-17", (1, "training"))
    _, text = cloud.mail(told(history))
    assert text.splitlines()[0] == "S3.S3Exception: Access Denied"
    assert "failed in Record verdicts" in text and "end of the log" not in text
    assert "Models: 1 rejected.\n- adelie: rejected. few rows.\n" in text


def test_no_default_model_names_each_rejected_model_and_shows_the_log_of_the_job_that_failed(cloud: Cloud) -> None:
    history = History()
    history.enter("Train models", "Parallel")
    start = history.add("ParallelStateStarted")
    history.failed_job("Train adelie", training("penguins-train-adelie", "Not retried: adelie has 1 row"))
    history.leave("Train adelie")
    history.passed("Judge adelie", kind="Choice")
    history.passed(
        "Reject adelie",
        {"verdict": "rejected", "Error": "States.TaskFailed", "mae": None}
        | {"Cause": 'Not retried: adelie has 1 row","ModelArtifacts":{"S3Mod'},
    )
    history.last = start
    history.passed("Reject gentoo", {"verdict": "rejected", "mae": 412.125, "threshold": 350, "Error": "", "Cause": ""})
    history.last = start
    history.passed("Reject emperor", {"verdict": "rejected", "mae": "NaN", "threshold": 350, "Error": "", "Cause": ""})
    history.last = start
    history.passed("Accept chinstrap", {"verdict": "accepted", "mae": 200, "threshold": 350})
    history.leave("Train models", kind="Parallel")
    number = history.enter("Choose models")
    history.add("TaskScheduled", "taskScheduled", resourceType="aws-sdk:s3", parameters="{}")
    history.add("TaskSucceeded", "taskSucceeded", resourceType="aws-sdk:s3", output="{}")
    cause = evaluation("Choose models", number, "adelie could not be trained, and nothing was promoted.")
    history.add("EvaluationFailed", "evaluationFailed", error="States.QueryEvaluationError", cause=cause)
    history.end("FAILED", "States.QueryEvaluationError", cause)
    cloud.events = history.events
    cloud.said(TRAINING, "penguins-train-adelie/algo-1-17", (1, "epoch 7"), (2, "JobError: adelie  has 1 row"))
    _, text = cloud.mail(told(history))
    assert text.splitlines()[0] == "adelie could not be trained, and nothing was promoted."
    assert "failed in Choose models after" in text
    assert (
        "Models: 1 accepted, 3 rejected.\n"
        "- adelie: rejected. adelie has 1 row.\n"
        "- gentoo: rejected. MAE 412.125 (limit 350).\n"
        "- emperor: rejected. No score.\n"
    ) in text
    assert "The end of the log of penguins-train-adelie:\n  epoch 7\n\n" in text, "its sentence is above"


def test_a_job_that_was_tried_again_and_succeeded_is_not_why_a_run_failed(cloud: Cloud) -> None:
    history = History()
    history.failed_job("Prepare data", PREPARE)
    history.leave("Prepare data")
    history.succeeded("Prepare data", "sagemaker", ProcessingJobName="penguins-prepare-2")
    number = history.enter("Read profile")
    cause = evaluation("Read profile", number, "T2001: something else")
    history.end("FAILED", "States.QueryEvaluationError", cause)
    cloud.events = history.events
    cloud.said(PROCESSING, "penguins-prepare-1/algo-1-17", (1, "old"))
    _, text = cloud.mail(told(history))
    assert text.startswith("something else\n") and "end of the log" not in text


def test_a_job_that_took_too_long_is_asked_for_its_words(cloud: Cloud) -> None:
    history = History()
    history.job("Post-process", "Processing", "penguins-post-1")
    history.add("TaskTimedOut", "taskTimedOut", resourceType="sagemaker", error="States.Timeout")
    history.end("FAILED", "States.Timeout")
    cloud.events, cloud.jobs = history.events, {"penguins-post-1": {"ExitMessage": "", "FailureReason": "Stopped"}}
    _, text = cloud.mail(told(history))
    assert text.splitlines()[0] == "The state took longer than it may (States.Timeout). Its job: Stopped"
    assert "failed in Post-process" in text


def test_a_description_that_is_cut_off_is_read_again(cloud: Cloud) -> None:
    cause = training("penguins-train-adelie", "x")[:60] + "y" * 32_700
    history = History()
    history.job("Train adelie", "Training", "penguins-train-adelie")
    history.failed("States.TaskFailed", cause, "sagemaker")
    history.end("FAILED", "States.TaskFailed", cause)
    cloud.events = history.events
    cloud.jobs = {"penguins-train-adelie": {"FailureReason": "AlgorithmError: no rows, exit code: 1"}}
    assert cloud.mail(told(history))[1].startswith("no rows\n")


def test_what_a_fail_state_says_is_the_cause(cloud: Cloud) -> None:
    history = History()
    history.task("Announce results", "sns")
    history.failed("SNS.InvalidParameterException", "no", "sns")
    history.leave("Announce results")
    history.enter("Incomplete", "Fail")
    history.end("FAILED", "Incomplete", "adelie: 118 rows have no prediction (its disk is full).")
    cloud.events = history.events
    _, text = cloud.mail(told(history))
    assert text.startswith("adelie: 118 rows have no prediction (its disk is full).\n")
    assert "failed in Incomplete" in text


def test_a_runtime_error_without_a_failure_of_its_own_names_the_state_that_it_was_in(cloud: Cloud) -> None:
    history = History()
    history.task("Announce start", "sns")
    history.failed("SNS.KMSThrottlingException", "later", "sns")
    history.leave("Announce start")
    number = history.enter("Read profile", "Pass")
    cause = f"An error occurred while executing the state 'Read profile' (entered at the event id #{number}). Bad."
    history.end("FAILED", "States.Runtime", cause)
    cloud.events = history.events
    _, text = cloud.mail(told(history))
    assert text.startswith("States.Runtime: Bad.\n") and "failed in Read profile" in text


def test_a_stopped_run_is_told_in_the_words_of_who_stopped_it(cloud: Cloud) -> None:
    history = History()
    history.enter("Train models", "Parallel")
    history.job("Train adelie", "Training", "a")
    history.last = 3
    history.job("Train gentoo", "Training", "b")
    history.end("ABORTED", "Interrupted", "penguins was stopped by Ctrl-C.")
    cloud.events = history.events
    subject, text = cloud.mail(event("ABORTED", "Interrupted", "penguins was stopped by Ctrl-C."))
    assert subject == f"penguins {RUN}: stopped"
    assert text.startswith(
        "penguins was stopped by Ctrl-C.\n\n"
        f"Run {RUN} of the pipeline penguins was stopped in Train adelie, Train gentoo after 3 min 43 s"
        " (Interrupted).\n"
    )
    assert "end of the log" not in text


def test_a_run_that_is_stopped_without_a_word_is_told_so(cloud: Cloud) -> None:
    assert cloud.mail(event("ABORTED"))[1].startswith("penguins was stopped, and no reason was given.\n")


def test_a_run_that_took_too_long_names_what_ran_and_shows_the_end_of_its_log(cloud: Cloud) -> None:
    history = History()
    history.succeeded("Prepare data", "sagemaker", ProcessingJobName="penguins-prepare-1")
    history.job("Train adelie", "Training", "penguins-train-adelie")
    history.end("TIMED_OUT")
    cloud.events = history.events
    cloud.said(TRAINING, "penguins-train-adelie/algo-1-17", (1, "epoch 7"))
    subject, text = cloud.mail(event("TIMED_OUT", stopDate=1738324800000 + 172_800_000))
    assert subject == f"penguins {RUN}: took too long"
    assert text.startswith("The run took longer than a run may.\n")
    assert "was ended in Train adelie after 48 h 0 min." in text
    assert "The end of the log of penguins-train-adelie:\n  epoch 7\n" in text


# The log


def test_a_wrong_cell_in_the_log_is_in_words(cloud: Cloud) -> None:
    history = prepared()
    cloud.events = history.events
    cell = 'cell: ["data.csv", "row 1 (line 2)", "price", "about \\"7\\""]'
    cloud.said(PROCESSING, "penguins-prepare-1/algo-1-17", (1, cell), (2, f"ERROR {SENTENCE}"))
    end = cloud.mail(told(history))[1].partition("The end of the log of penguins-prepare-1:\n")[2]
    assert end.startswith('  data.csv, row 1 (line 2), price: about "7"\n\nLook closer:')


def test_the_log_of_several_instances_is_in_the_order_of_time_and_its_last_20_lines(cloud: Cloud) -> None:
    history = prepared()
    cloud.events = history.events
    cloud.said(PROCESSING, "penguins-prepare-1/algo-1-17", *((2 * n, f"one {n}") for n in range(30)))
    cloud.said(PROCESSING, "penguins-prepare-1/algo-2-17", *((2 * n + 1, f"two {n}") for n in range(30)))
    cloud.said(PROCESSING, "penguins-prepare-11/algo-1-17", (99, "another job's"))
    _, text = cloud.mail(told(history))
    lines = [line.strip() for line in text.splitlines() if line.startswith("  algo-")]
    assert lines == [f"algo-{i}: {word} {n}" for n in range(20, 30) for i, word in ((1, "one"), (2, "two"))]


def test_outside_text_cannot_move_a_cursor_hide_itself_or_be_endless(cloud: Cloud) -> None:
    history = prepared("\x1b[2Jfirst\nsecond\u202e\x00" + "x" * 5000)
    cloud.events = history.events
    cloud.said(PROCESSING, "penguins-prepare-1/algo-1-17", (1, " 10%\r 99% \x1b[31mred\x1b[0m\ttab\n"), (2, "y" * 9000))
    _, text = cloud.mail(told(history))
    assert all(c == "\n" or c.isprintable() for c in text)
    assert text.startswith("first second xxx") and 900 < len(text.splitlines()[0]) <= 1024
    assert "\n   99% red tab\n" in text
    assert max(len(line) for line in text.splitlines()[1:]) < 310


# What cannot be read


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        ("GetExecutionHistory", "Could not read the history: "),
        ("DescribeLogStreams", "Could not read the log of penguins-prepare-1: "),
        ("GetLogEvents", "Could not read the log of penguins-prepare-1: "),
    ],
)
def test_what_a_service_refuses_is_named_in_the_mail(cloud: Cloud, operation: str, named: str) -> None:
    history = prepared()
    cloud.events, cloud.refuses = history.events, {operation}
    cloud.said(PROCESSING, "penguins-prepare-1/algo-1-17", (1, "x"))
    _, text = cloud.mail(told(history))
    assert text.startswith(SENTENCE) and named in text and "not authorized" in text and "\x1b" not in text


def test_with_nothing_to_read_the_mail_says_what_its_event_says(cloud: Cloud) -> None:
    cloud.refuses = {"DescribeExecution", "GetExecutionHistory", "DescribeProcessingJob", "DescribeLogStreams"}
    subject, text = cloud.mail(event("FAILED", "States.TaskFailed", PREPARE))
    assert subject == f"penguins {RUN}: failed"
    assert text.startswith(f"{SENTENCE}\n\nRun {RUN} of the pipeline penguins failed after 3 min 43 s.\n")


def test_a_cause_that_the_event_lacks_is_asked_for(cloud: Cloud) -> None:
    cloud.description = {"error": "Incomplete", "cause": "adelie has no predictions."}
    assert cloud.mail(event("FAILED"))[1].startswith("adelie has no predictions.\n")


def test_a_job_that_wrote_no_log_is_no_problem(cloud: Cloud) -> None:
    history = prepared()
    cloud.events = history.events
    text = cloud.mail(told(history))[1]
    assert "log" not in text and "Could not" not in text


# Sizes


def test_a_history_of_25_000_events_is_read_in_pages(cloud: Cloud) -> None:
    history = History()
    history.passed("Reject adelie", {"verdict": "rejected", "Error": "States.TaskFailed", "Cause": "too few rows"})
    while len(history.events) < 24_990:
        history.passed("Look up", {"data": "x" * 1000})
    history.task("Record verdicts")
    history.failed("S3.SlowDown", "Reduce your rate.")
    history.end("FAILED", "S3.SlowDown", "Reduce your rate.")
    cloud.events = history.events
    _, text = cloud.mail(told(history))
    assert "failed in Record verdicts" in text and "- adelie: rejected. too few rows.\n" in text
    assert len(cloud.pages) == 250 and all(page["reverseOrder"] and page["maxResults"] <= 100 for page in cloud.pages)


def test_where_time_runs_out_the_end_of_the_history_is_enough(cloud: Cloud) -> None:
    history = History()
    for _ in range(300):
        history.passed("Look up")
    history.task("Record verdicts")
    history.failed("S3.SlowDown", "Reduce your rate.")
    history.end("FAILED", "S3.SlowDown", "Reduce your rate.")
    cloud.events, cloud.left = history.events, 44_000
    _, text = cloud.mail(told(history))
    assert len(cloud.pages) == 1
    assert "failed in Record verdicts" in text and "The history is too long to read whole" in text


def test_the_mail_of_many_models_is_short_enough(cloud: Cloud) -> None:
    history = History()
    for number in range(155):
        history.passed(
            f"Report m{number}", {"outcome": "failed", "outcome_failure": {"Error": "x", "Cause": "日" * 30_000}}
        )
    history.end("FAILED", "Incomplete", "日" * 30_000)
    cloud.events = history.events
    _, text = cloud.mail(told(history))
    assert "Models: 155 not predicted.\n" in text and "\n- and 95 more\n" in text
    assert len(text.encode()) < 256 * 1024


def test_the_subject_is_the_runs_name_if_that_begins_with_the_pipelines(cloud: Cloud) -> None:
    assert cloud.mail(event("ABORTED", name="penguins-250131-3f2"))[0] == "penguins-250131-3f2: stopped"


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_the_subject_of_a_long_name_keeps_its_unique_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setenv("PIPELINE", "a-name-of-20-letters")
    run = f"20250131-120000-{'ü' * 40}-0123456789abcdef0123"
    subject, _ = cloud.mail(event(status, name=run))
    assert len(subject) <= 99 and subject.isascii() and subject.isprintable()
    assert subject.startswith("a-name-of-20-letters ..") and "-0123456789abcdef0123: " in subject


# Redrives


def test_a_late_event_of_a_run_that_was_redriven_tells_of_its_own_failure(cloud: Cloud) -> None:
    history = prepared()
    early = told(history)
    history.last = 0
    history.add("ExecutionRedriven", "executionRedriven", redriveCount=1)
    history.task("Record verdicts")
    history.failed("S3.SlowDown", "Reduce your rate.")
    history.end("FAILED", "S3.SlowDown", "Reduce your rate.")
    cloud.events = history.events
    assert "failed in Prepare data" in cloud.mail(early)[1]
    assert cloud.tell(told(history, redriveCount=1)) == "mailed", "it is another failure"
    assert "failed in Record verdicts" in cloud.mails[1][1]
    markers = cloud.s3.list_objects_v2(Bucket="penguins-work")["Contents"]
    assert [one["Key"] for one in markers] == [f"failures/{RUN}/{count}.json" for count in (0, 1)]
    body = cloud.s3.get_object(Bucket="penguins-work", Key=markers[0]["Key"])["Body"].read()
    assert json.loads(body) == {"event": early["id"], "mailed": True}


def test_a_failure_after_the_result_was_delivered_says_where_the_predictions_are(cloud: Cloud) -> None:
    history = History()
    history.succeeded("Post-process", "sagemaker", ProcessingJobName="penguins-post-1")
    history.task("Update the dashboard", "lambda")
    history.failed("Lambda.TooManyRequestsException", "Rate exceeded", "lambda")
    history.end("FAILED", "Lambda.TooManyRequestsException", "Rate exceeded")
    cloud.events = history.events
    assert (
        f" failed in Update the dashboard after 3 min 43 s.\n"
        f"Its predictions were delivered before: s3://penguins-work/runs/{RUN}/result/\n"
    ) in cloud.mail(told(history))[1]
