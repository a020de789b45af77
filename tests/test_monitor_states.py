"""The machine that looks for drift, run in an interpreter."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from interpreter import Run, Throws, failed_job, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.workflow.compile import compile_definition

CONFIG = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
fallback: {threshold: 350}
models:
  - {name: plain, label: plain}
  - {name: price, label: price, serve: {capture: 20%}, monitor: {then: retrain}}
  - {name: kind, label: kind, metric: accuracy, at_least: 0.8, serve: {capture: 20%}, monitor: {every: 6h, drift: 0.3}}
"""
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:shop"
Calls = list[tuple[str, Any]]
LAST = "arn:aws:states:eu-west-1:123456789012:execution:shop:june-1"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
NOT_THE_FIRST = Throws("S3.S3Exception", "At least one of the pre-conditions you specified did not hold (412)")
FOLDER = "s3://shop-work-123456789012-eu-west-1/models/{}/f/job/output/model/"


@cache
def definition() -> str:
    return compile_definition(loads(CONFIG, "config.yml", None, {}), workflow).others["monitor"].text


def body(**content: Any) -> dict[str, Any]:
    return {"Body": json.dumps(content)}


def one_of_each_part(calls: Calls) -> Any:
    _, request = calls[-1]
    return {"KeyCount": 1, "Contents": [{"Key": f"{request['StartAfter']}-00-123-5c1f.jsonl", "Size": 5}]}


def bucket(sizes: dict[str, int]) -> Callable[[Calls], Any]:
    """What S3 lists of these objects, which are in the order of their keys."""

    def listed(calls: Calls) -> Any:
        _, request = calls[-1]
        keys = [key for key in sizes if key.startswith(request["Prefix"]) and key > request["StartAfter"]]
        found = [{"Key": key, "Size": sizes[key]} for key in keys[: request["MaxKeys"]]]
        return {"KeyCount": len(found), **({"Contents": found} if found else {})}

    return listed


def answers(outcome: str = "drift", **changed: Any) -> dict[str, Any]:
    good: dict[str, Any] = {}
    for model in ("price", "kind"):
        good[f"Find what serves {model}"] = body(model=model, folder=FOLDER.format(model), run="may-1")
        good[f"Find captured rows of {model}"] = one_of_each_part
        good[f"Find tables of {model}"] = {"KeyCount": 0}
        good[f"Choose captured rows of {model}"] = {}
        good[f"Compare rows of {model}"] = {}
        good[f"Read result of {model}"] = body(outcome=outcome, sentence=f"Model {model}: {outcome}.", rows=70)
    good |= {"Remember drift of price": {}, "Retrain price": {"ExecutionArn": MACHINE}}
    good["Find last run for price"] = {"Executions": [{"ExecutionArn": LAST}]}
    given = {"data": "s3://shop-raw/june/", "note": "", "overrides": {"threshold": 900}}
    good["Read its input for price"] = {"Input": json.dumps(given)}
    return good | changed


def ended(outcome: str = "drift", **changed: Any) -> Run:
    return run(definition(), answers(outcome, **{key.replace("_", " "): value for key, value in changed.items()}))


def mail(done: Run, model: str) -> str:
    (text,) = [one["Message"] for one in done.mails if one["Subject"].startswith(f"shop {model}: ")]
    return text


def test_rows_like_those_of_the_training_send_no_mail() -> None:
    done = ended("none")
    assert done.status == "SUCCEEDED" and not done.mails
    assert done.output == {
        "models": [
            {"name": name, "outcome": "none", "sentence": f"Model {name}: none.", "failure": ""}
            for name in ("price", "kind")
        ]
    }


def test_the_job_gets_the_models_profile_and_what_was_captured() -> None:
    request = ended("none").call("Compare rows of kind")
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in request["ProcessingInputs"]}
    folder = FOLDER.format("kind")
    assert inputs.pop("config").startswith("s3://shop-work-123456789012-eu-west-1/config/")
    assert inputs == {
        "profile": f"{folder}profile.json",
        "manifest": f"{folder}manifest.json",
        "captured": "s3://shop-work-123456789012-eu-west-1/monitor/kind/june-go/captured.manifest",
    }
    (kind,) = {one["S3Input"]["S3DataType"] for one in request["ProcessingInputs"] if one["InputName"] == "captured"}
    assert kind == "ManifestFile"
    assert request["Environment"] == {"STEPGLUON_MODEL": "kind", "STEPGLUON_DRIFT": "0.3"}
    assert request["AppSpecification"]["ContainerEntrypoint"] == ["python3", "/opt/program/monitor.py"]
    output = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert output == "s3://shop-work-123456789012-eu-west-1/monitor/kind/june-go"


@pytest.mark.parametrize(("size", "kept"), [(1000, 40), (30_000_000, 3), (900_000_000, 1)])
def test_some_captured_rows_of_every_part_of_the_time_since_the_last_check_are_compared(size: int, kept: int) -> None:
    folder, now = "captured/kind/shop-kind/AllTraffic/", datetime.now(timezone.utc)
    moments = (now + timedelta(seconds=second) for second in range(-8 * 3600, 8 * 3600, 20))
    files = {f"{folder}{moment:%Y/%m/%d/%H/%M-%S}-000-5c1f.jsonl": size for moment in moments}
    done = ended("none", Find_captured_rows_of_kind=bucket(files))
    asked = [request for state, request in done.calls if state == "Find captured rows of kind"]
    starts = [datetime.strptime(one["StartAfter"], f"{folder}%Y/%m/%d/%H/%M") for one in asked]
    assert len(starts) == 12 and {b - a for a, b in pairwise(starts)} == {timedelta(minutes=30)}, "the shortest is 6 h"
    manifest = done.call("Choose captured rows of kind")
    assert manifest["Key"] == "monitor/kind/june-go/captured.manifest"
    first, *keys = manifest["Body"]
    assert first == {"prefix": f"s3://shop-work-123456789012-eu-west-1/{folder}"}
    chosen = [[key for key in files if key > one["StartAfter"]][:kept] for one in asked]
    assert [f"{folder}{key}" for key in keys] == [key for part in chosen for key in part]


def test_rows_captured_before_the_last_check_are_left_out() -> None:
    files = {"captured/kind/shop-kind/AllTraffic/2020/01/01/00/00-00-000-5c1f.jsonl": 5}
    done = ended("none", Find_captured_rows_of_kind=bucket(files))
    assert done.status == "SUCCEEDED" and "Compare rows of kind" not in done.states


def test_uploaded_tables_are_compared_too() -> None:
    done = ended("none", Find_tables_of_kind={"KeyCount": 1}, Find_captured_rows_of_kind={"KeyCount": 0})
    inputs = {
        one["InputName"]: one["S3Input"]["S3Uri"] for one in done.call("Compare rows of kind")["ProcessingInputs"]
    }
    assert "captured" not in inputs
    assert inputs["tables"] == "s3://shop-raw-123456789012-eu-west-1/monitor/kind/"


def test_drift_is_mailed_and_starts_one_run_with_the_last_runs_tables() -> None:
    done = ended()
    assert done.status == "SUCCEEDED"
    marked, started = done.call("Remember drift of price"), done.call("Retrain price")
    assert marked["IfNoneMatch"] == "*"
    assert started["StateMachineArn"] == f"{MACHINE}:live"
    assert started["Input"] == {"data": "s3://shop-raw/june/", "note": "Drift: Model price: drift."}
    assert started["Name"].startswith("drift-price-")
    assert started["Name"].removeprefix("drift-price-") in marked["Key"]
    text = mail(done, "price")
    assert text.startswith("Model price: drift.\n\nPage: s3://shop-work-123456789012-eu-west-1/monitor/price/june-go/")
    assert f"Run {started['Name']} was started with the tables of the last run" in text
    assert "Train a new model on newer rows" in mail(done, "kind")


def test_drift_of_the_same_model_starts_no_second_run() -> None:
    done = ended(Remember_drift_of_price=NOT_THE_FIRST)
    assert "Retrain price" not in done.states and done.status == "SUCCEEDED"
    assert "was already started for this model, but its new model does not serve" in mail(done, "price")


def test_another_model_that_serves_is_marked_by_another_name() -> None:
    other = body(model="price", folder=FOLDER.format("price") + "2/", run="june-1")
    names = {
        ended(Find_what_serves_price=one).call("Retrain price")["Name"]
        for one in (other, answers()["Find what serves price"])
    }
    assert len(names) == 2


def test_without_an_endpoint_the_promoted_model_is_compared() -> None:
    entry = {"model_uri": "s3://shop-work/promoted/may/kind/job/", "run": "may"}
    done = ended("none", Find_what_serves_kind=NO_FILE, Find_promoted_kind=body(m_kind=entry))
    inputs = {
        one["InputName"]: one["S3Input"]["S3Uri"] for one in done.call("Compare rows of kind")["ProcessingInputs"]
    }
    assert inputs["profile"] == "s3://shop-work/promoted/may/kind/job/profile.json"


@pytest.mark.parametrize("promoted", [NO_FILE, body(m_other={}), body(m_kind=5)])
def test_without_any_model_nothing_is_compared(promoted: Any) -> None:
    done = ended("none", Find_what_serves_kind=NO_FILE, Find_promoted_kind=promoted)
    assert done.status == "SUCCEEDED" and "Compare rows of kind" not in done.states and not done.mails


def test_without_rows_nothing_is_compared() -> None:
    done = ended("none", Find_captured_rows_of_kind={"KeyCount": 0})
    assert done.status == "SUCCEEDED" and "Compare rows of kind" not in done.states


def test_a_model_that_cannot_be_compared_is_mailed_and_does_not_hold_back_others() -> None:
    failure = failed_job(
        "Model kind has no profile.json: it was trained by an older version; train it again.", "Processing"
    )
    done = ended("none", Compare_rows_of_kind=failure)
    assert (done.status, done.error) == ("FAILED", "NotMonitored")
    assert "Read result of price" in done.states
    assert "could not check model kind: Model kind has no profile.json" in mail(done, "kind")
    assert "kind: Model kind has no profile.json" in done.cause


def test_a_run_that_could_not_be_started_is_said() -> None:
    done = ended(Retrain_price=Throws("States.TaskFailed", "not authorized to perform: states:StartExecution"))
    assert done.status == "FAILED"
    assert "not authorized" in mail(done, "price") and "Model price: drift." in mail(done, "price")
