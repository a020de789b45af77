"""Each failure is mailed once, however often its event comes, and never not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tell_failure.function import BUCKET, Cloud, fresh
from tell_failure.histories import RUN, History, event

KEY = f"failures/{RUN}/0.json"
FAILED = event("FAILED", "x", "y")


def marker(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cloud.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read())
    return found


def test_the_same_event_ten_times_is_one_mail(cloud: Cloud) -> None:
    assert [cloud.tell(FAILED) for _ in range(10)] == ["mailed", *["ignored"] * 9]
    assert len(cloud.mails) == 1


def test_another_event_of_the_same_failure_is_no_other_mail(cloud: Cloud) -> None:
    cloud.tell(FAILED)
    assert cloud.tell({**FAILED, "id": "another"}) == "ignored"
    assert len(cloud.mails) == 1


def test_after_a_crash_between_marker_and_mail_the_next_delivery_mails(cloud: Cloud) -> None:
    cloud.refuses = {"Publish"}
    with pytest.raises(ClientError):
        cloud.tell(FAILED)
    assert marker(cloud) == {"event": FAILED["id"], "mailed": False}
    cloud.refuses = set()
    assert cloud.tell({**FAILED, "id": "another"}) == "ignored", "the first event will be delivered again"
    assert cloud.tell(FAILED) == "mailed"
    assert len(cloud.mails) == 1 and marker(cloud)["mailed"]


def test_a_mail_whose_marker_cannot_be_completed_is_not_an_error(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    put = cloud.s3.put_object

    def once(**given: Any) -> Any:
        cloud.refuses = {"PutObject"}
        return put(**given)

    cloud.function.client("s3").put_object = once
    cloud.function.client("sns").publish = lambda **given: cloud.mails.append((given["Subject"], given["Message"]))
    original = cloud.function.complete

    def complete(key: str, event_id: str) -> None:
        cloud.function.client("s3").put_object = cloud._answer("PutObject", put)
        original(key, event_id)

    cloud.function.complete = complete  # type: ignore[attr-defined]  # S3 refuses from here on
    assert cloud.tell(FAILED) == "mailed"
    assert f"{KEY} does not say that the mail was sent" in capsys.readouterr().out


@pytest.mark.parametrize("operation", ["PutObject", "GetObject"])
def test_without_a_marker_nothing_is_mailed_and_lambda_tries_again(cloud: Cloud, operation: str) -> None:
    if operation == "GetObject":
        cloud.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"{}")
    cloud.refuses = {operation}
    with pytest.raises(ClientError, match=operation):
        cloud.tell(FAILED)
    assert cloud.mails == []


def incomplete(announced: bool) -> History:
    history = History()
    history.task("Announce results", "sns")
    if announced:
        history.add("TaskSucceeded", "taskSucceeded", resourceType="sns", output="{}")
    else:
        history.failed("SNS.NotFoundException", "Topic does not exist", "sns")
    history.leave("Announce results")
    history.passed("Is it complete?", kind="Choice")
    history.enter("Incomplete", "Fail")
    history.end("FAILED", "Incomplete", "adelie is missing.")
    return history


@pytest.mark.parametrize(("announced", "outcome"), [(True, "ignored"), (False, "mailed")])
def test_an_incomplete_run_is_mailed_only_where_its_results_were_not(
    cloud: Cloud, announced: bool, outcome: str
) -> None:
    cloud.events = incomplete(announced).events
    assert cloud.tell(event("FAILED", "Incomplete", "adelie is missing.")) == outcome
    assert len(cloud.mails) == (outcome == "mailed")


def test_an_incomplete_run_whose_history_cannot_be_read_is_mailed(cloud: Cloud) -> None:
    cloud.events, cloud.refuses = incomplete(True).events, {"GetExecutionHistory"}
    assert cloud.tell(event("FAILED", "Incomplete", "adelie is missing.")) == "mailed"


def test_another_failure_after_announced_results_is_mailed(cloud: Cloud) -> None:
    cloud.events = incomplete(True).events
    assert cloud.tell(event("FAILED", "States.Runtime", "x")) == "mailed"


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_other_ends_are_not_mailed(cloud: Cloud, status: str) -> None:
    assert cloud.tell(event(status)) == "ignored"
    assert cloud.mails == [] and "Contents" not in cloud.s3.list_objects_v2(Bucket=BUCKET)


def test_what_is_no_event_of_step_functions_fails_so_that_it_is_kept(cloud: Cloud) -> None:
    for odd in ({}, {"detail": {}}, {"detail": {"status": "FAILED"}}):
        with pytest.raises(KeyError):
            cloud.tell(odd)


def test_nothing_is_read_and_no_client_is_made_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE", raising=False)
    assert fresh().client.cache_info().currsize == 0
