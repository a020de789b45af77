"""What the terminal shows of a run's releases."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from stepgluon.runs import headline, history
from stepgluon.runs.run_record import run_json
from stepgluon.runs.view import panel

START = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
ARN = "arn:aws:states:eu-west-1:123456789012:execution:shop:r"
SAID = {"outcome": "released", "endpoint": "shop-price", "said": "shop-price serves it now."}
VERDICT = {
    "name": "price",
    "verdict": "accepted",
    "mae": 2.0,
    "threshold": 3,
    "uses": "trained",
    "outcome": "predicted",
}


def events(*found: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    listed = []
    for number, (kind, details) in enumerate([("ExecutionStarted", {}), *found], 1):
        key = "stateEnteredEventDetails" if kind.endswith("Entered") else "stateExitedEventDetails"
        key = key if "State" in kind else f"{kind[0].lower()}{kind[1:]}EventDetails"
        at = START + timedelta(seconds=number)
        listed.append({"id": number, "previousEventId": number - 1, "type": kind, "timestamp": at, key: details})
    return listed


def told(release: dict[str, Any], folder: str, address: str | None = None) -> str:
    story = history.Story(status="SUCCEEDED", models=[{**VERDICT, "release": release}], succeeded={history.DELIVERS})
    return panel(
        run_json("r", {}, story, None, folder=folder, results=folder, outbox="outbox", arn=ARN), address=address
    )


def test_the_end_of_a_local_run_says_how_its_endpoint_is_asked() -> None:
    lines = told(SAID, "local-run/runs/r").splitlines()
    assert "  endpoint price: shop-price serves it now." in lines
    assert any("python pipeline.py local up --port 4566" in line for line in lines)
    (call,) = [line for line in lines if "invoke-endpoint" in line]
    assert "--endpoint-url http://127.0.0.1:4566 --no-sign-request sagemaker-runtime" in call
    assert "--endpoint-name shop-price" in call


def test_a_run_whose_endpoint_a_local_aws_serves_says_where() -> None:
    text = told(SAID, "local-run/runs/r", "http://127.0.0.1:1")
    assert "  ask      aws --endpoint-url http://127.0.0.1:1 --no-sign-request sagemaker-runtime " in text
    assert "local up" not in text
    assert "ask " not in told(SAID, "local-run/runs/r", ""), "the caller adds how"
    assert "--endpoint-name shop-price --region eu-west-1 --content-type text/csv --body fileb://rows.csv" in text
    assert "127.0.0.1" not in told(SAID, "s3://bucket/runs/r/", "http://127.0.0.1:1")


def test_the_end_of_a_run_in_the_account_names_no_local_address() -> None:
    (call,) = [line for line in told(SAID, "s3://bucket/runs/r/").splitlines() if "invoke-endpoint" in line]
    assert "127.0.0.1" not in call


def test_an_endpoint_that_is_not_there_cannot_be_asked() -> None:
    failed = {**SAID, "outcome": "failed", "said": "Not released: the quota is 2 instances."}
    text = told(failed, "local-run/runs/r")
    assert "  endpoint price: Not released: the quota is 2 instances." in text
    assert "invoke-endpoint" not in text


def test_a_shared_endpoint_is_asked_for_one_of_its_models() -> None:
    said = {**SAID, "endpoint": "shop-store", "said": "shop-store serves the models of this run now."}
    left = {"name": "End release of store", "output": "{}", "assignedVariables": {"release": json.dumps(said)}}
    story = history.read([history.kept(event) for event in events(("PassStateExited", left))])
    assert story.lines[-1].endswith("store: shop-store serves the models of this run now.")
    story.status = "SUCCEEDED"
    counts = dict.fromkeys(headline.COUNTS, 1) | {"worst": [], "missing_models": [], "failed_groups": []}
    served = {"models": 1, "example": "s1", "target": "models/s1.tar.gz"}
    found = run_json("r", {}, story, {"headline": {**counts, "served": served}}, folder="x", results="x", outbox="x")
    text = panel(found, address="http://127.0.0.1:1")
    assert "  endpoint store: shop-store serves the models of this run now." in text
    assert "--endpoint-name shop-store --target-model models/s1.tar.gz --content-type" in text


@pytest.mark.parametrize("cause", ['Could not find endpoint "arn:…".', "Cannot create already existing model"])
def test_what_a_release_expects_is_no_failure_in_the_course_of_the_run(cause: str) -> None:
    name = {"name": "Describe endpoint of price", "output": "{}"}
    asked = {"resourceType": "aws-sdk:sagemaker", "resource": "describeEndpoint", "parameters": "{}"}
    refused = {"error": "SageMaker.SageMakerException", "cause": cause}
    found = history.read(
        events(
            ("TaskStateEntered", {**name, "input": "{}"}),
            *[("TaskScheduled", asked), ("TaskFailed", refused)] * 2,
            ("TaskStateExited", name),
            ("PassStateExited", {"name": "End release of price", "output": json.dumps(SAID)}),
        )
    )
    (line,) = found.lines
    assert line.endswith("price: shop-price serves it now.")
