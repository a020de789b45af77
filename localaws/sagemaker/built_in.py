"""AWS's own images that have a local equivalent, and what AWS knows of their trainings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localaws.containers.xgboost.hyperparameters import METRICS, TUNABLE


@dataclass(frozen=True)
class BuiltIn:
    package: str  # of Python, and the folder of the equivalent in localaws/containers
    metric: re.Pattern[str]  # finds a metric in the log: its channel, name and value
    metrics: Sequence[str]  # by which a tuning can compare trainings
    tunable: Sequence[str]


BUILT_IN = {  # by the image's repository
    "sagemaker-xgboost": BuiltIn(
        "xgboost",
        # https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost-tuning.html; CloudWatch shows a tab as #011
        re.compile(r"#011(train|validation)-([^\s:#]+):([-+.\deinfa]+)"),
        [f"validation:{name}" for name in METRICS],
        TUNABLE.split(),
    )
}


def built_in(image: str) -> BuiltIn | None:
    return BUILT_IN.get(named(image)[0])


def named(image: str) -> tuple[str, str]:
    """An image's repository and tag, without registry and digest."""
    repository, _, tag = image.rpartition("/")[2].partition("@")[0].partition(":")
    return repository, tag
