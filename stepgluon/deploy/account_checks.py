"""Checks of the account before anything is changed: credentials, limits, quotas."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from stepgluon.aws import UNANSWERED, Door, answer, code_of
from stepgluon.errors import SurroundingsError

if TYPE_CHECKING:
    from stepgluon.config.schema import PipelineConfig
    from stepgluon.names import Names

# Lambda requires at least this many to stay unreserved, 100 in larger accounts; a new account may have 10 in total.
UNRESERVED = 10


class WrongAccount(SurroundingsError):
    """The credentials belong to another account than the config's."""


def check_identity(names: Names, door: Door) -> str:
    """The caller's ARN; raises if there are no credentials, or they belong to another account or partition."""
    identity = door.client("sts").get_caller_identity()
    config = names.config
    if identity["Account"] != config.account:
        raise WrongAccount(
            f"these credentials are of the account {identity['Account']}, and the config's is {config.account} (set "
            f"AWS_PROFILE to one of that account, or correct `account` in the config)"
        )
    partition = str(identity["Arn"]).split(":")[1]
    if partition != names.partition.name:
        raise WrongAccount(
            f"these credentials are of the partition {partition}, and the config's region {config.region} is of "
            f"{names.partition.name} (set AWS_PROFILE to one of that partition, or correct `region` in the config)"
        )
    return str(identity["Arn"])


def check_concurrency(names: Names, door: Door, reserved: int) -> None:
    """Raise if the account cannot reserve the functions' executions, before a stack fails because of it."""
    client = door.client("lambda")
    settings = answer(client.get_account_settings, *UNANSWERED)
    if settings is None or not reserved:
        return
    free = settings["AccountLimit"]["UnreservedConcurrentExecutions"]
    for function in (names.function, names.tell_function):  # they may keep what they have reserved
        asked = partial(client.get_function_concurrency, FunctionName=function)
        found = answer(asked, *UNANSWERED, "ResourceNotFoundException")
        free += (found or {}).get("ReservedConcurrentExecutions", 0)
    if free - reserved < UNRESERVED:
        raise SurroundingsError(
            f"the account has {free} unreserved concurrent executions of functions, and the pipeline's {reserved} "
            f"must leave {UNRESERVED} (set `trigger: {{reserved_concurrency: {max(free - UNRESERVED - 1, 0)}}}` in the "
            f"config, or ask for more 'Concurrent executions' of AWS Lambda in Service Quotas)"
        )


def check_key(names: Names, door: Door) -> None:
    """Raise if the config's key cannot be used; some resources would be created without an error."""
    from botocore.exceptions import ClientError

    key = names.config.encryption.kms_key
    if not key:
        return
    try:
        state = door.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    except ClientError as error:
        if code_of(error) in UNANSWERED:
            return  # a deployer who may not describe the key may still deploy
        if code_of(error) != "NotFoundException":
            raise
        raise SurroundingsError(f"there is no key {key} (correct encryption.kms_key in the config)") from None
    if state != "Enabled":
        raise SurroundingsError(f"the key {key} is {state}, and must be Enabled (see encryption.kms_key in the config)")


def wanted_instances(config: PipelineConfig) -> Counter[str]:
    """How many instances a run may use at once, by the name of their quota in Service Quotas."""
    training: Counter[str] = Counter()
    groups = config.fan_out.jobs_at_once if config.partitioned else 1
    for model in config.models:
        kind = "spot training" if model.train.spot else "training"
        training[f"{model.train.instance.type} for {kind} job usage"] += model.train.instance.count * groups
    processing: Counter[str] = Counter()
    at_once = ((config.prepare, 1), (config.predict, len(config.models) * groups), (config.postprocess, 1))
    for job, jobs in at_once:
        quota = f"{job.instance.type} for processing job usage"
        processing[quota] = max(processing[quota], job.instance.count * jobs)
    return training + processing


def short_quotas(config: PipelineConfig, door: Door) -> tuple[str, ...]:
    """A sentence for each instance type whose quota is below what a run uses at once."""
    wanted = wanted_instances(config)
    found = answer(lambda: sagemaker_quotas(door, "list_service_quotas"), *UNANSWERED) or {}
    return tuple(
        f"the account may have {found[name]:.0f} of {name} at once, and a run would use {count}"
        + (": its jobs wait for each other" if found[name] else ": no such job can run")
        + " (ask for more in Service Quotas, Amazon SageMaker)"
        for name, count in sorted(wanted.items())
        if name in found and found[name] < count
    )


def sagemaker_quotas(door: Door, *operations: str) -> dict[str, float]:
    """By their names; those of a later operation replace those of an earlier one."""
    found: dict[str, float] = {}
    for operation in operations:
        for page in door.client("service-quotas").get_paginator(operation).paginate(ServiceCode="sagemaker"):
            found |= {quota["QuotaName"]: quota["Value"] for quota in page.get("Quotas", [])}
    return found
