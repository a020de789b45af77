"""What AWS does with states in JSONata, a check for each fix; test_moto_fixes.py runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

CHECKS: dict[str, Callable[[Any], None]] = {}
HERE = {"Type": "Pass", "Output": "caught", "End": True}


def check(function: Callable[[Any], None]) -> Callable[[Any], None]:
    CHECKS[function.__name__] = function
    return function


def run(asl: Any, states: Any, given: Any = None) -> Any:
    """The execution of a machine in JSONata, its history with it."""
    arn = asl.start(states, given)
    told = asl.ended(arn)
    told["events"] = asl.api.get_execution_history(executionArn=arn)["events"]
    return told


def output(asl: Any, states: Any, given: Any = None) -> Any:
    told = run(asl, states, given)
    assert told["status"] == "SUCCEEDED", (told["error"], told["cause"])
    return json.loads(told["output"])


def a_pass(**fields: Any) -> Any:
    return {"Type": "Pass", "End": True, **fields}


def branch(**states: Any) -> Any:
    return {"StartAt": next(iter(states)), "States": states}


@check
def expressions_are_evaluated(asl: Any) -> None:
    text = "a \"quoted\" 'text'\\ with\nlines, {% %} and 😀"
    states = {
        "A": {"Type": "Pass", "Assign": {"t": "{% $states.input.t %}", "n": 350}, "Next": "B"},
        "B": a_pass(
            Output={"t": "{% $t & '!' %}", "n": ["{% $n %}", 1.5], "e": "{% $states.context.Execution.Name %}"}
        ),
    }
    assert output(asl, states, {"t": text}) == {"t": f"{text}!", "n": [350, 1.5], "e": "x"}


@check
def a_failed_evaluation_is_one_event(asl: Any) -> None:
    """As recorded on AWS."""
    told = run(asl, {"S": a_pass(Output={"result": "{% $doesNotExist %}"})})
    said = (
        "An error occurred while executing the state 'S' (entered at the event id #2). The JSONata expression "
        "'$doesNotExist' specified for the field 'Output/result' returned nothing (undefined)."
    )
    assert [(event["id"], event["previousEventId"], event["type"]) for event in told["events"][2:]] == [
        (3, 0, "EvaluationFailed"),
        (4, 3, "ExecutionFailed"),
    ]
    details = {"error": "States.QueryEvaluationError", "cause": said}
    assert told["events"][2]["evaluationFailedEventDetails"] == {**details, "location": "Output/result", "state": "S"}
    assert told["events"][3]["executionFailedEventDetails"] == details


@check
def output_and_arguments_fail_within_the_state(asl: Any) -> None:
    catch = [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "P"}]
    parallel = {"Type": "Parallel", "Branches": [branch(A=a_pass())], "Catch": catch, "End": True}
    assert output(asl, {"S": {**parallel, "Output": "{% $missing %}"}, "P": HERE}) == "caught"
    assert output(asl, {"S": {**parallel, "Arguments": "{% $missing %}"}, "P": HERE}) == "caught"
    assert output(asl, {"S": {**parallel, "Arguments": {"a": "{% 1 %}"}}, "P": HERE}) == [{"a": 1}]


@check
def output_sees_the_variables_of_before(asl: Any) -> None:
    states = {
        "A": {"Type": "Pass", "Assign": {"v": 1}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"v": 2, "w": "{% $v %}"}, "Output": "{% $v %}", "Next": "C"},
        "C": a_pass(Output=["{% $states.input %}", "{% $v %}", "{% $w %}"]),
    }
    assert output(asl, states) == [1, 2, 1]


@check
def assigned_variables_are_json(asl: Any) -> None:
    told = run(asl, {"A": a_pass(Assign={"t": "{% 'a \"b\"' %}", "n": [1]})})
    [exited] = [event["stateExitedEventDetails"] for event in told["events"] if event["type"] == "PassStateExited"]
    assert exited["assignedVariables"] == {"n": "[1]", "t": '"a \\"b\\""'}


@check
def a_choice_knows_whether_a_rule_matched(asl: Any) -> None:
    rule = {"Condition": "{% $states.input.a = 1 %}", "Assign": {"by": "rule"}, "Next": "P"}
    choice = {"Type": "Choice", "Choices": [rule], "Assign": {"by": "default"}, "Default": "P"}
    states = {"C": choice, "P": a_pass(Output="{% $by %}")}
    assert [output(asl, states, {"a": number}) for number in (1, 2)] == ["rule", "default"]
    told = run(asl, {"C": {"Type": "Choice", "Choices": [rule]}, "P": HERE}, {"a": 2})
    assert (told["status"], told["error"]) == ("FAILED", "States.NoChoiceMatched")


@check
def there_is_no_result_before_the_end(asl: Any) -> None:
    keys = "{% $keys($states) %}"
    states = {"A": {"Type": "Pass", "Next": "S"}, "S": {"Type": "Succeed", "Output": keys}}
    assert output(asl, states) == ["input", "context"]


@check
def the_context_is_whole(asl: Any) -> None:
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Arguments": {"TopicArn": asl.api_topic(), "Message": "{% $states.context.Map.Item.Value & '' %}"},
        "Output": "{% $states.context.Map.Item.Index %}",
        "End": True,
    }
    a_map = {"Type": "Map", "Items": ["a", "b"], "ItemProcessor": branch(T=publish), "Next": "E"}
    counts = ["{% $states.context.State.RetryCount %}", "{% $states.context.Execution.RedriveCount %}"]
    assert output(asl, {"M": a_map, "E": a_pass(Output=["{% $states.input %}", *counts])}) == [[0, 1], 0, 0]
    written = output(asl, {"E": a_pass(Output="{% $states.context.Execution.StartTime %}")})
    assert written.endswith("Z") and len(written) == len("2026-11-29T20:00:00.000Z")


@check
def strings_of_a_definition_are_json(asl: Any) -> None:
    text = 'a "b" \\ c\n/😀é'
    states = {
        text: {"Type": "Pass", "Assign": {"v": text}, "Output": {text: text}, "Next": "E"},
        "E": a_pass(Output=["{% $v %}", "{% $states.input %}", f"{{% $states.input.`{text}` & '😀' %}}"]),
    }
    assert output(asl, states) == [text, {text: text}, f"{text}😀"]
