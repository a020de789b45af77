"""Runs that fail, take too long and are stopped in an account: one mail each, by the deployed function."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from local_aws import MINUTES, until
from small_machines import Place, a_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("work")) as made:
        yield made


def test_a_run_that_fails_is_one_mail(place: Place) -> None:
    place.ended(place.start("fails-1", "Fails"))
    ((subject, text),) = place.mails("fails-1")
    assert subject == "penguins fails-1: failed"
    assert text.startswith("The input is odd.\n\nRun fails-1 of the pipeline penguins failed in Fails after ")
    assert "Could not read" not in text, "the role may read all that it needs"


def test_a_run_that_is_stopped_is_one_mail(place: Place) -> None:
    arn = place.start("stopped-1", "Waits")
    until(lambda: len(place.steps.get_execution_history(executionArn=arn)["events"]) >= 4)
    place.steps.stop_execution(executionArn=arn, error="Interrupted", cause="Stopped by a test.")
    place.ended(arn)
    ((subject, text),) = place.mails("stopped-1")
    assert subject == "penguins stopped-1: stopped"
    assert text.startswith("Stopped by a test.\n\nRun stopped-1 of the pipeline penguins was stopped in Waits after ")


def test_a_run_that_succeeds_is_no_mail(place: Place) -> None:
    place.ended(place.start("good-1", "Succeeds"))
    assert place.mails("good-1") == []


def test_a_job_that_fails_is_told_in_its_words_with_the_end_of_its_log(place: Place) -> None:
    do = """
print("reading the table")
(root / "output").mkdir(parents=True, exist_ok=True)
(root / "output" / "message").write_text("Not retried: data.csv, row 3: not a number.")
raise SystemExit(1)
"""
    place.it.s3.put_object(Bucket=place.it.raw, Key="do/do.py", Body=do.encode())
    place.ended(place.start("job-1", "Prepare", job="penguins-prepare-1", do=f"s3://{place.it.raw}/do/do.py"))
    ((subject, text),) = place.mails("job-1")
    assert subject == "penguins job-1: failed"
    assert text.startswith(
        "data.csv, row 3: not a number.\n\nRun job-1 of the pipeline penguins failed in Prepare after "
    )
    assert "The end of the log of penguins-prepare-1:\n  reading the table\n" in text
    assert "Could not read" not in text, "the role may read all that it needs"


def test_a_job_that_takes_too_long_is_looked_up_by_the_function_s_role(place: Place) -> None:
    place.it.s3.put_object(Bucket=place.it.raw, Key="hang/do.py", Body=b"import time; print('at it'); time.sleep(600)")
    arn = place.start("job-2", "Slow", job="penguins-prepare-2", do=f"s3://{place.it.raw}/hang/do.py")
    place.ended(arn)
    ((_, text),) = place.mails("job-2")
    assert text.startswith("The state took longer than it may (States.Timeout).")
    assert "failed in Slow after" in text and "Could not read" not in text


def test_the_same_event_ten_times_is_one_mail(place: Place) -> None:
    place.ended(place.start("often-1", "Fails"))
    event = {
        "id": "one and the same",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "name": "often-2",
            "status": "FAILED",
            "executionArn": place.names.execution_arn("often-1"),
            "error": "Odd",
            "cause": "The input is odd.",
            "redriveCount": 0,
        },
    }
    arn = place.names.arn("lambda", f"function:{place.names.tell_function}")
    for _ in range(10):
        place.functions.send(arn, event)
    assert place.functions.drain(MINUTES, place.names.tell_function)
    assert len(place.mails("often-2")) == 1


def test_a_marker_is_made_by_one_of_many_at_once(place: Place) -> None:
    def put(number: int) -> bool:
        try:
            place.it.s3.put_object(Bucket=place.it.bucket, Key="failures/x/0.json", Body=b"x", IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(put, range(32))) == 1
