"""A config with its positions in the file."""

from __future__ import annotations

from dataclasses import dataclass

from stepgluon.config.schema import PipelineConfig
from stepgluon.errors import Place, Problem


@dataclass(frozen=True)
class Source:
    """The positions of a config's values in its file.

    Keys are those of the resolved config (`models[2].train.spot`). If a value comes from elsewhere (an environment, the
    top-level train, a generated model), `origins` has the key that the user wrote.
    """

    file: str
    places: dict[str, Place]
    origins: dict[str, str]

    def nearest(self, key: str) -> str:
        """The key itself, or its nearest parent that is in the file; empty for the whole file."""
        while key and key not in self.places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return key

    def place(self, key: str) -> Place:
        return self.places[self.nearest(key)]

    def origin(self, key: str) -> str:
        nearest = self.nearest(key)
        return (self.origins.get(nearest, nearest) + key[len(nearest) :]).removeprefix(".")

    def problem(self, key: str, message: str) -> Problem:
        """A problem with a key of the resolved config, positioned where the user can fix it."""
        return Problem(self.place(key), self.origin(key) or "(file)", message)


@dataclass(frozen=True)
class LoadedConfig:
    config: PipelineConfig
    source: Source
