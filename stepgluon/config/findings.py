"""What a rule reports of a whole config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from stepgluon.config.schema import Model, PipelineConfig


class Finding(NamedTuple):
    key: str  # of the resolved config
    message: str | Callable[[], str]  # a function if composing the text takes time
    relies_on: tuple[str, ...] = ()  # other keys: if one of them is invalid, the finding is not reported


def models_of(config: PipelineConfig) -> Iterator[tuple[str, Model]]:
    for i, model in enumerate(config.models):
        yield f"models[{i}]", model
