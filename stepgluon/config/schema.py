"""The config's schema: the keys of `pipeline-config.yml`, as frozen values.

Each key's description is shown by editors (`pipeline.py schema`) and in docs/reference/config.md.
"""

from __future__ import annotations

import math
from typing import Any

from stepgluon import limits
from stepgluon.config.alarms import AlarmKind, RollBack
from stepgluon.config.durations import Days, Duration, Interval
from stepgluon.config.kinds import (
    Account,
    Choice,
    ChoiceOrName,
    Flag,
    List,
    Map,
    Number,
    Rest,
    RowValues,
    Section,
    Server,
    Shorthand,
    Text,
    Version,
    Whole,
    entry,
)
from stepgluon.config.kinds import Scalar as AnyScalar
from stepgluon.config.metrics import METRICS, Metric, named
from stepgluon.config.money import Money
from stepgluon.config.percentages import Percentage, Share
from stepgluon.config.ranges import Range, RangeKind
from stepgluon.config.table_formats import READ_AS

Scalar = str | int | float | bool


TEXT = Text(least=1, most=1024)
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
VARIABLES = Map(
    Text(most=limits.ENVIRONMENT_VALUE, free=True),
    Text(
        r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        "letters, digits and _, not beginning with a digit, like MY_OPTION",
        limits.ENVIRONMENT_KEY,
    ),
)
SUBNET = Text(r"^subnet-[0-9a-f]{8,17}$", "the id of a subnet, like subnet-0123456789abcdef0")
SECURITY_GROUP = Text(r"^sg-[0-9a-f]{8,17}$", "the id of a security group, like sg-0123456789abcdef0")
CONNECTION = Text(
    r"^arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:[0-9]{12}:connection/[0-9a-f-]{36}$",
    "the ARN of a connection, like arn:aws:codeconnections:REGION:ACCOUNT:connection/ID",
)
REPOSITORY = Text(r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$", "owner/name, like my-team/penguins", limits.REPOSITORY)
CODECOMMIT = Text(r"^[A-Za-z0-9_.-]+$", "letters, digits, _ . and -, like penguins", limits.CODECOMMIT)
BRANCH = Text(r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$", "letters, digits and _ . / -, like main", limits.BRANCH)
BUCKET = Text(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "the name of a bucket, like my-team-sources")
ZIP = Text(
    r"^[A-Za-z0-9][A-Za-z0-9_./-]*\.zip$",
    "letters, digits and _ . / - with .zip at the end, like penguins/source.zip",
    limits.OBJECT_KEY,
)
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
REGEX = Text(least=1, most=limits.METRIC_REGEX)
SERVER = Server(
    r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_./~-]*)?$", "an address, like https://mlflow.example.com", 1024
)
ABOVE_0, ANY_NUMBER = Number(0), Number()
FLAG = Flag()
PROCESSING_TIME, TRAINING_TIME = Duration(limits.PROCESSING_SECONDS), Duration(limits.TRAINING_SECONDS)


LEAST_ROWS = 4  # what AutoGluon needs to train


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
    files: bool = entry("the data are files of any kind, not tables: see docs/how-to/files.md", FLAG, False)
    prepare: str | None = entry(
        "with files: your script that makes the folders train, validation, test and predict from the upload",
        SCRIPT,
        None,
    )


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
    spot: bool = entry("train on spot instances: cheaper, but may wait or be interrupted", FLAG, False)


AUTOGLUONS = frozenset(("presets", "time_limit"))  # keys of Train that concern no other algorithm


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
    set: dict[str, Scalar] = entry(
        "hyperparameters; for XGBoost, by default, num_round is 100, and objective suits the label",
        Map(AnyScalar(), TEXT),
        {},
    )


APPROVAL = {"manual": "PendingManualApproval", "automatic": "Approved"}  # the status of a new version


class Register(Section):
    """A version in SageMaker's model registry for each accepted model."""

    approval: str = entry(
        "manual: each version waits for an approval, which promote gives too; automatic: it is approved at once",
        Choice(*APPROVAL),
        "manual",
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
        "or the regular expression that finds the metric in the training's log, with one group", REGEX, None
    )

    @property
    def script(self) -> str | None:
        given: str | None = vars(self)["with"]  # the word cannot be an attribute
        return given


class Hosting(Section):
    type: str = entry("SageMaker instance type", TEXT, "ml.m5.large")
    count: int = entry("how many instances; with scale, only until the first scaling", Whole(1, 100), 1)


class Serverless(Section):
    """No instances: the endpoint scales to zero by itself."""

    memory_gb: int = entry("memory of one worker", Whole(1, limits.SERVERLESS_GB), 2)
    concurrency: int = entry("the most requests at once", Whole(1, limits.SERVERLESS_CONCURRENCY), 5)


class Scale(Section):
    """Target tracking on the invocations per instance."""

    min: int | None = entry("the fewest instances; instance.count by default", Whole(1, 100), None)
    max: int = entry("the most instances", Whole(1, 100))
    invocations: int = entry("how many invocations a minute one instance should get", Whole(1, 10**6))


class Release(Section):
    """A blue/green update: the new instances take the traffic step by step; an alarm rolls it back."""

    canary: int | None = entry(
        "share of the capacity that gets traffic first, at most 50%", Share(1, limits.CANARY), None
    )
    linear: int | None = entry("or the size of each step, from 10% to 50%", Share(*limits.LINEAR), None)
    bake: int = entry("how long the alarms are watched after each step", Duration(limits.BAKE_SECONDS), 600)
    roll_back_on: list[RollBack] = entry(
        "what rolls the update back: errors, and latency > 500ms", List(AlarmKind(), most=limits.ALARMS), [RollBack()]
    )

    @property
    def seconds(self) -> int:
        """How long an update watches its alarms: after each step, also after the last."""
        steps = 2 if self.canary else math.ceil(100 / self.linear) if self.linear else 1
        return steps * self.bake


class Capture(Section):
    """Requests and answers that the endpoint writes to the work bucket."""

    share: int = entry("share of the requests that is captured", Share(1, 100))
    keep: int = entry("how long captured rows are kept", Days(3650), 30)


class Serve(Section):
    """An endpoint that answers with the model that a run accepted."""

    instance: Hosting | None = entry("the machines that answer; one ml.m5.large by default", Hosting, None)
    serverless: Serverless | None = entry(
        "instead of instance: an endpoint without machines of its own", Serverless, None
    )
    scale: Scale | None = entry("scale the instances with the traffic", Scale, None)
    release: Release | None = entry("how traffic moves to a new model; without, all at once", Release, None)
    capture: Capture | None = entry(
        "capture requests and answers: 20%, or {share: 20%, keep: 30d}", Shorthand(Capture, "share"), None
    )
    shared: bool = entry(
        "one endpoint for the models of all values found in the data; each request names one", FLAG, False
    )

    @property
    def machines(self) -> Hosting:
        """The machines of an endpoint that is not serverless."""
        return self.instance or Hosting()


class Monitor(Section):
    """A machine that regularly compares the rows that the endpoint gets with those that trained its model."""

    every: int = entry("how often, like 6h or 1d", Interval(), 24 * 3600)
    drift: float = entry("the highest accepted difference of a column: population stability index", ABOVE_0, 0.2)
    then: str = entry(
        "above it: mail, or retrain, which also starts the pipeline, once", Choice("mail", "retrain"), "mail"
    )


class Model(Section):
    name: str = entry("names the model in mails, jobs and results", MODEL_NAME)
    label: str = entry(
        "the column to predict: numbers, or classes with a metric for classes; rows where it is empty are predicted",
        COLUMN,
    )
    where: dict[str, Scalar | list[Scalar]] = entry(
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
    isolate: bool = entry("no network access for the jobs' containers", FLAG, False)
    encrypt_traffic: bool = entry("encrypt traffic between the instances of a job", FLAG, False)


class Track(Section):
    """A tracker that the training jobs must be able to reach; if it does not answer, the run continues."""

    mlflow: str = entry("address of the MLflow server for each trained model's settings, errors and files", SERVER)


class Encryption(Section):
    kms_key: str | None = entry("ARN of the KMS key for buckets, volumes, topic and queue", TEXT, None)


_BRANCH = "pushes to this branch are built"


class Connection(Section):
    """GitHub, GitLab or Bitbucket, by a connection that a person has made and confirmed in the console."""

    arn: str = entry("ARN of the connection, confirmed in the console", CONNECTION)
    repository: str = entry("owner/name of the repository", REPOSITORY)
    branch: str = entry(_BRANCH, BRANCH, "main")


class CodeCommit(Section):
    name: str = entry("the repository's name, in the pipeline's account and region", CODECOMMIT)
    branch: str = entry(_BRANCH, BRANCH, "main")


class Zip(Section):
    bucket: str = entry("a bucket in the same region, with versioning and EventBridge notifications on", BUCKET)
    key: str = entry("key of the repository's zip; each new version is built", ZIP)


class CicdSource(Section):
    """One of three."""

    connection: Connection | None = entry("GitHub, GitLab or Bitbucket, through CodeConnections", Connection, None)
    codecommit: CodeCommit | None = entry("a repository of CodeCommit", CodeCommit, None)
    s3: Zip | None = entry("a zip in a bucket", Zip, None)


class Trigger(Section):
    """The function that starts a run for each upload; it concerns neither jobs nor the state machine."""

    reserved_concurrency: int = entry(
        "concurrent executions reserved for it, plus 1 for the function that mails failures; or 0",
        Whole(0, limits.CONCURRENCY),
        5,
    )


class Cicd(Section):
    """How a push gets into the account. It concerns neither jobs nor the state machine."""

    source: CicdSource = entry("where the repository is: one of these three", CicdSource)
    build: str = entry(
        "CodeBuild's compute type, general1.small to general1.xlarge",
        Choice("small", "medium", "large", "xlarge"),
        "medium",
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
        "log failed runs in CloudWatch; false drops the machine's rights over the account's log deliveries", FLAG, True
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
