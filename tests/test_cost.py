"""What a run costs: estimated before it, and from its jobs after it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from golden import CASES, config_of, environment_of

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.load import load, loads
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.source import LoadedConfig
from stepgluon.cost.billed import KINDS, cost_of, cost_words
from stepgluon.cost.estimate import LIMIT, estimate, in_a_mail, jobs_of, refusal, words
from stepgluon.cost.known import Known, durations
from stepgluon.cost.prices import Prices
from stepgluon.cost.serving import serving, serving_words
from stepgluon.errors import ConfigError
from stepgluon.runs import report
from stepgluon.runs.history import read
from stepgluon.runs.run_record import run_json
from stepgluon.runs.view import details
from stepgluon.workflow.compile import compile_definition
from stepgluon.workflow.retries import STARTUP_SECONDS, longest_search

HOUR = {"ml.m5.xlarge": 0.2, "ml.m5.2xlarge": 0.4}
PRICES = Prices("us-east-1", "2026-09-21", dict.fromkeys(("Training", "Processing", "Transform"), HOUR))
JOBS = {
    "createTrainingJob": "Training",
    "createHyperParameterTuningJob": "Training",
    "createProcessingJob": "Processing",
    "createTransformJob": "Transform",
}


def loaded(case: str) -> LoadedConfig:
    return load(config_of(case), environment_of(case), {})


def tasks(states: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The states that start a job of SageMaker, those in branches too."""
    found = {name: one for name, one in states.items() if one.get("Resource", "").endswith("Job.sync")}
    for state in states.values():
        for branch in [*state.get("Branches", []), state.get("ItemProcessor", {"States": {}})]:
            found |= tasks(branch["States"])
    return found


@pytest.mark.parametrize("case", [case for case in CASES if case != "limits"])
def test_the_estimate_has_the_jobs_of_the_definition(case: str) -> None:
    config = loaded(case)
    planned = {job.state: job for job in jobs_of(config.config)}
    found = tasks(compile_definition(config, workflow).asl["States"])
    assert planned.keys() == found.keys()
    searches = {model.name: longest_search(model) for model in config.config.models}
    for state, task in found.items():
        job = planned[state]
        assert job.kind == JOBS[task["Resource"].partition(".sync")[0].rpartition(":")[2]]
        trains = state.startswith(("Train ", "Tune "))
        assert (
            task["TimeoutSeconds"]
            == (searches.get(job.model, max(searches.values())) if trains else job.limit) + STARTUP_SECONDS
        )


def test_of_groups_whose_number_only_the_data_say_the_estimate_has_one() -> None:
    found = estimate(loaded("partitioned").config, PRICES)
    assert [line.state for line in found.lines] == ["Prepare data", "Train group", "Predict group", "Post-process"]
    assert "Train group and Predict group are counted for one group of about 100 models" in words(found)
    assert in_a_mail(found) == ""
    known = {state: Known(900, 1, "a", 3) for state in ("Train group", "Predict group")}
    found = estimate(loaded("partitioned").config, PRICES, known)
    assert "one of each" not in words(found) and in_a_mail(found).startswith("at most ")


def config(**more: Any) -> PipelineConfig:
    return loaded("one-model").config.changed(region="us-east-1", **more)


def test_without_runs_the_limits_are_the_durations() -> None:
    found = estimate(config(), PRICES)
    assert (round(found.usd, 3), found.bound, found.unpriced) == (0.8, "at most", [])
    assert {key: round(amount, 3) for key, amount in found.models().items()} == {"": 0.4, "price": 0.4}
    text = words(found)
    assert text.startswith("A run of houses costs at most 0.8 USD by the prices of 2026-09-21 in us-east-1.\n")
    assert f"  Train price    ml.m5.xlarge  1 h 00 min  0.2  {LIMIT}\n" in text
    assert "By model: price 0.4, all models 0.4.\n" in text


def test_the_durations_of_the_latest_run_replace_limits() -> None:
    def job(state: str, billed: float | None, status: str = "Completed") -> dict[str, Any]:
        return {"state": state, "status": status, "billed": billed, "instances": 1}

    runs = [
        {"run": "c", "jobs": [job("Train price", None), job("Prepare data", 60, "Failed")]},  # cached; failed
        {"run": "b", "jobs": [job("Train price", 1800), job("Prepare data", 360), job("Post-process", 360)]},
        {"run": "a", "jobs": [job("Train price", 900), job("Predict price", 360)]},
    ]
    known = durations(runs)
    assert known["Train price"] == Known(1800, 1, "b") and known["Predict price"].run == "a"
    found = estimate(config(), PRICES, known)
    assert (found.bound, round(found.usd, 3)) == ("about", 0.16)
    del known["Predict price"]
    assert estimate(config(), PRICES, known).bound == "at most"


def test_the_jobs_of_all_groups_count_together_from_the_run_with_the_most() -> None:
    def run(name: str, *groups: int) -> dict[str, Any]:
        states = [f"Train group g{group:04}" for group in groups]
        return {"run": name, "jobs": [{"status": "Completed", **a_job(state, 100.0)} for state in states]}

    known = durations([run("c", 7), run("b", 1, 2, 3), run("a", 1, 2, 3)])
    going = {**run("d", 7), "status": "RUNNING"}
    assert "Train group" not in durations([going]), "it has more groups to train"
    assert known == {"Train group": Known(300, 1, "b", 3)}
    cost = cost_of(run("b", 1, 2, 3)["jobs"], ARN)
    assert cost is not None and cost["models"].keys() == {""}


def test_a_model_without_gaps_is_not_predicted() -> None:
    states = [line.state for line in estimate(config(), PRICES, {}, ["price"]).lines]
    assert states == ["Prepare data", "Train price", "Post-process"]


def test_a_type_without_a_price_is_named_and_not_counted() -> None:
    partly = Prices("us-east-1", "2026-09-21", {"Training": HOUR})
    found = estimate(config(), partly)
    assert round(found.usd, 3) == 0.2 and found.unpriced == ["ml.m5.xlarge"]
    assert "costs at most 0.2 USD" in words(found) and "without some jobs: no price for ml.m5.xlarge" in words(found)
    unknown = words(estimate(config(), Prices("us-east-1", "", {})))
    assert unknown.startswith("The cost of a run of houses is unknown: no price for ml.m5.xlarge in us-east-1 (`")
    assert "By model" not in unknown


def test_cost_says_what_a_run_costs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    text = config_of("one-model").read_text("utf-8").replace("eu-central-1", "us-east-1")
    Path("pipeline-config.yml").write_text(text)
    assert main(workflow, ["cost", "--json"], {}) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["region"] == "us-east-1" and found["bound"] == "at most" and len(found["lines"]) == 4
    assert found["usd"] == pytest.approx(sum(line["usd"] for line in found["lines"]))
    Path("rows.csv").write_text("price,rooms\n" + "".join(f"{100000 + n},{n}\n" for n in range(20)))
    assert main(workflow, ["cost", "--data", "rows.csv", "--json"], {}) == 0
    assert [line["state"] for line in json.loads(capsys.readouterr().out)["lines"]][-1] == "Post-process"
    Path("rows.csv").write_text("rooms\n1\n")
    assert main(workflow, ["cost", "--data", "rows.csv"], {}) == 1
    assert "price" in capsys.readouterr().err
    assert os.listdir() and not Path(".local").exists()


def test_cost_reads_the_tables_of_models_found_in_the_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline-config.yml").write_text("name: shops\nmodels: {partition_by: shop, label: sales}\n")
    Path("rows.csv").write_text("shop,size,sales\n" + "".join(f"s{n % 2},{n},{n}\n" for n in range(40)) + "s1,3,\n")
    assert main(workflow, ["cost", "--data", "rows.csv", "--json"], {}) == 0
    assert "Train group" in [line["state"] for line in json.loads(capsys.readouterr().out)["lines"]]
    Path("rows.csv").write_text("shop,size\ns1,3\n")
    assert main(workflow, ["cost", "--data", "rows.csv"], {}) == 1
    assert "sales" in capsys.readouterr().err


def test_the_mail_of_a_start_has_the_sum_and_where_it_comes_from() -> None:
    every = {job.state: Known(360, 1, "houses-1") for job in jobs_of(config())}
    assert in_a_mail(estimate(config(), PRICES)) == (
        "at most 0.8 USD on AWS, by the time limits of its jobs and the prices of 2026-09-21"
    )
    assert in_a_mail(estimate(config(), PRICES, every)) == (
        "about 0.08 USD on AWS, by earlier runs and the prices of 2026-09-21"
    )
    del every["Train price"]
    partly = Prices("us-east-1", "2026-09-21", {"Training": HOUR, "Processing": {}})
    assert in_a_mail(estimate(config(), partly, every)) == (
        "at most 0.2 USD on AWS, without ml.m5.xlarge, by earlier runs and the time limits of its jobs and "
        "the prices of 2026-09-21"
    )
    assert in_a_mail(estimate(config(), Prices("eu-north-1", "", {}))) == ""


def test_the_trigger_gets_the_estimate_and_the_definition_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, found = config_of("one-model").read_text("utf-8"), []
    for region in ("us-east-1", "eu-central-1"):
        Path("pipeline-config.yml").write_text(text.replace("eu-central-1", region))
        assert main(workflow, ["template"], {}) == 0
        resources = json.loads(Path("build/pipeline.json").read_text("utf-8"))["Resources"]
        found.append(resources["Trigger"]["Properties"]["Environment"]["Variables"].get("ESTIMATE"))
    assert found == ["at most 0.92 USD on AWS, by the time limits of its jobs and the prices of 2026-09-21", None]
    cheap = loads(text.replace("eu-central-1", "us-east-1"), "config.yml", None, {})
    assert "2026-09-21" not in compile_definition(cheap, workflow).text


# After a run


def events(*jobs: tuple[str, dict[str, Any], str, dict[str, Any], float]) -> list[dict[str, Any]]:
    """A history with these jobs one after the other: state, request, event of its end, description, seconds."""
    found: list[dict[str, Any]] = [{"id": 1, "type": "ExecutionStarted", "timestamp": 0.0}]
    at = 0.0
    for state, request, end, description, took in jobs:
        first = len(found) + 1
        scheduled = {"resourceType": "sagemaker", "resource": "x.sync", "parameters": json.dumps(request)}
        ended = {"output": json.dumps(description)} if end == "TaskSucceeded" else {"cause": json.dumps(description)}
        found += [
            {"id": first, "type": "TaskStateEntered", "timestamp": at, "stateEnteredEventDetails": {"name": state}},
            {
                "id": first + 1,
                "previousEventId": first,
                "type": "TaskScheduled",
                "timestamp": at,
                "taskScheduledEventDetails": scheduled,
            },
            {
                "id": first + 2,
                "previousEventId": first + 1,
                "type": end,
                "timestamp": at + took,
                "taskEndedEventDetails": ended,
            },
        ]
        at += took
    return found


def request(kind: str, instance: str = "ml.m5.xlarge", count: int = 1, **more: Any) -> dict[str, Any]:
    return {f"{kind}JobName": "job", "ResourceConfig": {"InstanceType": instance, "InstanceCount": count}, **more}


def test_a_job_is_billed_from_when_it_gets_its_machine() -> None:
    search = {"HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxParallelTrainingJobs": 4}}}
    story = read(
        events(
            (
                "Prepare data",
                request("Processing"),
                "TaskSucceeded",
                {"ProcessingStartTime": 100_000_000_000},
                1e8 + 50,
            ),
            ("Train spot", request("Training"), "TaskSucceeded", {"BillableTimeInSeconds": 30}, 90),
            ("Train full", request("Training"), "TaskSubmitFailed", {}, 5),
            ("Tune price", request("HyperParameterTuning", **search), "TaskSucceeded", {}, 60),
            ("Predict price", request("Processing", "ml.m5.2xlarge", 3), "TaskSucceeded", {}, 20),
        )
    )
    billed = {job.state: (job.instance, job.instances, job.billed) for job in story.jobs}
    assert billed == {
        "Prepare data": ("ml.m5.xlarge", 1, 50),
        "Train spot": ("ml.m5.xlarge", 1, 30),
        "Train full": ("ml.m5.xlarge", 1, None),  # refused: it never got a machine
        "Tune price": ("ml.m5.xlarge", 4, 60),
        "Predict price": ("ml.m5.2xlarge", 3, 20),
    }
    assert {job.kind for job in story.jobs} == KINDS.keys() - {"transform"}


def a_job(state: str, billed: float | None, instance: str = "ml.m5.xlarge", **more: Any) -> dict[str, Any]:
    kind = "training" if state.startswith("Train") else "processing"
    return {"state": state, "kind": kind, "instance": instance, "instances": 1, "billed": billed, **more}


ARN = "arn:aws:states:us-east-1:123456789012:execution:rents:rents-1"


def test_the_cost_of_a_run_is_the_sum_by_model() -> None:
    jobs = [a_job("Prepare data", 360), a_job("Train a", 3600, "ml.m5.2xlarge"), a_job("Predict a", None)]
    cost = cost_of(jobs, ARN)
    told = {"folder": "s3://bucket/runs/rents-1"}
    assert cost is not None and cost["models"] == pytest.approx({"": 0.023, "a": 0.461})
    assert cost["usd"] == pytest.approx(0.484) and cost["unpriced"] == []
    assert cost_words({**told, "cost": cost}) == (
        "Cost on AWS: about 0.48 USD (a 0.46, all models 0.023), by the prices of 2026-09-21."
    )
    assert cost_of([a_job("Train a", None)], ARN) is None
    unknown = cost_of([a_job("Train a", 60, "ml.c9.xlarge")], ARN)
    assert cost_words({**told, "cost": unknown}).startswith(
        "Cost on AWS: unknown, no price for ml.c9.xlarge in us-east-1 (`"
    )
    partly = cost_of([a_job("Train a", 60, "ml.c9.xlarge"), *jobs], ARN)
    assert cost_words({**told, "cost": partly}).startswith("Cost on AWS: about 0.48 USD (a 0.46, ")
    local = {"folder": "/data/runs/rents-1"}
    assert cost_words({**local, "cost": partly}).startswith("Cost on AWS: about 0.48 USD (a 0.46, ")
    assert cost_words({**local, "cost": unknown}) == cost_words({**local, "cost": None}) == ""


def test_show_and_the_report_say_what_a_run_cost() -> None:
    story = read(events(("Train a", request("Training"), "TaskSucceeded", {"BillableTimeInSeconds": 3600}, 4000)))
    told = run_json("rents-1", {}, story, None, arn=ARN, results=None, folder="runs/rents-1", outbox="outbox")
    said = "Cost on AWS: about 0.23 USD, by the prices of 2026-09-21."
    assert f"\n\n{said}\n\n" in details(told)
    assert f'<p class="about">{said}</p>' in report.completed("<!--stepgluon:run-->", told, story)
    cached = run_json("rents-1", {}, story, None, lambda job: True, arn=ARN, results=None, folder="", outbox="")
    assert cached["cost"] is None and "Cost" not in details(cached)


# Endpoints


def test_endpoints_cost_by_the_day_from_their_fewest_to_their_most_instances() -> None:
    served = loaded("served").config
    hosting = Prices("eu-west-1", "2026-09-21", {"Hosting": {"ml.m5.large": 0.1}})
    assert serving_words(list(serving(served, hosting))) == (
        "Endpoints, once a run has created them:\n"
        "  price: 1 to 4 × ml.m5.large, 2.40 to 9.60 USD a day\n"
        "  rent: serverless, 3 GB, billed by request\n"
        "  size: ml.m5.large, 2.40 USD a day\n"
    )
    assert "  size: ml.m5.large, no price\n" in serving_words(list(serving(served, Prices("eu-west-1", "", {}))))
    assert serving_words(list(serving(config(), hosting))) == ""


def test_the_mail_of_a_start_says_what_all_endpoints_cost_a_day() -> None:
    served = loaded("served").config
    hosting = Prices("eu-west-1", "2026-09-21", {"Hosting": {"ml.m5.large": 0.1}, "Processing": HOUR})
    assert in_a_mail(estimate(served, hosting)).endswith("; then 4.80 to 12.00 USD a day for its endpoints")
    unknown = Prices("eu-west-1", "2026-09-21", {"Hosting": {}, "Processing": HOUR})
    assert in_a_mail(estimate(served, unknown)).endswith(" and the prices of 2026-09-21")


def test_the_command_ends_with_the_endpoints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline-config.yml").write_text(config_of("served").read_text("utf-8"))
    assert main(workflow, ["cost"], {}) == 0
    assert capsys.readouterr().out.endswith(
        "not included.\n\nEndpoints, once a run has created them:\n"
        + (
            "  price: 1 to 4 × ml.m5.large, no price\n"
            "  rent: serverless, 3 GB, billed by request\n"
            "  size: ml.m5.large, no price\n"
        )
    )
    assert main(workflow, ["cost", "--json"], {}) == 0
    assert [one["model"] for one in json.loads(capsys.readouterr().out)["endpoints"]] == ["price", "rent", "size"]


# max_cost


def test_a_run_that_may_cost_more_than_max_cost_is_refused() -> None:
    assert refusal(config()) == refusal(config(max_cost=0.92)) == ""  # four jobs of an hour at 0.23
    assert refusal(config(max_cost=0.9)) == (
        "a run may cost 0.92 USD by the time limits of its jobs, and max_cost is 0.9 USD (shorten max_runtime, choose "
        "cheaper instances, or raise max_cost)"
    )
    assert refusal(config(max_cost=0.9).changed(region="eu-central-1")).startswith(
        "max_cost cannot be checked: no price for ml.m5.xlarge in eu-central-1 (`"
    )


def test_the_trigger_and_the_commands_refuse_it_with_the_same_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = config_of("one-model").read_text("utf-8").replace("eu-central-1", "us-east-1")
    Path("pipeline-config.yml").write_text(f"{text}max_cost: 0.5 USD\n")
    Path("rows.csv").write_text("price,rooms\n1,2\n")
    reason = refusal(config(max_cost=0.5))
    for command in (["run", "--data", "rows.csv"], ["start", "--data", "rows.csv"], ["start", "--folder", "june"]):
        assert main(workflow, command, {}) == 1
        assert capsys.readouterr().err == f"error: {reason}\n"
    assert sorted(os.listdir()) == ["pipeline-config.yml", "rows.csv"]
    assert main(workflow, ["template"], {}) == 0
    resources = json.loads(Path("build/pipeline.json").read_text("utf-8"))["Resources"]
    assert resources["Trigger"]["Properties"]["Environment"]["Variables"]["REFUSED"] == reason


def test_amounts_are_written_with_their_currency(tmp_path: Path) -> None:
    text = config_of("one-model").read_text("utf-8")

    def read_with(amount: str) -> PipelineConfig:
        return loads(f"{text}max_cost: {amount}\n", "config.yml", None, {}).config

    assert (read_with("40 USD").max_cost, read_with("0.50 USD").max_cost) == (40, 0.5)
    for wrong, way_out in (
        ("$40", "write 40 USD"),
        ("40.5", "write 40.5 USD"),
        ("40usd", "write 40 USD"),
        ("40 EUR", "an amount above 0 is expected, like 40 USD"),
        ("0 USD", "an amount above 0 is expected, like 40 USD"),
        ("[40]", "a list is not an amount"),
    ):
        with pytest.raises(ConfigError) as problem:
            read_with(wrong)
        assert way_out in str(problem.value)
