"""Ends that no Catch of the state machine sees are mailed, once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from whole import Whole, compiled, whole


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """The workflow with a time limit of two seconds, and a Pass that is broken for runs with the note `broken`."""
    definition = json.loads(compiled()[1])
    first = definition["StartAt"]
    rule = {"Condition": "{% $states.input.note = 'broken' %}"}
    states = {
        "Is it broken?": {"Type": "Choice", "Choices": [{**rule, "Next": "Broken"}], "Default": first},
        "Broken": {"Type": "Pass", "Output": "{% $states.input.nothing %}", "Next": first},
    }
    definition |= {"TimeoutSeconds": 2, "StartAt": "Is it broken?", "States": definition["States"] | states}
    with whole(tmp_path_factory.mktemp("work"), definition=json.dumps(definition)) as running:
        yield running


def test_a_run_that_takes_too_long(impatient: Whole) -> None:
    ended = impatient.ended(impatient.upload(prepare="ignore SIGTERM"))
    assert (ended.code, ended.told["status"], ended.kinds) == (1, "TIMED_OUT", ["started", "took too long"])
    assert ended.mails[-1][1].startswith("The run took longer than a run may.")


def test_a_state_that_is_broken(impatient: Whole) -> None:
    impatient.s3.put_object(Bucket=impatient.raw, Key="broken/go.run", Body=b"note: broken")
    ended = impatient.ended("broken", holds=False)
    assert (ended.code, ended.told["status"], ended.kinds) == (1, "FAILED", ["failed"])
    assert ended.told["failure"]["sentence"], "the user is told why"
