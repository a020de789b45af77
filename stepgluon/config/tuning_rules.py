"""Rules about `tune`: what SageMaker can search; xgboost_rules.py and container_rules.py have those of a program."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stepgluon import limits
from stepgluon.config.algorithm_schema import Tune
from stepgluon.config.findings import Finding, models_of
from stepgluon.config.nodes import join
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.programs import Rules, rules_of

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
        rules = rules_of(model.algorithm)
        if rules is None:  # nothing trains it, which algorithm_rules.py reports
            continue
        yield from _counts(at, model, model.tune, rules)
        yield from _names_fit(config, at)
        if len(model.train.environment) > limits.TUNING_ENVIRONMENT:
            message = f"{len(model.train.environment)} environment variables are too many for a tuned model"
            place = f"{key}.train.environment"
            yield Finding(place, f"{message} (at most {limits.TUNING_ENVIRONMENT})", (at,))
        for name in model.tune.ranges:
            if other := _set_too(model, name, rules):
                message = f"algorithm.set also has a value for {other} (remove one of them)"
                yield Finding(join(at, name), message, (join(f"{algorithm}.set", other),))
        yield from rules.tuning_is_possible(at, model)


def _counts(at: str, model: Model, tune: Tune, rules: Rules) -> Iterator[Finding]:
    ranges = tune.ranges
    if not ranges:
        yield Finding(at, "no hyperparameter has a range (write one, like max_depth: 3..8)", (f"{at}.jobs",))
    if len(ranges) > limits.TUNING_RANGES:
        yield Finding(at, f"{len(ranges)} hyperparameters are too many to tune (at most {limits.TUNING_RANGES})")
    if tune.parallel > tune.jobs:
        message = f"{tune.parallel} in parallel, but only {tune.jobs} trainings in all (write at most {tune.jobs})"
        yield Finding(f"{at}.parallel", message, (f"{at}.jobs",))
    counts = (one.most if one.values or rules.is_integer(model, name) else math.inf for name, one in ranges.items())
    most = math.prod(counts)
    most = most if ranges else math.inf
    if most < tune.jobs:
        message = f"the ranges have only {most:,} combinations, but jobs is {tune.jobs} (write jobs: {most})"
        yield Finding(f"{at}.jobs", message, (at,))


def _names_fit(config: PipelineConfig, at: str) -> Iterator[Finding]:
    prefix = f"{config.name}-{config.environment}" if config.environment else config.name
    if len(prefix) > LONGEST_PREFIX:
        message = (
            f"{prefix} has {len(prefix)} characters, too many: a tuning job's name is limited to 32, and stepgluon"
        )
        yield Finding("name", f"{message} adds 17 (at most {LONGEST_PREFIX} if a model is tuned)", (at,))


def _set_too(model: Model, name: str, rules: Rules) -> str:
    """The name in algorithm.set that fixes a tuned hyperparameter; empty if there is none."""
    fixed = model.algorithm.set if model.algorithm else {}
    plain = rules.ALIASES.get(name, name)
    return next((other for other in fixed if rules.ALIASES.get(other, other) == plain), "")
