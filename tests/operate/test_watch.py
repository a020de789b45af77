"""Following a run from afar: what is asked of Step Functions, and what may go wrong on the way."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stepgluon.runs import watch
from stepgluon.runs.watch import History

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
ARN = "arn:aws:states:eu-west-1:123456789012:execution:penguins:june"


class StepFunctions:
    """A history that grows by what each look finds; an exception in its place is raised."""

    def __init__(self, *looks: Any, page: int = 1000) -> None:
        self.looks, self.page, self.asked = list(looks), page, 0
        self.events: list[dict[str, Any]] = []

    def client(self, service: str) -> StepFunctions:
        return self

    def get_execution_history(self, nextToken: str = "", **given: Any) -> dict[str, Any]:
        assert given["reverseOrder"]
        self.asked += 1
        if not nextToken:
            new = self.looks.pop(0)
            if isinstance(new, Exception):
                raise new
            self.events += [event(len(self.events) + 1 + number, kind) for number, kind in enumerate(new)]
        start = int(nextToken or 0)
        newest = self.events[::-1]
        more = {"nextToken": str(start + self.page)} if start + self.page < len(newest) else {}
        return {"events": newest[start : start + self.page], **more}


def event(number: int, kind: str) -> dict[str, Any]:
    return {"id": number, "type": kind, "timestamp": NOW + datetime.timedelta(seconds=number)}


def throttled(code: str = "ThrottlingException") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "Rate exceeded"}}, "GetExecutionHistory")


LOST = EndpointConnectionError(endpoint_url="https://states.eu-west-1.amazonaws.com")


def watched(service: StepFunctions) -> tuple[str, list[str], list[float]]:
    said: list[str] = []
    waited: list[float] = []
    story = watch.watch(service, ARN, lambda story: None, said.append, waited.append)
    return story.status, said, waited


def test_a_lost_connection_and_throttling_are_waited_out_and_told_once() -> None:
    service = StepFunctions(["ExecutionStarted"], LOST, throttled(), LOST, [], LOST, ["ExecutionSucceeded"])
    status, said, _ = watched(service)
    assert status == "SUCCEEDED"
    assert said == ["AWS does not answer. The run continues; retrying."] * 2


def test_what_does_not_pass_ends_it() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        watched(StepFunctions(["ExecutionStarted"], throttled("AccessDeniedException")))


def test_a_connection_that_never_comes_back_ends_it() -> None:
    with pytest.raises(EndpointConnectionError):
        watched(StepFunctions(["ExecutionStarted"], *[LOST] * 1000))


def test_it_asks_less_often_while_nothing_happens() -> None:
    _, _, waited = watched(StepFunctions(["ExecutionStarted"], *[[]] * 12, ["ExecutionAborted"]))
    assert waited[0] == watch.SOON
    assert waited == sorted(waited)
    assert waited[-1] == watch.LATE


def test_only_the_newest_page_is_asked_for_when_it_reaches_what_is_known() -> None:
    kinds = ["ExecutionStarted", *["TaskStarted"] * 24]
    service = StepFunctions(kinds, ["TaskStarted"] * 3, ["ExecutionSucceeded"], page=10)
    assert watched(service)[0] == "SUCCEEDED"
    assert service.asked == 3 + 1 + 1
    assert len(service.events) == 29


def test_what_came_between_two_looks_is_not_lost_even_if_a_look_is_cut_off() -> None:
    service = StepFunctions(["ExecutionStarted"], ["TaskStarted"] * 30, ["ExecutionFailed"], page=10)
    seen = History(service, ARN)
    seen.look()
    plain, calls = service.get_execution_history, iter(range(100))

    def cut(**given: Any) -> dict[str, Any]:
        if next(calls) == 1:
            raise LOST
        return plain(**given)

    service.get_execution_history = cut  # type: ignore[method-assign]
    with pytest.raises(EndpointConnectionError):
        seen.look()
    service.get_execution_history = plain  # type: ignore[method-assign]
    assert [event["id"] for event in seen.look()] == list(range(1, 33))
