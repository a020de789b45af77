"""The config's schema: the keys of `pipeline-config.yml`, as frozen values.

The sections of jobs, algorithms, endpoints and CI/CD are in job_schema, algorithm_schema, serving_schema and
cicd_schema. Each key's description is shown by editors (`pipeline.py schema`) and in docs/reference/config.md.
"""

from __future__ import annotations

from typing import Any

from stepgluon import limits
from stepgluon.config.algorithm_schema import SCRIPT, Algorithm, Score, Tune
from stepgluon.config.cicd_schema import Cicd
from stepgluon.config.job_schema import Postprocess, Predict, Prepare, Train
from stepgluon.config.kinds import TEXT, Account, Choice, ChoiceOrName, Flag, Number, RowValues, Server, Text, Whole
from stepgluon.config.metrics import METRICS, Metric, named
from stepgluon.config.money import Money
from stepgluon.config.percentages import Percentage
from stepgluon.config.sections import List, Map, Section, entry
from stepgluon.config.serving_schema import Monitor, Register, Serve
from stepgluon.config.table_formats import READ_AS

Cell = str | int | float | bool  # of a table

COLUMN = Text(least=1, most=1024, free=True)
PIPELINE_NAME = Text(
    r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
    "a-z, 0-9 and -, beginning with a letter and not ending with -, like penguins",
    limits.PREFIX,
)
MODEL_NAME = Text(
    r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$",
    "letters, digits, - and _, beginning and ending with a letter or digit, like adelie",
    63,
    free=True,
)
ACCOUNT = Account(r"^[0-9]{12}$", "the 12 digits of an AWS account, like 123456789012")
EMAIL = Text(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", "a mail address, like team@example.com", 254
)
SUBNET = Text(r"^subnet-[0-9a-f]{8,17}$", "the id of a subnet, like subnet-0123456789abcdef0")
SECURITY_GROUP = Text(r"^sg-[0-9a-f]{8,17}$", "the id of a security group, like sg-0123456789abcdef0")
SERVER = Server(
    r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_./~-]*)?$", "an address, like https://mlflow.example.com", 1024
)
ABOVE_0, ANY_NUMBER = Number(0), Number()

LEAST_ROWS = 4  # what AutoGluon needs to train


class Data(Section):
    format: str = entry(
        "format of the raw tables; auto goes by the file name; any may be gzipped or zipped",
        Choice("auto", "csv", "parquet", "jsonl"),
        "auto",
    )
    separator: str = entry(
        "column separator of CSV files; auto detects it in the first lines",
        Choice(*READ_AS["separator"]),
        "auto",
    )
    decimal: str = entry(
        "decimal sign in CSV files, where the other sign separates thousands; auto decides only clear cases",
        Choice(*READ_AS["decimal"]),
        "auto",
    )
    encoding: str = entry(
        "encoding of text files; auto: UTF-8, UTF-16 with a byte order mark, or else windows-1252",
        Choice(*READ_AS["encoding"]),
        "auto",
    )
    test_fraction: float = entry("share of the labelled rows held out to measure the error", Number(0, 1), 0.2)
    seed: int = entry("seed of the split, so that it is the same in every run", Whole(0, 2**32 - 1), 7)
    files: bool = entry("the data are files of any kind, not tables: see docs/how-to/files.md", Flag(), False)
    prepare: str | None = entry(
        "with files: your script that makes the folders train, validation, test and predict from the upload",
        SCRIPT,
        None,
    )


class Model(Section):
    name: str = entry("names the model in mails, jobs and results", MODEL_NAME)
    label: str = entry(
        "the column to predict: numbers, or classes with a metric for classes; rows where it is empty are predicted",
        COLUMN,
    )
    where: dict[str, Cell | list[Cell]] = entry(
        "the model's rows: column: value, or column: [values]", Map(RowValues(), TEXT), {}
    )
    drop: list[str] = entry("columns the model must not see", List(COLUMN), [])
    metric: str = entry(
        "what judges the model: for numbers mae, rmse, r2, mape or quantile_loss; for classes accuracy, "
        "balanced_accuracy, f1, roc_auc or log_loss; with data.files, any that is measured",
        ChoiceOrName(*METRICS),
        "mae",
    )
    quantile: float | None = entry("with quantile_loss: which quantile is predicted, like 0.9", Number(0, 1), None)
    score: Score | None = entry("with data.files: what measures the model", Score, None)
    at_most: float | None = entry("the highest accepted score, for a metric where lower is better", ANY_NUMBER, None)
    at_least: float | None = entry(
        "the lowest accepted score, for r2 and the metrics for classes except log_loss",
        ANY_NUMBER,
        None,
    )
    threshold: float | None = entry("the same as at_most; overrides the limit in fallback", ABOVE_0, None)
    better_than_median: float | None = entry("overrides the limit in fallback", Percentage(), None)
    default_model: str | None = entry("overrides fallback.default_model", TEXT, None)
    algorithm: Algorithm | None = entry("what trains this model instead of AutoGluon", Algorithm, None)
    register: Register | None = entry(
        "make each accepted model a version in SageMaker's model registry", Register, None
    )
    serve: Serve | None = entry("serve each accepted model from an endpoint", Serve, None)
    monitor: Monitor | None = entry("with serve: look for drift in the rows that the endpoint gets", Monitor, None)
    tune: Tune | None = entry("search the best hyperparameters of algorithm in these ranges", Tune, None)
    train: Train = entry("overrides keys of train for this model", Train)

    @property
    def approved_by_hand(self) -> bool:
        return self.register is not None and self.register.approval == "manual"

    @property
    def judged(self) -> Metric:
        """Its metric; of a name of the user's, the limit says whether higher is better."""
        return named(self.metric, higher=self.at_most is None)


class Partitioned(Section):
    """One model for each value that a run finds in a column: `models` with partition_by, but without values."""

    column: str = entry("the column whose values make the models", COLUMN)
    min_rows: int = entry(
        "without values: how many rows with a label a value needs for a model of its own", Whole(LEAST_ROWS, 10**9), 4
    )
    otherwise: str = entry(
        "without values: what predicts the rows of values with fewer: leave_open, nothing; promoted, their promoted "
        "models; shared, one model that is trained with all of them",
        Choice("leave_open", "promoted", "shared"),
        "leave_open",
    )


class FanOut(Section):
    """How the models found in the data share jobs."""

    models_per_job: int = entry(
        "models of a group, on average: one job trains them, and another predicts with them", Whole(1, 200), 50
    )
    jobs_at_once: int = entry("the most jobs that run at the same time", Whole(1, 1000), 20)


class Fallback(Section):
    threshold: float | None = entry(
        "the highest mean absolute error a model may have, in the label's unit", ABOVE_0, None
    )
    better_than_median: float | None = entry(
        "instead of threshold: how much lower the error must be than that of always guessing the median",
        Percentage(),
        None,
    )
    when: str = entry(
        "each: replace a rejected model with its own default; any: if one is rejected, replace all",
        Choice("each", "any"),
        "each",
    )
    default_model: str = entry(
        "promoted (by pipeline.py promote RUN), or s3://… in the pipeline's work bucket", TEXT, "promoted"
    )
    if_missing: str = entry(
        "if there is no default model: use_trained uses the rejected model anyway; fail ends the run",
        Choice("fail", "use_trained"),
        "use_trained",
    )


class Retries(Section):
    throttling: int = entry("extra attempts when a service throttles a call", Whole(0, 99), 8)
    quota: int | None = entry(
        "extra attempts, minutes apart, when an account limit is reached; null: as many as fit, at most 60",
        Whole(0, 999),
        None,
    )
    job: int = entry("extra attempts when a job fails, each under a new name", Whole(0, 10), 1)


class Network(Section):
    subnets: list[str] = entry("subnets the jobs run in", List(SUBNET, most=16), [])
    security_groups: list[str] = entry("their security groups", List(SECURITY_GROUP, most=5), [])
    isolate: bool = entry("no network access for the jobs' containers", Flag(), False)
    encrypt_traffic: bool = entry("encrypt traffic between the instances of a job", Flag(), False)


class Track(Section):
    """A tracker that the training jobs must be able to reach; if it does not answer, the run continues."""

    mlflow: str = entry("address of the MLflow server for each trained model's settings, errors and files", SERVER)


class Encryption(Section):
    kms_key: str | None = entry("ARN of the KMS key for buckets, volumes, topic and queue", TEXT, None)


class Trigger(Section):
    """The function that starts a run for each upload; it concerns neither jobs nor the state machine."""

    reserved_concurrency: int = entry(
        "concurrent executions reserved for it, plus 1 for the function that mails failures; or 0",
        Whole(0, limits.CONCURRENCY),
        5,
    )


NEEDED_TO_DEPLOY = ("account", "region", "notify")


class PipelineConfig(Section):
    """One pipeline. All keys but name and models have defaults; without NEEDED_TO_DEPLOY it only runs locally."""

    name: str = entry("names the state machine, buckets, roles and jobs", PIPELINE_NAME)
    account: str = entry("AWS account, 12 digits; needed to deploy", ACCOUNT, "123456789012")
    region: str = entry("AWS region, like ap-northeast-1; needed to deploy", Text(), "us-east-1")
    notify: list[str] = entry(
        "mail addresses that get every mail; needed to deploy", List(EMAIL, least=1), ["you@example.com"]
    )
    models: list[Model] = entry(
        "the models, one branch each", List(Model, 1, way_out="begin each model with '- name:'")
    )
    fan_out: FanOut = entry("how models found in the data share jobs", FanOut)
    data: Data = entry("how the raw tables are read and split", Data)
    fallback: Fallback = entry("when a model is good enough, and what replaces it otherwise", Fallback)
    prepare: Prepare = entry("the job that prepares the data", Prepare)
    train: Train = entry("the training jobs", Train)
    predict: Predict = entry("the prediction jobs", Predict)
    postprocess: Postprocess = entry("the job that assembles the result", Postprocess)
    retries: Retries = entry("how many extra attempts after a failure", Retries)
    network: Network = entry("network of the jobs", Network)
    encryption: Encryption = entry("encryption at rest", Encryption)
    track: Track | None = entry("where to log trained models; leave out to log none", Track, None)
    tags: dict[str, str] = entry("tags for every resource and job", Map(Text(free=True), most=40), {})
    trigger: Trigger = entry("the function that starts a run for each .run file", Trigger)
    max_cost: float | None = entry(
        "refuse runs that may cost more on AWS, by the time limits of their jobs, like 40 USD", Money(), None
    )
    log_runs: bool = entry(
        "log failed runs in CloudWatch; false drops the machine's rights over the account's log deliveries",
        Flag(),
        True,
    )
    cicd: Cicd | None = entry("deploys each push; leave out for no CI/CD", Cicd, None)
    # Not keys of the file: the name given with --env; and how `models` has one model for each value found in the data,
    # of which `models` has the template.
    environment: str | None
    partitioned: Partitioned | None

    def __init__(self, environment: str | None = None, partitioned: Partitioned | None = None, **values: Any) -> None:
        super().__init__(**values)
        vars(self).update(environment=environment, partitioned=partitioned)

    def limit_of(self, model: Model) -> tuple[str, float] | None:
        """The key and value that limit the model's score: its own, else that in fallback; None without a limit.

        For mae, at_most is called threshold; the limits in fallback apply to mae only.
        """
        key = model.judged.limit
        value = getattr(model, key)
        if key == "at_most" and value is None:
            value = model.threshold
        if model.metric != "mae" or value is not None:
            return None if value is None else ("threshold" if model.metric == "mae" else key, value)
        for place in (model, self.fallback):
            for key in ("threshold", "better_than_median"):
                if (value := getattr(place, key)) is not None:
                    return key, value
        return None

    @property
    def only_thresholds(self) -> bool:
        """Whether a threshold limits each model's error."""
        return all((self.limit_of(model) or ("",))[0] == "threshold" for model in self.models)

    @property
    def only_mae(self) -> bool:
        return all(model.metric == "mae" for model in self.models)

    @property
    def registers(self) -> bool:
        return any(model.register for model in self.models)

    @property
    def served(self) -> list[Model]:
        """The models that runs release to their endpoints."""
        return [model for model in self.models if model.serve and not model.approved_by_hand]

    @property
    def served_after_approval(self) -> list[Model]:
        """The models that the release machine releases once a version is approved."""
        return [model for model in self.models if model.serve and model.approved_by_hand]

    @property
    def monitored(self) -> list[Model]:
        return [model for model in self.models if model.serve and model.monitor]

    def default_model_of(self, model: Model) -> str:
        return model.default_model or self.fallback.default_model
