"""The commands that messages advise, as this user has to write them: with the --config and --env of this call."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

CONFIG = "pipeline-config.yml"
_given: ContextVar[tuple[str, ...]] = ContextVar("given", default=())


def pipeline_py(words: str) -> str:
    """`deploy --only base` -> python pipeline.py deploy --only base --env prod"""
    return " ".join(["python pipeline.py", words, *map(shlex.quote, _given.get())])


@contextmanager
def as_given(config: Path | None, environment: str | None) -> Iterator[None]:
    """In the block, commands repeat what was said of the config; its usual name need not be."""
    file = ("--config", str(config)) if config and str(config) != CONFIG else ()
    token = _given.set((*file, *(("--env", environment) if environment else ())))
    try:
        yield
    finally:
        _given.reset(token)
