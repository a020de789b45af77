"""The config's schema: the keys of `pipeline-config.yml`, as frozen values.

Each key's description is shown by editors (`pipeline.py schema`) and in the README's table.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from typing_extensions import Self

from stepgluon import limits
from stepgluon.config.durations import DURATION, seconds
from stepgluon.errors import found

Scalar = str | int | float | bool
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]

# The patterns, with a description of each in plain words.
PIPELINE_NAME = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"
MODEL_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$"
ACCOUNT = r"^[0-9]{12}$"
EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
VARIABLE = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
SUBNET = r"^subnet-[0-9a-f]{8,17}$"
SECURITY_GROUP = r"^sg-[0-9a-f]{8,17}$"
CONNECTION = r"^arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:[0-9]{12}:connection/[0-9a-f-]{36}$"
REPOSITORY = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$"
CODECOMMIT = r"^[A-Za-z0-9_.-]+$"
BRANCH = r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"
BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
ZIP = r"^[A-Za-z0-9][A-Za-z0-9_./-]*\.zip$"
EXPECTED = {
    PIPELINE_NAME: "a-z, 0-9 and -, beginning with a letter and not ending with -, like penguins",
    MODEL_NAME: "letters, digits, - and _, beginning and ending with a letter or digit, like adelie",
    ACCOUNT: "the 12 digits of an AWS account, like 123456789012",
    EMAIL: "a mail address, like team@example.com",
    VARIABLE: "letters, digits and _, not beginning with a digit, like MY_OPTION",
    SUBNET: "the id of a subnet, like subnet-0123456789abcdef0",
    SECURITY_GROUP: "the id of a security group, like sg-0123456789abcdef0",
    CONNECTION: "the ARN of a connection, like arn:aws:codeconnections:REGION:ACCOUNT:connection/ID",
    REPOSITORY: "owner/name, like my-team/penguins",
    CODECOMMIT: "letters, digits, _ . and -, like penguins",
    BRANCH: "letters, digits and _ . / -, like main",
    BUCKET: "the name of a bucket, like my-team-sources",
    ZIP: "letters, digits and _ . / - with .zip at the end, like penguins/source.zip",
}


def _account(value: object) -> object:
    """Accept an unquoted account, which YAML reads as a number, as text."""
    return str(value) if type(value) is int else value


def _where(value: object) -> object:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("the list is empty (give the values that the rows may have)")
    for one in values:
        if not isinstance(one, (str, int, float)) or (isinstance(one, float) and not math.isfinite(one)):
            raise ValueError(f"{found(one)} is not allowed (text, a number, true or false is expected)")
    return value


DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": DURATION})
ProcessingTime = Annotated[int, BeforeValidator(partial(seconds, most=limits.PROCESSING_SECONDS)), DURATION_SCHEMA]
TrainingTime = Annotated[int, BeforeValidator(partial(seconds, most=limits.TRAINING_SECONDS)), DURATION_SCHEMA]
Text = Annotated[str, Field(min_length=1, max_length=1024)]
Email = Annotated[str, Field(pattern=EMAIL, max_length=254)]
Account = Annotated[str, BeforeValidator(_account), Field(pattern=ACCOUNT)]
PipelineName = Annotated[str, Field(pattern=PIPELINE_NAME, max_length=limits.PREFIX)]
ModelName = Annotated[str, Field(pattern=MODEL_NAME, max_length=63)]
_ONE = {"type": ["string", "number", "boolean"]}
RowValue = Annotated[
    Scalar | list[Scalar],
    PlainValidator(_where),
    WithJsonSchema({"anyOf": [_ONE, {"type": "array", "minItems": 1, "items": _ONE}]}),
]
EnvironmentVariables = dict[
    Annotated[str, Field(pattern=VARIABLE, max_length=limits.ENVIRONMENT_KEY)],
    Annotated[str, Field(max_length=limits.ENVIRONMENT_VALUE)],
]


class Section(BaseModel):
    """A part of the config: no unknown keys, no silent conversions, never changed once read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Returns itself: thousands of models share their defaults, which pydantic would copy each time."""
        return self


class Machine(Section):
    """What a job runs on."""

    type: Text = Field(default="ml.m5.xlarge", description="SageMaker instance type")
    volume_gb: int = Field(default=30, ge=1, le=16384, description="disk of each instance, in GB")


class Instance(Machine):
    """One instance: these jobs cannot share their work."""

    @property
    def count(self) -> int:
        return 1


class Instances(Machine):
    count: int = Field(default=1, ge=1, le=100, description="number of instances that share the rows")


class Data(Section):
    format: Literal["auto", "csv", "parquet", "jsonl"] = Field(
        default="auto", description="format of the raw tables; auto goes by the file name; any may be gzipped"
    )
    test_fraction: FiniteFloat = Field(
        default=0.2, gt=0, lt=1, description="share of the labelled rows held out to measure the error"
    )
    seed: int = Field(
        default=7, ge=0, le=2**32 - 1, description="seed of the split, so that it is the same in every run"
    )


_RUNS_ON, _STOPPED = "the machine the job runs on", "the job is stopped after this long"


class Job(Section):
    instance: Instance | Instances = Field(default=Instance(), description=_RUNS_ON)
    max_runtime: ProcessingTime = Field(default=3600, description=_STOPPED)
    environment: EnvironmentVariables = Field(default={}, description="environment variables of the job")


class Prepare(Job):
    """One job that splits the raw tables into each model's parts."""

    instance: Instance = Field(default=Instance(), description=_RUNS_ON)


class Postprocess(Job):
    """One job that puts the predictions together in the input's order."""

    instance: Instance = Field(default=Instance(), description=_RUNS_ON)


class Predict(Job):
    """One job per model."""

    instance: Instances = Field(default=Instances(), description=_RUNS_ON)


class Train(Job):
    instance: Instance = Field(default=Instance(), description=_RUNS_ON)
    max_runtime: TrainingTime = Field(default=3600, description=_STOPPED)
    presets: Literal["medium_quality", "good_quality", "high_quality", "best_quality"] = Field(
        default="medium_quality", description="AutoGluon's presets; better ones take longer"
    )
    time_limit: TrainingTime = Field(default=600, description="time AutoGluon has for one model")
    spot: bool = Field(default=False, description="train on spot instances: cheaper, but may wait or be interrupted")


class Model(Section):
    name: ModelName = Field(description="names the model in mails, jobs and results")
    label: Text = Field(description="the column to predict: a number; rows where it is empty are predicted")
    where: dict[Text, RowValue] = Field(default={}, description="the model's rows: column: value, or column: [values]")
    drop: list[Text] = Field(default=[], description="columns the model must not see")
    threshold: FiniteFloat | None = Field(default=None, gt=0, description="overrides fallback.threshold")
    default_model: Text | None = Field(default=None, description="overrides fallback.default_model")
    train: Train = Field(default=Train(), description="overrides keys of train for this model")


class Fallback(Section):
    threshold: FiniteFloat | None = Field(
        default=None,
        gt=0,
        description="the highest mean absolute error a model may have, in the label's unit",
    )
    when: Literal["each", "any"] = Field(
        default="each",
        description="each: replace a rejected model by its own default; any: if one is rejected, replace all",
    )
    default_model: Text = Field(
        default="promoted", description="promoted (by pipeline.py promote RUN), or s3://… in the pipeline's work bucket"
    )
    if_missing: Literal["fail", "use_trained"] = Field(
        default="fail", description="what to do without a default model: fail the run, or use the rejected one anyway"
    )


class Retries(Section):
    throttling: int = Field(default=8, ge=0, le=99, description="extra attempts when a service throttles a call")
    quota: int | None = Field(
        default=None,
        ge=0,
        le=999,
        description="extra attempts, minutes apart, when an account limit is reached; null: as many as fit, at most 60",
    )
    job: int = Field(default=1, ge=0, le=10, description="extra attempts when a job fails, each under a new name")


class Network(Section):
    subnets: list[Annotated[str, Field(pattern=SUBNET)]] = Field(
        default=[], max_length=16, description="subnets the jobs run in"
    )
    security_groups: list[Annotated[str, Field(pattern=SECURITY_GROUP)]] = Field(
        default=[], max_length=5, description="their security groups"
    )
    isolate: bool = Field(default=False, description="no network access for the jobs' containers")
    encrypt_traffic: bool = Field(default=False, description="encrypt traffic between the instances of a job")


class Encryption(Section):
    kms_key: Text | None = Field(default=None, description="ARN of the KMS key for buckets, volumes, topic and queue")


Branch = Annotated[str, Field(pattern=BRANCH, max_length=limits.BRANCH)]
_BRANCH = "pushes to this branch are built"


class Connection(Section):
    """GitHub, GitLab or Bitbucket, by a connection that a person has made and confirmed in the console."""

    arn: Annotated[str, Field(pattern=CONNECTION)] = Field(
        description="ARN of the connection, confirmed in the console"
    )
    repository: Annotated[str, Field(pattern=REPOSITORY, max_length=limits.REPOSITORY)] = Field(
        description="owner/name of the repository"
    )
    branch: Branch = Field(default="main", description=_BRANCH)


class CodeCommit(Section):
    name: Annotated[str, Field(pattern=CODECOMMIT, max_length=limits.CODECOMMIT)] = Field(
        description="the repository's name, in the pipeline's account and region"
    )
    branch: Branch = Field(default="main", description=_BRANCH)


class Zip(Section):
    bucket: Annotated[str, Field(pattern=BUCKET)] = Field(
        description="a bucket in the same region, with versioning and EventBridge notifications on"
    )
    key: Annotated[str, Field(pattern=ZIP, max_length=limits.OBJECT_KEY)] = Field(
        description="key of the repository's zip; each new version is built"
    )


class CicdSource(Section):
    """One of three."""

    connection: Connection | None = Field(
        default=None, description="GitHub, GitLab or Bitbucket, through CodeConnections"
    )
    codecommit: CodeCommit | None = Field(default=None, description="a repository of CodeCommit")
    s3: Zip | None = Field(default=None, description="a zip in a bucket")


class Trigger(Section):
    """The function that starts a run for each upload; it concerns neither jobs nor the state machine."""

    reserved_concurrency: int = Field(
        default=5,
        ge=0,
        le=limits.CONCURRENCY,
        description="concurrent executions reserved for it, plus 1 for the function that mails failures; or 0",
    )


class Cicd(Section):
    """How a push gets into the account. It concerns neither jobs nor the state machine."""

    source: CicdSource = Field(default=CicdSource(), description="where the repository is: one of these three")
    build: Literal["small", "medium", "large", "xlarge"] = Field(
        default="medium", description="CodeBuild's compute type, general1.small to general1.xlarge"
    )


class PipelineConfig(Section):
    """One pipeline. Every key has a default but name, account, region, notify and models."""

    name: PipelineName = Field(description="names the state machine, buckets, roles and jobs")
    account: Account = Field(description="AWS account, 12 digits")
    region: str = Field(description="AWS region, like ap-northeast-1")
    notify: Annotated[list[Email], Field(min_length=1)] = Field(description="mail addresses that get every mail")
    models: Annotated[list[Model], Field(min_length=1)] = Field(description="the models, one branch each")
    data: Data = Field(default=Data(), description="how the raw tables are read and split")
    fallback: Fallback = Field(
        default=Fallback(), description="when a model is good enough, and what replaces it otherwise"
    )
    prepare: Prepare = Field(default=Prepare(), description="the job that prepares the data")
    train: Train = Field(default=Train(), description="the training jobs")
    predict: Predict = Field(default=Predict(), description="the prediction jobs")
    postprocess: Postprocess = Field(default=Postprocess(), description="the job that assembles the result")
    retries: Retries = Field(default=Retries(), description="how many extra attempts after a failure")
    network: Network = Field(default=Network(), description="network of the jobs")
    encryption: Encryption = Field(default=Encryption(), description="encryption at rest")
    tags: dict[str, str] = Field(default={}, max_length=40, description="tags for every resource and job")
    trigger: Trigger = Field(default=Trigger(), description="the function that starts a run for each .run file")
    log_runs: bool = Field(
        default=True,
        description="log failed runs in CloudWatch; false drops the machine's rights over the account's log deliveries",
    )
    cicd: Cicd | None = Field(default=None, description="deploys each push; leave out for no CI/CD")
    environment: str | None = Field(
        default=None, description="the name given with --env; not a key of the file", exclude=True
    )

    def threshold_of(self, model: Model) -> float:
        """The maximum error allowed for the model; rules.py ensures that there is one."""
        threshold = self.fallback.threshold if model.threshold is None else model.threshold
        assert threshold is not None
        return threshold

    def default_model_of(self, model: Model) -> str:
        return model.default_model or self.fallback.default_model
