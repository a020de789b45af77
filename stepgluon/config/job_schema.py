"""The keys of the jobs that prepare, train, predict and put the predictions together."""

from __future__ import annotations

from stepgluon import limits
from stepgluon.config.durations import Duration
from stepgluon.config.kinds import TEXT, Choice, Flag, Text, Whole
from stepgluon.config.sections import Map, Section, entry

VARIABLES = Map(
    Text(most=limits.ENVIRONMENT_VALUE, free=True),
    Text(
        r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        "letters, digits and _, not beginning with a digit, like MY_OPTION",
        limits.ENVIRONMENT_KEY,
    ),
)
PROCESSING_TIME, TRAINING_TIME = Duration(limits.PROCESSING_SECONDS), Duration(limits.TRAINING_SECONDS)


class Instance(Section):
    """One instance: these jobs cannot share their work."""

    type: str = entry("SageMaker instance type", TEXT, "ml.m5.xlarge")
    volume_gb: int = entry("disk of each instance, in GB", Whole(1, 16384), 30)

    @property
    def count(self) -> int:
        return 1


class Instances(Instance):
    """Several instances may share the rows."""

    count: int = entry("number of instances that share the rows", Whole(1, 100), 1)


_RUNS_ON, _STOPPED = "the machine the job runs on", "the job is stopped after this long"


class Job(Section):
    instance: Instance = entry(_RUNS_ON, Instance)
    max_runtime: int = entry(_STOPPED, PROCESSING_TIME, 3600)
    environment: dict[str, str] = entry("environment variables of the job", VARIABLES, {})


class Prepare(Job):
    """One job that splits the raw tables into each model's parts."""


class Postprocess(Job):
    """One job that puts the predictions together in the input's order."""


class Predict(Job):
    """One job per model; of a container of the user's always a transform job."""

    instance: Instances = entry(_RUNS_ON, Instances)
    with_: str = entry(
        "job: a processing job that reads the rows; transform: a transform job that sends them to the model's server",
        Choice("job", "transform"),
        "job",
    )
    payload: int | None = entry("the most MB of rows in one request of a transform job", Whole(1, 100), None)
    strategy: str | None = entry(
        "rows in one request of a transform job: multi, as many as fit; single, one", Choice("multi", "single"), None
    )

    @property
    def transforms(self) -> bool:
        return bool(vars(self)["with"] == "transform")


class Train(Job):
    max_runtime: int = entry(_STOPPED, TRAINING_TIME, 3600)
    presets: str = entry(
        "AutoGluon's presets; better ones take longer; fast fits only LightGBM and XGBoost",
        Choice("fast", "medium_quality", "good_quality", "high_quality", "best_quality"),
        "medium_quality",
    )
    time_limit: int = entry("time AutoGluon has for one model", TRAINING_TIME, 600)
    spot: bool = entry("train on spot instances: cheaper, but may wait or be interrupted", Flag(), False)


AUTOGLUONS = frozenset(("presets", "time_limit"))  # keys of Train that concern no other algorithm
