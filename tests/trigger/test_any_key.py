"""Whatever S3 takes as a key and Lambda gets as an event, the trigger has an answer."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from trigger.lambda_events import BUCKET, bridged, event, record, trigger

SETTINGS = settings(deadline=None, database=None)
NAME = re.compile(r"penguins-250131-([0-9a-f]{3}|[0-9a-f]{8})")
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:penguins"


def at_most_1024_bytes(key: str) -> bool:
    return len(key.encode()) <= 1024


def keys() -> st.SearchStrategy[str]:
    """S3 takes any text of at most 1,024 bytes in UTF-8; the trigger takes what a mail can show."""
    any_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=300)
    odd = st.text(st.sampled_from("a/ +%.:\\\"'&=?#é日🐧"), max_size=60)
    long = st.integers(500, 1020).map("k".__mul__)
    return st.one_of(any_text, odd, long).map(lambda text: f"{text}.run").filter(at_most_1024_bytes)


SEQUENCERS = st.text("0123456789ABCDEF", min_size=16, max_size=18).map(lambda text: f"{text}1")  # no two are the same
UPLOADS = st.tuples(keys(), SEQUENCERS, st.sampled_from([None, "v1", "v2"]))


class Machine:
    """Step Functions as far as the trigger needs it: a name that is taken starts nothing, whatever its input."""

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:
        assert len(input.encode()) < 256 * 1024
        if name in self.inputs:
            raise ClientError({"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution")
        self.inputs[name] = input

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        machine, name = executionArn.rsplit(":", 1)
        assert machine == MACHINE.replace(":stateMachine:", ":execution:")
        return {"input": self.inputs[name]}


@pytest.fixture(scope="module")
def start_pipeline() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAW_BUCKET", BUCKET)
        environment.setenv("STATE_MACHINE_ARN", f"{MACHINE}:live")
        yield trigger()


def started(start_pipeline: ModuleType, *told: Any) -> list[tuple[str, dict[str, Any]]]:
    machine = Machine()
    start_pipeline.client = lambda service: machine
    for one in told:
        start_pipeline.handler(one, None)
    return [(name, json.loads(text)) for name, text in machine.inputs.items()]


@SETTINGS
@given(UPLOADS)
def test_any_key_gives_a_legal_stable_name_and_an_input_that_carries_the_key(
    start_pipeline: ModuleType, upload: tuple[str, str, str | None]
) -> None:
    key, sequencer, version = upload
    told = event(record(key, sequencer=sequencer, versionId=version))
    by_rule = bridged(key, sequencer=sequencer, **{"version-id": version})
    ((name, given_input),) = started(start_pipeline, told, told, by_rule)
    assert NAME.fullmatch(name)
    assert given_input["run_file"] == f"s3://{BUCKET}/{key}"
    assert f"s3://{BUCKET}/{key}".startswith(given_input["data"]) and given_input["data"].endswith("/")
    assert "/" not in f"s3://{BUCKET}/{key}"[len(given_input["data"]) :]


@SETTINGS
@given(st.lists(UPLOADS, min_size=2, max_size=5, unique=True))
def test_distinct_uploads_have_distinct_names(
    start_pipeline: ModuleType, uploads: list[tuple[str, str, str | None]]
) -> None:
    told = event(*[record(key, sequencer=sequencer, versionId=version) for key, sequencer, version in uploads])
    assert len({name for name, _ in started(start_pipeline, told)}) == len(uploads)


def test_nothing_is_asked_but_to_start_the_alias_that_the_environment_names(
    start_pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its executions are the machine's, so the alias changes no name; and nothing needs a right but to start."""
    live = "arn:aws:states:eu-west-1:123456789012:stateMachine:penguins:live"
    monkeypatch.setenv("STATE_MACHINE_ARN", live)
    asked: list[tuple[str, Any]] = []
    machine = mock.Mock(
        start_execution=lambda **given: asked.append(("start", given["stateMachineArn"])), spec_set=["start_execution"]
    )
    start_pipeline.client = lambda service: machine
    start_pipeline.handler(event(record("june/go.run")), None)
    assert asked == [("start", live)]


def test_keys_that_look_alike_have_distinct_names(start_pipeline: ModuleType) -> None:
    keys = [
        "a b.run",
        "a+b.run",
        "a-b.run",
        "a%20b.run",
        "A b.run",
        "x/a b.run",
        f"{'a' * 900}b.run",
        f"{'a' * 901}.run",
    ]
    told = event(*[record(key) for key in keys])
    assert len({name for name, _ in started(start_pipeline, told)}) == len(keys)


@SETTINGS
@given(st.one_of(st.binary(max_size=200), st.text(st.sampled_from("note:threshold 4.0e-'\"#{}[],\n\\u"), max_size=80)))
def test_any_content_is_understood_or_refused(start_pipeline: ModuleType, content: bytes | str) -> None:
    try:
        found = start_pipeline.parsed(content if isinstance(content, bytes) else content.encode())
    except start_pipeline.Refused as refused:
        assert "expected" in str(refused) or "upload it again" in str(refused)
    else:
        assert found.keys() <= {"note", "threshold"}
        assert 0 < found.get("threshold", 1) < 1e300


@SETTINGS
@given(st.text(max_size=2000))
def test_any_note_is_one_line_of_at_most_500_visible_characters(start_pipeline: ModuleType, note: str) -> None:
    line = start_pipeline.one_line(note)
    assert len(line) <= 500 and "\n" not in line and line == line.strip()
    line.encode()
    assert start_pipeline.one_line(line) == line


@SETTINGS
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_answered_or_refused_and_starts_nothing(start_pipeline: ModuleType, nonsense: Any) -> None:
    thing = {"version": "0", "object": nonsense, "reason": "PutObject"}
    for told in (
        {"Records": nonsense},
        {**bridged("go.run"), "detail": nonsense},
        {**bridged("a.run"), "detail": thing},
    ):
        with contextlib.suppress(start_pipeline.Refused):
            assert started(start_pipeline, told) == []
