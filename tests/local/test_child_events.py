"""Ends of a Distributed Map's child executions: events like all others, of which none is mailed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_machines import Place, letters, one_of
from whole import whole

from localaws.notifications import eventbridge

PROCESSOR = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
    "StartAt": "Odd",
    "States": {"Odd": {"Type": "Fail", "Error": "Odd", "Cause": "This group is odd."}},
}
MAP = {"Type": "Map", "Label": "Groups", "Items": [1, 2], "ItemProcessor": PROCESSOR, "End": True}


def test_a_failed_child_is_not_mailed_but_a_failed_map_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    put = eventbridge.put_event
    monkeypatch.setattr(eventbridge, "put_event", lambda event: (events.append(event["detail"]), put(event))[1])
    with whole(tmp_path, one_of(Tolerates={**MAP, "ToleratedFailurePercentage": 100}, Fails=MAP)) as it:
        place = Place(it)
        may_start_itself(place)
        place.ended(place.start("tolerated", "Tolerates"))
        ends = [(one["stateMachineArn"].rpartition(":")[2], one["status"]) for one in events]
        assert ends == [("penguins/Groups", "FAILED")] * 2 + [("penguins", "SUCCEEDED")]
        assert letters(it.place.outbox) == []
        place.ended(place.start("failed", "Fails"))
        ((subject, text),) = letters(it.place.outbox)
    assert subject == "penguins failed: failed"
    assert "The specified tolerated failure threshold was exceeded" in text and " failed in Fails after " in text


def may_start_itself(place: Place) -> None:
    machine = place.names.machine_arn
    role = place.steps.describe_state_machine(stateMachineArn=machine)["roleArn"].rpartition("/")[2]
    right = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    place.client("iam").put_role_policy(RoleName=role, PolicyName="children", PolicyDocument=policy)
