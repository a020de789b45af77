"""A tuning job: training jobs that really run, with values from a seeded random search.

AWS's strategy Bayesian learns from the trainings that have ended. Here each training gets random values instead, and
the job's note says so. The values depend on the ranges and RandomSeed alone, so after an interruption the same job gets
the same trainings, and the cache has those that ended.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from localaws.base.api_error import ApiError
from localaws.sagemaker.built_in import built_in
from localaws.sagemaker.job import Job, Workshop
from localaws.sagemaker.job_process import JobFailed

Request = dict[str, Any]
KIND = "hyperparametertuning"
ATTEMPTS = 5  # if none of the first ones succeeds, the service gives up
NOTE = "AWS tunes by Bayesian optimization; locally a random search with the seed {seed} chooses the values."
_NOT_HERE = ("Autotune", "TrainingJobDefinitions", "WarmStartConfig")
_NOT_IN_CONFIG = ("StrategyConfig", "TrainingJobEarlyStoppingType", "TuningJobCompletionCriteria")
_NOT_IN_TRAINING = (
    *("CheckpointConfig", "DefinitionName", "HyperParameterTuningResourceConfig", "RetryStrategy"),
    *("HyperParameterRanges", "TuningObjective"),  # for several definitions
)
_RANGES = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")


def _ranges(config: Request) -> Iterator[tuple[str, Request]]:
    given = config.get("ParameterRanges", {})
    yield from ((kind, one) for kind in _RANGES for one in given.get(kind, []))


def combinations(config: Request) -> float:
    """How many different trainings the ranges allow; infinite with a continuous one."""
    count = 1.0
    for kind, one in _ranges(config):
        if kind == "ContinuousParameterRanges":
            return math.inf
        count *= len(one["Values"]) if "Values" in one else int(one["MaxValue"]) - int(one["MinValue"]) + 1
    return count


# Refusals


def refused(request: Request) -> str:
    """Why the service, or the local AWS, cannot take the request; empty if it can."""
    config, training = request["HyperParameterTuningJobConfig"], request.get("TrainingJobDefinition", {})
    places = ((_NOT_HERE, request), (_NOT_IN_CONFIG, config), (_NOT_IN_TRAINING, training))
    unknown = [name for names, place in places for name in names if place.get(name) not in (None, "Off")]
    if config["Strategy"] not in ("Bayesian", "Random"):
        return f"Strategy {config['Strategy']} is not available locally; use Bayesian or Random."
    if unknown:
        return f"{unknown[0]} is not available locally; leave it out."
    if not training or "ResourceConfig" not in training:
        return "TrainingJobDefinition must have a ResourceConfig."
    limits = config["ResourceLimits"]
    if "MaxRuntimeInSeconds" in limits or "AutoParameters" in config.get("ParameterRanges", {}):
        return "MaxRuntimeInSeconds and AutoParameters are not available locally; leave them out."
    if "MaxNumberOfTrainingJobs" not in limits:
        return "ResourceLimits must have MaxNumberOfTrainingJobs."
    return _wrong_metric(config, training) or _wrong_ranges(config, training)


def _wrong_metric(config: Request, training: Request) -> str:
    algorithm = training["AlgorithmSpecification"]
    metric = config.get("HyperParameterTuningJobObjective", {}).get("MetricName", "")
    known = [one["Name"] for one in algorithm.get("MetricDefinitions", [])]
    if of_aws := built_in(algorithm.get("TrainingImage", "")):
        known = [*of_aws.metrics]
    if metric not in known:
        return (
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric "
            "definitions."
        )
    return ""


def _wrong_ranges(config: Request, training: Request) -> str:
    found = list(_ranges(config))
    names = [one["Name"] for _, one in found]
    if not names:
        return "ParameterRanges must have at least one range."
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        return f"The hyperparameter {twice[0]} has two ranges."
    if both := [name for name in names if name in training.get("StaticHyperParameters", {})]:
        return f"The hyperparameter {both[0]} is in StaticHyperParameters too."
    of_aws = built_in(training["AlgorithmSpecification"].get("TrainingImage", ""))
    if of_aws and (fixed := [name for name in names if name not in of_aws.tunable]):
        return f"The hyperparameter {fixed[0]} cannot be tuned for this algorithm: {', '.join(of_aws.tunable)} can."
    if wrong := next((why for kind, one in found if (why := _wrong_range(kind, one))), ""):
        return wrong
    most, jobs = combinations(config), config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    if most < jobs:
        return (
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{most}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{jobs}]. Provide additional ranges."
        )
    return ""


def _wrong_range(kind: str, one: Request) -> str:
    name = one["Name"]
    if kind == "CategoricalParameterRanges":
        return f"The values of {name} are not unique." if len(set(one["Values"])) < len(one["Values"]) else ""
    try:
        low, high = map(int if kind == "IntegerParameterRanges" else float, (one["MinValue"], one["MaxValue"]))
    except ValueError:
        return f"The range of {name} needs numbers: {one['MinValue']}, {one['MaxValue']}."
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return f"MinValue of {name}, {one['MinValue']}, must be less than its MaxValue, {one['MaxValue']}."
    scale = one.get("ScalingType")
    if (scale == "Logarithmic" and low <= 0) or (scale == "ReverseLogarithmic" and not 0 <= low < high < 1):
        return f"The range of {name} is not possible with the scaling type {scale}."
    return ""


# The search


def search(config: Request, seed: str) -> Iterator[dict[str, str]]:
    """The hyperparameters of each training, all different."""
    generator, seen = random.Random(seed), set[tuple[str, ...]]()
    while len(seen) < config["ResourceLimits"]["MaxNumberOfTrainingJobs"]:
        values = {one["Name"]: _value(kind, one, generator) for kind, one in _ranges(config)}
        if (key := tuple(values.values())) not in seen:
            seen.add(key)
            yield values


def _value(kind: str, one: Request, generator: random.Random) -> str:
    if kind == "CategoricalParameterRanges":
        return str(generator.choice(one["Values"]))
    low, high, scale = float(one["MinValue"]), float(one["MaxValue"]), one.get("ScalingType")
    whole = kind == "IntegerParameterRanges"
    ends = (low - 0.5, high + 0.5) if whole else (low, high)  # so that the lowest and highest are as likely as others
    if scale == "Logarithmic":
        found = math.exp(generator.uniform(math.log(ends[0]), math.log(ends[1])))
    elif scale == "ReverseLogarithmic":
        found = 1 - math.exp(generator.uniform(math.log(1 - low), math.log(1 - high)))
    else:
        found = generator.uniform(*ends)
    found = min(max(found, low), high)
    return str(round(found)) if whole else repr(found)


# The job


class TuningJob(Job):
    def __init__(
        self, name: str, arn: str, request: Request, workshop: Workshop, train: Callable[[str, Request], Job]
    ) -> None:
        """`train` creates a training job."""
        super().__init__(KIND, name, arn, request, workshop)
        self._train = train
        self._config = request["HyperParameterTuningJobConfig"]
        objective = self._config["HyperParameterTuningJobObjective"]
        self.metric, self._maximize = objective["MetricName"], objective["Type"] == "Maximize"
        self._lock = threading.Lock()
        self.trials: list[tuple[Job, dict[str, str]]] = []

    @property
    def role(self) -> str:
        return str(self.request["TrainingJobDefinition"]["RoleArn"])

    @property
    def most(self) -> int:
        """How many trainings it starts."""
        return int(self._config["ResourceLimits"]["MaxNumberOfTrainingJobs"])

    def objective(self, trial: Job) -> float | None:
        """None if the training has not completed, or has not printed its metric."""
        values = trial.state.metrics if trial.state.status == "Completed" else []
        return next((one["Value"] for one in values if one["MetricName"] == self.metric), None)

    @property
    def best(self) -> tuple[Job, dict[str, str]] | None:
        judged = [(value, trial) for trial in list(self.trials) if (value := self.objective(trial[0])) is not None]
        sign = -1 if self._maximize else 1
        return min(judged, key=lambda one: sign * one[0])[1] if judged else None

    def stop(self) -> None:
        super().stop()
        for trial, _ in list(self.trials):
            trial.stop()

    def _run(self) -> tuple[str, str, str]:
        seed = str(self._config.get("RandomSeed", self.name))
        if self._config["Strategy"] == "Bayesian":
            self.note = NOTE.format(seed=seed)
        self._turn("InProgress")
        self.state.started = self.state.changed
        with ThreadPoolExecutor(self._config["ResourceLimits"]["MaxParallelTrainingJobs"]) as pool:
            list(pool.map(self._try, range(self.most), search(self._config, seed)))
        self.state.cached = bool(self.trials) and all(trial.state.cached for trial, _ in self.trials)
        if self._stop.is_set():
            return "Stopped", "Stopped", ""
        return ("Completed", "Completed", "") if self.best else ("Failed", "Failed", self._why_none())

    def _try(self, number: int, values: dict[str, str]) -> None:
        with self._lock:
            if self._stop.is_set() or self._given_up():
                return
            try:
                trial = self._train(*self._training(number, values))
            except ApiError as problem:
                raise JobFailed(f"ClientError: {problem.message}") from None
            self.trials.append((trial, values))
        if self._stop.is_set():
            trial.stop()
        trial.done.wait()
        self._turn("InProgress")

    def _given_up(self) -> bool:
        ended = [trial for trial, _ in self.trials if trial.done.is_set()]
        return len(ended) >= ATTEMPTS and not self.best

    def _why_none(self) -> str:
        count = min(len(self.trials), ATTEMPTS)
        if any(trial.state.status == "Completed" for trial, _ in self.trials):
            return (
                f"No objective metrics found after running {count} training jobs. Please ensure that the custom "
                "algorithm is emitting the objective metric as defined by the regular expression provided."
            )
        return (
            f"No training job succeeded after {count} attempts. For additional details, please take a look at the "
            "training job failures by listing training jobs for the hyperparameter tuning job."
        )

    def _training(self, number: int, values: dict[str, str]) -> tuple[str, Request]:
        name = f"{self.name}-{number + 1:03}-{hashlib.sha256(f'{self.name} {number}'.encode()).hexdigest()[:8]}"
        given = dict(self.request["TrainingJobDefinition"])
        fixed = given.pop("StaticHyperParameters", {})
        settings = {**fixed, **values, "_tuning_objective_metric": self.metric}  # SageMaker adds it for all images
        tags = self.request.get("Tags", [])
        return name, {**given, "TrainingJobName": name, "HyperParameters": settings, "Tags": tags}

    # Descriptions

    def described(self) -> Request:
        state, trials = self.state, [trial for trial, _ in list(self.trials)]
        counted = Counter(trial.state.status for trial in trials)
        judged = Counter(self._objective_status(trial) for trial in trials)
        best = self.best
        answer = {
            **{key: value for key, value in self.request.items() if key != "Tags"},
            "HyperParameterTuningJobArn": self.arn,
            "HyperParameterTuningJobStatus": state.status,
            "CreationTime": state.created,
            "LastModifiedTime": state.changed,
            "HyperParameterTuningEndTime": state.ended,
            "FailureReason": state.failure or None,
            "TrainingJobStatusCounters": {
                "Completed": counted["Completed"],
                "InProgress": counted["InProgress"] + counted["Stopping"],
                "RetryableError": 0,
                "NonRetryableError": counted["Failed"],
                "Stopped": counted["Stopped"],
            },
            "ObjectiveStatusCounters": {name: judged[name] for name in ("Succeeded", "Pending", "Failed")},
            "BestTrainingJob": self._summary(*best) if best else None,
        }
        return {key: value for key, value in answer.items() if value is not None}

    def summaries(self, request: Request) -> list[Request]:
        """The training jobs in the order of ListTrainingJobsForHyperParameterTuningJob."""
        wanted, by = request.get("StatusEquals"), request.get("SortBy", "Name")
        found = [
            one
            for trial in list(self.trials)
            if wanted in (None, trial[0].state.status)
            if (one := self._summary(*trial))
        ]
        descending = request.get("SortOrder", "Ascending") == "Descending"
        if by == "FinalObjectiveMetricValue":  # jobs without a value are left out
            key = "FinalHyperParameterTuningJobObjectiveMetric"
            judged = [one for one in found if key in one]
            return sorted(judged, key=lambda one: one[key]["Value"], reverse=descending)
        keys = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}
        return sorted(found, key=lambda one: one[keys[by]], reverse=descending)

    def _summary(self, trial: Job, values: dict[str, str]) -> Request:
        state, value = trial.state, self.objective(trial)
        kind = self._config["HyperParameterTuningJobObjective"]["Type"]
        answer = {
            "TrainingJobName": trial.name,
            "TrainingJobArn": trial.arn,
            "CreationTime": state.created,
            "TrainingStartTime": state.started,
            "TrainingEndTime": state.ended if state.started else None,
            "TrainingJobStatus": state.status,
            "TunedHyperParameters": values,
            "FailureReason": state.failure or None,
            "ObjectiveStatus": self._objective_status(trial),
        }
        if value is not None:
            metric = {"Type": kind, "MetricName": self.metric, "Value": value}
            answer["FinalHyperParameterTuningJobObjectiveMetric"] = metric
        return {key: value for key, value in answer.items() if value is not None}

    def _objective_status(self, trial: Job) -> str:
        if trial.state.status in ("InProgress", "Stopping"):
            return "Pending"
        return "Failed" if self.objective(trial) is None else "Succeeded"
