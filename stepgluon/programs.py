"""The programs: what trains a model, and what predicts with it. One row for each algorithm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stepgluon.config.schema import Model, PipelineConfig

DATA = "data"  # the image that prepares the tables and assembles the result, whatever the algorithm


@dataclass(frozen=True)
class Program:
    name: str
    training_image: str  # one of our images; empty if AWS offers it
    training_script: str  # the entrypoint, in code/; empty if the image's own `train` runs
    channels: tuple[str, ...]  # that each of its trainings has
    compression: str  # of what the training leaves: NONE (a folder) or GZIP (model.tar.gz)
    scoring_image: str  # in which score.py takes in and measures the archive; empty if the training measures itself
    predicting_image: str  # in which predict.py runs

    @property
    def scripts(self) -> Iterable[tuple[str, str]]:
        """Its scripts in code/, each with our image in which it runs."""
        yield self.training_image, self.training_script
        yield self.scoring_image, "score"
        yield self.predicting_image, "predict"


AUTOGLUON = Program("autogluon", "autogluon", "train", ("data",), "NONE", "", "autogluon")
PROGRAMS = (AUTOGLUON,)


def program_of(model: Model) -> Program:
    return AUTOGLUON


def images_of(config: PipelineConfig) -> list[str]:
    """Our images that the config's programs run in."""
    return list(_scripts_in({program_of(model): None for model in config.models}))


def all_scripts() -> dict[str, list[str]]:
    """The scripts that run in each of our images."""
    return _scripts_in(PROGRAMS)


def _scripts_in(programs: Iterable[Program]) -> dict[str, list[str]]:
    found = {DATA: ["prepare", "postprocess"]}
    for image, script in (one for program in programs for one in program.scripts if one[0]):
        found.setdefault(image, []).append(script)
    return found
