"""What the self-check finds, and what it leaves alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from stepgluon.selfcheck import findings, worst_case_events
from stepgluon.selfcheck.intrinsics import expression
from stepgluon.selfcheck.paths import Malformed, parse_path

GOOD = Path(__file__).with_name("selfcheck") / "good.asl.json"


def machine(states: dict[str, Any], start: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"StartAt": start or next(iter(states)), "TimeoutSeconds": 60, "States": states, **fields}


def after(template: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """A machine whose data are what the template makes, and Pass states after it."""
    states: dict[str, Any] = {"s0": {"Type": "Pass", "Parameters": template}}
    for number, state in enumerate(more, 1):
        states[f"s{number - 1}"]["Next"] = f"s{number}"
        states[f"s{number}"] = {"Type": "Pass", **state}
    states[f"s{len(more)}"]["End"] = True
    return machine(states)


def task(parameters: dict[str, Any], resource: str = "arn:aws:states:::sns:publish", **fields: Any) -> dict[str, Any]:
    state = {"Type": "Task", "Resource": resource, "Parameters": parameters, "TimeoutSeconds": 60, "End": True}
    catch = {"ErrorEquals": ["States.ALL"], "Next": "failed"}
    return machine({"task": {**state, "Catch": [catch], **fields}, "failed": {"Type": "Fail", "Error": "Failed"}})


def codes(definition: dict[str, Any]) -> list[str]:
    return [finding.code for finding in findings(definition)]


def test_a_good_definition_has_no_finding() -> None:
    text = GOOD.read_text(encoding="utf-8")
    assert findings(json.loads(text), text) == []
    assert findings(json.loads(text)) == []


def test_the_definition_stays_as_it_was() -> None:
    definition = json.loads(GOOD.read_text(encoding="utf-8"))
    before = copy.deepcopy(definition)
    findings(definition)
    assert definition == before


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_a_good_definition_is_good_in_every_partition(partition: str) -> None:
    text = GOOD.read_text(encoding="utf-8").replace("arn:aws:", f"arn:{partition}:")
    assert findings(json.loads(text), text) == []


def test_a_finding_names_its_state_and_what_to_do() -> None:
    definition = json.loads(GOOD.read_text(encoding="utf-8"))
    definition["States"]["Prepare"]["Next"] = "Trian"
    (finding,) = findings(definition)
    assert (finding.code, finding.state) == ("target", "Prepare")
    assert finding.message == "Next leads to 'Trian', which does not exist; did you mean Train?"


@pytest.mark.parametrize(
    "text",
    [
        "$",
        "$$",
        "$.a",
        "$.a.b",
        "$.a-b",
        "$['a']",
        "$['a b'].c",
        '$["a"]',
        "$['it\\'s']",
        "$.a[0]",
        "$.a[-1]",
        "$.a[0][1].b",
        "$.a[*]",
        "$.a[0,1]",
        "$.a[0:2]",
        "$.a[:2]",
        "$.a[-2:]",
        "$..a",
        "$..*",
        "$.*",
        "$..['a']",
        "$['a','b']",
        "$.a.length()",
        "$.a[?(@.b == 'c')]",
        "$.a[?(@.b > 1 && @.c)].d",
        "$$.Execution.Name",
        "$.größe",
    ],
)
def test_every_form_of_a_jsonpath_is_understood(text: str) -> None:
    assert not isinstance(parse_path(text), Malformed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "$a",
        "$.",
        "$.a.",
        "$. a",
        "$.a b",
        "$.a[",
        "$.a[]",
        "$.a[x]",
        "$.a['b]",
        "$.a]",
        "$...a",
        "$.a[?()]",
        "$.a[?(@.b]",
        "$$$.a",
    ],
)
def test_what_is_no_jsonpath_is_refused(text: str) -> None:
    assert isinstance(parse_path(text), Malformed)


@pytest.mark.parametrize(
    "text",
    [
        "States.Format('a')",
        "States.Format('{} {}', $.a, 'b')",
        r"States.Format('it\'s \{{}\} \\', $.a)",
        "States.Format($.a, $.b)",
        "States.Format('{}\n{}', $.a[?(@.b == 'x,)')], $$.Execution.Id)",
        "States.StringToJson($.a)",
        "States.JsonToString($)",
        "States.Array()",
        "States.Array(1, 'a', null, true, -1.5, $.a)",
        "States.ArrayPartition($.a, 4)",
        "States.ArrayContains($.a, null)",
        "States.ArrayRange(1, 9, 2)",
        "States.ArrayGetItem($.a, 0)",
        "States.ArrayLength($.a)",
        "States.ArrayUnique($.a)",
        "States.Base64Encode('a')",
        "States.Base64Decode($.a)",
        "States.Hash($.a, 'SHA-512')",
        "States.JsonMerge($.a, $.b, false)",
        "States.MathRandom(1, 9)",
        "States.MathRandom(1, 9, 42)",
        "States.MathAdd($.a, -1)",
        "States.StringSplit('a,b', ',')",
        "States.UUID()",
        "States.UUID( )",
        "States.ArrayGetItem(States.Array(States.UUID()), 0)",
        "States.Format('{}',$.a)",
        "States.Format( '{}' , $.a )",
    ],
)
def test_every_form_of_an_intrinsic_is_understood(text: str) -> None:
    assert not isinstance(expression(text), Malformed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("States.Fromat('a')", "States.Fromat is no intrinsic; did you mean Format?"),
        ("States.Format('{}')", "States.Format has 1 placeholders and 0 values for them"),
        ("States.Format('a', $.b)", "States.Format has 0 placeholders and 1 values for them"),
        ("States.Format()", "States.Format takes 1 or more arguments, not 0"),
        ("States.Format(1)", "argument 1 of States.Format is a whole number, not text"),
        (
            "States.Format('{}', States.Array(1))",
            "argument 2 of States.Format is a list, not text, a number, a boolean or null",
        ),
        ("States.Format('{a}')", r"a brace in the text of States.Format is not escaped as \{ or \}"),
        (r"States.Format('\n')", r"\n is no escape of an intrinsic; only \' \{ \} and \\ are"),
        ("States.Format('a'", "a comma or ) is missing after argument 1 of States.Format"),
        ("States.Format('a') ", "text follows the closing parenthesis: ' '"),
        ("States.Format('a',)", "an argument is expected at ')' (a path, 'text', number or intrinsic)"),
        ('States.Format("a")', "an argument is expected at '\"a\")' (a path, 'text', number or intrinsic)"),
        ("States.Format('{}', $.a.)", "a name is missing or not allowed after '$.a.'"),
        ("States.UUID(1)", "States.UUID takes 0 arguments, not 1"),
        ("States.MathRandom(1)", "States.MathRandom takes 2 to 3 arguments, not 1"),
        ("States.MathRandom(9, 1)", "the start of States.MathRandom must be below its end"),
        ("States.MathAdd(1, 'a')", "argument 2 of States.MathAdd is text, not a number"),
        ("States.Hash($.a, 'SHA-3')", "'SHA-3' is no algorithm of States.Hash (MD5, SHA-1, SHA-256, SHA-384, SHA-512)"),
        (
            "States.JsonMerge($.a, $.b, true)",
            "the third argument of States.JsonMerge must be false; deep merging is not supported",
        ),
        ("States.JsonMerge($.a, 'b', false)", "argument 2 of States.JsonMerge is text, not an object"),
        ("States.ArrayRange(1, 9, 0)", "the step of States.ArrayRange must not be 0"),
        ("States.ArrayPartition($.a, 0)", "States.ArrayPartition needs parts of at least 1"),
        ("States.ArrayGetItem($.a, -1)", "States.ArrayGetItem counts from 0 and takes no negative index"),
        ("States.ArrayGetItem($.a, 1.5)", "argument 2 of States.ArrayGetItem is a number, not a whole number"),
        ("States.Array(" * 11 + ")" * 11, "intrinsics are nested more than 10 deep"),
    ],
)
def test_what_is_wrong_with_an_intrinsic_is_said(text: str, reason: str) -> None:
    assert expression(text) == Malformed(reason)


def test_ten_intrinsics_inside_of_each_other_are_allowed() -> None:
    assert not isinstance(expression("States.Array(" * 10 + ")" * 10), Malformed)


def test_a_path_to_what_no_state_makes_is_found() -> None:
    (finding,) = findings(after({"prepared": {"job": 1}}, {"Parameters": {"job.$": "$.prepard.job"}}))
    assert finding.message == "Parameters.job.$: $.prepard.job leads nowhere: $ holds only prepared"


@pytest.mark.parametrize(
    "path",
    [
        "$.input.anything",
        "$.made.deep",
        "$.list[1]",
        "$.merged.whatever",
        "$.parsed[3].x",
        "$.split[0]",
        "$.list[*].x",
        "$..x",
    ],
)
def test_what_may_be_there_is_no_finding(path: str) -> None:
    template = {
        "input.$": "$",
        "made": {"deep": 1},
        "list": [1, {"x": 2}],
        "merged.$": "States.JsonMerge($, $.b, false)",
        "parsed.$": "States.StringToJson($.text)",
        "split.$": "States.StringSplit($.text, ',')",
    }
    assert codes(after(template, {"Parameters": {"found.$": path}})) == []


@pytest.mark.parametrize(
    "path", ["$.made.x", "$.made.deep.x", "$.list[2]", "$.list.x", "$.merged.c", "$.id.x", "$.gone"]
)
def test_what_cannot_be_there_is_found(path: str) -> None:
    template = {
        "made": {"deep": 1},
        "list": [1, 2],
        "merged.$": r"States.JsonMerge(States.StringToJson('\{\"a\":1\}'), States.StringToJson('\{\"b\":1\}'), false)",
        "id.$": "States.UUID()",
    }
    template["merged.$"] = template["merged.$"].replace(r"\"", '"')
    assert codes(after(template, {"Parameters": {"found.$": path}})) == ["data-path"]


def two_ways(end: dict[str, Any]) -> dict[str, Any]:
    """Only one of the two ways to `end` sets $.b."""
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "one"}], "Default": "end"}
    states = {
        "data": {"Type": "Pass", "Parameters": {"a": 1}, "Next": "choice"},
        "choice": choice,
        "one": {"Type": "Pass", "Result": 2, "ResultPath": "$.b", "Next": "end"},
        "end": end,
        "use": {"Type": "Pass", "Parameters": {"b.$": "$.b"}, "End": True},
        "done": {"Type": "Succeed"},
    }
    return machine(states)


def test_a_key_that_only_one_way_brings_is_missing_on_the_other() -> None:
    definition = two_ways({"Type": "Pass", "Parameters": {"b.$": "$.b"}, "End": True})
    found = [finding for finding in findings(definition) if finding.code != "unreachable"]
    assert [str(finding) for finding in found] == [
        "end: coming from choice, $.b leads nowhere: $ holds only a [data-path]"
    ]


def test_a_choice_may_ask_for_a_key_that_only_one_way_brings() -> None:
    rule = {"Variable": "$.b", "IsPresent": True, "Next": "use"}
    assert codes(two_ways({"Type": "Choice", "Choices": [rule], "Default": "done"})) == []


def test_what_a_loop_brings_back_may_be_anything() -> None:
    states = {
        "data": {"Type": "Pass", "Parameters": {"a": 1}, "Next": "choice"},
        "choice": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.b", "IsNull": True, "Next": "again"}],
            "Default": "end",
        },
        "again": {"Type": "Pass", "Parameters": {"b": 1}, "Next": "choice"},
        "end": {"Type": "Succeed"},
    }
    assert codes(machine(states)) == []


def test_the_answer_of_a_service_has_only_its_own_keys() -> None:
    parameters = {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:x", "Message": "m"}
    assert codes(task(parameters, ResultSelector={"id.$": "$.MessageId"})) == []
    (finding,) = findings(task(parameters, ResultSelector={"id.$": "$.MessagId"}))
    assert finding.message == "ResultSelector.id.$: $.MessagId leads nowhere: the service's answer has no MessagId in $"


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("States.Format('{}', $$.Execution.Name)", []),
        ("States.Format('{} has twenty letters!', $$.Execution.Name)", ["subject-length"]),
        ("States.Format('{}\n', $$.State.RetryCount)", ["subject-text"]),
        ("States.Format('caf\u00e9 {}', $.anything)", ["subject-text"]),
        ("$.anything", []),
    ],
)
def test_the_longest_subject_fits_in_a_mail(subject: str, code: list[str]) -> None:
    parameters = {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:x", "Message": {"any": "JSON"}, "Subject.$": subject}
    assert codes(task(parameters)) == code


def test_the_error_of_a_service_is_counted_as_its_longest() -> None:
    parameters = {"TopicArn": "arn:aws:sns:eu-west-1:123456789012:x", "Message": "m"}
    definition = task(parameters)
    mail = {**definition["States"]["task"], "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "end"}]}
    mail["Parameters"] = {**parameters, "Subject.$": "States.Format('{}', $.Error)"}
    definition["States"] |= {"failed": mail, "end": {"Type": "Fail"}}
    (finding,) = findings(definition)
    assert (finding.code, finding.state) == ("subject-length", "failed")


def test_what_is_missing_is_told_in_the_order_of_the_alphabet() -> None:
    found = findings(task({}, "arn:aws:states:::sagemaker:createProcessingJob.sync"))
    assert [finding.message.split()[2].rstrip(";") for finding in found] == [
        "AppSpecification",
        "ProcessingJobName",
        "ProcessingResources",
        "RoleArn",
    ]


def test_a_job_name_of_random_characters_is_fresh_for_each_attempt() -> None:
    parameters = {
        "TrainingJobName.$": "States.Format('job-{}', States.UUID())",
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/x"},
    }
    retry = [{"ErrorEquals": ["States.TaskFailed"]}]
    assert codes(task(parameters, "arn:aws:states:::sagemaker:createTrainingJob.sync", Retry=retry)) == []


def test_a_name_of_an_execution_does_not_fit_into_a_job_name() -> None:
    parameters = {
        "TrainingJobName.$": "States.Format('{}-{}', $$.Execution.Name, $$.Execution.RedriveCount)",
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/x"},
    }
    assert codes(task(parameters, "arn:aws:states:::sagemaker:createTrainingJob.sync")) == ["parameter-length"]


def test_the_longest_execution_uses_up_every_retry() -> None:
    retry = [{"ErrorEquals": ["SNS.X"], "MaxAttempts": 2}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]
    call = {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Retry": retry, "End": True}
    job = {**call, "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync"}
    assert worst_case_events(machine({"call": call})) == 2 + 2 + 4 * 3
    assert worst_case_events(machine({"job": job})) == 2 + 2 + 2 * 4 + 2 * 3
    branches = [{"StartAt": name, "States": {name: {"Type": "Pass", "End": True}}} for name in "abc"]
    parallel = {"Type": "Parallel", "Branches": branches, "End": True}
    assert worst_case_events(machine({"parallel": parallel})) == 2 + 2 + 2 + 3 * 2
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": True, "Next": "end"}], "Default": "call"}
    assert worst_case_events(machine({"choice": choice, "call": call, "end": {"Type": "Succeed"}})) == 2 + 2 + 14


def test_the_causes_of_many_failed_jobs_do_not_fit_into_the_data() -> None:
    def branch(name: str) -> dict[str, Any]:
        inner = task({"Name": name}, "arn:aws:states:::glue:startJobRun.sync")["States"]["task"]
        inner |= {"Parameters": {"JobName": name}, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": f"no {name}"}]}
        return {"StartAt": name, "States": {name: inner, f"no {name}": {"Type": "Pass", "End": True}}}

    def machine_of(count: int) -> dict[str, Any]:
        catch = [{"ErrorEquals": ["States.ALL"], "Next": "failed"}]
        branches = [branch(f"job {number}") for number in range(count)]
        parallel = {"Type": "Parallel", "Branches": branches, "Catch": catch, "Next": "end"}
        return machine({"all": parallel, "end": {"Type": "Succeed"}, "failed": {"Type": "Fail"}})

    assert codes(machine_of(50)) == []
    (finding,) = findings(machine_of(70))
    assert (finding.code, finding.state) == ("payload-size", "all")


def test_a_long_chain_of_states_is_no_problem() -> None:
    states: dict[str, Any] = {f"s{n}": {"Type": "Pass", "Next": f"s{n + 1}"} for n in range(5000)}
    states["s5000"] = {"Type": "Succeed"}
    assert codes(machine(states)) == []


def _everywhere(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, item in inner for found in _everywhere(item, (*place, key)))]


@pytest.mark.parametrize("wrong", [None, 0, -1.5, "", "x", True, [], [None], {}, {"x": None}], ids=repr)
def test_whatever_is_broken_the_check_says_so_or_is_silent_but_never_fails(wrong: Any) -> None:
    good = json.loads(GOOD.read_text(encoding="utf-8"))
    for place in _everywhere(good)[1:]:
        holder = good
        for key in place[:-1]:
            holder = holder[key]
        kept, holder[place[-1]] = holder[place[-1]], wrong
        for finding in findings(good):
            assert finding.message
        holder[place[-1]] = kept
    assert findings(good) == []
