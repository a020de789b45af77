"""Rules about models that a container of the user's trains, or a script of theirs in an image of AWS."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from stepgluon import limits
from stepgluon.config import aws_images
from stepgluon.config.algorithm_schema import Algorithm, Objective
from stepgluon.config.aws_facts import facts
from stepgluon.config.findings import Finding
from stepgluon.config.kinds import as_text
from stepgluon.config.metrics import METRICS
from stepgluon.config.nodes import join
from stepgluon.config.schema import Model
from stepgluon.errors import found, listed

_IMAGE = re.compile(
    r"(?P<host>[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z.-]+))/[a-z0-9]+([._/-][a-z0-9]+)*"
    r"(?P<version>|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})"
)

ALIASES: dict[str, str] = {}  # of hyperparameters


def algorithm_is_possible(key: str, model: Model, region: str) -> Iterator[Finding]:
    """The hyperparameters, the script and the image."""
    at, algorithm = f"{key}.algorithm", model.algorithm
    assert algorithm
    yield from _settings(f"{at}.set", algorithm)
    yield from _script_mode(at, algorithm, region)
    for name, command in vars(algorithm.local).items() if algorithm.local else ():
        try:
            shlex.split(command)
        except ValueError as problem:
            yield Finding(f"{at}.local.{name}", f"this is not a command: {str(problem).lower()} (correct it)")
    if algorithm.image is not None and (message := _wrong_image(algorithm.image, region)):
        yield Finding(f"{at}.image", message, ("region",))


def image(algorithm: Algorithm, region: str) -> tuple[str, str] | None:
    return aws_images.sklearn_image(algorithm.sklearn, region) if algorithm.sklearn else None


def tuning_is_possible(at: str, model: Model) -> Iterator[Finding]:
    """What compares the trainings; any hyperparameter can be tuned."""
    given, place = model.tune.objective if model.tune else None, f"{at}.objective"
    if given is None or given.regex is None:
        message = "the objective of your own container is read from its log"
        example = "objective: {metric: NAME, regex: 'NAME=([0-9.]+)'}"
        yield Finding(at if given is None else place, f"{message} (write {example})", (f"{place}.regex",))
    else:
        yield from _objective(place, given)


def is_integer(model: Model, name: str) -> bool:
    assert model.tune
    return model.tune.ranges[name].whole


def objective(model: Model) -> tuple[str, str]:
    """The metric that compares a tuning's trainings, and whether it is minimized or maximized."""
    given = model.tune.objective if model.tune else None
    assert given, "an own container has an objective"
    known = METRICS[given.metric].higher if given.metric in METRICS else False
    return given.metric, given.goal.title() if given.goal else "Maximize" if known else "Minimize"


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


def _settings(settings: str, algorithm: Algorithm) -> Iterator[Finding]:
    """Only SageMaker's limits: the user's container may accept any hyperparameter."""
    if len(algorithm.set) > limits.HYPERPARAMETERS:
        yield Finding(settings, f"{len(algorithm.set)} entries are too many (at most {limits.HYPERPARAMETERS})")
    for name, value in algorithm.set.items():
        for what, text, most in (
            ("name", name, limits.HYPERPARAMETER_KEY),
            ("value", as_text(value), limits.HYPERPARAMETER_VALUE),
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


def _objective(place: str, given: Objective) -> Iterator[Finding]:
    try:
        groups = re.compile(given.regex or "").groups
    except re.error as error:
        message = f"invalid regular expression: {error} (correct it)"
        yield Finding(f"{place}.regex", message)
        return
    if groups == 0:
        message = "the regular expression has no group (put one around the value, like 'loss=([0-9.]+)')"
        yield Finding(f"{place}.regex", message)
    if given.goal is None and given.metric not in METRICS:
        message = f"{given.metric} is not a known metric (add goal: minimize or goal: maximize)"
        yield Finding(place, message, (f"{place}.metric", f"{place}.goal"))
