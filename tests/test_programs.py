"""Programs: what trains a model and what predicts with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from configs import penguins

from stepgluon.config import algorithm_rules
from stepgluon.config.load import loads
from stepgluon.config.source import LoadedConfig
from stepgluon.names import Names
from stepgluon.programs import all_scripts, images_of


def test_a_config_without_an_algorithm_has_only_the_images_of_autogluon() -> None:
    assert images_of(loads(penguins(), "config.yml", None, {}).config) == ["data", "autogluon"]


def test_a_config_has_the_images_of_its_programs_whatever_their_order() -> None:
    text = "name: shop\nmodels: [{name: a, label: y, algorithm: {xgboost: 3.0-5}}, {name: b, label: z}]\n"
    config = loads(text, "config.yml", None, {}).config
    assert images_of(config) == ["data", "autogluon", "xgboost"]
    assert images_of(config.changed(models=config.models[:1])) == ["data", "xgboost"]


def test_each_image_says_which_scripts_run_in_it() -> None:
    assert all_scripts()["data"] == ["prepare", "postprocess", "monitor", "score_answers", "check_answers"]
    assert all_scripts()["autogluon"] == ["train", "predict"]


def xgboost(settings: str = "", region: str = "eu-central-1", more: str = "") -> LoadedConfig:
    algorithm = f"{{xgboost: 3.0-5{', set: {' + settings + '}' if settings else ''}}}"
    text = f"name: shop\nregion: {region}\nmodels:\n  - {{name: price, label: price, algorithm: {algorithm}{more}}}\n"
    return loads(text, "config.yml", None, {})


@pytest.mark.parametrize(
    ("region", "image"),
    [
        ("cn-north-1", "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.0-5"),
        ("eu-central-1", "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.0-5"),
        ("us-gov-west-1", "414596584902.dkr.ecr.us-gov-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"),
    ],
)
def test_each_region_has_xgboost_in_an_account_of_aws(region: str, image: str) -> None:
    """As sagemaker.image_uris.retrieve of 2.257.7 says."""
    config = xgboost(region=region).config
    assert Names(config).training_image(config.models[0]) == image


def test_the_jobs_get_the_whole_algorithm_and_nothing_of_autogluon() -> None:
    loaded = xgboost("max_depth: 4, num_round: 30")
    (model,) = json.loads(Names(loaded.config).config_json)["models"]
    assert model["algorithm"] == {
        "name": "xgboost",
        "version": "3.0-5",
        "image": "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.0-5",
        "channels": ["train"],
        "encoded": True,
        "set": {"max_depth": 4, "num_round": 30, "objective": "reg:squarederror"},
    }
    assert not model["train"].keys() & {"presets", "time_limit"}


def test_a_config_without_an_algorithm_keeps_its_address() -> None:
    assert (
        "algorithm" not in json.loads(Names(loads(penguins(), "config.yml", None, {}).config).config_json)["models"][0]
    )


def test_what_train_says_for_all_models_may_be_autogluons() -> None:
    text = "name: shop\nmodels: [{name: a, label: y, algorithm: {xgboost: 3.0-5}, train: {max_runtime: 5m}}]\n"
    assert (
        loads(f"{text}train: {{presets: best_quality, spot: true}}\n", "config.yml", None, {})
        .config.models[0]
        .train.spot
    )


@pytest.mark.parametrize(
    "settings",
    [
        "num_round: 1, eta: 0, subsample: 1, max_depth: 0, gamma: 0.5, lambda: 1.0e-3, seed: -5, verbosity: 3",
        'num_round: "200", save_model_on_termination: true, eval_metric: "rmse,mae", early_stopping_rounds: 10',
        'tree_method: hist, monotone_constraints: "(1,0,-1)", interaction_constraints: "[[1,2],[3]]"',
        "objective: reg:tweedie, tweedie_variance_power: 1.5, learning_rate: 0.1, booster: gblinear",
    ],
)
def test_what_the_container_takes_is_accepted(settings: str) -> None:
    assert xgboost(settings)


IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/mine:1"


def container(algorithm: str) -> LoadedConfig:
    text = f"name: shop\nregion: eu-central-1\nmodels: [{{name: price, label: price, algorithm: {{{algorithm}}}}}]\n"
    return loads(text, "config.yml", None, {})


def test_a_container_of_the_user_s_trains_and_predicts_with_any_hyperparameters() -> None:
    config = container(f"image: '{IMAGE}', set: {{depth: 3, early_stopping_rounds: 5, fast: true}}").config
    (model,) = config.models
    names = Names(config)
    assert names.training_image(model) == names.predicting_image(model) == IMAGE
    assert names.repository_arn(IMAGE) == "arn:aws:ecr:eu-central-1:123456789012:repository/team/mine"
    assert names.repository_arn(IMAGE.replace(":1", f"@sha256:{'0' * 64}")) == names.repository_arn(IMAGE)
    (told,) = json.loads(names.config_json)["models"]
    assert told["algorithm"]["set"] == {"depth": 3, "early_stopping_rounds": 5, "fast": True}
    assert (told["algorithm"]["channels"], told["algorithm"]["encoded"]) == (["train"], False)
    assert "data" in images_of(config) and "xgboost" not in images_of(config)


def test_an_image_that_is_built_has_a_repository_and_a_digest_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(algorithm_rules, "REPOSITORY", tmp_path)
    folder = tmp_path / "docker" / "mask-rcnn"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    config = container("build: docker/mask-rcnn").config
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop-mask-rcnn@${MaskRcnnDigest}"
    assert Names(config).training_image(config.models[0]) == image
    assert images_of(config)[-1] == "mask-rcnn"
