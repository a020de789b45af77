"""The keys that say what trains a model in place of AutoGluon, how it is tuned, and what measures a model of files."""

from __future__ import annotations

from stepgluon import limits
from stepgluon.config.kinds import TEXT, Choice, Scalar, Text, Version, Whole
from stepgluon.config.ranges import Range, RangeKind
from stepgluon.config.sections import Map, Rest, Section, entry

FOLDER = Text(
    r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$",
    "a folder of the repository, like docker/mine",
    limits.OBJECT_KEY,
)
SCRIPT = Text(
    r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\.py$",
    "a Python script of the repository, like mine/preprocess.py",
    limits.OBJECT_KEY,
)


class Processes(Section):
    """What runs in place of the container on a computer that cannot run it: not in the container's surroundings."""

    train: str = entry("command that trains, from the repository's root, like python mine/train.py", TEXT)
    serve: str = entry("command that starts the server", TEXT)


class Algorithm(Section):
    """What trains a model instead of AutoGluon."""

    xgboost: str | None = entry("version of AWS's XGBoost image, like 3.0-5", Version(least=1, most=1024), None)
    image: str | None = entry("image in ECR of a container of your own, in the same region", TEXT, None)
    build: str | None = entry(
        "folder of its Dockerfile instead, like docker/mine; deploy builds and pushes it", FOLDER, None
    )
    sklearn: str | None = entry("or version of AWS's scikit-learn image, like 1.4-2, which runs script", TEXT, None)
    script: str | None = entry("with sklearn: your training script, with model_fn for predictions", SCRIPT, None)
    when: str = entry(
        "when build is built: push: by deploy; run: by CodeBuild, as the first step of a run, unless ECR has it",
        Choice("push", "run"),
        "push",
    )
    local: Processes | None = entry(
        "locally, without buildah: commands that run as processes instead of the container", Processes, None
    )
    set: dict[str, str | int | float | bool] = entry(
        "hyperparameters; for XGBoost, by default, num_round is 100, and objective suits the label",
        Map(Scalar(), TEXT),
        {},
    )


class Objective(Section):
    metric: str = entry("for XGBoost one of its metrics, like rmse; for your own container any name", TEXT)
    regex: str | None = entry(
        "for your own container: regular expression whose first group is the metric's value in the log",
        Text(least=1, most=500),
        None,
    )
    goal: str | None = entry(
        "for your own container: whether lower or higher values are better", Choice("minimize", "maximize"), None
    )


class Tune(Section):
    """Ranges of hyperparameters, and how they are searched."""

    jobs: int = entry("how many trainings are tried", Whole(1, limits.TUNING_JOBS), 10)
    parallel: int = entry("how many of them run at once", Whole(1, limits.TUNING_AT_ONCE), 2)
    strategy: str = entry("how values are chosen; always random locally", Choice("bayesian", "random"), "bayesian")
    objective: Objective | None = entry(
        "metric that compares the trainings; for XGBoost, by default the model's metric", Objective, None
    )
    ranges: dict[str, Range] = entry(
        "a range of this hyperparameter: 3..8, 0.01..0.3 log, or [a, b]", Rest(RangeKind(), TEXT), {}
    )


class Score(Section):
    """What measures a model of files: a script or the training's log."""

    with_: str | None = entry("your script that measures the model on the folder test", SCRIPT, None)
    log: str | None = entry(
        "or the regular expression that finds the metric in the training's log, with one group",
        Text(least=1, most=limits.METRIC_REGEX),
        None,
    )

    @property
    def script(self) -> str | None:
        given: str | None = vars(self)["with"]  # the word cannot be an attribute
        return given
