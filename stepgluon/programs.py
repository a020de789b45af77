"""The programs: what trains a model, and what predicts with it. One row for each algorithm (docs/decisions/0016)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

from stepgluon.config import container_rules, xgboost_rules
from stepgluon.config.algorithm_schema import Algorithm
from stepgluon.config.findings import Finding
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.config.xgboost_settings import complete

DATA = "data"  # the image that prepares the tables and assembles the result, whatever the algorithm
Settings = dict[str, Any]  # algorithm.set


class Rules(Protocol):
    """What the config may say to a program: a module in config/."""

    @property
    def ALIASES(self) -> Mapping[str, str]: ...  # other names of hyperparameters

    def algorithm_is_possible(self, key: str, model: Model, region: str) -> Iterator[Finding]: ...

    def tuning_is_possible(self, at: str, model: Model) -> Iterator[Finding]: ...

    def is_integer(self, model: Model, name: str) -> bool: ...

    def objective(self, model: Model) -> tuple[str, str]: ...

    def image(self, algorithm: Algorithm, region: str) -> tuple[str, str] | None: ...


@dataclass(frozen=True)
class Program:
    name: str  # also of its row in code/programs.py, which has what the jobs know of it
    keys: tuple[str, ...] = ()  # of `algorithm`; one of them chooses this program. A single one has its version
    title: str = ""
    rules: Rules = container_rules
    _: KW_ONLY
    predicting_image: str = ""  # one of our images, which runs predict.py; empty if the training's own image predicts
    training_image: str = ""  # one of our images; empty if the config names it
    training_script: str = ""  # the entrypoint, in code/; empty if the image's own `train` runs
    channels: tuple[str, ...] = ()  # CSV channels that its training may read; if empty, it reads `data`
    encoded: bool = False  # whether these hold the numbers of encoding.json without a header, not the values
    scoring_image: str = ""  # measures the model in model.tar.gz; empty if the training leaves a folder and measures
    scoring_script: str = "score"
    complete: Callable[[Settings, bool], Settings] = lambda given, classes: dict(given)  # the hyperparameters
    classes: bool = False  # whether the label's classes, which prepare counts, decide further ones
    validates: Callable[[Settings], bool] = lambda settings: False  # whether its training reads the channel validation
    files: bool = False  # whether its data are files: then scripts of the user's prepare them and measure the model

    def version(self, algorithm: Algorithm) -> str:
        return str(getattr(algorithm, self.keys[0])) if len(self.keys) == 1 else ""

    @property
    def scripts(self) -> Iterable[tuple[str, str]]:
        """Its scripts in code/, each with our image in which it runs."""
        if self.files:  # in the user's container; see scripts.py
            return
        yield self.training_image, self.training_script
        yield self.scoring_image, self.scoring_script
        yield self.predicting_image or DATA, "predict" if self.predicting_image else "check_answers"


AUTOGLUON = Program(
    "autogluon",
    title="AutoGluon",
    predicting_image="autogluon",
    training_image="autogluon",
    training_script="train",
)
XGBOOST = Program(
    "xgboost",
    ("xgboost",),
    "XGBoost",
    xgboost_rules,
    predicting_image="xgboost",
    channels=("train", "validation"),
    encoded=True,
    classes=True,
    scoring_image="xgboost",
    complete=complete,
    validates=lambda settings: "early_stopping_rounds" in settings,
)
CONTAINER = Program(
    "container",
    ("image", "build", "sklearn"),
    channels=("train", "validation"),
    scoring_image=DATA,
    scoring_script="score_answers",
)
FILES = Program("files", CONTAINER.keys, channels=("train", "validation"), scoring_image=DATA, files=True)
PROGRAMS = (AUTOGLUON, XGBOOST, CONTAINER, FILES)


def keys_of(algorithm: Algorithm) -> list[str]:
    """Its keys that choose a program."""
    known = dict.fromkeys(key for program in PROGRAMS for key in program.keys)
    return [key for key in known if getattr(algorithm, key) is not None]


def program_of(model: Model) -> Program:
    """The first row with the model's key; config/algorithm_rules.py has checked that there is one."""
    if model.algorithm is None:
        return AUTOGLUON
    files = model.score is not None  # config/file_models.py: models of files have it, and no others
    return next(program for program in programs_of(model.algorithm) if program.files == files)


def programs_of(algorithm: Algorithm) -> list[Program]:
    """The rows with its first key: of tables, and of files."""
    given = keys_of(algorithm)[:1]
    return [program for program in PROGRAMS if {*given} & {*program.keys}]


def rules_of(algorithm: Algorithm) -> Rules | None:
    """Those of its program; None if none of its keys chooses one."""
    return next((program.rules for program in programs_of(algorithm)), None)


def answers(model: Model) -> bool:
    """Whether a container of the user's answers the model's rows, the held-out ones too."""
    return not program_of(model).predicting_image


def transforms(config: PipelineConfig, model: Model) -> bool:
    """Whether a server answers the rows to predict in a transform job; else a processing job of ours predicts."""
    return answers(model) or config.predict.transforms


def serves_archive(model: Model) -> bool:
    """Whether an endpoint reads the model from an archive: a container's is one, and serverless takes nothing else."""
    return answers(model) or bool(model.serve and model.serve.serverless)


def settings_of(model: Model) -> Settings:
    """The hyperparameters of a model with an algorithm."""
    return program_of(model).complete(model.algorithm.set if model.algorithm else {}, model.judged.classes)


def waits_for_classes(model: Model) -> bool:
    """Whether prepare adds hyperparameters, and for a tuning without `objective` the metric: see code/programs.py."""
    return program_of(model).classes and model.judged.classes


def channels_of(model: Model) -> list[str]:
    """The channels of a model's training besides `data`; code/channels.py writes those."""
    program = program_of(model)
    validates = model.tune is not None or program.validates(settings_of(model))
    return [name for name in program.channels if name != "validation" or validates]


def used_programs(config: PipelineConfig) -> list[Program]:
    used = {program_of(model) for model in config.models}
    return [program for program in PROGRAMS if program in used]


def usual_program(config: PipelineConfig) -> Program:
    """The program that all requests are for, unless a model's own part overrides it: one whose image is ours."""
    return min(used_programs(config), key=lambda program: not program.predicting_image)


def builds_of(config: PipelineConfig) -> dict[str, str]:
    """The images that are built from a folder of the user's, by the folder's name."""
    folders = [model.algorithm.build for model in config.models if model.algorithm and model.algorithm.build]
    return {name_of_build(folder): folder for folder in folders}


def builds_in_runs(config: PipelineConfig) -> dict[str, str]:
    """Those of them that a run builds."""
    algorithms = [model.algorithm for model in config.models if model.algorithm]
    folders = [one.build for one in algorithms if one.build and one.when == "run"]
    return {name_of_build(folder): folder for folder in folders}


def name_of_build(folder: str) -> str:
    return folder.rpartition("/")[2]


def images_of(config: PipelineConfig) -> list[str]:
    """Our images that the config's programs run in, and those that are built from the user's folders."""
    return [*_scripts_in(used_programs(config)), *builds_of(config)]


def title_of(image: str) -> str:
    """The image in the names of a template's resources and parameters, which have letters and digits only."""
    return "".join(part[:1].upper() + part[1:] for part in image.split("-"))


def parameter_of(image: str, config: PipelineConfig) -> str:
    """The template's parameter for the image's digest or, if runs build it, for its tag."""
    return f"{title_of(image)}{'Tag' if image in builds_in_runs(config) else 'Digest'}"


def all_scripts() -> dict[str, list[str]]:
    """The scripts that run in each of our images."""
    return _scripts_in(PROGRAMS)


def _scripts_in(programs: Iterable[Program]) -> dict[str, list[str]]:
    found = {DATA: ["prepare", "postprocess", "monitor"]}
    for image, script in (one for program in programs for one in program.scripts if one[0]):
        found.setdefault(image, []).append(script)
    return found
