"""Loads a PipelineConfig from a file or its text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stepgluon import limits
from stepgluon.config.reader import loaded
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import ConfigError, Place, Problem


def load(path: Path, environment: str | None, variables: Mapping[str, str]) -> LoadedConfig:
    """The config in a file; see `loads`."""
    try:
        with path.open("rb") as file:
            text = file.read(limits.CONFIG_BYTES + 1)  # /dev/zero ends here too
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        message = f"the config cannot be read: {reason} (give the config's path with --config FILE)"
        raise ConfigError(str(path), [Problem(Place(1, 1), "(file)", message)]) from None
    return loads(text, str(path), environment, variables)


def loads(text: str | bytes, file: str, environment: str | None, variables: Mapping[str, str]) -> LoadedConfig:
    """The config of an environment; raises ConfigError with all problems in it and in the other environments."""
    return loaded(text, file, environment, variables)
