"""The programs: what trains a model, and what predicts with it. One row for each algorithm (docs/decisions/0016)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stepgluon.config.schema import Model, PipelineConfig

DATA = "data"  # the image that prepares the tables and assembles the result, whatever the algorithm


@dataclass(frozen=True)
class Program:
    name: str
    predicting_image: str  # runs predict.py
    training_image: str = ""  # one of our images; empty if AWS offers it
    training_script: str = ""  # the entrypoint, in code/; empty if the image's own `train` runs
    channels: tuple[str, ...] = ()  # CSV channels that its training may read; if empty, it reads `data`
    encoded: bool = False  # whether these hold the numbers of encoding.json without a header, not the values
    scoring_image: str = ""  # runs score.py on model.tar.gz; empty if the training leaves a folder and measures itself

    @property
    def scripts(self) -> Iterable[tuple[str, str]]:
        """Its scripts in code/, each with our image in which it runs."""
        yield self.training_image, self.training_script
        yield self.scoring_image, "score"
        yield self.predicting_image, "predict"


AUTOGLUON = Program("autogluon", "autogluon", training_image="autogluon", training_script="train")
XGBOOST = Program("xgboost", "xgboost", channels=("train", "validation"), encoded=True, scoring_image="xgboost")
PROGRAMS = (AUTOGLUON, XGBOOST)


def program_of(model: Model) -> Program:
    return XGBOOST if model.algorithm else AUTOGLUON


def channels_of(model: Model) -> list[str]:
    """The channels of a model's training besides `data`; code/channels.py writes those."""
    stops_early = model.algorithm is not None and "early_stopping_rounds" in model.algorithm.set
    return [name for name in program_of(model).channels if name != "validation" or stops_early]


def usual_program(config: PipelineConfig) -> Program:
    """The program that all requests are for, unless a model's own part overrides it."""
    used = [program_of(model) for model in config.models]
    return AUTOGLUON if AUTOGLUON in used else used[0]


def images_of(config: PipelineConfig) -> list[str]:
    """Our images that the config's programs run in."""
    used = {program_of(model) for model in config.models}
    return list(_scripts_in(program for program in PROGRAMS if program in used))


def all_scripts() -> dict[str, list[str]]:
    """The scripts that run in each of our images."""
    return _scripts_in(PROGRAMS)


def _scripts_in(programs: Iterable[Program]) -> dict[str, list[str]]:
    found = {DATA: ["prepare", "postprocess"]}
    for image, script in (one for program in programs for one in program.scripts if one[0]):
        found.setdefault(image, []).append(script)
    return found
