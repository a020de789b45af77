"""Programs: what trains a model and what predicts with it."""

from __future__ import annotations

from configs import penguins

from stepgluon.config.load import loads
from stepgluon.programs import all_scripts, images_of


def test_a_config_without_an_algorithm_has_only_the_images_of_autogluon() -> None:
    assert images_of(loads(penguins(), "config.yml", None, {}).config) == ["data", "autogluon"]


def test_each_image_says_which_scripts_run_in_it() -> None:
    assert all_scripts()["data"] == ["prepare", "postprocess"]
    assert all_scripts()["autogluon"] == ["train", "predict"]
