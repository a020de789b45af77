"""The states of a model that AWS's XGBoost trains, run in an interpreter, beside one of AutoGluon."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from interpreter import Run, Throws, failed_job, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.workflow.compile import compile_definition

CONFIG = """
name: shop
account: "123456789012"
region: cn-north-1
notify: [ml-team@example.com]
models:
  - name: price
    label: price
    algorithm: {xgboost: 3.0-5, set: {max_depth: 4, eta: 0.1, eval_metric: rmse, early_stopping_rounds: 5}}
  - {name: weight, label: weight}
fallback: {threshold: 350}
predict: {instance: {type: ml.m5.large, count: 3}, max_runtime: 30m, environment: {OMP_NUM_THREADS: "2"}}
encryption: {kms_key: "arn:aws-cn:kms:cn-north-1:123456789012:key/11111111-2222-3333-4444-555555555555"}
"""
ONLY = CONFIG.replace("  - {name: weight, label: weight}\n", "")
WORK = "s3://shop-work-123456789012-cn-north-1"
OURS = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/shop"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")


DEFAULT = {"uses": "default", "model_uri": f"{WORK}/promoted/may/price/job/", "run": "may", "image": "the image of may"}
PROMOTED = {"Body": json.dumps({"m_price": DEFAULT})}


@cache
def definition(config: str = CONFIG) -> str:
    return compile_definition(loads(config, "config.yml", None, {}), workflow).text


def answers(**changed: Any) -> dict[str, Any]:
    prints = [{"name": m, "train": m, "predict": m, "files": ["0.parquet"], "rows": 2} for m in ("price", "weight")]
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 4, "models": prints})}, "Post-process": {}}
    for model in ("price", "weight"):
        good[f"Look up {model}"] = good[f"Look up {model} result"] = NO_FILE
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        good[f"Read score of {model}"] = {"Body": json.dumps({"mae": 200, "mae_of_median": 612, "manifest": "5" * 64})}
        good[f"Predict {model}"] = good[f"Remember {model}"] = good[f"Remember {model} result"] = {}
    return good | {"Score price": {}} | {state.replace("_", " "): answer for state, answer in changed.items()}


def model(ended: Run, name: str = "price") -> dict[str, Any]:
    (found,) = [one for one in ended.output["models"] if one["name"] == name]
    return dict(found)


def test_aws_s_image_trains_from_csv_files_with_the_config_s_hyperparameters_as_text() -> None:
    train = run(definition(), answers()).call("Train price")
    image = "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.0-5"
    assert train["AlgorithmSpecification"] == {"TrainingImage": image, "TrainingInputMode": "File"}
    assert train["HyperParameters"] == {
        "num_round": "100",
        "objective": "reg:squarederror",
        "max_depth": "4",
        "eta": "0.1",
        "eval_metric": "rmse",
        "early_stopping_rounds": "5",
    }
    channels = {channel["ChannelName"]: channel for channel in train["InputDataConfig"]}
    assert list(channels) == ["train", "validation"]
    for name, channel in channels.items():
        assert channel["ContentType"] == "text/csv"
        source = channel["DataSource"]["S3DataSource"]
        assert source["S3Uri"] == f"{WORK}/runs/june-go/prepared/models/price/channels/{name}/"
    assert train["OutputDataConfig"]["CompressionType"] == "GZIP"
    assert train["OutputDataConfig"]["KmsKeyId"]


def test_a_training_that_does_not_stop_early_has_no_validation_rows() -> None:
    train = run(definition(CONFIG.replace(", early_stopping_rounds: 5", "")), answers()).call("Train price")
    assert [channel["ChannelName"] for channel in train["InputDataConfig"]] == ["train"]


def test_autogluon_s_model_beside_it_trains_as_ever() -> None:
    ended = run(definition(), answers())
    train = ended.call("Train weight")
    assert train["AlgorithmSpecification"]["TrainingImage"] == f"{OURS}-autogluon@${{AutogluonDigest}}"
    assert train["HyperParameters"] == {"model": "weight"}
    assert [channel["ChannelName"] for channel in train["InputDataConfig"]] == ["data"]
    assert train["OutputDataConfig"]["CompressionType"] == "NONE"
    assert "Score weight" not in ended.states


def test_a_job_takes_in_the_archive_and_measures_the_model_beside_it() -> None:
    ended = run(definition(), answers())
    assert ended.states.index("Train price") < ended.states.index("Score price")
    assert ended.states.index("Score price") < ended.states.index("Read score of price")
    score = ended.call("Score price")
    assert score["AppSpecification"]["ImageUri"] == f"{OURS}-xgboost@${{XgboostDigest}}"
    assert score["AppSpecification"]["ContainerEntrypoint"] == ["python3", "/opt/program/score.py"]
    trained = f"{WORK}/{model(ended)['model_uri'].removeprefix(WORK + '/').removesuffix('/')}"
    inputs = {one["InputName"]: one["S3Input"] for one in score["ProcessingInputs"]}
    assert inputs["archive"]["S3Uri"] == f"{trained}.tar.gz"
    assert inputs["archive"]["LocalPath"] == "/opt/ml/processing/input/archive"
    assert inputs["data"]["S3Uri"] == f"{WORK}/runs/june-go/prepared/models/price/"
    assert score["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] == trained
    assert score["Environment"] == {"STEPGLUON_MODEL": "price", "OMP_NUM_THREADS": "2"}
    assert score["ProcessingResources"]["ClusterConfig"]["InstanceType"] == "ml.m5.large"
    assert score["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1, "it reads all held-out rows"
    assert score["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}


def test_each_model_predicts_in_the_image_of_its_program() -> None:
    for config in (CONFIG, ONLY):
        ended = run(definition(config), answers())
        predict = ended.call("Predict price")["AppSpecification"]
        assert predict["ImageUri"] == f"{OURS}-xgboost@${{XgboostDigest}}" == model(ended)["image"]
        assert predict["ContainerEntrypoint"] == ["python3", "/opt/program/predict.py"]
        assert ended.call("Remember price")["Body"]["image"] == predict["ImageUri"]
    other = run(definition(), answers()).call("Predict weight")["AppSpecification"]["ImageUri"]
    assert other == f"{OURS}-autogluon@${{AutogluonDigest}}"


def test_another_image_of_ours_measures_the_model_anew() -> None:
    """Its score is part of what is found again."""
    usual = run(definition(), answers())
    for image, changed in (("Xgboost", {"price"}), ("Autogluon", {"weight"})):
        other = run(definition().replace(f"${{{image}Digest}}", "sha256:other"), answers())
        trained = {m for m in ("price", "weight") if model(usual, m)["model_uri"] != model(other, m)["model_uri"]}
        assert trained == changed


def test_an_archive_that_cannot_be_used_rejects_the_model_in_the_score_job_s_words() -> None:
    broken = failed_job("Not retried: model.tar.gz has a link ../x (write files alone)", "Processing")
    ended = run(definition(), answers(Score_price=broken, Choose_models=PROMOTED))
    assert model(ended)["verdict"] == "rejected"
    assert model(ended)["reason"] == "rejected. model.tar.gz has a link ../x (write files alone)."
    assert ended.states.count("Train price") == 1
    assert ended.call("Predict price")["AppSpecification"]["ImageUri"] == "the image of may"
    assert model(ended, "weight")["outcome"] == "predicted"


def test_a_lost_score_job_is_repeated_alone_under_a_new_name_as_often_as_retries_job_says() -> None:
    lost = failed_job("InternalServerError: lost", "Processing")
    ended = run(definition(), answers(Score_price=[lost, {}]))
    assert model(ended)["verdict"] == "accepted"
    assert (ended.states.count("Train price"), ended.states.count("Score price")) == (1, 2)
    scores = [call for state, call in ended.calls if state == "Score price"]
    assert len({call["ProcessingJobName"] for call in scores}) == 2
    assert scores[0]["ProcessingInputs"] == scores[1]["ProcessingInputs"]
    kept = ended.call("Remember price")["Body"]
    assert kept["job"] == "train-price" and "trained" not in kept
    ended = run(definition(), answers(Score_price=lost, Choose_models=PROMOTED))
    assert model(ended)["verdict"] == "rejected"
    assert ended.states.count("Score price") == 2
    assert model(ended)["job"] == "", "a model that was not measured does not predict"
    both = {
        "Train_price": [failed_job("InternalServerError: lost"), {"TrainingJobName": "second"}],
        "Score_price": lost,
    }
    ended = run(definition(), answers(**both, Choose_models=PROMOTED))
    assert (ended.states.count("Train price"), ended.states.count("Score price")) == (2, 1), (
        "tries are counted together"
    )


def test_a_mistake_that_aws_s_container_names_is_not_trained_again() -> None:
    said = "Label must be positive for gamma"
    mistake = failed_job(f"framework error: \nsagemaker_algorithm_toolkit.exceptions.UserError: {said}\n\n{said}")
    ended = run(definition(), answers(Train_price=mistake, Choose_models=PROMOTED))
    assert ended.states.count("Train price") == 1
    assert model(ended)["reason"] == f"rejected. {said}."
    broken = failed_job(f"framework error: \nsagemaker_algorithm_toolkit.exceptions.AlgorithmError: {said}\n\n{said}")
    ended = run(definition(), answers(Train_price=broken, Choose_models=PROMOTED))
    assert ended.states.count("Train price") == 2
    assert model(ended)["reason"] == f"rejected. {said}."


def test_the_sentence_of_xgboost_is_given_once_and_without_its_place_in_the_source() -> None:
    said = "Check failed: is_valid: base_score must be in (0,1) for the logistic loss."
    where = "XGB train call failed with exception:\n [13:04:59] /workspace/src/regression_obj.cu:114: "
    failed = failed_job(
        f"framework error: \nsagemaker_algorithm_toolkit.exceptions.AlgorithmError: {where}{said}\n \n{where}{said}\n "
    )
    ended = run(definition(), answers(Train_price=failed, Choose_models=PROMOTED))
    assert model(ended)["reason"] == f"rejected. {said}"


CLASSES = ONLY.replace("label: price\n", "label: price\n    metric: log_loss\n").replace(
    "fallback: {threshold: 350}\n", ""
)
CLASSES = CLASSES.replace("eval_metric: rmse, ", "")
SET = {"objective": "multi:softprob", "num_class": "3", "eval_metric": "mlogloss"}


def with_classes(config: str, **more: Any) -> Run:
    prints = [{"name": "price", "train": "p", "predict": "p", "files": ["0.parquet"], "rows": 2, "set": SET, **more}]
    prints += [{"name": "weight", "train": "w", "predict": "w", "files": ["0.parquet"], "rows": 2}]
    best = {"HyperParameterTuningJobName": "t", "BestTrainingJob": {"TrainingJobName": "t-1"}}
    tuned = {"Tune_price": best, "List_trials_of_price": {"TrainingJobSummaries": []}, "Write_trials_of_price": {}}
    body = {"Body": json.dumps({"gaps": 4, "models": prints})}
    return run(definition(config), answers(Read_fingerprints=body, **tuned))


def test_the_classes_that_prepare_counted_decide_hyperparameters() -> None:
    train = with_classes(CLASSES).call("Train price")
    assert train["HyperParameters"] == {
        "num_round": "100",
        "max_depth": "4",
        "eta": "0.1",
        "early_stopping_rounds": "5",
        **SET,
    }


def test_a_model_of_numbers_beside_it_keeps_its_own() -> None:
    other = "  - {name: weight, label: weight, algorithm: {xgboost: 3.0-5}}\nfallback: {threshold: 9}\npredict:"
    train = with_classes(CLASSES.replace("predict:", other)).call("Train weight")
    assert train["HyperParameters"] == {"num_round": "100", "objective": "reg:squarederror"}


def test_the_classes_decide_by_which_metric_a_tuning_compares() -> None:
    goal = {"MetricName": "validation:mlogloss", "Type": "Minimize"}
    config = CLASSES.replace("max_depth: 4, ", "").replace(
        "    metric:", "    tune: {max_depth: 3..5, jobs: 2}\n    metric:"
    )
    tune = with_classes(config, objective=goal).call("Tune price")
    assert tune["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] == goal
    assert tune["TrainingJobDefinition"]["StaticHyperParameters"].items() >= SET.items()
    own = config.replace("jobs: 2}", "jobs: 2, objective: {metric: merror}}")
    own = own.replace("set: {", 'set: {objective: "multi:softprob", ')
    tune = with_classes(own).call("Tune price")
    own_goal = {"MetricName": "validation:merror", "Type": "Minimize"}
    assert tune["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] == own_goal
