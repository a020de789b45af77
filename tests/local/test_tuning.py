"""Tuning jobs: real training jobs, whose best one is found by the metric that they print."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import MINUTES, ROLE, SCRIPTS, Jobs, Scripted, until
from test_moto_fixes import Interpreter, task
from test_xgboost_image import IMAGE, channels, csv, put, table

from localaws.sagemaker import images
from localaws.sagemaker.job_process import Script
from localaws.sagemaker.tuning import search

DEPTH = {"Name": "depth", "MinValue": "3", "MaxValue": "8"}
RATE = {"Name": "rate", "MinValue": "0.001", "MaxValue": "1", "ScalingType": "Logarithmic"}
KIND = {"Name": "kind", "Values": ["a", "b"]}
READ = "import json; given = json.loads((root / 'input/config/hyperparameters.json').read_text())\n"
LOSS = READ + "print('loss=' + given['depth'], flush=True); (root / 'model' / 'm').write_text(given['depth'])\n"


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training runs the input do/do.py, as in other tests; a tuning's specification has no entrypoint."""
    usual, act = images.program, Script((sys.executable, str(SCRIPTS / "act.py")), "act")
    monkeypatch.setattr(images, "program", lambda image, *given: act if image == "image" else usual(image, *given))


def config(jobs: int = 3, at_once: int = 2, kind: str = "Minimize", **changed: Any) -> dict[str, Any]:
    ranges = {"IntegerParameterRanges": [DEPTH], "ContinuousParameterRanges": [RATE]}
    return {
        "Strategy": "Random",
        "RandomSeed": 7,
        "HyperParameterTuningJobObjective": {"Type": kind, "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": at_once},
        "ParameterRanges": {**ranges, "CategoricalParameterRanges": [KIND]},
        **changed,
    }


def request(jobs: Jobs, do: str, of: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    name = jobs.name()[-30:]
    jobs.s3.put_object(Bucket="data", Key=f"do/{name}/do.py", Body=do.encode())
    source = {"S3Uri": f"s3://data/do/{name}/", "S3DataType": "S3Prefix"}
    algorithm = {"TrainingImage": "image", "TrainingInputMode": "File"}
    training = {
        "StaticHyperParameters": {"rounds": "4"},
        "AlgorithmSpecification": {**algorithm, "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=(\S+)"}]},
        "RoleArn": ROLE,
        "InputDataConfig": [{"ChannelName": "do", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": "s3://data/tuned"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **changed,
    }
    return {
        "HyperParameterTuningJobName": f"t{name}",
        "HyperParameterTuningJobConfig": of or config(),
        "TrainingJobDefinition": training,
        "Tags": [{"Key": "project", "Value": "p"}],
    }


def tuned(jobs: Jobs, given: dict[str, Any]) -> dict[str, Any]:
    """The description of the tuning job when it has ended."""
    jobs.api.create_hyper_parameter_tuning_job(**given)
    return ended(jobs, given["HyperParameterTuningJobName"])


def ended(jobs: Jobs, name: str) -> dict[str, Any]:
    job = jobs.aws.sagemaker.job("hyperparametertuning", name)
    assert job.done.wait(MINUTES), "the tuning never ends"
    return dict(jobs.api.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))


def trials(jobs: Jobs, name: str, **how: Any) -> list[dict[str, Any]]:
    pages = jobs.api.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    found = pages.paginate(HyperParameterTuningJobName=name, PaginationConfig={"PageSize": 2}, **how)
    return [one for page in found for one in page["TrainingJobSummaries"]]


def test_the_best_training_is_the_one_with_the_lowest_metric(jobs: Jobs) -> None:
    given = request(jobs, LOSS, config(jobs=5))
    told = tuned(jobs, given)
    assert told["HyperParameterTuningJobStatus"] == "Completed"
    found = trials(jobs, given["HyperParameterTuningJobName"], SortBy="FinalObjectiveMetricValue")
    values = [one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for one in found]
    assert values == sorted(values) == sorted(int(one["TunedHyperParameters"]["depth"]) for one in found)
    assert (len(values), len(set(values)) > 1) == (5, True)
    best = told["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Minimize",
        "MetricName": "loss",
        "Value": values[0],
    }
    assert jobs.keys(f"tuned/{best['TrainingJobName']}/") == [f"tuned/{best['TrainingJobName']}/output/model.tar.gz"]
    assert told["TrainingJobStatusCounters"]["Completed"] == told["ObjectiveStatusCounters"]["Succeeded"] == 5


def test_the_best_training_may_be_the_one_with_the_highest_metric(jobs: Jobs) -> None:
    given = request(jobs, LOSS, config(jobs=5, kind="Maximize"))
    best = tuned(jobs, given)["BestTrainingJob"]
    best_first = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Descending"}
    found = trials(jobs, given["HyperParameterTuningJobName"], **best_first)
    depths = [int(one["TunedHyperParameters"]["depth"]) for one in found]
    assert depths == sorted(depths, reverse=True)
    assert int(best["TunedHyperParameters"]["depth"]) == max(depths) > min(depths)


def test_each_training_is_a_job_like_any_other(jobs: Jobs) -> None:
    given = request(jobs, LOSS + "# not cached")
    best = tuned(jobs, given)["BestTrainingJob"]
    name = best["TrainingJobName"]
    assert name.startswith(f"{given['HyperParameterTuningJobName']}-00")
    described = jobs.api.describe_training_job(TrainingJobName=name)
    assert described["HyperParameters"] == {
        "rounds": "4",
        **best["TunedHyperParameters"],
        "_tuning_objective_metric": "loss",
    }
    assert jobs.api.list_tags(ResourceArn=best["TrainingJobArn"])["Tags"] == given["Tags"]
    assert jobs.aws.logs.lines("training", name) == [f"loss={best['TunedHyperParameters']['depth']}"]


def test_no_more_trainings_run_at_once_than_allowed(jobs: Jobs) -> None:
    def running() -> list[str]:
        counts = [one.name for one in jobs.aws.sagemaker.jobs() if one.kind == "training" and not one.done.is_set()]
        return [one for one in counts if one.startswith(name)]

    given = request(jobs, READ + "import time; print('hi', flush=True); time.sleep(600)", config(jobs=6, at_once=2))
    name = given["HyperParameterTuningJobName"]
    jobs.api.create_hyper_parameter_tuning_job(**given)
    first = until(lambda: found if len(found := running()) == 2 else [])
    assert len(trials(jobs, name)) == 2
    jobs.api.stop_training_job(TrainingJobName=first[0])
    until(lambda: len(trials(jobs, name)) == 3)
    assert len(running()) <= 2


def test_a_stopped_tuning_stops_its_trainings_and_starts_no_more(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise the first training takes all cores if the second comes more than 20 ms later.
    monkeypatch.setattr(jobs.aws.sagemaker.workshop.scheduler, "_most", 1)
    given = request(jobs, "import time; print('hi', flush=True); time.sleep(600)", config(jobs=6))
    name = given["HyperParameterTuningJobName"]
    jobs.api.create_hyper_parameter_tuning_job(**given)
    for one in until(lambda: found if len(found := trials(jobs, name)) == 2 else []):
        jobs.running(one["TrainingJobName"])
    jobs.api.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert ended(jobs, name)["HyperParameterTuningJobStatus"] == "Stopped"
    assert [one["TrainingJobStatus"] for one in trials(jobs, name)] == ["Stopped", "Stopped"]
    with pytest.raises(ClientError, match="status Stopped"):
        jobs.api.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def test_failed_trainings_are_tolerated(jobs: Jobs) -> None:
    do = LOSS + "if int(given['depth']) > 5:\n open(root / 'output/failure', 'w').write('too deep'); exit(1)\n"
    given = request(jobs, do, config(jobs=6))
    told = tuned(jobs, given)
    counted = told["TrainingJobStatusCounters"]
    assert (told["HyperParameterTuningJobStatus"], counted["Completed"] + counted["NonRetryableError"]) == (
        "Completed",
        6,
    )
    failed = trials(jobs, given["HyperParameterTuningJobName"], StatusEquals="Failed")
    assert {one["FailureReason"] for one in failed} == {"AlgorithmError: too deep, exit code: 1"}
    assert {one["ObjectiveStatus"] for one in failed} == {"Failed"}
    assert 0 < len(failed) == counted["NonRetryableError"] < 6


@pytest.mark.parametrize(("most", "started"), [(3, 3), (12, 5)])
def test_a_tuning_without_a_success_fails_and_gives_up_after_five(jobs: Jobs, most: int, started: int) -> None:
    given = request(jobs, "exit(1)", config(jobs=most, at_once=1))
    told = tuned(jobs, given)
    assert told["HyperParameterTuningJobStatus"] == "Failed"
    assert told["FailureReason"].startswith(f"No training job succeeded after {started} attempts.")
    assert "BestTrainingJob" not in told
    assert len(trials(jobs, given["HyperParameterTuningJobName"])) == started


def test_trainings_that_print_no_metric_fail_the_tuning(jobs: Jobs) -> None:
    told = tuned(jobs, request(jobs, "print('loss: none')"))
    assert told["FailureReason"].startswith("No objective metrics found after running 3 training jobs.")


def test_more_at_once_than_there_are_trainings(jobs: Jobs) -> None:
    assert tuned(jobs, request(jobs, LOSS, config(jobs=1, at_once=10)))["HyperParameterTuningJobStatus"] == "Completed"


def test_the_same_seed_gives_the_same_trainings_and_the_cache_has_them(jobs: Jobs) -> None:
    given = request(jobs, LOSS + "# once")
    tuned(jobs, given)
    again = {**given, "HyperParameterTuningJobName": "again"}
    assert tuned(jobs, again)["HyperParameterTuningJobStatus"] == "Completed"
    tried = [
        [one["TunedHyperParameters"] for one in trials(jobs, name)]
        for name in (given["HyperParameterTuningJobName"], "again")
    ]
    assert tried[0] == tried[1]
    assert jobs.aws.sagemaker.job("hyperparametertuning", "again").state.cached
    other = list(search({**config(), "RandomSeed": 8}, "8"))
    assert other != tried[0]


def test_a_bayesian_search_says_that_it_is_random_here(jobs: Jobs) -> None:
    given = request(jobs, LOSS, config(Strategy="Bayesian"))
    tuned(jobs, given)
    note = jobs.aws.sagemaker.job("hyperparametertuning", given["HyperParameterTuningJobName"]).note
    assert note == "AWS tunes by Bayesian optimization; locally a random search with the seed 7 chooses the values."


def test_values_are_in_their_ranges_and_spread_over_them() -> None:
    found = list(search(config(jobs=400), "7"))
    depths = [int(one["depth"]) for one in found]
    assert set(depths) == set(range(3, 9))
    assert all(40 <= depths.count(depth) <= 100 for depth in set(depths))
    rates = [float(one["rate"]) for one in found]
    assert min(rates) >= 0.001 and max(rates) <= 1
    assert 100 < sum(rate < 0.01 for rate in rates) < 170  # a third of three orders of magnitude
    assert {one["kind"] for one in found} == {"a", "b"}


def test_a_small_space_is_searched_whole() -> None:
    ranges = {"IntegerParameterRanges": [DEPTH], "CategoricalParameterRanges": [KIND]}
    found = list(search(config(jobs=12, ParameterRanges=ranges), "7"))
    assert len({tuple(one.values()) for one in found}) == 12


@pytest.mark.parametrize("scale", ["Linear", "Logarithmic", "ReverseLogarithmic"])
def test_each_scale_stays_in_its_range(scale: str) -> None:
    ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0.1", "MaxValue": "0.9", "ScalingType": scale}]}
    found = [float(one["x"]) for one in search(config(jobs=200, ParameterRanges=ranges), "7")]
    assert 0.1 <= min(found) < 0.2 and 0.8 < max(found) <= 0.9


def integers(**changed: str) -> dict[str, Any]:
    return {"ParameterRanges": {"IntegerParameterRanges": [{**DEPTH, **changed}]}}


def categories(*values: str) -> dict[str, Any]:
    return {"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "kind", "Values": list(values)}]}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (integers(MinValue="8", MaxValue="3"), "MinValue of depth, 8, must be less than its MaxValue, 3."),
        (integers(MinValue="3", MaxValue="3"), "MinValue of depth, 3, must be less than its MaxValue, 3."),
        (integers(MinValue="0", ScalingType="Logarithmic"), "not possible with the scaling type Logarithmic"),
        (integers(MinValue="1.5"), "The range of depth needs numbers: 1.5, 8."),
        (categories("a", "b"), r"provided ranges \[2.0\] must be equal or greater than the value of MaxNumberOfJobs"),
        (categories("a", "a", "b"), "The values of kind are not unique."),
        ({"ParameterRanges": {"IntegerParameterRanges": [DEPTH, DEPTH]}}, "The hyperparameter depth has two ranges."),
        (integers(Name="rounds"), "The hyperparameter rounds is in StaticHyperParameters too."),
        ({"ParameterRanges": {}}, "at least one range"),
        ({"Strategy": "Hyperband"}, "Strategy Hyperband is not available locally; use Bayesian or Random."),
        ({"TrainingJobEarlyStoppingType": "Auto"}, "TrainingJobEarlyStoppingType is not available locally"),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "must have MaxNumberOfTrainingJobs"),
        ({"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "mae"}}, "A metric is required"),
    ],
)
def test_what_cannot_be_tuned_is_refused(jobs: Jobs, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        jobs.api.create_hyper_parameter_tuning_job(**request(jobs, "", config(**changed)))


def test_only_some_hyperparameters_of_xgboost_can_be_tuned(jobs: Jobs) -> None:
    algorithm = {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
    objective = {"Type": "Minimize", "MetricName": "validation:mae"}
    booster = {"CategoricalParameterRanges": [{"Name": "booster", "Values": ["gbtree", "dart"]}]}
    of = config(jobs=2, ParameterRanges=booster, HyperParameterTuningJobObjective=objective)
    with pytest.raises(ClientError, match="booster cannot be tuned for this algorithm"):
        jobs.api.create_hyper_parameter_tuning_job(**request(jobs, "", of, AlgorithmSpecification=algorithm))


def test_a_name_longer_than_32_characters_is_refused(jobs: Jobs) -> None:
    with pytest.raises(ClientError, match="length less than or equal to 32"):
        jobs.api.create_hyper_parameter_tuning_job(**{**request(jobs, ""), "HyperParameterTuningJobName": "a" * 33})


def test_xgboost_is_tuned_by_a_metric_that_it_computes_for_it(jobs: Jobs) -> None:
    put(jobs, train__a=csv(table(200, 1)), validation__a=csv(table(80, 3)))
    ranges = {"IntegerParameterRanges": [{"Name": "max_depth", "MinValue": "1", "MaxValue": "6"}]}
    objective = {"Type": "Minimize", "MetricName": "validation:mae"}
    given = request(
        jobs,
        "",
        config(ParameterRanges=ranges, HyperParameterTuningJobObjective=objective),
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        InputDataConfig=channels("train", "validation"),
        StaticHyperParameters={"num_round": "4"},
    )
    best = tuned(jobs, given)["BestTrainingJob"]
    values = {
        one["TunedHyperParameters"]["max_depth"]: one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        for one in trials(jobs, given["HyperParameterTuningJobName"])
    }
    assert len(set(values.values())) == 3
    assert values[best["TunedHyperParameters"]["max_depth"]] == min(values.values())


# In a state machine


@pytest.fixture(scope="module")
def asl(all_jobs: Jobs) -> Interpreter:
    return Interpreter(all_jobs.aws)


TUNE = "sagemaker:createHyperParameterTuningJob.sync"


def test_a_machine_waits_for_the_tuning_and_learns_the_best_training(asl: Interpreter, jobs: Jobs) -> None:
    output = asl.output({"Tune": task(TUNE, Arguments=request(jobs, LOSS))})
    assert output["HyperParameterTuningJobStatus"] == "Completed"
    assert output["BestTrainingJob"]["TrainingJobName"].startswith(output["HyperParameterTuningJobName"])
    assert isinstance(output["BestTrainingJob"]["CreationTime"], int)
    assert output["Tags"] == [{"Key": "project", "Value": "p"}]


def test_a_failed_tuning_fails_its_task_with_its_reason(asl: Interpreter, jobs: Jobs) -> None:
    told = asl.run({"Tune": task(TUNE, Arguments=request(jobs, "exit(1)"))})
    assert told["error"] == "States.TaskFailed"
    assert json.loads(told["cause"])["FailureReason"].startswith("No training job succeeded after 3 attempts.")


def test_a_throttled_tuning_is_an_error_of_sagemaker(asl: Interpreter, jobs: Jobs, faults: Scripted) -> None:
    faults.refusals = [("ThrottlingException", "Rate exceeded")]
    told = asl.run({"Tune": task(TUNE, Arguments=request(jobs, LOSS))})
    assert told["error"] == "SageMaker.AmazonSageMakerException"
