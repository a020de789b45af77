"""Rules about a model's algorithm: its version, whether AWS offers it in the region, and its hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepgluon.config import aws_images, xgboost_settings
from stepgluon.config.metrics import METRICS
from stepgluon.config.model_rules import Finding, models_of
from stepgluon.config.nodes import join
from stepgluon.config.schema import Algorithm, PipelineConfig
from stepgluon.errors import did_you_mean, found, listed

_WITH_GPU = re.compile(r"ml\.(g|p)[0-9]")


def algorithms_are_known(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        if model.algorithm is None:
            continue
        if message := _wrong_version(model.algorithm, config.region):
            at = f"{key}.algorithm" if model.algorithm.xgboost is None else f"{key}.algorithm.xgboost"
            yield Finding(at, message, ("region",))
        if METRICS[model.metric].classes:
            message = f"{model.metric} is for classes, but {xgboost_settings.ONE_NUMBER} (remove algorithm)"
            yield Finding(f"{key}.metric", message, (f"{key}.algorithm.xgboost",))
        settings = f"{key}.algorithm.set"
        for name, value in model.algorithm.set.items():
            if wrong := xgboost_settings.problem(name, value):
                yield Finding(join(settings, name), wrong)
        machine = model.train.instance.type
        if model.algorithm.set.get("tree_method") == "gpu_hist" and not _WITH_GPU.match(machine):
            hint = "set tree_method: hist, or another train.instance.type"
            message = f"this needs a GPU, and {machine} has none ({hint})"
            yield Finding(join(settings, "tree_method"), message, (f"{key}.train.instance.type",))
        for name, why, other in xgboost_settings.unsuited(model.algorithm.set):
            yield Finding(join(settings, name), why, (join(settings, other),))


def _wrong_version(algorithm: Algorithm, region: str) -> str:
    known = aws_images.xgboost_versions()
    usable = [name for name, readable in known.items() if readable]
    version = algorithm.xgboost
    if version is None:
        return f"the version is missing (write xgboost: {usable[-1]})"
    if version not in known:
        guess = did_you_mean(version, usable)
        hint = f"did you mean {guess}?" if guess else f"expected: {listed(usable)}"
        return f"{found(version)} is not a version of AWS's XGBoost image ({hint})"
    if version not in usable:
        return f"models of version {version} are in a format that XGBoost no longer reads (use {listed(usable)})"
    if aws_images.xgboost_registry(version, region) is None:
        return f"AWS offers no XGBoost image in {region} (choose another region, or remove algorithm)"
    return ""
