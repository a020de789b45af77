"""What the self-check finds, and what it leaves alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from stepgluon.selfcheck import SelfCheck, findings, worst_case_events
from stepgluon.selfcheck.expressions import names
from stepgluon.selfcheck.rehearsal import Visit

FOLDER = Path(__file__).with_name("selfcheck")
GOOD = FOLDER / "good.asl.json"
OTHER = FOLDER / "other.asl.json"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:x"


def e(text: str) -> str:
    return "{% " + text + " %}"


def machine(states: dict[str, Any], start: str | None = None, **fields: Any) -> dict[str, Any]:
    top = {"QueryLanguage": "JSONata", "StartAt": start or next(iter(states)), "TimeoutSeconds": 60}
    return {**top, "States": states, **fields}


def chain(*states: dict[str, Any]) -> dict[str, Any]:
    """Pass states one after the other."""
    made: dict[str, Any] = {}
    for number, state in enumerate(states):
        made[f"s{number}"] = {"Type": "Pass", **state, "Next": f"s{number + 1}"}
    return machine({**made, f"s{len(states)}": {"Type": "Succeed"}})


def task(arguments: Any, resource: str = "arn:aws:states:::sns:publish", **fields: Any) -> dict[str, Any]:
    state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "TimeoutSeconds": 60, "End": True}
    return machine({"task": {**state, **fields}})


def visits(definition: dict[str, Any]) -> list[Visit]:
    seen: list[Visit] = []
    SelfCheck(definition, seen.append)
    return seen


def codes(definition: dict[str, Any]) -> list[str]:
    return [finding.code for finding in findings(definition)]


@pytest.mark.parametrize("file", [GOOD, OTHER], ids=["good", "other"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_good_definition_has_no_finding_in_any_partition(file: Path, partition: str) -> None:
    text = file.read_text(encoding="utf-8").replace("arn:aws:", f"arn:{partition}:")
    assert findings(json.loads(text), text) == []
    assert findings(json.loads(text)) == []


def test_the_definition_stays_as_it_was() -> None:
    definition = json.loads(GOOD.read_text(encoding="utf-8"))
    before = copy.deepcopy(definition)
    findings(definition)
    assert definition == before


def test_a_finding_names_its_state_and_what_to_do() -> None:
    definition = json.loads(GOOD.read_text(encoding="utf-8"))
    definition["States"]["Prepare"]["Next"] = "Trian"
    (finding,) = findings(definition)
    assert (finding.code, finding.state) == ("target", "Prepare")
    assert finding.message == "Next leads to 'Trian', which does not exist; did you mean Train?"


def test_a_finding_of_the_rehearsal_names_field_and_scenario() -> None:
    definition = json.loads(GOOD.read_text(encoding="utf-8"))
    branch = definition["States"]["Train"]["Branches"][0]["States"]
    branch["Train boots"]["Catch"][0]["Assign"]["failure"] = e("$states.errorOutput.Cause")
    (finding,) = findings(definition)
    assert (finding.code, finding.state) == ("expression-undefined", "Train boots")
    assert finding.message == "Catch[0].Assign.failure: it is undefined (Train boots times out)"


@pytest.mark.parametrize(
    ("text", "variables", "functions"),
    [
        ("$a & '$b' & \"$c\" & `$d`", {"a"}, set()),
        ("($x := $a; $x + $y) /* $z */", {"a", "y"}, set()),
        ("$map($list, function($v, $i) {$v.name & $i})", {"list"}, set()),
        ("$replace($a, /\\$b \\/ $c/, '')", {"a"}, set()),
        ("$a / $b / $c", {"a", "b", "c"}, set()),
        ("$mine(1) ~> $yours($b)", {"b"}, {"mine", "yours"}),
        ("$map($list, $uppercase)", {"list"}, set()),
        ("$states.context.Execution.Name & $states.input", set(), set()),
    ],
)
def test_what_an_expression_reads_is_found_outside_of_texts(
    text: str, variables: set[str], functions: set[str]
) -> None:
    found = names(text)
    assert (found.variables, found.functions) == (variables, functions)


def test_what_may_be_there_is_no_finding() -> None:
    lambda_ = task(
        {"FunctionName": "f"}, "arn:aws:states:::lambda:invoke", Output=e("$states.result.Payload.any.thing")
    )
    assert codes(lambda_) == []
    file = task({"Bucket": "my-bucket", "Key": "any.json"}, "arn:aws:states:::aws-sdk:s3:getObject")
    file["States"]["task"]["Output"] = e("$parse($states.result.Body).any.thing")
    assert codes(file) == []


def test_the_items_of_a_file_may_be_anything() -> None:
    last = {"Type": "Pass", "Output": e("$states.input.Items.any.thing"), "End": True}
    resource = "arn:aws:states:::s3:getObject"
    file = {"Bucket": "my-bucket", "Key": "any.json"}
    reads = {"ItemReader": {"Resource": resource, "Arguments": file}, "ItemBatcher": {"MaxItemsPerBatch": 2}}
    writes = {"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject"}, "Output": e("$states.result.any.thing")}
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "last", "States": {"last": last}}
    each = {"Type": "Map", **reads, **writes, "ItemProcessor": processor, "End": True}
    assert codes(machine({"each": each})) == []
    del each["ItemReader"]
    assert codes(machine({"each": {**each, "Items": [1]}})) == []


def test_an_undefined_value_is_found_where_aws_would_fail_only() -> None:
    assert codes(chain({"Output": {"a": 1}}, {"Output": e("{'b': $states.input.b}")})) == []
    assert codes(chain({"Output": {"a": 1}}, {"Output": e("$states.input.b")})) == ["expression-undefined"]
    assert codes(chain({"Output": {"a": 1}}, {"Output": {"b": e("$states.input.b")}})) == ["expression-undefined"]


def test_an_error_on_purpose_is_no_finding() -> None:
    assert codes(chain({"Output": e("$error('no model was promoted')")})) == []


def test_a_variable_is_seen_where_a_way_to_it_assigns_it() -> None:
    choice = {
        "Type": "Choice",
        "Choices": [{"Condition": e("$exists($states.input.a)"), "Next": "one"}],
        "Default": "end",
    }
    states = {
        "choice": choice,
        "one": {"Type": "Pass", "Assign": {"b": 1}, "Next": "end"},
        "end": {"Type": "Succeed", "Output": e("$b")},
    }
    (finding,) = findings(machine(states))
    assert (finding.code, finding.state) == ("variable-unassigned", "end")
    assert finding.message == "Output: it reads $b, which is not assigned on this way (all good)"
    states["choice"]["Assign"] = {"b": 0}
    assert codes(machine(states)) == []


def test_a_branch_sees_outer_variables_and_keeps_its_own() -> None:
    def branch(number: int) -> dict[str, Any]:
        own = {"Type": "Pass", "Assign": {"own": e(f"$shared + {number}")}, "Next": f"b{number}"}
        return {"StartAt": f"a{number}", "States": {f"a{number}": own, f"b{number}": last(number)}}

    def last(number: int) -> dict[str, Any]:
        return {"Type": "Pass", "Output": e("$own"), "End": True}

    parallel = {"Type": "Parallel", "Branches": [branch(1), branch(2)], "Next": "end"}
    end = {"Type": "Succeed", "Output": e("$string($sum($states.input) = 3 ? 'three' : $error('not three'))")}
    states = {"start": {"Type": "Pass", "Assign": {"shared": 0}, "Next": "all"}, "all": parallel, "end": end}
    assert codes(machine(states)) == []
    end["Output"] = e("$own")
    assert codes(machine(states)) == ["variable-inside"]


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("$states.context.Execution.Name", []),
        ("$states.context.Execution.Name & ' has twenty letters!'", ["subject-length"]),
        ("$states.context.State.RetryCount & '\\n'", ["subject-text"]),
        ("'caf\u00e9 '", ["subject-text"]),
        ("' begins with a space'", ["subject-text"]),
    ],
)
def test_the_longest_subject_fits_in_a_mail(subject: str, code: list[str]) -> None:
    arguments = {"TopicArn": TOPIC, "Message": {"any": "JSON"}, "Subject": e(subject)}
    assert codes(task(arguments)) == code


def test_what_is_missing_is_told_in_the_order_of_the_alphabet() -> None:
    found = findings(task({}, "arn:aws:states:::sagemaker:createProcessingJob.sync"))
    assert [finding.message for finding in found] == [
        "Arguments.AppSpecification: it is missing (all good)",
        "Arguments.ProcessingJobName: it is missing (all good)",
        "Arguments.ProcessingResources: it is missing (all good)",
        "Arguments.RoleArn: it is missing (all good)",
    ]


TRAINING = {"RoleArn": "arn:aws:iam::123456789012:role/job", "OutputDataConfig": {"S3OutputPath": "s3://bucket/x"}}
TRAIN = "arn:aws:states:::sagemaker:createTrainingJob.sync"


def test_a_name_of_an_execution_does_not_fit_into_a_job_name() -> None:
    name = e("$states.context.Execution.Name & '-' & $states.context.Execution.RedriveCount")
    assert codes(task({**TRAINING, "TrainingJobName": name}, TRAIN)) == ["parameter-length"]


def test_a_job_name_of_random_characters_is_fresh_for_each_run_only() -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"]}]
    name = e("'job-' & $uuid()")
    assert codes(task({**TRAINING, "TrainingJobName": name}, TRAIN, Retry=retry)) == []
    kept = task({**TRAINING, "TrainingJobName": e("'job-' & $id")}, TRAIN, Retry=retry)
    kept["States"] = {"id": {"Type": "Pass", "Assign": {"id": e("$uuid()")}, "Next": "task"}, **kept["States"]}
    assert codes({**kept, "StartAt": "id"}) == ["job-name-retry", "job-name-redrive"]


def test_the_longest_execution_uses_up_every_retry() -> None:
    retry = [{"ErrorEquals": ["SNS.X"], "MaxAttempts": 2}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]
    mail = {"TopicArn": TOPIC, "Message": "m"}
    call = task(mail, Retry=retry)["States"]["task"]
    name = e("'job-' & $uuid()")
    job = task({**TRAINING, "TrainingJobName": name}, TRAIN, Retry=retry)["States"]["task"]
    assert worst_case_events(machine({"call": call})) == 2 + 2 + 4 * 3
    assert worst_case_events(machine({"job": job})) == 2 + 2 + 2 * 4 + 2 * 3
    branches = [{"StartAt": name, "States": {name: {"Type": "Pass", "End": True}}} for name in "abc"]
    assert (
        worst_case_events(machine({"all": {"Type": "Parallel", "Branches": branches, "End": True}}))
        == 2 + 2 + 2 + 3 * 2
    )


def looping(tries: int) -> dict[str, Any]:
    """A job that is tried again by a Choice."""
    arguments = {**TRAINING, "TrainingJobName": e("'job-' & $uuid()")}
    job = task(arguments, TRAIN)["States"]["task"]
    catch = {"ErrorEquals": ["States.ALL"], "Assign": {"failures": e("$failures + 1")}, "Next": "again?"}
    choice = {"Type": "Choice", "Choices": [{"Condition": e(f"$failures <= {tries}"), "Next": "job"}], "Default": "no"}
    return machine({
        "start": {"Type": "Pass", "Assign": {"failures": 0}, "Next": "job"},
        "job": {**{k: v for k, v in job.items() if k != "End"}, "Catch": [catch], "Next": "after"},
        "again?": choice,
        "after": {"Type": "Pass", "Next": "end"},
        "end": {"Type": "Succeed"},
        "no": {"Type": "Fail"},
    })  # fmt: skip


@pytest.mark.parametrize("tries", [0, 1, 5])
def test_each_turn_of_a_loop_is_counted(tries: int) -> None:
    # start, one try more than may be repeated, each with its question but the last, and the two states after it
    assert worst_case_events(looping(tries)) == 2 + 2 + (tries + 1) * (2 + 4) + tries * 2 + 2 * 2


def many_models(count: int, prefix: str = "m") -> dict[str, Any]:
    def branch(place: int) -> dict[str, Any]:
        name = f"{prefix}{place}"
        arguments = {**TRAINING, "TrainingJobName": e(f"$models[{place}].job & '-' & $uuid()")}
        job = task(arguments, TRAIN)["States"]["task"]
        catch = [{"ErrorEquals": ["States.ALL"], "Output": e("$states.errorOutput"), "Next": f"No {name}"}]
        states = {
            f"Train {name}": {**job, "Output": {"name": name}, "Catch": catch},
            f"No {name}": {"Type": "Pass", "End": True},
        }
        return {"StartAt": f"Train {name}", "States": states}

    models = [{"name": f"{prefix}{place}", "job": f"job-{place}", "threshold": 350 + place} for place in range(count)]
    states = {
        "Begin": {"Type": "Pass", "Assign": {"models": models}, "Next": "All"},
        "All": {"Type": "Parallel", "Branches": [branch(place) for place in range(count)], "Next": "End"},
        "End": {"Type": "Succeed"},
    }
    return machine(states)


def test_of_branches_alike_a_few_are_rehearsed_and_all_are_counted() -> None:
    few, all_ = many_models(4), many_models(200)
    assert findings(all_) == []
    assert len(visits(all_)) == len(visits(few)) < 200
    each = (worst_case_events(few) - (2 + 2 + 4 + 2)) // 4
    assert worst_case_events(all_) == 2 + 2 + 4 + 2 + 200 * each


def test_a_model_may_be_named_as_its_index() -> None:
    named = many_models(12, "")
    assert findings(named) == [] and len(visits(named)) == len(visits(many_models(12)))


@pytest.mark.parametrize("place", [0, 1, 2, 117, 199])
@pytest.mark.parametrize("what", ["index", "field", "entry"])
def test_a_branch_that_is_not_like_the_others_is_rehearsed_too(place: int, what: str) -> None:
    definition = many_models(200)
    state = definition["States"]["All"]["Branches"][place]["States"][f"Train m{place}"]
    if what == "index":
        state["Arguments"]["TrainingJobName"] = e("$models[200].job & '-' & $uuid()")
    elif what == "field":
        state["Arguments"]["RoleArn"] = "job"
    else:
        definition["States"]["Begin"]["Assign"]["models"][place]["job"] = "no_job" * 20
    assert {finding.state for finding in findings(definition)} == {f"Train m{place}"}


def test_the_causes_of_many_failed_jobs_do_not_fit_into_the_data() -> None:
    assert codes(many_models(150)) == []
    found = findings(many_models(400))
    assert {(finding.code, finding.state) for finding in found} == {("payload-size", "All"), ("payload-size", "End")}


def test_each_visit_of_a_state_can_be_watched() -> None:
    seen = visits(json.loads(GOOD.read_text(encoding="utf-8")))
    mails = [visit for visit in seen if visit.name == "Announce failure"]
    assert {visit.error for visit in seen if visit.name == "Failed"} > {"States.TaskFailed"}
    assert all(isinstance(visit.request["Subject"], str) and visit.following == "Failed" for visit in mails)
    prepared = {visit.before.variables["prepared"] for visit in seen if visit.name == "Train"}
    assert len(prepared) == 2, "one job of each run"


def test_a_long_chain_of_states_is_no_problem() -> None:
    states: dict[str, Any] = {f"s{n}": {"Type": "Pass", "Next": f"s{n + 1}"} for n in range(2000)}
    states["s2000"] = {"Type": "Succeed"}
    assert codes(machine(states)) == []


def _everywhere(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, item in inner for found in _everywhere(item, (*place, key)))]


WRONG = [None, 0, -1.5, "", "x", True, [], [None], {}, {"x": None}, "{% $x %}", "{% 1 %}"]


@pytest.mark.parametrize("number", range(len(WRONG)), ids=lambda number: repr(WRONG[number]))
@pytest.mark.parametrize("file", [GOOD, OTHER], ids=["good", "other"])
def test_whatever_is_broken_the_check_says_so_or_is_silent_but_never_fails(number: int, file: Path) -> None:
    good = json.loads(file.read_text(encoding="utf-8"))
    for place in _everywhere(good)[1 + number :: 5 * len(WRONG)]:
        holder = good
        for key in place[:-1]:
            holder = holder[key]
        kept, holder[place[-1]] = holder[place[-1]], WRONG[number]
        for finding in findings(good):
            assert finding.message
        holder[place[-1]] = kept
    assert findings(good) == []
