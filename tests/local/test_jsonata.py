"""Machines in JSONata, run by the local Step Functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonata_checks import a_pass, branch, output, run
from test_moto_fixes import Interpreter, interpreter

CATCH = [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}]
CAUGHT = a_pass(Output="{% $states.input.Error %}")
ERROR = "States.QueryEvaluationError"


@pytest.fixture(scope="module")
def asl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    with interpreter(tmp_path_factory.mktemp("work")) as running:
        yield running


def a_task(resource: str, **fields: Any) -> Any:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "End": True, **fields}


def events(told: Any) -> list[str]:
    return [event["type"] for event in told["events"]]


def test_a_task_calls_with_its_arguments_and_gives_what_it_says(asl: Interpreter) -> None:
    asl.aws.client("s3").put_object(Bucket="data", Key="a/metrics.json", Body=b'{"mae": 274.006, "rows": 12}')
    states = {
        "Get": {
            **a_task("aws-sdk:s3:getObject"),
            "Arguments": {"Bucket": "data", "Key": "{% $states.input.folder & '/metrics.json' %}"},
            "Assign": {"score": "{% $parse($states.result.Body) %}"},
            "Output": "{% $states.result.ContentLength %}",
            "Next": "End",
        },
        "End": a_pass(Output={"size": "{% $states.input %}", "score": "{% $score %}"}),
    }
    del states["Get"]["End"]
    assert output(asl, states, {"folder": "a"}) == {"size": 28, "score": {"mae": 274.006, "rows": 12}}


def test_arguments_may_be_one_expression(asl: Interpreter) -> None:
    put = a_task(
        "aws-sdk:s3:putObject", Arguments="{% $merge([{'Bucket': 'data'}, $states.input]) %}", Output="{% 1 %}"
    )
    assert output(asl, {"Put": put}, {"Key": "b", "Body": {"z": [1, 2.5], "a": "ü"}}) == 1
    assert (
        asl.aws.client("s3").get_object(Bucket="data", Key="b")["Body"].read() == '{"z": [1, 2.5], "a": "ü"}'.encode()
    )


def test_a_job_is_waited_for(asl: Interpreter) -> None:
    job = {
        "ProcessingJobName": "{% $states.context.Execution.Name & '-' & $states.context.State.RetryCount %}",
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": "{% $n %}", "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
        },
        "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "/opt/program/act.py"]},
    }
    states = {
        "A": {"Type": "Pass", "Assign": {"n": 1}, "Next": "Job"},
        "Job": {
            **a_task("sagemaker:createProcessingJob.sync", Arguments=job, TimeoutSeconds="{% $n * 600 %}"),
            "Catch": CATCH,
            "Output": "{% $states.result.ProcessingJobName %}",
        },
        "Caught": CAUGHT,
    }
    told = run(asl, states)
    [scheduled] = [e["taskScheduledEventDetails"] for e in told["events"] if e["type"] == "TaskScheduled"]
    assert json.loads(scheduled["parameters"])["ProcessingJobName"] == "x-0"
    assert scheduled["timeoutInSeconds"] == 600
    assert json.loads(told["output"]) in ("x-0", "States.TaskFailed")  # the stand-in job has nothing to do


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"Arguments": "{% $missing %}"}, "Arguments"),
        ({"Arguments": {"TopicArn": "t", "Message": "{% $missing %}"}}, "Arguments/Message"),
        ({"TimeoutSeconds": "{% $missing %}"}, "TimeoutSeconds"),
        ({"Assign": {"a": ["{% 1 %}", "{% $missing %}"]}}, "Assign/a/1"),
        ({"Assign": {"a": "{% $error('no model was promoted') %}"}}, "Assign/a"),
        ({"Output": "{% $states.result.missing %}"}, "Output"),
        ({"Output": {"a": {"b": "{% $sum %}"}}}, "Output/a/b"),
    ],
)
def test_a_task_whose_expression_fails_is_caught(asl: Interpreter, fields: Any, field: str) -> None:
    usual = {"Arguments": {"TopicArn": asl.api_topic(), "Message": "m"}}
    told = run(asl, {"T": {**a_task("sns:publish"), **usual, **fields, "Catch": CATCH}, "Caught": CAUGHT})
    assert (told["status"], told.get("output")) == ("SUCCEEDED", f'"{ERROR}"')
    [failed] = [e["evaluationFailedEventDetails"] for e in told["events"] if e["type"] == "EvaluationFailed"]
    assert (failed["error"], failed["location"], failed["state"]) == (ERROR, field, "T")
    assert failed["cause"].startswith("An error occurred while executing the state 'T' (entered at the event id #2). ")
    assert f"specified for the field '{field}'" in failed["cause"]


def test_an_uncaught_failure_of_arguments_ends_the_execution(asl: Interpreter) -> None:
    """As recorded on AWS."""
    task = a_task("sns:publish", Arguments={"TopicArn": "{% $doesNotExist %}", "Message": "m"})
    told = run(asl, {"State0": task})
    said = (
        "An error occurred while executing the state 'State0' (entered at the event id #2). The JSONata expression "
        "'$doesNotExist' specified for the field 'Arguments/TopicArn' returned nothing (undefined)."
    )
    assert (told["status"], told["error"], told["cause"]) == ("FAILED", ERROR, said)
    assert [(event["id"], event["previousEventId"], event["type"]) for event in told["events"][1:]] == [
        (2, 0, "TaskStateEntered"),
        (3, 0, "EvaluationFailed"),
        (4, 3, "ExecutionFailed"),
    ]


def test_a_failed_evaluation_is_retried(asl: Interpreter) -> None:
    """The third attempt succeeds: its expression looks at the number of retries."""
    retry = [{"ErrorEquals": [ERROR], "IntervalSeconds": 1, "MaxAttempts": 3}]
    count = "$states.context.State.RetryCount"
    arguments = {"TopicArn": asl.api_topic(), "Message": f"{{% {count} < 2 ? $error('again') : $string({count}) %}}"}
    told = run(asl, {"T": {**a_task("sns:publish"), "Arguments": arguments, "Retry": retry, "Output": "{% 'done' %}"}})
    assert (told["status"], told["output"]) == ("SUCCEEDED", '"done"')
    assert events(told).count("EvaluationFailed") == 2


def test_an_error_of_a_service_reaches_the_catch_and_its_variables(asl: Interpreter) -> None:
    catch = {
        "ErrorEquals": ["S3.NoSuchKeyException"],
        "Assign": {"why": "{% $states.errorOutput.Error %}"},
        "Output": {"was": "{% $states.input %}"},
        "Next": "Caught",
    }
    get = a_task("aws-sdk:s3:getObject", Arguments={"Bucket": "data", "Key": "missing"}, Catch=[catch])
    states = {"Get": get, "Caught": a_pass(Output=["{% $why %}", "{% $states.input.was %}"])}
    assert output(asl, states, {"a": 1}) == ["S3.NoSuchKeyException", {"a": 1}]


def test_without_an_output_a_catch_gives_the_error(asl: Interpreter) -> None:
    """As recorded on AWS."""
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    get = a_task("aws-sdk:s3:getObject", Arguments={"Bucket": "data", "Key": "missing"}, Catch=catch)
    assert set(output(asl, {"Get": get, "Caught": a_pass()})) == {"Error", "Cause"}


def test_a_choice_takes_the_first_condition_that_is_true(asl: Interpreter) -> None:
    def rule(condition: str, **fields: Any) -> Any:
        return {"Condition": f"{{% {condition} %}}", "Next": "P", **fields}

    score = "$states.input.score"
    choice = {
        "Type": "Choice",
        "Choices": [
            rule(f"$not($exists({score}))", Output="{% 'no score' %}"),
            rule(f"$type({score}) = 'number' and {score} <= 350", Output="{% 'accepted' %}"),
        ],
        "Default": "P",
        "Output": "{% 'rejected: ' & $states.input.score %}",
    }
    states = {"C": choice, "P": a_pass()}
    answers = [output(asl, states, given) for given in ({}, {"score": 350}, {"score": 351.5}, {"score": "NaN"})]
    assert answers == ["no score", "accepted", "rejected: 351.5", "rejected: NaN"]


def test_a_choice_whose_condition_fails_ends_the_execution(asl: Interpreter) -> None:
    choice = {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.a %}", "Next": "P"}], "Default": "P"}
    told = run(asl, {"C": choice, "P": a_pass()})
    assert (told["status"], told["error"]) == ("FAILED", ERROR)
    assert events(told)[-2:] == ["EvaluationFailed", "ExecutionFailed"]


def test_fail_and_wait_and_succeed_have_expressions(asl: Interpreter) -> None:
    fail = {"Type": "Fail", "Error": "{% 'My' & 'Error' %}", "Cause": "{% $states.input.why %}"}
    told = run(asl, {"F": fail}, {"why": 'it said "no"'})
    assert (told["status"], told["error"], told["cause"]) == ("FAILED", "MyError", 'it said "no"')
    wait = {"Type": "Wait", "Seconds": "{% $states.input.s %}", "Assign": {"w": "{% $states.input.s %}"}, "Next": "S"}
    states = {"W": wait, "S": {"Type": "Succeed", "Output": {"waited": "{% $w %}"}}}
    assert output(asl, states, {"s": 1}) == {"waited": 1}


# Parallel and Map


def test_a_branch_reads_the_variables_around_it_and_keeps_its_own(asl: Interpreter) -> None:
    inner = branch(
        X={"Type": "Pass", "Assign": {"mine": "{% $outer & '!' %}"}, "Next": "Y"},
        Y=a_pass(Output=["{% $mine %}", "{% $states.input.n %}"]),
    )
    parallel = {
        "Type": "Parallel",
        "Arguments": {"n": "{% $states.input %}"},
        "Branches": [inner, branch(Z=a_pass(Output="{% $outer %}"))],
        "Assign": {"all": "{% $states.result %}"},
        "Output": "{% $exists($mine) %}",
        "Next": "E",
    }
    states = {
        "A": {"Type": "Pass", "Assign": {"outer": "o"}, "Next": "P"},
        "P": parallel,
        "E": a_pass(Output=["{% $all %}", "{% $states.input %}", "{% $exists($mine) %}"]),
    }
    assert output(asl, states, 7) == [[["o!", 7], "o"], False, False]


def test_a_branch_may_not_assign_a_variable_of_around_it(asl: Interpreter) -> None:
    parallel = {"Type": "Parallel", "Branches": [branch(X=a_pass(Assign={"v": 2}))], "End": True}
    told = run(asl, {"A": {"Type": "Pass", "Assign": {"v": 1}, "Next": "P"}, "P": parallel})
    assert told["status"] == "FAILED" and "'v'" in told["cause"] and "outer scope" in told["cause"]


def test_the_cause_of_a_branch_is_told_once(asl: Interpreter) -> None:
    parallel = {"Type": "Parallel", "Branches": [branch(X=a_pass(Output="{% $missing %}"))], "End": True}
    told = run(asl, {"P": parallel})
    assert told["error"] == ERROR
    assert told["cause"].count("An error occurred") == 1 and "executing the state 'X'" in told["cause"]
    catching = {"P": {**parallel, "Catch": CATCH}, "Caught": a_pass(Output="{% $states.input.Cause %}")}
    assert output(asl, catching) == told["cause"]


def test_a_map_runs_its_items(asl: Interpreter) -> None:
    name = "$states.input.name & $states.input.n & $outer"
    a_map = {
        "Type": "Map",
        "Items": "{% $states.input.models %}",
        "ItemSelector": {"name": "{% $states.context.Map.Item.Value %}", "n": "{% $states.context.Map.Item.Index %}"},
        "MaxConcurrency": "{% $outer = '!' ? 2 : 1 %}",
        "ItemProcessor": branch(
            X={"Type": "Pass", "Assign": {"own": f"{{% {name} %}}"}, "Next": "Y"}, Y=a_pass(Output="{% $own %}")
        ),
        "Output": "{% $join($states.result, ' ') %}",
        "End": True,
    }
    states = {"A": {"Type": "Pass", "Assign": {"outer": "!"}, "Next": "M"}, "M": a_map}
    assert output(asl, states, {"models": ["a", "b", "c"]}) == "a0! b1! c2!"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("{% {'foo': 'bar'} %}", '\'object\' for value: {"foo":"bar"}'),
        ("{% 'string' %}", "'string' for value: \"string\""),
        ("{% 1 %}", "'number' for value: 1"),
        ("{% true %}", "'boolean' for value: true"),
        ("{% null %}", "'null' for value: null"),
    ],
)
def test_items_are_an_array(asl: Interpreter, expression: str, found: str) -> None:
    """As recorded on AWS."""
    a_map = {"Type": "Map", "Items": expression, "ItemProcessor": branch(X=a_pass()), "End": True}
    told = run(asl, {"M": a_map})
    said = (
        "An error occurred while executing the state 'M' (entered at the event id #2). The JSONata expression "
        f"'{expression[3:-3]}' specified for the field 'Items' returned an unexpected result type. "
        f"Expected 'array', but was {found}"
    )
    assert (told["error"], told["cause"]) == (ERROR, said)
    assert [(event["id"], event["previousEventId"], event["type"]) for event in told["events"][2:]] == [
        (3, 0, "EvaluationFailed"),
        (4, 3, "MapStateFailed"),
        (5, 4, "ExecutionFailed"),
    ]


def test_a_failed_item_reaches_the_catch_of_its_map(asl: Interpreter) -> None:
    items = {"Items": [1, 2], "ItemProcessor": branch(X=a_pass(Output="{% $states.input.missing %}"))}
    assert output(asl, {"M": {"Type": "Map", **items, "Catch": CATCH, "End": True}, "Caught": CAUGHT}) == ERROR


# Values and the context


def test_the_context_says_where_an_execution_is(asl: Interpreter) -> None:
    context = output(asl, {"A": a_pass(Output="{% $states.context %}")}, {"in": 1})
    assert context["Execution"]["Input"] == {"in": 1} and context["Execution"]["RedriveCount"] == 0
    assert context["Execution"]["Id"].endswith(":x") and context["Execution"]["Name"] == "x"
    assert context["State"] | {"EnteredTime": ""} == {"Name": "A", "EnteredTime": "", "RetryCount": 0}
    assert context["StateMachine"]["Id"].endswith(context["StateMachine"]["Name"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**53), 2**53))
def test_any_text_and_number_comes_through_a_machine(asl: Interpreter, text: str, number: int) -> None:
    states = {
        "A": {"Type": "Pass", "Assign": {"t": "{% $states.input.t %}", "n": "{% $states.input.n %}"}, "Next": "B"},
        "B": a_pass(Output={"t": "{% $t %}", "n": "{% $n %}"}),
    }
    assert output(asl, states, {"t": text, "n": number}) == {"t": text, "n": number}
