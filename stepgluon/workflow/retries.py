"""Timeouts and retries, within the limits of an execution's duration and history.

Three kinds of error are retried, each with its own timing:

- a throttled call or a service error: soon, with backoff, a maximum delay and full jitter;
- an account limit (ResourceLimitExceeded): for hours, minutes apart;
- a failed job, including lost capacity and spot interruptions: a few times, under a new name. Its error is always
  States.TaskFailed, even if the user's data are wrong, so a Choice reads the cause first (states.py).

Each try adds events to the execution's history, which is limited to 25,000.
"""

from __future__ import annotations

import math
from typing import Any

from stepgluon import limits
from stepgluon.config.job_schema import Train
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.programs import builds_in_runs, program_of, transforms

# A job's tries against an account limit are spread over this time. With full jitter, the mean wait is half of it.
QUOTA_SECONDS = 10 * 3600
MOST_GROUPS = 1000  # code/partitions.py
CALLS_A_TRY = 50  # with full jitter, a try waits 30 s on average: enough for so many CreateTrainingJob calls
POLLS = 100  # of an endpoint, whose waits grow from 2 s to 15 min: about 11 hours
POLL_SECONDS = 12 * 3600
OTHER_SECONDS = 2 * 24 * 3600  # TimeoutSeconds of the machines around the runs
SMALL_CALL_TRIES = 3  # in addition to Step Functions' internal retries for S3 and SNS
DEFAULT_TRIES = 3  # the default of MaxAttempts
# TimeoutSeconds of a job is its own limit, which stops it, plus this time to wait for its machines.
STARTUP_SECONDS = 3600

# History events, from the API reference: a refused call has Scheduled, Started and Failed; a job also has
# Submitted; every state has Entered and Exited.
REFUSED, JOB, STATE = 3, 4, 2


class Waiting:
    def __init__(self, config: PipelineConfig) -> None:
        self.config, quota = config, config.retries.quota
        events = _events_without_quota(config)
        jobs = 2 * len(config.models) + scored_models(config) + 2 * container_models(config) + 2
        each = REFUSED * jobs * (1 + config.retries.job)  # of one try in every job
        fitting = max(0, min(limits.MOST_QUOTA_TRIES, (limits.EVENTS - events) // each))
        self.quota_tries = fitting if quota is None else quota
        self.events = events + each * self.quota_tries  # at most; the self-check counts nearly as many

    def job_retries(self) -> list[dict[str, Any]]:
        """Fields of the Retry blocks of a job; each error is handled by the first block that names it."""
        throttling = self.config.retries.throttling
        if self.config.partitioned and throttling:  # many jobs start at the same moment
            throttling += self.config.fan_out.jobs_at_once // CALLS_A_TRY
        blocks = []
        if throttling:
            blocks.append({
                "error_equals": ["SageMaker.AmazonSageMakerException"],
                "interval_seconds": 2,
                "max_attempts": throttling,
                **({"max_delay_seconds": 60} if throttling > 5 else {}),  # earlier delays are shorter
                "jitter_strategy": "FULL",
            })  # fmt: skip
        if self.quota_tries:
            blocks.append({
                "error_equals": ["SageMaker.ResourceLimitExceededException"],
                "interval_seconds": math.ceil(QUOTA_SECONDS / self.quota_tries),
                "max_attempts": self.quota_tries,
                "backoff_rate": 1.0,
                "jitter_strategy": "FULL",
            })  # fmt: skip
        return blocks

    def small_call_retries(self, service: str) -> list[dict[str, Any]]:
        tries = min(self.config.retries.throttling, SMALL_CALL_TRIES)
        errors = {
            "SageMaker": ["SageMaker.AmazonSageMakerException"],
            "S3": ["S3.S3Exception", "S3.SdkClientException"],
            "Registry": [f"SageMaker.{error}Exception" for error in ("Conflict", "SageMaker", "SdkClient")],
            "Ecr": ["Ecr.EcrException", "Ecr.SdkClientException"],
            "CodeBuild": ["CodeBuild.AWSCodeBuildException", "CodeBuild.AccountLimitExceededException"],
            "SNS": [
                "SNS.AmazonSNSException",  # also for throttling: Publish has no separate error for it
                "SNS.InternalErrorException",
                "SNS.KMSThrottlingException",
                "SNS.SdkClientException",
            ],
            "Scaling": [
                f"ApplicationAutoScaling.{error}Exception"
                for error in ("ApplicationAutoScaling", "ConcurrentUpdate", "InternalService", "SdkClient")
            ],
            "SdkSageMaker": [f"SageMaker.{error}Exception" for error in ("SageMaker", "SdkClient")],
        }
        fields = {"error_equals": errors[service], "jitter_strategy": "FULL"}
        most = {} if tries == DEFAULT_TRIES else {"max_attempts": tries}
        return [{**fields, **most}] if tries else []

    def machine_seconds(self) -> int:
        """TimeoutSeconds of the machine: all tries of all stages in sequence, plus a day."""
        config = self.config
        training = max(longest_search(model) for model in config.models)
        stages = [config.prepare.max_runtime, training, config.predict.max_runtime, config.postprocess.max_runtime]
        stages += [config.predict.max_runtime] if scored_models(config) else []
        stages += [config.predict.max_runtime, 2 * config.postprocess.max_runtime] if container_models(config) else []
        stages += [limits.IMAGE_BUILD_SECONDS] * len(builds_in_runs(config))
        released = POLL_SECONDS if config.served else 0
        if config.partitioned:  # one wave of jobs after another
            stages += [training, config.predict.max_runtime] * math.ceil(MOST_GROUPS / config.fan_out.jobs_at_once - 1)
        tries, waits = 1 + config.retries.job, QUOTA_SECONDS + 60 * config.retries.throttling
        return min(
            sum(tries * (stage + STARTUP_SECONDS) + waits for stage in stages) + 24 * 3600 + released,
            limits.MACHINE_SECONDS,
        )


def longest_search(model: Model) -> int:
    """The seconds of a model's training, or of its tuning: its rounds of trainings, each with a start of machines."""
    seconds = longest_training(model.train)
    rounds = math.ceil(model.tune.jobs / model.tune.parallel) if model.tune else 1
    return rounds * (seconds + STARTUP_SECONDS) - STARTUP_SECONDS


def longest_training(job: Train) -> int:
    """In seconds; a spot job may wait for its machines as long as it may run."""
    return 2 * job.max_runtime if job.spot else job.max_runtime


def _events_without_quota(config: PipelineConfig) -> int:
    """The maximum number of an execution's events, excluding tries against an account limit."""
    retries = config.retries
    tries = 1 + retries.job
    small = STATE + REFUSED * (1 + min(retries.throttling, SMALL_CALL_TRIES))
    # Every try of a job enters its state again, and the Choice that decides about another one.
    job = tries * (2 * STATE + REFUSED * retries.throttling + JOB)
    once = STATE + REFUSED  # a call without retries
    # Look up, train, read the score, remember, judge, accept or reject; look up, predict, remember or not predicted.
    per_model = 2 * once + 2 * job + 3 * small + 3 * STATE
    # Prepare, post-process; three mails, the fingerprints, promoted models, verdicts and predictions; the rest.
    whole_run = 2 * job + 7 * small + 12 * STATE + (2 * small + JOB) * len(builds_in_runs(config))
    registered = sum(model.register is not None for model in config.models) * (small + once)
    # List and write the trials; after each failed try, find why.
    tuned = sum(model.tune is not None for model in config.models) * (2 + tries) * small
    # Each try of a transform job creates and deletes a model, and enters the Choice once more.
    answered = 2 * job + 2 * tries * (2 * small + STATE)
    # The polls with their waits; creating, updating and scaling; the Parallel.
    released = (POLLS * (3 * STATE + REFUSED) + 9 * small) * len(config.served) + 2 * STATE * len(config.models)
    registered += released if config.served else 0
    more = job * scored_models(config) + answered * container_models(config) + registered + tuned
    return per_model * len(config.models) + more + whole_run


def scored_models(config: PipelineConfig) -> int:
    """How many models have a score job."""
    return sum(bool(program_of(model).scoring_image) for model in config.models)


def container_models(config: PipelineConfig) -> int:
    """How many models are containers that answer rows: each has two transform jobs, their models and a check more."""
    return sum(transforms(config, model) for model in config.models)
