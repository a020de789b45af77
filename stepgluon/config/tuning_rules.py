"""Rules about `tune`: what SageMaker and AWS's XGBoost can search, and by which metric."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from localaws.containers.xgboost.hyperparameters import ALIASES, INTEGERS, TUNABLE
from stepgluon import limits
from stepgluon.config import xgboost_settings
from stepgluon.config.metrics import METRICS
from stepgluon.config.model_rules import Finding, models_of
from stepgluon.config.nodes import join
from stepgluon.config.ranges import Range
from stepgluon.config.schema import Model, Objective, PipelineConfig, Tune
from stepgluon.errors import did_you_mean, listed

TUNED = TUNABLE.split()
# [sm] the name of a tuning job has 32 characters: the pipeline's, -train- and 10 of a hash
LONGEST_PREFIX = limits.TUNING_NAME - len("-train-") - 10


def tuning_is_possible(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        if model.tune is None:
            continue
        at, algorithm = f"{key}.tune", f"{key}.algorithm"
        if model.algorithm is None:
            message = "AutoGluon searches by itself, for train.time_limit (remove this, or set algorithm)"
            yield Finding(at, message, (algorithm,))
            continue
        yield from _counts(at, model, model.tune)
        yield from _names_fit(config, at)
        if len(model.train.environment) > limits.TUNING_ENVIRONMENT:
            message = f"{len(model.train.environment)} environment variables are too many for a tuned model"
            place = f"{key}.train.environment"
            yield Finding(place, f"{message} (at most {limits.TUNING_ENVIRONMENT})", (at,))
        for name in model.tune.ranges:
            if other := _set_too(model, name):
                message = f"algorithm.set also has a value for {other} (remove one of them)"
                yield Finding(join(at, name), message, (join(f"{algorithm}.set", other),))
        if model.algorithm.xgboost is not None:
            for name, one in model.tune.ranges.items():
                if wrong := _not_of_xgboost(name, one):
                    yield Finding(join(at, name), wrong)
        yield from _objective(at, model)


def _counts(at: str, model: Model, tune: Tune) -> Iterator[Finding]:
    ranges = tune.ranges
    if not ranges:
        yield Finding(at, "no hyperparameter has a range (write one, like max_depth: 3..8)", (f"{at}.jobs",))
    if len(ranges) > limits.TUNING_RANGES:
        yield Finding(at, f"{len(ranges)} hyperparameters are too many to tune (at most {limits.TUNING_RANGES})")
    if tune.parallel > tune.jobs:
        message = f"{tune.parallel} in parallel, but only {tune.jobs} trainings in all (write at most {tune.jobs})"
        yield Finding(f"{at}.parallel", message, (f"{at}.jobs",))
    most = math.prod(one.most if one.values or is_integer(model, name) else math.inf for name, one in ranges.items())
    most = most if ranges else math.inf
    if most < tune.jobs:
        message = f"the ranges have only {most:,} combinations, but jobs is {tune.jobs} (write jobs: {most})"
        yield Finding(f"{at}.jobs", message, (at,))


def is_integer(model: Model, name: str) -> bool:
    """Whether a tuned hyperparameter is searched in whole numbers."""
    assert model.algorithm and model.tune
    return name in INTEGERS if model.algorithm.xgboost is not None else model.tune.ranges[name].whole


def _names_fit(config: PipelineConfig, at: str) -> Iterator[Finding]:
    prefix = f"{config.name}-{config.environment}" if config.environment else config.name
    if len(prefix) > LONGEST_PREFIX:
        message = (
            f"{prefix} has {len(prefix)} characters, too many: a tuning job's name is limited to 32, and stepgluon"
        )
        yield Finding("name", f"{message} adds 17 (at most {LONGEST_PREFIX} if a model is tuned)", (at,))


def _set_too(model: Model, name: str) -> str:
    """The name in algorithm.set that fixes a tuned hyperparameter; empty if there is none."""
    fixed = model.algorithm.set if model.algorithm else {}
    plain = ALIASES.get(name, name)
    return next((other for other in fixed if ALIASES.get(other, other) == plain), "")


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


def _objective(at: str, model: Model) -> Iterator[Finding]:
    given, place = model.tune.objective if model.tune else None, f"{at}.objective"
    if model.algorithm and model.algorithm.xgboost is not None:
        yield from _objective_of_xgboost(place, given, model)
    elif given is None or given.regex is None:
        message = "the objective of your own container is read from its log"
        example = "objective: {metric: NAME, regex: 'NAME=([0-9.]+)'}"
        yield Finding(at if given is None else place, f"{message} (write {example})", (f"{place}.regex",))
    else:
        yield from _objective_of_container(place, given)


def _objective_of_xgboost(place: str, given: Objective | None, model: Model) -> Iterator[Finding]:
    classes, settings = model.judged.classes, model.algorithm.set if model.algorithm else {}
    if given and (wrong := xgboost_settings.problem("eval_metric", given.metric, classes)):
        yield Finding(f"{place}.metric", wrong)
    elif given and classes and (why := xgboost_settings.unsuited_metric(given.metric, settings)):
        yield Finding(f"{place}.metric", why)
    if given and given.regex is not None:
        yield Finding(f"{place}.regex", "AWS finds its own XGBoost's metrics (remove it)")
    if given and given.goal is not None:
        yield Finding(f"{place}.goal", "AWS knows whether to minimize or maximize XGBoost's metrics (remove it)")


def _objective_of_container(place: str, given: Objective) -> Iterator[Finding]:
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
