"""Rules about models that AWS's XGBoost trains: its version, its hyperparameters, and what of them it tunes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from localaws.containers.xgboost.hyperparameters import ALIASES as ALIASES  # also a part of the row's rules
from localaws.containers.xgboost.hyperparameters import INTEGERS, MAXIMIZE, TUNABLE
from stepgluon.config import aws_images, xgboost_settings
from stepgluon.config.algorithm_schema import Algorithm, Objective
from stepgluon.config.findings import Finding
from stepgluon.config.nodes import join
from stepgluon.config.ranges import Range
from stepgluon.config.schema import Model
from stepgluon.errors import did_you_mean, found, listed

TUNED = TUNABLE.split()
_WITH_GPU = re.compile(r"ml\.(g|p)[0-9]")


def algorithm_is_possible(key: str, model: Model, region: str) -> Iterator[Finding]:
    """The version, the hyperparameters, and what suits them."""
    algorithm = model.algorithm
    assert algorithm
    if message := _wrong_version(algorithm.xgboost or "", region):
        yield Finding(f"{key}.algorithm.xgboost", message, ("region",))
    if algorithm.local is not None:
        message = "locally, an equivalent of AWS's XGBoost trains (remove this)"
        yield Finding(f"{key}.algorithm.local", message, (f"{key}.algorithm.xgboost",))
    if model.metric == "quantile_loss":
        message = "AWS's XGBoost has no objective for quantiles (remove algorithm, or use your own container)"
        yield Finding(f"{key}.metric", message, (f"{key}.algorithm.xgboost",))
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


def _wrong_version(version: str, region: str) -> str:
    known = aws_images.xgboost_versions()
    usable = [name for name, readable in known.items() if readable]
    if version not in known:
        guess = did_you_mean(version, usable)
        hint = f"did you mean {guess}?" if guess else f"expected: {listed(usable)}"
        return f"{found(version)} is not a version of AWS's XGBoost image ({hint})"
    if version not in usable:
        return f"version {version} saves models in a format that XGBoost no longer reads (use {listed(usable)})"
    if aws_images.xgboost_image(version, region) is None:
        return f"AWS offers no XGBoost image in {region} (choose another region, or remove algorithm)"
    return ""


def image(algorithm: Algorithm, region: str) -> tuple[str, str] | None:
    return aws_images.xgboost_image(algorithm.xgboost or "", region)


def tuning_is_possible(at: str, model: Model) -> Iterator[Finding]:
    """The ranges, and what compares the trainings."""
    assert model.tune
    for name, one in model.tune.ranges.items():
        if wrong := _not_of_xgboost(name, one):
            yield Finding(join(at, name), wrong)
    yield from _objective(f"{at}.objective", model.tune.objective, model)


def is_integer(model: Model, name: str) -> bool:
    return name in INTEGERS


def objective(model: Model) -> tuple[str, str]:
    """The metric that compares a tuning's trainings, and whether it is minimized or maximized."""
    given = model.tune.objective if model.tune else None
    metric = given.metric if given else model.metric
    return f"validation:{metric}", "Maximize" if metric in MAXIMIZE.split() else "Minimize"


def _not_of_xgboost(name: str, one: Range) -> str | Callable[[], str]:
    if name in ALIASES:
        return f"AWS uses another name for it (write {ALIASES[name]})"
    if name not in TUNED:
        known = xgboost_settings.is_known(name)
        if not known:
            return lambda: f"XGBoost has no such hyperparameter ({_guess(name)})"
        return f"AWS cannot tune {name} (it tunes {listed(TUNED)}; give others a fixed value in algorithm.set)"
    if one.values:
        return "AWS tunes XGBoost only in ranges, not in lists (write a range like 3..8)"
    return next((wrong for end in (one.low, one.high) if (wrong := xgboost_settings.problem(name, end))), "")


def _guess(name: str) -> str:
    guess = did_you_mean(name, TUNED)
    return f"did you mean {guess}?" if guess else f"expected: {listed(TUNED)}"


def _objective(place: str, given: Objective | None, model: Model) -> Iterator[Finding]:
    classes, settings = model.judged.classes, model.algorithm.set if model.algorithm else {}
    if given and (wrong := xgboost_settings.problem("eval_metric", given.metric, classes)):
        yield Finding(f"{place}.metric", wrong)
    elif given and classes and (why := xgboost_settings.unsuited_metric(given.metric, settings)):
        yield Finding(f"{place}.metric", why)
    if given and given.regex is not None:
        yield Finding(f"{place}.regex", "AWS finds its own XGBoost's metrics (remove it)")
    if given and given.goal is not None:
        yield Finding(f"{place}.goal", "AWS knows whether to minimize or maximize XGBoost's metrics (remove it)")
