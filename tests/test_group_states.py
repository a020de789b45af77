"""The machine with one model for each value found in the data, rehearsed with the files of its jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.graph import render
from stepgluon.selfcheck import findings
from stepgluon.selfcheck.answers import LOST, MISTAKE, Fault
from stepgluon.selfcheck.group_answers import NAMES, WRITTEN, group, headline, predictions, results
from stepgluon.selfcheck.rehearsal import Rehearsal, Visit
from stepgluon.selfcheck.report import Report
from stepgluon.selfcheck.scenarios import Scenarios
from stepgluon.selfcheck.scopes import scopes
from stepgluon.selfcheck.state_fields import Shared
from stepgluon.workflow.compile import Definition, compile_definition

CONFIG = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {partition_by: store_id, label: sales_kg, threshold: 350, min_rows: 50, otherwise: promoted}
fan_out: {models_per_job: 50, jobs_at_once: 200}
"""
ANY = "fallback: {when: any, if_missing: fail}\n"
MAP = "Train and predict groups"
REJECTED = results(1e300)
GOOD_AND_BAD = {"models": [REJECTED["models"][0], results()["models"][1]]}


@cache
def compiled(more: str = "", old: str = "", new: str = "") -> Definition:
    return compile_definition(loads(CONFIG.replace(old, new) + more, "config.yml", None, {}), workflow)


class Told:
    """A rehearsal: the requests of each state, in order, and what the states put out."""

    def __init__(self, definition: Definition, files: Mapping[str, Any], faults: Mapping[str, Fault], **scenario: Any):
        report, self.requests, self.visited, self.ended = Report(), dict[str, list[Any]](), list[str](), ""
        root = scopes(definition.asl)
        shared = Shared(report, self.watch)
        make = Scenarios(root)._make
        Rehearsal(root, shared, make("before", retried=False, **scenario))  # writes markers, and choices of groups
        self.before, self.requests, self.visited = self.requests, {}, []
        self.run = Rehearsal(root, shared, make("", files=files, faults=faults, retried=False, **scenario))
        assert report.findings == []

    def watch(self, visit: Visit) -> None:
        self.requests.setdefault(visit.name, []).append(visit.request)
        self.visited.append(visit.name)
        self.ended = visit.error

    def choices(self, state: str = "Record choices") -> dict[str, Any]:
        return {one["name"]: one for one in self.requests[state][-1]["Body"]["models"]}

    def uses(self) -> list[str]:
        return [one["uses"] for one in self.choices().values()]


def told(
    files: Mapping[str, Any] | None = None, faults: Mapping[str, Fault] | None = None, more: str = "", **scenario: Any
) -> Told:
    return Told(compiled(more), files or {}, faults or {}, **scenario)


def test_the_definition_has_the_same_small_size_whatever_the_number_of_models() -> None:
    for more in ("", ANY):
        assert len(compiled(more).text.encode()) < 50_000
    few, many = (compiled("", "jobs_at_once: 200", f"jobs_at_once: {number}").text for number in (20, 100))
    assert abs(len(few) - len(many)) <= 9  # how often throttled calls are tried, and the machine's timeout


def test_a_group_is_a_child_execution_whose_failure_costs_its_models_only() -> None:
    state = compiled().asl["States"][MAP]
    assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert (state["MaxConcurrency"], state["ToleratedFailurePercentage"]) == (200, 100)
    assert state["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
    broken = told(faults={"Read group": Fault("States.DataLimitExceeded")})
    assert "Train group" not in broken.visited
    assert len(broken.requests["List predictions"][0]["Body"]) == 2  # the prefix and the profile
    assert broken.visited[-1] == "Done"


def test_the_picture_says_that_groups_are_child_executions() -> None:
    assert "Train and predict groups  a child execution for each item, 200 at once" in render(
        compiled().asl, "text", ""
    )


def test_two_hundred_jobs_that_start_at_once_wait_for_each_other() -> None:
    train = compiled().asl["States"][MAP]["ItemProcessor"]["States"]["Train group"]
    throttled = train["Retry"][0]
    assert throttled["ErrorEquals"] == ["SageMaker.AmazonSageMakerException"]
    assert throttled["JitterStrategy"] == "FULL"
    assert (throttled["MaxAttempts"], throttled["MaxDelaySeconds"]) == (12, 60)


def test_the_models_of_a_group_are_trained_in_one_job_which_finds_what_an_earlier_try_finished() -> None:
    (request,) = told().requests["Train group"]
    assert request["HyperParameters"] == {"group": "g0000"}
    place = request["OutputDataConfig"]["S3OutputPath"]
    assert request["CheckpointConfig"] == {"S3Uri": f"{place}/checkpoints/", "LocalPath": "/opt/ml/checkpoints"}
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in request["InputDataConfig"]}
    assert channels["data"].endswith("/prepared/groups/g0000/")
    assert channels["todo"].endswith("/todo/g0000/")
    assert len(request["TrainingJobName"]) <= 63
    again = told(faults={"Train group": Fault("States.TaskFailed", LOST, 1)}).requests["Train group"]
    assert again[0]["CheckpointConfig"] == again[1]["CheckpointConfig"]
    assert again[0]["TrainingJobName"] != again[1]["TrainingJobName"]


def test_a_fresh_run_finds_no_models_that_earlier_runs_have_finished() -> None:
    (request,) = told({"group marker": WRITTEN}, input={"fresh": True}, execution="june").requests["Train group"]
    place = request["OutputDataConfig"]["S3OutputPath"]
    assert request["CheckpointConfig"]["S3Uri"] == f"{place}/june/checkpoints/"


def test_models_are_judged_by_the_rules_of_those_with_a_branch_each() -> None:
    found = told().choices()
    assert list(found) == NAMES
    assert found["north"]["reason"] == "accepted. MAE 0.5 kg (limit 350; always guessing the median: 2.5)."
    assert (found["north"]["uses"], found["north"]["cached"]) == ("trained", False)
    assert found["north"]["key"].startswith("models/groups/g0000/")
    assert found["north"]["key"].endswith("/output/model/north.tar.gz")


@pytest.mark.parametrize(
    ("files", "uses"),
    [
        ({}, ["trained", "trained", "default"]),
        ({"results": REJECTED}, ["default", "default", "default"]),
        ({"results": GOOD_AND_BAD}, ["default", "trained", "default"]),
        ({"results": REJECTED, "group": group(promoted=False)}, ["trained", "trained", "nothing"]),
        ({"results": results(failed=1), "group": group(promoted=False)}, ["nothing", "trained", "nothing"]),
        ({"results": results("NaN")}, ["default", "default", "default"]),
    ],
)
def test_a_rejected_model_is_replaced_by_its_own_default(files: dict[str, Any], uses: list[str]) -> None:
    assert told(files).uses() == uses


def test_a_model_with_too_few_rows_is_left_open_even_if_it_was_promoted_once() -> None:
    open_ = compiled("", "otherwise: promoted", "otherwise: leave_open")
    found = Told(open_, {}, {})
    assert found.uses() == ["trained", "trained", "nothing"]
    assert found.choices()["few"]["reason"] == "rejected. 1 row with a label, fewer than min_rows: 50."


def test_any_rejected_model_of_any_group_replaces_all() -> None:
    assert told(more=ANY).uses() == ["trained", "trained", "default"]
    found = told({"results": GOOD_AND_BAD}, more=ANY)
    assert found.uses() == ["default", "default", "default"]
    message = found.requests["Announce models"][0]["Message"]
    assert "1 of 2 models was rejected, so each partition that has a promoted model uses it. The gaps of" in message
    none = told({"results": GOOD_AND_BAD, "group": group(promoted=False)}, more=ANY)
    assert none.uses() == ["nothing", "nothing", "nothing"]


def test_with_use_trained_rejected_models_predict_where_none_is_promoted() -> None:
    anyway = ANY.replace("fail", "use_trained")
    found = told({"results": GOOD_AND_BAD, "group": group(promoted=False)}, more=anyway)
    assert found.uses() == ["trained", "trained", "nothing"]
    (message,) = (request["Message"] for request in found.requests["Announce models"])
    assert "The other partitions use their own models, also rejected ones." in message
    (message,) = (request["Message"] for request in found.requests["Announce results"])
    assert "Predicted by rejected models, because none is promoted: 1.\n" in message
    assert "All 2 models were accepted" in told(more=anyway).requests["Announce models"][0]["Message"]


def test_a_model_that_failed_costs_itself_and_says_why() -> None:
    found = told({"results": results(failed=1)}).choices()
    assert found["north"]["failure"]["Cause"] == "x" * 487
    assert found["north"]["reason"] == f"rejected. {'x' * 487}."
    assert found["south"]["verdict"] == "accepted"


@pytest.mark.parametrize(("words", "tries"), [(LOST, 2), (MISTAKE, 1)])
def test_a_failed_job_rejects_its_models_after_its_last_try(words: str, tries: int) -> None:
    found = told(faults={"Train group": Fault("States.TaskFailed", words)})
    assert len(found.requests["Train group"]) == tries
    said = words.removeprefix("Not retried: ")
    assert [one["failure"]["Cause"] for one in found.choices().values()][:2] == [said, said]
    assert found.uses() == ["default", "default", "default"]
    assert found.visited[-1] == "Done"


def test_the_marker_keeps_what_was_trained_and_earlier_models_of_the_group() -> None:
    more = group([*NAMES[:2], "new", "more", "few"])
    found = told({"group marker": WRITTEN, "group": more, "results": results(names=["new", "few"])})
    (first,) = found.before["Remember group"]
    assert [one["name"] for one in first["Body"]["models"]] == ["north", "south"]
    assert found.requests["List models to train"][0]["Body"]["models"] == ["new", "more"]
    assert [one["name"] for one in found.requests["Remember group"][0]["Body"]["models"]] == ["new", "north", "south"]
    assert found.choices()["north"]["cached"] is True
    assert found.choices()["north"]["key"] == first["Body"]["models"][0]["key"]
    assert found.choices()["more"]["failure"]["Cause"] == "The training job reported nothing about this model."


def test_what_was_done_before_is_not_done_again() -> None:
    found = told({"group marker": WRITTEN, "predictions marker": WRITTEN})
    assert {"Train group", "Predict group"}.isdisjoint(found.visited)
    assert found.uses() == ["trained", "trained", "default"]
    listed = found.requests["List predictions"][0]["Body"]
    assert [path.rpartition("/")[2] for path in listed[2:]] == ["predictions.parquet", "result.json"]


def test_predictions_in_which_a_model_failed_are_made_again() -> None:
    (marker,) = told({"predictions": predictions(failed=1)}).requests["Remember predictions"]
    assert marker["Body"]["predicted"] == 1
    found = told({"group marker": WRITTEN, "predictions marker": marker["Body"]})
    assert "Train group" not in found.visited
    assert "Predict group" in found.visited


def test_the_job_gets_the_group_s_last_predictions_unless_image_or_environment_have_changed() -> None:
    changed = {"group": group(predict="f" * 64), "group marker": WRITTEN}
    found = told({**changed, "predictions marker": WRITTEN})
    (before,), (marker,) = found.before["Remember predictions"], found.requests["Remember predictions"]
    assert marker["Key"] == before["Key"] == "markers/predictions/groups/g0000.json"
    assert marker["Body"]["place"] != before["Body"]["place"]
    listed = found.requests["List archives"][0]["Body"][-2:]
    folder = f"{before['Body']['place']}/{before['Body']['folder']}"
    assert listed == [f"{folder}/predictions.parquet", f"{folder}/result.json"]
    other = told({**changed, "predictions marker": {**before["Body"], "setting": "f" * 64}})
    assert all("predictions/" not in path for path in other.requests["List archives"][0]["Body"][1:])


def test_a_threshold_of_the_execution_applies_to_all_models() -> None:
    found = told(input={"overrides": {"threshold": 0.25}})
    assert [one["verdict"] for one in found.choices().values()] == ["rejected"] * 3
    assert found.choices()["north"]["threshold"] == 0.25


def test_prepare_reads_the_promoted_models_if_there_are_any() -> None:
    (request,) = told().requests["Prepare data"]
    (promoted,) = (one for one in request["ProcessingInputs"] if one["InputName"] == "promoted")
    assert promoted["S3Input"]["S3Uri"] == "s3://shop-work-123456789012-eu-west-1/promoted-partitions.json"


def test_the_mail_has_counts_and_the_worst_models_and_names_what_is_missing() -> None:
    message = told({"headline": headline(700)}).requests["Announce results"][0]["Message"]
    assert "9 models, one for each store_id: 5 trained, 3 cached; 7 accepted, 1 rejected." in message
    assert ": 8 of 9 gaps filled by 6 models in " in message
    assert message.count("- north (Nord): MAE 0.5\n") == 20
    assert message.count("- south: The prediction job failed.") == 20
    assert "- and 680 more" in message
    assert "python pipeline.py redrive" in message
    failed = told({"headline": headline(700)})
    assert failed.ended == "Incomplete"


def test_the_mails_say_that_small_partitions_share_a_model() -> None:
    shared = Told(compiled(ANY, "otherwise: promoted", "otherwise: shared"), {}, {})
    each = "one for each store_id with enough rows, and one for the others"
    for state in ("Announce start", "Announce models", "Announce results"):
        assert each in shared.requests[state][0]["Message"]
    few = {**headline(), "others": False}
    message = Told(compiled("", "otherwise: promoted", "otherwise: shared"), {"headline": few}, {})
    assert "9 models, one for each store_id: " in message.requests["Announce results"][0]["Message"]


def test_the_mail_does_not_offer_to_repeat_a_run_whose_missing_models_were_all_rejected() -> None:
    message = told({"headline": headline(1)}).requests["Announce results"][0]["Message"]
    assert "redrive" not in message
    assert "Loosen the limit, set fallback.if_missing: use_trained, or promote an earlier run." in message


MUTANTS = [
    (MAP, '"run": "{% $run %}", ', "", "expression-undefined"),
    (MAP, "$states.context.Map.Item.Value.group", "$states.context.Map.Item.Valu.group", "expression-undefined"),
    (MAP, "/prepared/groups.json", "/prepared/group.json", "expression-undefined"),
    (MAP, '"arn:aws:states:::s3:getObject"', '"arn:aws:states:::s3:getObjects"', "item-reader"),
    (MAP, '"Bucket": "{% $bucket %}", ', "", "parameter-missing"),
    ("Begin group", '"scored": "{% $states.input.scored %}", ', "", "variable-distributed"),
    ("Begin group", "$states.input.jobs", "$jobs", "variable-unassigned"),
    ("Train group", "'CheckpointConfig'", "'CheckpointConfiguration'", "parameter-unknown"),
    ("Train group", "'LocalPath'", "'LocalFolder'", "parameter-unknown"),
    ("Train group", "& $own.tries", "", "job-name-again"),
    ("Train group", "& $states.context.State.RetryCount", "", "job-name-retry"),
    ("Train group", "& $group & '-' & $id &", "& '-long' & $pad('', 50, 'x') & $id &", "parameter-length"),
    ("Predict group", "'ProcessingInputs'", "'ProcessingInput'", "parameter-unknown"),
    ("Read results of group", "$found.todo", "$fond.todo", "variable-undefined"),
    ("Judge group", "$count($models) + 1", "$count($models)", "expression-fails"),
    ("Judge group", "$lookup($results, ", "$lookup($result, ", "variable-undefined"),
    ("Record choices", "$jobs.predict.AppSpecification", "$jobs.predictt.AppSpecification", "expression-undefined"),
    ("Report group", "'group': $group,", "'group': $group, 'all': $choices,", "payload-size"),
    ("Report group", "$count($due.keys)", "$number_of($due.keys)", "expression-function"),
    ("Read fingerprints", ").partitioned", ").partitions", "expression-undefined"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "old", "new", "code"), MUTANTS)
def test_a_mistake_in_the_states_of_groups_is_found(state: str, old: str, new: str, code: str) -> None:
    machine = json.loads(compiled().text)
    within = machine["States"] if state in machine["States"] else machine["States"][MAP]["ItemProcessor"]["States"]
    text = json.dumps(within[state])
    assert old in text
    within[state] = json.loads(text.replace(old, new))
    assert code in {finding.code for finding in findings(machine)}
