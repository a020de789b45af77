"""Distributed Map in JSONata, as the machine uses it and as AWS's documentation and recorded histories have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_aws import make_bucket, may_do_everything, settings, until
from test_moto_fixes import Interpreter, task

from localaws.server.aws import LocalAws

ITEMS = [{"group": "g0000", "models": 2}, {"group": "g0001", "models": 3}, {"group": "g0002", "models": 1}]
CHILD = "$states.context.Execution"


@pytest.fixture
def asl(tmp_path: Path) -> Iterator[Interpreter]:
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        aws.client("s3").put_object(Bucket="data", Key="groups.json", Body=json.dumps(ITEMS).encode())
        yield Interpreter(aws)


def reader(key: str = "groups.json", **config: Any) -> Any:
    arguments = {"Bucket": "{% $bucket %}", "Key": key}
    return {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON", **config},
        "Arguments": arguments,
    }


def distributed(states: Any, **fields: Any) -> Any:
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "States": states}
    processor["StartAt"] = next(iter(states))
    begin = {"Type": "Pass", "Assign": {"bucket": "data", "own": "parent's"}, "Next": "Groups"}
    a_map = {"Type": "Map", "Label": "Groups", "ItemProcessor": processor, "End": True, **fields}
    return {"Begin": begin, "Groups": a_map}


def children(asl: Interpreter, arn: str) -> tuple[Any, list[Any]]:
    (run,) = asl.api.list_map_runs(executionArn=arn)["mapRuns"]
    told = asl.api.describe_map_run(mapRunArn=run["mapRunArn"])
    return told, asl.api.list_executions(mapRunArn=run["mapRunArn"])["executions"]


def kinds(asl: Interpreter, arn: str) -> list[str]:
    return [event["type"] for event in asl.api.get_execution_history(executionArn=arn)["events"]]


def test_each_item_is_an_execution_of_its_own(asl: Interpreter) -> None:
    states = {
        "Own": {"Type": "Pass", "Assign": {"own": "{% $states.input.group %}"}, "Next": "Say"},
        "Say": {
            "Type": "Pass",
            "Output": {
                "id": f"{{% {CHILD}.Id %}}",
                "name": f"{{% {CHILD}.Name %}}",
                "input": f"{{% {CHILD}.Input %}}",
                "redrives": f"{{% {CHILD}.RedriveCount %}}",
                "own": "{% $own %}",
            },
            "End": True,
        },
    }
    selector = {"group": "{% $states.context.Map.Item.Value.group %}", "run": f"{{% {CHILD}.Name & $own %}}"}
    arn = asl.start(distributed(states, ItemReader=reader(), ItemSelector=selector, MaxConcurrency=2))
    told = asl.ended(arn)
    assert told["status"] == "SUCCEEDED", told
    output = json.loads(told["output"])
    assert [one["input"] for one in output] == [{"group": one["group"], "run": "xparent's"} for one in ITEMS]
    assert [(one["own"], one["redrives"]) for one in output] == [(one["group"], 0) for one in ITEMS]
    run, listed = children(asl, arn)
    assert {one["executionArn"] for one in listed} == {one["id"] for one in output}
    assert {one["name"] for one in listed} == {one["name"] for one in output} and len(listed) == 3
    assert run["status"] == "SUCCEEDED" and run["executionCounts"]["succeeded"] == run["itemCounts"]["total"] == 3
    assert kinds(asl, arn)[3:] == [  # recorded on AWS: LocalStack's test_map_item_reader_base_json_max_items_jsonata
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
        "ExecutionSucceeded",
    ]
    child = asl.api.describe_execution(executionArn=output[0]["id"])
    assert (child["mapRunArn"], child["status"]) == (run["mapRunArn"], "SUCCEEDED")
    assert child["stateMachineArn"].endswith(":stateMachine:m1/Groups")
    assert kinds(asl, output[0]["id"])[0::5] == ["ExecutionStarted", "ExecutionSucceeded"]


def test_variables_of_the_parent_are_not_visible(asl: Interpreter) -> None:
    told = asl.run(distributed({"P": {"Type": "Pass", "Output": "{% $own %}", "End": True}}, Items=[1]))
    assert told["error"] == "States.ExceedToleratedFailureThreshold"


ODD = {
    "Odd?": {
        "Type": "Choice",
        "Choices": [{"Condition": "{% $states.input.models = 3 %}", "Next": "F"}],
        "Default": "P",
    },
    "F": {"Type": "Fail", "Error": "Odd", "Cause": "three"},
    "P": {"Type": "Pass", "Output": "fine", "End": True},
}


def test_a_tolerated_failure_leaves_its_description_in_its_place(asl: Interpreter) -> None:
    arn = asl.start(distributed(ODD, ItemReader=reader(), ToleratedFailurePercentage=100))
    first, failed, last = json.loads(asl.ended(arn)["output"])
    assert (first, last) == ("fine", "fine")
    assert (failed["Status"], failed["Error"], failed["Cause"]) == ("FAILED", "Odd", "three")
    assert json.loads(failed["Input"]) == ITEMS[1]
    run, _ = children(asl, arn)
    assert (run["status"], run["executionCounts"]["failed"], run["executionCounts"]["succeeded"]) == ("SUCCEEDED", 1, 2)


@pytest.mark.parametrize(
    ("fields", "fails"),
    [
        ({}, True),
        ({"ToleratedFailureCount": 1}, False),
        ({"ToleratedFailurePercentage": 34}, False),
        ({"ToleratedFailurePercentage": "{% 33 %}"}, True),
        ({"ToleratedFailureCount": 0, "ToleratedFailurePercentage": 100}, True),
    ],
)
def test_failures_are_tolerated_up_to_a_threshold(asl: Interpreter, fields: Any, fails: bool) -> None:
    arn = asl.start(distributed(ODD, ItemReader=reader(), **fields))
    told = asl.ended(arn)
    assert told["status"] == ("FAILED" if fails else "SUCCEEDED")
    if fails:
        assert told["error"] == "States.ExceedToleratedFailureThreshold"
        assert kinds(asl, arn)[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


def test_items_that_are_no_list_fail_as_recorded(asl: Interpreter) -> None:
    asl.aws.client("s3").put_object(Bucket="data", Key="one.json", Body=b"{}")
    arn = asl.start(distributed(ODD, ItemReader=reader("one.json")))
    told = asl.ended(arn)
    assert (told["error"], told["cause"]) == (
        "States.ItemReaderFailed",
        "Attempting to map over non-iterable node.",
    )
    missing = asl.ended(asl.start(distributed(ODD, ItemReader=reader("none.json"))))
    assert missing["error"] == "States.ItemReaderFailed" and "does not exist" in missing["cause"]


@pytest.mark.parametrize(
    ("kind", "content", "config"),
    [
        ("JSONL", '{"models": 1}\n{"models": 2}\n\n', {}),
        ("CSV", "models,x\n1,a\n2\n", {"CSVHeaderLocation": "FIRST_ROW"}),
        (
            "CSV",
            "1;a;b\n2;\n",
            {"CSVHeaderLocation": "GIVEN", "CSVHeaders": ["models", "x"], "CSVDelimiter": "SEMICOLON"},
        ),
    ],
)
def test_items_are_read_from_lines_and_tables(asl: Interpreter, kind: str, content: str, config: Any) -> None:
    asl.aws.client("s3").put_object(Bucket="data", Key="items", Body=content.encode())
    states = {"P": {"Type": "Pass", "End": True}}
    found = asl.output(distributed(states, ItemReader=reader("items", InputType=kind, **config)))
    assert [str(one["models"]) for one in found] == ["1", "2"]
    assert kind == "JSONL" or [one["x"] for one in found] == ["a", ""]


def test_objects_are_listed_and_batched(asl: Interpreter) -> None:
    for number in range(5):
        asl.aws.client("s3").put_object(Bucket="data", Key=f"in/{number}", Body=b"")
    items = {"Resource": "arn:aws:states:::s3:listObjectsV2", "Arguments": {"Bucket": "data", "Prefix": "in/"}}
    selector = "{% $states.context.Map.Item.Value.Key %}"
    batcher = {"MaxItemsPerBatch": "{% 1 + 1 %}", "BatchInput": {"of": "{% $bucket %}"}}
    fields = {"ItemReader": items, "ItemSelector": selector, "ItemBatcher": batcher}
    arn = asl.start(distributed({"P": {"Type": "Pass", "End": True}}, **fields))
    assert json.loads(asl.ended(arn)["output"]) == [
        {"BatchInput": {"of": "data"}, "Items": ["in/0", "in/1"]},
        {"BatchInput": {"of": "data"}, "Items": ["in/2", "in/3"]},
        {"BatchInput": {"of": "data"}, "Items": ["in/4"]},
    ]
    run, _ = children(asl, arn)
    assert (run["itemCounts"]["succeeded"], run["executionCounts"]["succeeded"]) == (5, 3)


def test_results_are_written_with_a_manifest(asl: Interpreter) -> None:
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "data", "Prefix": "results/"}}
    told = asl.output(distributed(ODD, ItemReader=reader(), ToleratedFailureCount=1, ResultWriter=writer))
    s3, place = asl.aws.client("s3"), told["ResultWriterDetails"]

    def content(key: str) -> Any:
        return json.loads(s3.get_object(Bucket="data", Key=key)["Body"].read())

    files = content(place["Key"])["ResultFiles"]
    assert place["Key"].startswith("results/") and files["PENDING"] == []
    (failed,), (good,) = files["FAILED"], files["SUCCEEDED"]
    assert [one["Error"] for one in content(failed["Key"])] == ["Odd"]
    assert [json.loads(one["Output"]) for one in content(good["Key"])] == ["fine", "fine"]


def test_the_parents_events_are_those_recorded_on_aws(asl: Interpreter) -> None:
    """https://github.com/localstack/localstack, test_base_scenarios.snapshot.json, test_map_state_result_writer"""
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "data", "Prefix": "mapJobs"}}
    a_map = distributed({"P": {"Type": "Pass", "End": True}}, Items=["Hello", "World"], ResultWriter=writer)["Groups"]
    arn = asl.start({"Groups": a_map})
    told = json.loads(asl.ended(arn)["output"])
    events = asl.api.get_execution_history(executionArn=arn)["events"]
    assert [(event["type"], event["id"], event["previousEventId"]) for event in events] == [
        ("ExecutionStarted", 1, 0),
        ("MapStateEntered", 2, 0),
        ("MapStateStarted", 3, 2),
        ("MapRunStarted", 4, 3),
        ("MapRunSucceeded", 5, 4),
        ("MapStateSucceeded", 6, 5),
        ("MapStateExited", 7, 5),
        ("ExecutionSucceeded", 8, 7),
    ]
    assert events[2]["mapStateStartedEventDetails"] == {"length": 2}
    run = events[3]["mapRunStartedEventDetails"]["mapRunArn"]
    assert ":mapRun:m1/Groups:" in run
    place = {"Bucket": "data", "Key": f"mapJobs/{run.rpartition(':')[2]}/manifest.json"}
    assert told == {"MapRunArn": run, "ResultWriterDetails": place}


def test_stopping_the_parent_stops_its_children(asl: Interpreter) -> None:
    waits = {"W": {"Type": "Wait", "Seconds": 10_000_000_000, "End": True}}
    arn = asl.start(distributed(waits, ItemReader=reader(), MaxConcurrency=2))
    until(lambda: asl.api.list_map_runs(executionArn=arn)["mapRuns"] and len(children(asl, arn)[1]) == 2)
    assert children(asl, arn)[0]["executionCounts"]["pending"] == 1
    asl.api.stop_execution(executionArn=arn)
    assert asl.ended(arn)["status"] == "ABORTED"
    run, listed = children(asl, arn)
    assert run["status"] == "ABORTED" and [one["status"] for one in listed] == ["ABORTED", "ABORTED"]
    assert kinds(asl, arn)[-2:] == ["MapRunAborted", "ExecutionAborted"]


def test_a_redriven_parent_repeats_only_what_did_not_succeed(asl: Interpreter) -> None:
    get = {"Bucket": "data", "Key": "{% 'ready/' & $group %}"}
    states = {
        "Keep": {
            "Type": "Pass",
            "Assign": {"group": "{% $states.input.group %}", "once": "{% $uuid() %}"},
            "Next": "Read",
        },
        "Read": task(
            "aws-sdk:s3:getObject",
            Arguments=get,
            Output={"once": "{% $once %}", "n": f"{{% {CHILD}.RedriveCount %}}", "g": "{% $group %}"},
        ),
    }
    s3 = asl.aws.client("s3")
    s3.put_object(Bucket="data", Key="ready/g0000", Body=b"")
    arn = asl.start(distributed(states, ItemReader=reader(), ToleratedFailureCount=1, MaxConcurrency=1))
    assert asl.ended(arn)["status"] == "FAILED"
    before, listed = children(asl, arn)
    once = {one["executionArn"] for one in listed}
    for group in ("g0001", "g0002"):
        s3.put_object(Bucket="data", Key=f"ready/{group}", Body=b"")
    until(lambda: asl.api.describe_execution(executionArn=arn)["redriveStatus"] == "REDRIVABLE")
    asl.api.redrive_execution(executionArn=arn)
    output = json.loads(asl.ended(arn)["output"])
    assert [(one["g"], one["n"]) for one in output] == [("g0000", 0), ("g0001", 1), ("g0002", 1)]
    after, listed = children(asl, arn)
    assert {one["executionArn"] for one in listed} == once and after["mapRunArn"] == before["mapRunArn"]
    assert (after["redriveCount"], after["executionCounts"]["succeeded"]) == (1, 3)
    assert "MapRunRedriven" in kinds(asl, arn)


def test_of_an_execution_that_starts_again_the_earlier_map_run_is_forgotten(asl: Interpreter, tmp_path: Path) -> None:
    waits = {"Type": "Wait", "Seconds": "{% $states.input.models = 1 ? 10000000000 : 0 %}", "End": True}
    arn = asl.start(distributed({"W": waits}, ItemReader=reader()))
    until(lambda: asl.api.list_map_runs(executionArn=arn)["mapRuns"])
    until(lambda: children(asl, arn)[0]["executionCounts"]["succeeded"] == 2)
    asl.aws.__exit__()
    with LocalAws(settings(tmp_path)) as aws:
        may_do_everything(aws)
        again = Interpreter(aws)
        quick = {"P": {"Type": "Pass", "End": True}}
        assert again.start(distributed(quick, Items=[1])) == arn, "the name is free: it has not ended"
        again.ended(arn)
        run, listed = children(again, arn)
        assert run["executionCounts"]["total"] == len(listed) == 1
        assert len(aws.objects.documents("child execution's header")) == 1


def test_map_runs_outlive_the_server(asl: Interpreter, tmp_path: Path) -> None:
    arn = asl.start(distributed(ODD, ItemReader=reader(), ToleratedFailureCount=1))
    asl.ended(arn)
    definition = asl.api.describe_state_machine(stateMachineArn=arn.replace(":execution:", ":stateMachine:")[:-2])
    asl.aws.__exit__()
    with LocalAws(settings(tmp_path)) as aws:
        again = Interpreter(aws)
        again.api.create_state_machine(name="m1", definition=definition["definition"], roleArn=definition["roleArn"])
        run, listed = children(again, arn)
        assert run["executionCounts"]["failed"] == 1 and len(listed) == 3
        assert kinds(again, listed[0]["executionArn"])[0] == "ExecutionStarted"
