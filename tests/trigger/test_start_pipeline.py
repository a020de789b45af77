"""The trigger, against Step Functions and S3 as moto has them."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import random
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.moto_api._internal.models import moto_api_backend
from moto.stepfunctions.models import StateMachine
from trigger.lambda_events import BUCKET, REGION, SOURCE, bridged, event, record, trigger

ACCOUNT = "123456789012"
FILE = "june/go.run"


@pytest.fixture(scope="module", autouse=True)
def moto() -> Iterator[None]:
    """Once for all tests, because a session of boto3 takes longer to make than a test to run."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAW_BUCKET", BUCKET)
    monkeypatch.setenv("STATE_MACHINE_ARN", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:penguins")
    moto_api_backend.reset()
    states = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    boto3.client("stepfunctions").create_state_machine(
        name="penguins", definition=json.dumps(states), roleArn=f"arn:aws:iam::{ACCOUNT}:role/states"
    )
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})


@pytest.fixture
def start_pipeline(cloud: None) -> ModuleType:
    return trigger()


def executions() -> list[dict[str, Any]]:
    client = boto3.client("stepfunctions")
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:penguins"
    listed = client.list_executions(stateMachineArn=machine)["executions"]
    return [client.describe_execution(executionArn=execution["executionArn"]) for execution in listed]


def inputs() -> list[dict[str, Any]]:
    return [json.loads(execution["input"]) for execution in executions()]


def upload(content: bytes, key: str = FILE) -> dict[str, Any]:
    """Put the file there; the event that tells of it."""
    answer = boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
    return event(record(key, size=len(content), eTag=answer["ETag"].strip('"'), versionId=answer.get("VersionId")))


def keep_versions() -> None:
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def log_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# What is started


def test_an_empty_file_starts_the_folder_it_lies_in(start_pipeline: ModuleType) -> None:
    assert start_pipeline.handler(event(record(FILE)), None) == {"started": 1, "ignored": 0}
    (given,) = inputs()
    assert re.fullmatch("[0-9a-f]{20}", given.pop("token"))
    assert given == {"data": f"s3://{BUCKET}/june/", "note": "", "overrides": {}, "run_file": f"s3://{BUCKET}/{FILE}"}


def test_a_file_at_the_root_starts_the_whole_bucket(start_pipeline: ModuleType) -> None:
    start_pipeline.handler(event(record("go.run")), None)
    assert inputs()[0]["data"] == f"s3://{BUCKET}/"


def test_the_name_is_the_pipeline_the_day_and_three_characters(start_pipeline: ModuleType) -> None:
    start_pipeline.handler(event(record("june/Über nächste Woche.run")), None)
    (execution,) = executions()
    assert execution["name"] == f"penguins-250131-{json.loads(execution['input'])['token'][:3]}"


@pytest.mark.parametrize(
    ("content", "note", "overrides"),
    [
        ("", "", {}),
        ("\n# nothing yet\n\n", "", {}),
        ("note: June, second try\nthreshold: 400\n", "June, second try", {"threshold": 400}),
        ("note: June # a comment\r\nthreshold: 1.5e2 # another\r\n", "June", {"threshold": 150.0}),
        ('note: "a: b # c \\u00fc"\n', "a: b # c ü", {}),
        ("note: 'it''s June'  # a comment", "it's June", {}),
        ("note:\n", "", {}),
        ("note: 2025-01-31 no yes 012\n", "2025-01-31 no yes 012", {}),
        ('\ufeff{"note": "June", "threshold": 0.5}', "June", {"threshold": 0.5}),
        ("{}", "", {}),
        ('{"note": "two\\nlines\\u0000\\u202e \\ud800"}', "two lines", {}),
        ("note: " + "x" * 501, "x" * 499 + "…", {}),
        ("note: " + "x" * 500, "x" * 500, {}),
    ],
)
def test_what_the_file_says_goes_into_the_input(
    start_pipeline: ModuleType, content: str, note: str, overrides: dict[str, Any]
) -> None:
    start_pipeline.handler(upload(content.encode()), None)
    assert [(given["note"], given["overrides"]) for given in inputs()] == [(note, overrides)]


@pytest.mark.parametrize(
    ("content", "fresh"),
    [
        ("fresh: true  # all of it\n", True),
        ('{"fresh": true}', True),
        ("fresh: false", False),
        ('{"fresh": false}', False),
    ],
)
def test_a_file_may_ask_for_a_run_that_reuses_nothing(start_pipeline: ModuleType, content: str, fresh: bool) -> None:
    start_pipeline.handler(upload(content.encode()), None)
    assert [given.get("fresh", False) for given in inputs()] == [fresh]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe", "the file is not UTF-8 text"),
        (b"x" * 4097, "the file has 4097 bytes (expected: at most 4096)"),
        (b"hello", 'line 1 is "hello"'),
        (b"- note: x", 'line 1 is "- note: x"'),
        (b"note:x", 'line 1 is "note:x"'),
        (b"note: x\n  more", 'line 2 is "  more"'),
        (b"a: 1", '"a" is not a key of a .run file (expected: note, threshold or fresh)'),
        (b"note: x\nnote: y", "note stands twice in the file, the second time in line 2"),
        (b"note: |", 'line 1: note is "|"'),
        (b"note: [a]", 'line 1: note is "[a]"'),
        (b"note: a: b", 'line 1: note is "a: b"'),
        (b"note: !!python/name:os.system", "put it in quotes"),
        (b'note: "\\x"', "line 1: note has an escape that is not understood"),
        (b"threshold: '400'", 'threshold is "400" (expected: a number above 0 and below 1e300, like 400)'),
        (b"threshold: 0", 'threshold is "0"'),
        (b"threshold: -1", 'threshold is "-1"'),
        (b"threshold: .inf", 'threshold is ".inf"'),
        (b"threshold: 1e999", 'threshold is "Infinity"'),
        (b"threshold:", 'threshold is ""'),
        (b"threshold: 0x10", 'threshold is "0x10"'),
        ("threshold: ٤".encode(), 'threshold is "٤"'),
        (b'{"threshold": NaN}', 'threshold is "NaN"'),
        (b'{"threshold": true}', 'threshold is "true"'),
        (b'{"threshold": null}', 'threshold is "null"'),
        (b'{"threshold": 1' + b"0" * 400 + b"}", "(expected: a number above 0 and below 1e300, like 400)"),
        (b'{"note": null}', "note is not text"),
        (b"fresh: yes", 'fresh is "yes" (expected: true or false)'),
        (b"fresh: 'true'", 'fresh is "true"'),
        (b"fresh: True", 'fresh is "True"'),
        (b"fresh:", 'fresh is ""'),
        (b'{"fresh": 1}', 'fresh is "1" (expected: true or false)'),
        (b'{"fresh": null}', 'fresh is "null"'),
        (b'{"note": "x", "note": "y"}', "a key stands twice in the JSON"),
        (b'{"note": "x"', "line 1 is not JSON"),
        (b'{"note":' + b"[" * 4000, "the JSON is nested too deeply"),
    ],
)
def test_a_file_that_is_not_understood_starts_nothing_and_the_log_says_why(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str], content: bytes, reason: str
) -> None:
    with pytest.raises(start_pipeline.Refused, match="1 of 1 records failed"):
        start_pipeline.handler(upload(content), None)
    (line,) = log_lines(capsys.readouterr().out)
    assert line["outcome"] == "failed" and reason in line["reason"] and line["key"] == FILE
    assert not executions()


def test_a_file_whose_size_is_not_told_is_refused_for_its_size_too(start_pipeline: ModuleType) -> None:
    told = upload(b"#" * 4097)
    del told["Records"][0]["s3"]["object"]["size"]
    with pytest.raises(start_pipeline.Refused):
        start_pipeline.handler(told, None)
    assert not executions()


def test_with_a_max_cost_that_allows_no_run_an_upload_is_refused_with_the_reason(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSED", "a run may cost 0.92 USD, and max_cost is 0.5 USD")
    with pytest.raises(start_pipeline.Refused, match="1 of 1 records failed"):
        start_pipeline.handler(upload(b"note: June"), None)
    (line,) = log_lines(capsys.readouterr().out)
    assert (line["outcome"], line["reason"]) == ("failed", "a run may cost 0.92 USD, and max_cost is 0.5 USD")
    assert not executions()


def test_the_input_has_what_a_run_may_cost(start_pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESTIMATE", "at most 0.92 USD on AWS")
    start_pipeline.handler(upload(b"note: June"), None)
    assert [given["estimate"] for given in inputs()] == ["at most 0.92 USD on AWS"]


# Exactly one execution for each upload


def test_the_same_event_again_starts_nothing_new_and_is_a_success(start_pipeline: ModuleType) -> None:
    for _ in range(3):
        assert start_pipeline.handler(event(record(FILE)), None)["started"] == 1
    assert len(executions()) == 1


def test_the_same_event_is_a_success_also_when_the_file_has_gone_another_way_meanwhile(
    start_pipeline: ModuleType,
) -> None:
    """Step Functions then says ExecutionAlreadyExists, because the input is another one."""
    start_pipeline.handler(event(record(FILE)), None)
    with mock.patch.object(start_pipeline, "run_file", return_value=b"note: another"):
        assert start_pipeline.handler(event(record(FILE)), None)["started"] == 1
    assert [given["note"] for given in inputs()] == [""]


def test_a_new_upload_of_the_same_key_starts_a_new_execution(start_pipeline: ModuleType) -> None:
    for sequencer in ("0055AED6DCD90281E5", "0055AED6DCD90281E6"):
        start_pipeline.handler(event(record(FILE, sequencer=sequencer)), None)
    assert len(executions()) == 2


def test_one_write_whose_sequencer_is_written_longer_or_shorter_starts_one_execution(
    start_pipeline: ModuleType,
) -> None:
    """[s3] Sequencers are compared after the shorter one is padded with zeros on the right."""
    for sequencer in ("0055AED6DCD90281E5", "0055AED6DCD90281E500", "0055aed6dcd90281e5"):
        start_pipeline.handler(event(record(FILE, sequencer=sequencer)), None)
    assert len(executions()) == 1


def test_eventbridge_s_event_and_s3_s_own_start_one_execution(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both carry the upload's version and sequencer; EventBridge alone has the key unencoded."""
    keep_versions()
    key = "june/50% + more.run"
    told = upload(b"note: x", key)
    its = told["Records"][0]["s3"]["object"]
    by_rule = bridged(key, size=7, etag=its["eTag"], **{"version-id": its["versionId"]})
    for one in (by_rule, told, by_rule):
        assert start_pipeline.handler(one, None) == {"started": 1, "ignored": 0}
    assert [(given["run_file"], given["note"]) for given in inputs()] == [(f"s3://{BUCKET}/{key}", "x")]
    newer = {**by_rule, "detail": {**by_rule["detail"], "event-version": "2.0"}}
    for bad in (newer, {**by_rule, "detail": []}, {**by_rule, "time": None}):
        with pytest.raises(start_pipeline.Refused):
            start_pipeline.handler(bad, None)
        assert log_lines(capsys.readouterr().out)[-1]["outcome"] == "failed"


def test_64_identical_events_at_once_start_exactly_one_execution(start_pipeline: ModuleType) -> None:
    start_pipeline.client("stepfunctions")  # one process of Lambda has one event at a time; here they share a client
    original, one_at_a_time = StateMachine.start_execution, threading.Lock()

    def start_execution(*args: Any, **kwargs: Any) -> Any:
        with one_at_a_time:  # as in AWS; moto looks for the name and takes it in two steps
            return original(*args, **kwargs)

    with mock.patch.object(StateMachine, "start_execution", start_execution), ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: start_pipeline.handler(event(record(FILE)), None), range(64)))
    assert answers == [{"started": 1, "ignored": 0}] * 64
    assert len(executions()) == 1


def test_events_in_any_order_and_many_times_start_each_upload_once(start_pipeline: ModuleType) -> None:
    uploads = [record(f"{folder}/go.run", sequencer=f"{n:016X}") for folder in "abc" for n in range(4)]
    shuffled = uploads * 3
    random.Random(7).shuffle(shuffled)
    for start in range(0, len(shuffled), 5):
        start_pipeline.handler(event(*shuffled[start : start + 5]), None)
    assert sorted(given["data"] for given in inputs()) == [f"s3://{BUCKET}/{f}/" for f in "abc" for _ in range(4)]


def alike(start_pipeline: ModuleType, characters: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two uploads whose tokens begin with the same characters; found by trying."""
    seen: dict[str, dict[str, Any]] = {}
    for number in itertools.count():
        one = record(FILE, sequencer=f"{number:016X}1")
        token = start_pipeline.token_of(one, BUCKET, FILE)[:characters]
        if token in seen:
            return seen[token], one
        seen[token] = one
    raise AssertionError("there is always another number")


def test_an_upload_whose_short_name_is_taken_gets_a_longer_one_however_often_its_events_come(
    start_pipeline: ModuleType,
) -> None:
    first, second = alike(start_pipeline, 3)
    for one in (first, second, second, first, second):
        assert start_pipeline.handler(event(one), None)["started"] == 1
    names = {json.loads(found["input"])["token"]: found["name"] for found in executions()}
    tokens = [start_pipeline.token_of(one, BUCKET, FILE) for one in (first, second)]
    assert names == {
        tokens[0]: f"penguins-250131-{tokens[0][:3]}",
        tokens[1]: f"penguins-250131-{tokens[1][:8]}",
    }


@pytest.mark.parametrize("text", ["{}", "[]", '{"token": 7}'])
def test_names_that_someone_took_by_hand_cost_no_upload(start_pipeline: ModuleType, text: str) -> None:
    token = start_pipeline.token_of(record(FILE), BUCKET, FILE)
    for length in (3, 8):
        boto3.client("stepfunctions").start_execution(
            stateMachineArn=f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:penguins",
            name=f"penguins-250131-{token[:length]}",
            input=text,
        )
    for _ in range(2):
        assert start_pipeline.handler(event(record(FILE)), None)["started"] == 1
    assert f"penguins-250131-{token}" in {found["name"] for found in executions()}
    assert len(executions()) == 3


def test_an_upload_all_of_whose_names_are_taken_fails_aloud(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        mock.patch.object(start_pipeline, "started", return_value=False),
        mock.patch.object(start_pipeline, "token_at", return_value="another"),
        pytest.raises(start_pipeline.Refused),
    ):
        start_pipeline.handler(event(record(FILE)), None)
    assert "is the name of another upload's execution" in log_lines(capsys.readouterr().out)[0]["reason"]


def test_an_execution_that_cannot_be_read_yet_is_not_taken_for_another(start_pipeline: ModuleType) -> None:
    """[sfn] DescribeExecution is eventually consistent; Lambda tries the event again."""
    start_pipeline.handler(event(record(FILE)), None)
    gone = ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
    with (
        mock.patch.object(start_pipeline, "started", return_value=False),
        mock.patch.object(start_pipeline, "token_at", side_effect=gone),
        pytest.raises(start_pipeline.Refused),
    ):
        start_pipeline.handler(event(record(FILE)), None)
    assert len(executions()) == 1


def test_each_version_is_read_for_itself_in_whatever_order_its_event_comes(start_pipeline: ModuleType) -> None:
    keep_versions()
    first, second = upload(b"note: first"), upload(b"note: second")
    start_pipeline.handler(second, None)
    start_pipeline.handler(first, None)
    assert sorted(given["note"] for given in inputs()) == ["first", "second"]


def test_without_versions_a_replaced_file_is_not_taken_for_the_one_before(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = upload(b"note: first"), upload(b"note: second")
    with pytest.raises(start_pipeline.Refused):
        start_pipeline.handler(first, None)
    assert "deleted or replaced before it could be read" in capsys.readouterr().out
    start_pipeline.handler(second, None)
    assert [given["note"] for given in inputs()] == ["second"]


# Neighbours


def test_a_bad_record_does_not_stop_its_neighbours_and_fails_the_invocation_afterwards(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = record("bad/go.run", size=99999)
    with pytest.raises(start_pipeline.Refused, match="1 of 3 records failed"):
        start_pipeline.handler(event(record("a/go.run"), bad, record("b/go.run")), None)
    assert sorted(given["data"] for given in inputs()) == [f"s3://{BUCKET}/a/", f"s3://{BUCKET}/b/"]
    assert [line["outcome"] for line in log_lines(capsys.readouterr().out)] == ["started", "failed", "started"]


def without(*path: str) -> dict[str, Any]:
    damaged = record(FILE)
    part = damaged
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return damaged


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        "text",
        [],
        {},
        {"s3": 7},
        without("s3"),
        without("s3", "bucket"),
        without("s3", "bucket", "name"),
        without("s3", "object"),
        without("s3", "object", "key"),
        without("s3", "object", "eTag"),
        without("s3", "object", "sequencer"),
        without("eventVersion"),
        without("eventName"),
        without("eventSource"),
        without("eventTime"),
        {**record(FILE), "eventTime": "yesterday"},
        {**record(FILE), "eventTime": "٢٠٢٥-01-31T12:00:00Z"},
        record(FILE, key="%ff.run"),
        record(FILE, key=["go.run"]),
        record(FILE, size="12", versionId=12),
    ],
)
def test_a_malformed_record_is_logged_and_fails(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str], bad: Any
) -> None:
    with pytest.raises(start_pipeline.Refused):
        start_pipeline.handler(event(bad, record("neighbour/go.run")), None)
    assert [line["outcome"] for line in log_lines(capsys.readouterr().out)] == ["failed", "started"]
    assert [given["data"] for given in inputs()] == [f"s3://{BUCKET}/neighbour/"]


@pytest.mark.parametrize("key", ["a\n\nClick: http://x/go.run", "\x1b]0;x\x07/go.run", "a\u202e/go.run", "\x9b.run"])
def test_a_key_cannot_write_a_line_of_its_own_into_a_mail(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    with pytest.raises(start_pipeline.Refused):
        start_pipeline.handler(event(record(key)), None)
    text = capsys.readouterr().out
    assert "the key has a control character" in log_lines(text)[0]["reason"]
    assert text.count("\n") == 1 and text.isascii() and text[:-1].isprintable()
    assert not executions()


@pytest.mark.parametrize(
    ("version", "outcome"), [("2.0", "started"), ("2.17", "started"), ("3.0", "failed"), ("1.0", "failed")]
)
def test_an_event_of_another_major_version_starts_nothing(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str], version: str, outcome: str
) -> None:
    with contextlib.suppress(start_pipeline.Refused):
        start_pipeline.handler(event({**record(FILE), "eventVersion": version}), None)
    (line,) = log_lines(capsys.readouterr().out)
    assert line["outcome"] == outcome
    assert len(executions()) == (outcome == "started")


@pytest.mark.parametrize("bad", [None, 7, "text", [], {}, {"Records": None}, {"Records": {}}])
def test_what_is_no_s3_event_fails(start_pipeline: ModuleType, bad: Any) -> None:
    with pytest.raises(start_pipeline.Refused, match="no list of Records"):
        start_pipeline.handler(bad, None)


@pytest.mark.parametrize(
    "other",
    [
        {**record(FILE), "eventName": "ObjectRemoved:Delete"},
        {**record(FILE), "eventName": "ObjectTagging:Put"},
        {**record(FILE), "eventSource": "aws:sns"},
        {**record(FILE), "s3": {**record(FILE)["s3"], "bucket": {"name": "another-bucket"}}},
        record("june/go.run.csv"),
        record("june/go.RUN"),
        record("june/run"),
    ],
)
def test_what_is_not_an_upload_of_a_run_file_to_our_bucket_is_ignored_and_logged(
    start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str], other: Any
) -> None:
    assert start_pipeline.handler(event(other), None) == {"started": 0, "ignored": 1}
    (line,) = log_lines(capsys.readouterr().out)
    assert line["outcome"] == "ignored" and line["reason"]
    assert not executions()


def test_the_test_event_of_s3_is_ignored(start_pipeline: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}
    assert start_pipeline.handler(told, None) == {"started": 0, "ignored": 1}
    assert log_lines(capsys.readouterr().out)[0]["outcome"] == "ignored"


def test_a_machine_that_is_gone_fails_the_invocation(
    start_pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_MACHINE_ARN", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:gone")
    with pytest.raises(start_pipeline.Refused):
        start_pipeline.handler(event(record(FILE)), None)
    assert "StateMachineDoesNotExist" in log_lines(capsys.readouterr().out)[0]["reason"]


# The cold start


def test_nothing_but_the_standard_library_and_boto3_is_imported() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    names = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "boto3", "botocore"}


def test_importing_makes_no_client_and_needs_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAW_BUCKET", "STATE_MACHINE_ARN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock.patch.object(boto3, "client", side_effect=AssertionError("a client was made")):
        trigger()


def test_an_empty_file_needs_no_client_of_s3(start_pipeline: ModuleType) -> None:
    with mock.patch.object(start_pipeline, "client", wraps=start_pipeline.client) as made:
        start_pipeline.handler(event(record(FILE)), None)
    assert [call.args for call in made.call_args_list] == [("stepfunctions",)]
