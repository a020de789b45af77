"""The states of a model whose hyperparameters are tuned, run in an interpreter, beside one that is not."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from interpreter import Run, Throws, failed_job, run

from pipeline import workflow
from stepgluon import limits
from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.programs import program_of
from stepgluon.workflow import size_estimate
from stepgluon.workflow.compile import compile_definition
from stepgluon.workflow.size_estimate import surely_fits
from stepgluon.workflow.tuning import metric_definitions, settings, shown_trainings

CONFIG = """
name: shop
account: "123456789012"
region: eu-central-1
notify: [ml-team@example.com]
models:
  - name: price
    label: price
    algorithm: {xgboost: 3.0-5, set: {subsample: 0.8}}
    tune: {max_depth: 3..8, eta: 0.01..0.3 log, gamma: 0..5, num_round: 50..200, jobs: 20, parallel: 4}
  - {name: weight, label: weight}
fallback: {threshold: 350}
data: {seed: 4000000000}
tags: {team: shops}
"""
WORK = "s3://shop-work-123456789012-eu-central-1"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
BEST = {"TrainingJobName": "shop-train-price-0-003-abc"}
GAVE_UP = "No training job succeeded after 5 attempts. For additional details, please take a look at the failures."


@cache
def definition(config: str = CONFIG) -> str:
    return compile_definition(loads(config, "config.yml", None, {}), workflow).text


def trial(number: int, **more: Any) -> dict[str, Any]:
    usual = {"TrainingJobName": f"t-{number}", "TrainingJobStatus": "Completed", "TunedHyperParameters": {"eta": "0.1"}}
    return {**usual, "TrainingJobArn": "arn", "CreationTime": "2026-11-30T00:00:00Z", **more}


def answers(**changed: Any) -> dict[str, Any]:
    prints = [{"name": m, "train": m, "predict": m, "files": ["0.parquet"], "rows": 2} for m in ("price", "weight")]
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 4, "models": prints})}, "Post-process": {}}
    for model in ("price", "weight"):
        good[f"Look up {model}"] = good[f"Look up {model} result"] = NO_FILE
        good[f"Read score of {model}"] = {"Body": json.dumps({"mae": 200, "mae_of_median": 612, "manifest": "5" * 64})}
        good[f"Predict {model}"] = good[f"Remember {model}"] = good[f"Remember {model} result"] = {}
    metric = {"FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "validation:mae", "Value": 7.5}}
    listed = [trial(1, **metric), trial(2, TrainingJobStatus="Failed", FailureReason="too deep" * 100)]
    good |= {"Train weight": {"TrainingJobName": "train-weight"}, "Score price": {}, "Write trials of price": {}}
    good["Tune price"] = {"HyperParameterTuningJobName": "shop-train-price-0", "BestTrainingJob": BEST}
    good["List trials of price"] = {"TrainingJobSummaries": listed}
    good["Find failure of price"] = {"TrainingJobSummaries": []}
    return good | {state.replace("_", " "): answer for state, answer in changed.items()}


def model(ended: Run, name: str = "price") -> dict[str, Any]:
    (found,) = [one for one in ended.output["models"] if one["name"] == name]
    return dict(found)


def failed(reason: str) -> Throws:
    cause = {"HyperParameterTuningJobName": "shop-train-price-0", "FailureReason": reason}
    return Throws("States.TaskFailed", json.dumps(cause, separators=(",", ":")))


# The request


def test_the_ranges_are_searched_in_their_types_and_scales() -> None:
    asked = run(definition(), answers()).call("Tune price")
    config = asked["HyperParameterTuningJobConfig"]
    assert config == {
        "Strategy": "Bayesian",
        "RandomSeed": 4000000000 - 2**31,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:mae"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 4},
        "ParameterRanges": {
            "IntegerParameterRanges": [
                {"Name": "max_depth", "MinValue": "3", "MaxValue": "8"},
                {"Name": "num_round", "MinValue": "50", "MaxValue": "200"},
            ],
            "ContinuousParameterRanges": [
                {"Name": "eta", "MinValue": "0.01", "MaxValue": "0.3", "ScalingType": "Logarithmic"},
                {"Name": "gamma", "MinValue": "0", "MaxValue": "5"},
            ],
        },
    }


def test_each_training_is_what_it_would_be_without_tuning_plus_the_validation_rows() -> None:
    asked = run(definition(), answers()).call("Tune price")
    training = asked["TrainingJobDefinition"]
    assert training["StaticHyperParameters"] == {"objective": "reg:squarederror", "subsample": "0.8"}
    assert [one["ChannelName"] for one in training["InputDataConfig"]] == ["train", "validation"]
    assert training["OutputDataConfig"]["CompressionType"] == "GZIP"
    fixed = re.sub(r" +tune: .*\n", "", CONFIG)
    alone = run(definition(fixed), answers(Train_price=BEST)).call("Train price")
    for field in ("AlgorithmSpecification", "ResourceConfig", "RoleArn", "StoppingCondition", "Environment"):
        assert training[field] == alone[field]
    assert asked["Tags"] == alone["Tags"] and {"Key": "team", "Value": "shops"} in asked["Tags"]
    assert not {"Tags", "HyperParameters", "TrainingJobName"} & training.keys()


def test_a_tuning_s_name_has_at_most_32_characters_and_is_new_in_each_attempt() -> None:
    for name in ("shop", "a-long-pipeline"):
        config = CONFIG.replace("name: shop", f"name: {name}").replace("name: price", "name: price-of-a-house")
        given = answers()
        for state in list(given):
            if state.endswith("price") or "price " in state:
                given[state.replace("price", "price-of-a-house")] = given[state]
        given["Tune price-of-a-house"] = [failed("InternalServerError: lost"), given["Tune price"]]
        prints = [{"name": m, "train": m, "predict": m, "files": [], "rows": 0} for m in ("price-of-a-house", "weight")]
        given["Read fingerprints"] = {"Body": json.dumps({"gaps": 0, "models": prints})}
        ended = run(definition(config), given)
        names = [call["HyperParameterTuningJobName"] for state, call in ended.calls if state.startswith("Tune")]
        assert len(set(names)) == 2
        for one in names:
            assert len(one) <= limits.TUNING_NAME
            assert re.fullmatch(rf"{name}-train(-[a-zA-Z0-9-]*[a-zA-Z0-9])?-[0-9a-f]{{10}}", one)


CONTAINER = """
name: shop
region: eu-central-1
models:
  - name: price
    label: price
    algorithm: {image: "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mine:1"}
    tune: {depth: 3..8, rate: 0.1..1.0, kind: [a, true, 3], jobs: 6, strategy: random,
           objective: {metric: f1, regex: "f1=([0-9.]+)"}}
"""


def test_a_container_s_metric_is_found_in_its_log_and_its_ranges_by_how_they_are_written() -> None:
    config = loads(CONTAINER, "config.yml", None, {}).config
    (one,) = config.models
    assert program_of(one).rules.objective(one) == ("f1", "Maximize")
    assert metric_definitions(one) == {"MetricDefinitions": [{"Name": "f1", "Regex": "f1=([0-9.]+)"}]}
    asked = settings(config, Names(config), one)["config"]
    assert asked["Strategy"] == "Random"
    assert asked["ParameterRanges"] == {
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "3", "MaxValue": "8"}],
        "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.1", "MaxValue": "1.0"}],
        "CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "true", "3"]}],
    }


# What becomes of it


def test_the_best_training_goes_on() -> None:
    ended = run(definition(), answers())
    job = BEST["TrainingJobName"]
    assert model(ended)["verdict"] == "accepted"
    assert model(ended)["model_uri"].endswith(f"/{job}/output/model/")
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in ended.call("Score price")["ProcessingInputs"]}
    assert inputs["archive"].endswith(f"/{job}/output/model.tar.gz")
    assert inputs["trials"] == f"{WORK}/{ended.call('Write trials of price')['Key']}"
    assert ended.call("Remember price")["Body"]["tuning"] == "shop-train-price-0"
    assert model(ended, "weight")["verdict"] == "accepted"


def test_what_was_tried_is_kept_for_the_report() -> None:
    ended = run(definition(), answers())
    asked = {"HyperParameterTuningJobName": "shop-train-price-0", "MaxResults": 100}
    assert ended.call("List trials of price") == asked
    kept = ended.call("Write trials of price")["Body"]
    assert kept["trials"][0] == {"job": "t-1", "status": "Completed", "set": {"eta": "0.1"}, "score": 7.5}
    assert len(kept["trials"][1].pop("reason")) == 300
    assert kept["trials"][1] == {"job": "t-2", "status": "Failed", "set": {"eta": "0.1"}}
    assert (kept["metric"], kept["goal"], kept["of"]) == ("validation:mae", "Minimize", 20)
    assert kept["chosen"] == BEST["TrainingJobName"]


def test_the_best_of_more_trainings_than_a_list_may_have_are_kept() -> None:
    ended = run(definition(CONFIG.replace("jobs: 20", "jobs: 101")), answers())
    asked = {"HyperParameterTuningJobName": "shop-train-price-0", "MaxResults": 100}
    best = {"SortBy": "FinalObjectiveMetricValue", "SortOrder": "Ascending"}
    assert ended.call("List trials of price") == {**asked, **best}
    many = CONTAINER.replace("jobs: 6", "jobs: 101")
    (highest,) = loads(many, "config.yml", None, {}).config.models
    assert shown_trainings(highest, "$models[0]")["SortOrder"] == "Descending"
    classes = CONFIG.replace("jobs: 20", "jobs: 101").replace("label: price\n", "label: price\n    metric: roc_auc\n")
    counted = loads(classes.replace("fallback: {threshold: 350}\n", ""), "config.yml", None, {}).config.models[0]
    order = shown_trainings(counted, "$models[0]")["SortOrder"]
    assert "'Maximize' ? 'Descending'" in order, "prepare knows the metric"


def test_trials_that_cannot_be_listed_do_not_stop_the_model() -> None:
    refused = Throws("SageMaker.SageMakerException", "Rate exceeded")
    ended = run(definition(), answers(List_trials_of_price=refused))
    assert ended.call("Write trials of price")["Body"]["trials"] == []
    assert model(ended)["verdict"] == "accepted"


def test_trainings_that_all_fail_reject_the_model_for_their_own_reason() -> None:
    mistake = (
        "AlgorithmError: framework error: \nsagemaker_algorithm_toolkit.exceptions.UserError: no rows\n, exit code: 1"
    )
    listed = {"TrainingJobSummaries": [trial(1, FailureReason=mistake)]}
    ended = run(definition(), answers(Tune_price=failed(GAVE_UP), Find_failure_of_price=listed))
    assert "Reject price" in ended.states
    asked = {"HyperParameterTuningJobName": "shop-train-price-0", "StatusEquals": "Failed", "MaxResults": 1}
    assert ended.call("Find failure of price") == asked
    assert ended.states.count("Tune price") == 1, "a mistake is not tried again"


def test_another_model_goes_on_and_the_promoted_one_predicts() -> None:
    promoted = {"uses": "default", "model_uri": f"{WORK}/promoted/may/price/job/", "run": "may", "image": "of may"}
    listed = {"TrainingJobSummaries": [trial(1, FailureReason="AlgorithmError: Not retried: no rows, exit code: 1")]}
    choose = {"Body": json.dumps({"m_price": promoted})}
    changed = answers(Tune_price=failed(GAVE_UP), Find_failure_of_price=listed, Choose_models=choose)
    ended = run(definition(), changed)
    assert model(ended)["reason"] == "rejected. no rows."
    assert model(ended)["outcome"] == model(ended, "weight")["outcome"] == "predicted"
    assert model(ended, "weight")["verdict"] == "accepted"


def test_a_tuning_that_was_not_even_created_is_rejected_with_the_call_s_reason() -> None:
    refused = Throws("SageMaker.ResourceLimitExceededException", "The account-level limit is 0")
    unknown = Throws("SageMaker.ResourceNotFoundException", "none")
    promoted = {"uses": "default", "model_uri": f"{WORK}/promoted/may/price/job/", "run": "may"}
    choose = {"Body": json.dumps({"m_price": promoted})}
    changed = answers(Tune_price=refused, Find_failure_of_price=unknown, Choose_models=choose)
    ended = run(definition(re.sub("fallback", "retries: {quota: 0}\nfallback", CONFIG)), changed)
    assert ended.call("Find failure of price")["HyperParameterTuningJobName"] == "none"
    assert "The account-level limit is 0" in model(ended)["reason"]


def test_a_lost_tuning_is_tried_again() -> None:
    ended = run(definition(), answers(Tune_price=[failed("InternalServerError: lost"), answers()["Tune price"]]))
    assert ended.states.count("Tune price") == 2
    assert model(ended)["verdict"] == "accepted"


def test_a_lost_score_job_does_not_repeat_the_tuning() -> None:
    lost = failed_job("InternalServerError: lost", "Processing")
    ended = run(definition(), answers(Score_price=[lost, {}]))
    assert (ended.states.count("Tune price"), ended.states.count("Score price")) == (1, 2)
    assert model(ended)["verdict"] == "accepted"
    assert ended.call("Remember price")["Body"]["tuning"] == "shop-train-price-0"


def test_a_tuned_model_is_found_again_only_with_the_same_ranges() -> None:
    def told(config: str) -> Any:
        config_json = json.loads(Names(loads(config, "config.yml", None, {}).config).config_json)
        return config_json["models"][0]["tune"]

    assert told(CONFIG)["ranges"]["max_depth"] == ["3", "8", False, []]
    assert told(CONFIG) != told(CONFIG.replace("3..8", "3..9")) != told(CONFIG.replace("jobs: 20", "jobs: 21"))


def test_the_estimate_of_the_definition_s_size_holds() -> None:
    names = [f"model-with-a-name-of-63-characters-{'x' * 25}-{number:02}" for number in range(20)]
    models = "".join(
        f"  - {{name: {name}, label: {name}, algorithm: {{xgboost: 3.0-5}},"
        f" tune: {{{', '.join(f'{one}: 0.123456..0.987654 log' for one in ('eta', 'subsample', 'alpha'))}}}}}\n"
        for name in names
    )
    loaded = loads(f"name: shop\nregion: eu-central-1\nmodels:\n{models}", "config.yml", None, {})
    assert surely_fits(loaded.config)
    alone = loaded.config.changed(models=loaded.config.models[:1])
    sizes = [len(compile_definition(type(loaded)(c, loaded.source), workflow).text) for c in (loaded.config, alone)]
    each = (sizes[0] - sizes[1]) / 19
    own = size_estimate.MODEL_BYTES + size_estimate.SCORE_BYTES + size_estimate.TUNE_BYTES
    assert each < own
