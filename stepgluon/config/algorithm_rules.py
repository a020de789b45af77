"""Rules about a model's algorithm: its image, whether the region has it, and its hyperparameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stepgluon import limits
from stepgluon.config import aws_images, xgboost_settings
from stepgluon.config.aws_facts import facts
from stepgluon.config.model_rules import Finding, models_of
from stepgluon.config.nodes import join
from stepgluon.config.schema import Algorithm, Model, PipelineConfig
from stepgluon.errors import did_you_mean, found, listed

REPOSITORY = Path(__file__).parents[2]
_WITH_GPU = re.compile(r"ml\.(g|p)[0-9]")
_IMAGE = re.compile(
    r"(?P<host>[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z.-]+))/[a-z0-9]+([._/-][a-z0-9]+)*"
    r"(?P<version>|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})"
)


def algorithms_are_known(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        algorithm = model.algorithm
        if algorithm is None:
            continue
        at = f"{key}.algorithm"
        given = [name for name in ("xgboost", "image", "build", "sklearn") if getattr(algorithm, name) is not None]
        if not given:
            usable = [name for name, readable in aws_images.xgboost_versions().items() if readable]
            yield Finding(
                at, f"nothing trains the model (write xgboost: {usable[-1]}, sklearn: 1.4-2, image: … or build: …)"
            )
        elif len(given) > 1:
            message = f"{given[0]} and {given[1]} would both train the model (keep one)"
            yield Finding(f"{at}.{given[1]}", message, (f"{at}.{given[0]}",))
        if algorithm.xgboost is not None:
            yield from _xgboost(key, model, algorithm, config.region)
        elif given:
            yield from _container(f"{at}.set", algorithm)
        yield from _script_mode(at, algorithm, config.region)
        if algorithm.image is not None and (message := _wrong_image(algorithm.image, config.region)):
            yield Finding(f"{at}.image", message, ("region",))
    yield from _builds(config)
    machine, containers = config.predict.instance.type, [model.algorithm for _, model in models_of(config)]
    if not config.predict.transforms and not any(one and not one.xgboost for one in containers):
        for name in ("payload", "strategy"):
            if getattr(config.predict, name) is not None:
                message = "only transform jobs use this (add with: transform, or remove it)"
                yield Finding(f"predict.{name}", message, ("predict.with",))
    elif machine not in facts().transform_instances:
        message = f"{machine} is not offered for transform jobs, which predict (choose another type)"
        yield Finding("predict.instance.type", message)


def _xgboost(key: str, model: Model, algorithm: Algorithm, region: str) -> Iterator[Finding]:
    if message := _wrong_version(algorithm.xgboost or "", region):
        yield Finding(f"{key}.algorithm.xgboost", message, ("region",))
    settings, classes = f"{key}.algorithm.set", model.judged.classes
    for name, value in algorithm.set.items():
        if wrong := xgboost_settings.problem(name, value, classes):
            yield Finding(join(settings, name), wrong)
    machine = model.train.instance.type
    if algorithm.set.get("tree_method") == "gpu_hist" and not _WITH_GPU.match(machine):
        hint = "set tree_method: hist, or another train.instance.type"
        message = f"this needs a GPU, but {machine} has none ({hint})"
        yield Finding(join(settings, "tree_method"), message, (f"{key}.train.instance.type",))
    for name, why, other in xgboost_settings.unsuited(algorithm.set, model.tune is not None, classes):
        yield Finding(join(settings, name), why, (join(settings, other),))


def _script_mode(at: str, algorithm: Algorithm, region: str) -> Iterator[Finding]:
    version, script = algorithm.sklearn, algorithm.script
    if version is not None:
        known = aws_images.sklearn_versions()
        if version not in known:
            message = f"{found(version)} is not a version of AWS's scikit-learn image (expected: {listed(known)})"
            yield Finding(f"{at}.sklearn", message)
        elif aws_images.sklearn_image(version, region) is None:
            message = f"AWS offers no scikit-learn image in {region} (choose another region, or your own container)"
            yield Finding(f"{at}.sklearn", message, ("region",))
        if script is None:
            yield Finding(f"{at}.script", "this key is missing (your training script, like mine/train.py)")
    elif script is not None:
        message = (
            "a script runs only in an AWS image (add sklearn: 1.4-2; or remove this and put the script into your image)"
        )
        yield Finding(f"{at}.script", message, (f"{at}.sklearn",))
    for name in algorithm.set if version is not None else ():
        if name.startswith("sagemaker_"):
            yield Finding(
                join(f"{at}.set", name), "names that begin with sagemaker_ are reserved for the pipeline (remove it)"
            )


def _container(settings: str, algorithm: Algorithm) -> Iterator[Finding]:
    """Only SageMaker's limits: the user's container may accept any hyperparameter."""
    if len(algorithm.set) > limits.HYPERPARAMETERS:
        yield Finding(settings, f"{len(algorithm.set)} entries are too many (at most {limits.HYPERPARAMETERS})")
    for name, value in algorithm.set.items():
        for what, text, most in (
            ("name", name, limits.HYPERPARAMETER_KEY),
            ("value", xgboost_settings.as_text(value), limits.HYPERPARAMETER_VALUE),
        ):
            if len(text) > most:
                yield Finding(join(settings, name), f"the {what} has {len(text):,} characters (at most {most:,})")


def _wrong_image(image: str, region: str) -> str:
    """An image's region and partition are in its address."""
    partition = facts().partition_of(region)
    here = f"dkr.ecr.{region}.{partition.dns_suffix if partition else 'amazonaws.com'}"
    match = _IMAGE.fullmatch(image)
    if match is None:
        return f"{found(image)} is not an image in ECR (expected: ACCOUNT.{here}/REPOSITORY:TAG)"
    place = facts().partition_of(match["region"])
    if place is None or match["suffix"] != place.dns_suffix:
        return f"{found(match['host'])} is not a host of ECR (expected: ACCOUNT.{here})"
    if place is not partition:
        return f"the image is in {place.name}, but {region} is in {partition and partition.name} (push it to {here})"
    if match["region"] != region:
        return f"the image is in {match['region']}, but jobs need one in their region (push it to ECR in {region})"
    if match["version"] in ("", ":latest"):
        way_out = "write a tag that never moves, or @sha256:…"
        return f"this tag can move, so a cached model might come from an older image ({way_out})"
    return ""


def _builds(config: PipelineConfig) -> Iterator[Finding]:
    """A folder's name becomes part of the name of a repository and of a template's parameter."""
    seen: dict[str, str] = {}
    when: dict[str, tuple[str, str]] = {}
    for key, model in models_of(config):
        folder = model.algorithm.build if model.algorithm else None
        if folder is None:
            if model.algorithm and model.algorithm.when != "push":
                yield Finding(f"{key}.algorithm.when", "when applies only to build (add build, or remove when)")
            continue
        assert model.algorithm
        first_key, first = when.setdefault(folder, (key, model.algorithm.when))
        if first != model.algorithm.when:
            message = f"another model builds {found(folder)} when: {first} (write the same, or rename a folder)"
            yield Finding(f"{key}.algorithm.when", message, (f"{first_key}.algorithm.when",))
        name, message = folder.rpartition("/")[2], ""
        if not (REPOSITORY / folder).is_dir():
            message = f"the folder {found(folder)} does not exist next to pipeline.py (name one with a Dockerfile)"
        elif not (REPOSITORY / folder / "Dockerfile").is_file():
            message = f"the folder {found(folder)} has no Dockerfile (add one)"
        elif name in ("data", "autogluon", "xgboost"):
            message = f"the pipeline already has an image named {name} (rename the folder)"
        elif not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*", name):
            message = f"{found(name)} is not a valid image name (rename the folder: a-z, 0-9 and -, like my-model)"
        elif seen.setdefault(name, folder) != folder:
            message = f"{found(seen[name])} has the same folder name, so both images would have the same name"
            message += " (rename one folder)"
        if message:
            yield Finding(f"{key}.algorithm.build", message)


def _wrong_version(version: str, region: str) -> str:
    known = aws_images.xgboost_versions()
    usable = [name for name, readable in known.items() if readable]
    if version not in known:
        guess = did_you_mean(version, usable)
        hint = f"did you mean {guess}?" if guess else f"expected: {listed(usable)}"
        return f"{found(version)} is not a version of AWS's XGBoost image ({hint})"
    if version not in usable:
        return f"version {version} saves models in a format that XGBoost no longer reads (use {listed(usable)})"
    if aws_images.xgboost_registry(version, region) is None:
        return f"AWS offers no XGBoost image in {region} (choose another region, or remove algorithm)"
    return ""
