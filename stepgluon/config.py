"""The config's schema: what `pipeline-config.yml` can say, as frozen values.

The text of each key's description is what editors show (`pipeline.py schema`) and what the README's table says.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stepgluon import limits

Scalar = str | int | float | bool
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
PRESETS = ("medium_quality", "good_quality", "high_quality", "best_quality")
_DURATION = re.compile(r"([1-9][0-9]{0,6})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: Any) -> Any:
    """`90s`, `10m` or `1h` as a number of seconds."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("a duration like 90s, 10m or 1h is expected")
    return int(match[1]) * _SECONDS[match[2]]


def _email(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text) or len(text) > 254:
        raise ValueError("a mail address like team@example.com is expected")
    return text


Duration = Annotated[
    int,
    BeforeValidator(seconds),
    Field(json_schema_extra={"type": "string", "pattern": "^[1-9][0-9]{0,6}(s|m|h)$"}),
]
Text = Annotated[str, Field(min_length=1, max_length=1024)]
Email = Annotated[str, AfterValidator(_email)]
PipelineName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=limits.PREFIX)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$", max_length=63)]
EnvironmentVariables = dict[
    Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=limits.ENVIRONMENT_KEY)],
    Annotated[str, Field(max_length=limits.ENVIRONMENT_VALUE)],
]


class Section(BaseModel):
    """A part of the config: no unknown keys, no silent conversions, never changed once read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Instance(Section):
    type: Text = Field("ml.m5.xlarge", description="SageMaker instance type")
    count: int = Field(1, ge=1, le=100, description="how many instances share the job")
    volume_gb: int = Field(30, ge=1, le=16384, description="disk of each instance, in GB")


class Data(Section):
    format: Literal["auto", "csv", "parquet", "jsonl"] = Field(
        "auto", description="the raw tables' format; auto goes by file name; each may be gzipped"
    )
    test_fraction: FiniteFloat = Field(0.2, gt=0, lt=1, description="share of the labelled rows kept for the error")
    seed: int = Field(7, ge=0, le=2**32 - 1, description="makes the split the same in every run")


class Job(Section):
    instance: Instance = Field(default_factory=Instance, description="what the job runs on")
    max_runtime: Duration = Field(3600, description="the job is stopped after this time")
    environment: EnvironmentVariables = Field({}, description="environment variables of the job")


class Prepare(Job):
    """One job that splits the raw tables into each model's parts."""


class Postprocess(Job):
    """One job that puts the predictions together in the input's order."""


class Predict(Job):
    """One job per model."""


class Train(Job):
    presets: Literal["medium_quality", "good_quality", "high_quality", "best_quality"] = Field(
        "medium_quality", description="AutoGluon's presets: better ones take longer"
    )
    time_limit: Duration = Field(600, description="how long AutoGluon may search for one model")
    spot: bool = Field(False, description="train on spare capacity: cheaper, and may have to wait or start again")


class Model(Section):
    name: ModelName = Field(description="names the model in mails, jobs and results")
    label: Text = Field(description="the column to predict: a number; rows where it is empty are predicted")
    where: dict[Text, Scalar | Annotated[list[Scalar], Field(min_length=1)]] = Field(
        {}, description="the rows that are this model's: column: value, or column: [values]"
    )
    drop: list[Text] = Field([], description="columns that this model must not see")
    threshold: FiniteFloat | None = Field(None, gt=0, description="overrides fallback.threshold")
    default_model: Text | None = Field(None, description="overrides fallback.default_model")
    train: Train = Field(default_factory=Train, description="overrides keys of train for this model")


class Fallback(Section):
    threshold: FiniteFloat | None = Field(
        None, gt=0, description="a model is good enough when its mean absolute error, in the label's unit, is at most this"
    )
    when: Literal["each", "any"] = Field(
        "each", description="each: a bad model is replaced by its own default; any: one bad model, and all are"
    )
    default_model: Text = Field(
        "promoted", description="promoted (pipeline.py promote RUN), or s3://… in the pipeline's own buckets"
    )
    if_missing: Literal["fail", "use_trained"] = Field(
        "fail", description="when there is no default model: fail the run, or use the trained one anyway"
    )


class Retries(Section):
    throttling: int = Field(8, ge=0, le=99, description="more tries when a service is busy or throttles")
    quota: int | None = Field(
        None, ge=0, le=999, description="more tries, minutes apart, when an account limit is reached; null: as many as fit, at most 60"
    )
    job: int = Field(1, ge=0, le=10, description="more tries when a job failed, each with a fresh name")


class Network(Section):
    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]] = Field(
        [], max_length=16, description="run the jobs in these subnets"
    )
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]] = Field(
        [], max_length=5, description="with these security groups"
    )
    isolate: bool = Field(False, description="cut the jobs' containers off from every network")
    encrypt_traffic: bool = Field(False, description="encrypt what instances of one job send each other")


class Encryption(Section):
    kms_key: Text | None = Field(None, description="ARN of the KMS key for buckets, volumes, topic and queue")


class PipelineConfig(Section):
    """One pipeline. Every key has a default but name, account, region, notify and models."""

    name: PipelineName = Field(description="names the state machine, buckets, roles and jobs")
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] = Field(description="AWS account, 12 digits")
    region: Annotated[str, Field(max_length=20)] = Field(description="AWS region")
    notify: Annotated[list[Email], Field(min_length=1)] = Field(description="who gets the mails")
    models: Annotated[list[Model], Field(min_length=1)] = Field(description="one branch each")
    data: Data = Field(default_factory=Data, description="how the raw tables are read and split")
    fallback: Fallback = Field(default_factory=Fallback, description="when a model is good enough, and what else is used")
    prepare: Prepare = Field(default_factory=Prepare, description="the job that prepares the data")
    train: Train = Field(default_factory=Train, description="the training jobs")
    predict: Predict = Field(default_factory=Predict, description="the prediction jobs")
    postprocess: Postprocess = Field(default_factory=Postprocess, description="the job that assembles the result")
    retries: Retries = Field(default_factory=Retries, description="how often what is tried again")
    network: Network = Field(default_factory=Network, description="where the jobs' traffic goes")
    encryption: Encryption = Field(default_factory=Encryption, description="keys")
    tags: dict[str, str] = Field({}, max_length=40, description="tags of every resource and job")
    environment: str | None = Field(None, description="the name given with --env", exclude=True)

    def threshold_of(self, model: Model) -> float:
        """What the model's error may be at most; checks.py has made sure that there is one."""
        threshold = self.fallback.threshold if model.threshold is None else model.threshold
        assert threshold is not None
        return threshold

    def default_model_of(self, model: Model) -> str:
        return model.default_model or self.fallback.default_model
