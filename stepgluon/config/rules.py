"""Rules over a whole config: mistakes across several values, and what AWS would only refuse later.

Each rule yields findings; `RULES` lists them all. A rule may assume that each single value is valid.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from stepgluon import limits
from stepgluon.config.algorithm_rules import algorithms_are_known
from stepgluon.config.aws_facts import facts
from stepgluon.config.durations import as_duration
from stepgluon.config.file_models import files_are_complete
from stepgluon.config.findings import Finding, models_of
from stepgluon.config.found_models import found_models_are_possible
from stepgluon.config.job_schema import Instance
from stepgluon.config.model_rules import (
    columns_make_sense,
    default_models_are_the_pipelines_own,
    labels_are_numbers_or_classes,
    limits_suit_the_metric,
    models_do_not_repeat,
    names_stay_different,
    one_limit_for_each_place,
    quantiles_suit_the_metric,
    repeated,
)
from stepgluon.config.nodes import join
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.serving_rules import models_can_be_served
from stepgluon.config.serving_schema import Hosting
from stepgluon.config.tuning_rules import tuning_is_possible
from stepgluon.errors import did_you_mean, found, listed

OUR_VARIABLES = 5  # the pipeline itself sets at most this many
RETRIES = 999  # a job's name has three digits for the try
RESERVED_VARIABLES = ("STEPGLUON_", "SM_", "SAGEMAKER_", "AWS_")
RESERVED_NAMES = ("xn--", "sthree-", "amzn-s3-demo-")  # [s3] bucket naming rules
# SageMaker encrypts the local disks of these itself and refuses a VolumeKmsKeyId: m5d, r6id, and the GPU families.
_LOCAL_DISK = re.compile(r"ml\.([a-z]+[0-9]+[a-z]*d[a-z]*|g4dn|g5|g6e?|gr6|p4de|p5e?n?|trn1n?|trn2)\.")


Rule = Callable[[PipelineConfig], Iterator[Finding]]


def findings(config: PipelineConfig) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(config)


def name_is_allowed_in_buckets(config: PipelineConfig) -> Iterator[Finding]:
    for start in RESERVED_NAMES:
        if config.name.startswith(start):
            yield Finding("name", f"S3 keeps names that begin with {start} for itself (choose another name)")


def region_is_known(config: PipelineConfig) -> Iterator[Finding]:
    known = sorted(region for partition in facts().partitions for region in partition.regions)
    if config.region not in known:
        yield Finding("region", _unknown(config.region, known, "an AWS region", "ap-northeast-1"))


def _instances(config: PipelineConfig) -> Iterator[tuple[str, Instance]]:
    for name in ("prepare", "predict", "postprocess"):
        yield f"{name}.instance", getattr(config, name).instance
    yield "train.instance", config.train.instance
    for key, model in models_of(config):
        yield f"{key}.train.instance", model.train.instance


def _unknown(word: str, known: Iterable[str], what: str, like: str) -> str:
    """`'mars-1' is not an AWS region (expected: one like us-east-1)`, or a suggestion."""
    guess = did_you_mean(word, known)
    return f"{found(word)} is not {what} ({f'did you mean {guess}?' if guess else f'expected: one like {like}'})"


def instance_types_are_known(config: PipelineConfig) -> Iterator[Finding]:
    training, processing = dict.fromkeys(facts().training_instances), dict.fromkeys(facts().processing_instances)
    for key, instance in _instances(config):
        kind, these, others = "training", training, processing
        if "train." not in key:
            kind, these, others = "processing", processing, training
        if instance.type in these:
            continue
        message: str | Callable[[], str]
        if instance.type in others:
            message = f"{instance.type} is not offered for {kind} jobs (choose another type, such as ml.m5.xlarge)"
        elif f"ml.{instance.type}" in these:
            message = f"{found(instance.type)} is not a SageMaker instance type (did you mean ml.{instance.type}?)"
        else:
            message = partial(_unknown, instance.type, these, f"an instance type for {kind} jobs", "ml.m5.xlarge")
        yield Finding(f"{key}.type", message)


def local_disks_take_no_key(config: PipelineConfig) -> Iterator[Finding]:
    hosting = [
        (f"{key}.serve.instance", model.serve.instance)
        for key, model in models_of(config)
        if model.serve and model.serve.instance and model.serve.instance.type in facts().hosting_instances
    ]
    machines: list[tuple[str, Instance | Hosting]] = [*_instances(config), *hosting]
    for key, instance in machines:
        if config.encryption.kms_key is not None and _LOCAL_DISK.match(instance.type):
            message = (
                f"{instance.type} encrypts its local disk itself and takes no encryption.kms_key (choose another type)"
            )
            yield Finding(f"{key}.type", message, ("encryption.kms_key",))


def mails_are_deliverable(config: PipelineConfig) -> Iterator[Finding]:
    count = len(config.notify)
    if count > limits.PENDING_SUBSCRIPTIONS:
        message = (
            f"{count:,} addresses are more than SNS takes"
            f" (at most {limits.PENDING_SUBSCRIPTIONS:,}: give a mailing list)"
        )
        yield Finding("notify", message)
    seen: dict[str, str] = {}
    for i, address in enumerate(config.notify):
        first = seen.setdefault(address.lower(), f"notify[{i}]")
        if first != f"notify[{i}]":
            yield Finding(f"notify[{i}]", f"the address {found(address)} is given twice (remove one)", (first,))


def _job_environments(config: PipelineConfig) -> Iterator[tuple[str, dict[str, str]]]:
    for name in ("prepare", "train", "predict", "postprocess"):
        yield f"{name}.environment", getattr(config, name).environment
    for key, model in models_of(config):
        yield f"{key}.train.environment", model.train.environment


def environment_variables_are_free(config: PipelineConfig) -> Iterator[Finding]:
    most = limits.ENVIRONMENT_ENTRIES - OUR_VARIABLES
    for key, variables in _job_environments(config):
        if len(variables) > most:
            yield Finding(key, f"{len(variables)} environment variables are too many (at most {most} for a job)")
        for name, value in variables.items():
            if "${" in value:
                message = "the text holds ${, which CloudFormation would fill in (write it without the $ or the {)"
                yield Finding(join(key, name), message)
            for start in RESERVED_VARIABLES:
                if name.upper().startswith(start):
                    message = (
                        f"names that begin with {start} are set by the pipeline, SageMaker or AWS (choose another name)"
                    )
                    yield Finding(join(key, name), message)


def network_is_complete(config: PipelineConfig) -> Iterator[Finding]:
    network = config.network
    both = ("network.subnets", "network.security_groups")
    if network.subnets and not network.security_groups:
        yield Finding(
            "network.security_groups", "subnets need at least one security group (give both, or neither)", both
        )
    if network.security_groups and not network.subnets:
        yield Finding("network.subnets", "security groups need at least one subnet (give both, or neither)", both)
    if network.isolate and config.track:
        message = "jobs without a network cannot reach it (leave out track, or set isolate: false)"
        yield Finding("track.mlflow", message, ("network.isolate",))
    for name in ("subnets", "security_groups"):
        yield from repeated(f"network.{name}", getattr(network, name))


def durations_fit(config: PipelineConfig) -> Iterator[Finding]:
    of_models = [(f"{key}.train", model.train) for key, model in models_of(config) if model.algorithm is None]
    for key, train in [("train", config.train), *of_models]:
        if train.time_limit >= train.max_runtime:
            search, job = as_duration(train.time_limit), as_duration(train.max_runtime)
            message = f"the search may take {search}, and the job is stopped after {job}"
            message += " (make time_limit shorter than max_runtime)"
            yield Finding(f"{key}.time_limit", message, (f"{key}.max_runtime",))


def key_belongs_here(config: PipelineConfig) -> Iterator[Finding]:
    arn = config.encryption.kms_key
    if arn is None:
        return
    partition = facts().partition_of(config.region)
    key = "encryption.kms_key"
    match = re.fullmatch(
        r"arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{12}):(key/[A-Za-z0-9-]+|alias/[A-Za-z0-9/_-]+)", arn
    )
    if match is None:
        place = f"{partition.name}:kms:{config.region}" if partition else "aws:kms:REGION"
        expected = f"arn:{place}:{config.account}:key/…"
        yield Finding(key, f"{found(arn)} is not the ARN of a KMS key (expected: {expected})", ("region", "account"))
    elif partition is not None and match[1] != partition.name:
        yield Finding(
            key,
            f"the key is in partition {match[1]}, {config.region} in {partition.name} (use a key of the region)",
            ("region",),
        )
    elif partition is not None and match[2] != config.region:
        yield Finding(
            key,
            f"the key is in {match[2]}, the pipeline in {config.region} (use a key of the pipeline's region)",
            ("region",),
        )
    elif match[4].startswith("alias/aws/"):
        yield Finding(
            key, f"{match[4]} is managed by AWS and cannot be shared between services (use a key of your own)"
        )
    elif match[4].startswith("alias/"):
        message = f"a policy cannot name a key by its alias {match[4]}"
        way_out = f"aws kms describe-key --key-id {match[4]} shows the key's own ARN"
        yield Finding(key, f"{message} (expected: an ARN that ends with key/…; {way_out})")


def tags_are_accepted(config: PipelineConfig) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, value in config.tags.items():
        key = join("tags", name)
        if not 1 <= len(name) <= 128:
            yield Finding(key, f"the name of the tag has {len(name)} characters (expected: 1 to 128)")
        if len(value) > 256:
            yield Finding(key, f"the value of the tag has {len(value)} characters (at most 256)")
        if name.lower().startswith("aws:"):
            yield Finding(key, "names of tags that begin with aws: belong to AWS (choose another name)")
        if name.lower() == "stepgluon":
            yield Finding(key, "the pipeline itself gives everything the tag stepgluon (choose another name)")
        bad = [c for c in name + value if unicodedata.category(c)[0] not in "LNZ" and c not in "_.:/=+-@"]
        if bad:
            yield Finding(
                key, f"a tag cannot hold {found(bad[0])} (expected: letters, digits, spaces and _ . : / = + - @)"
            )
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield Finding(
                key, f"the tags {found(first)} and {found(name)} differ only in case, which IAM refuses (remove one)"
            )


def retries_fit_into_names(config: PipelineConfig) -> Iterator[Finding]:
    retries = config.retries
    total = retries.throttling + (limits.MOST_QUOTA_TRIES if retries.quota is None else retries.quota) + retries.job
    if total > RETRIES:
        yield Finding("retries", f"throttling, quota and job are {total} tries together (at most {RETRIES})")


def cicd_has_one_source(config: PipelineConfig) -> Iterator[Finding]:
    if config.cicd is None:
        return
    key, source = "cicd.source", config.cicd.source
    given = [name for name in ("connection", "codecommit", "s3") if getattr(source, name) is not None]
    if len(given) != 1:
        there = f"{listed(given, 'and')} are given" if given else "the source is missing"
        keys = tuple(f"{key}.{name}" for name in ("connection", "codecommit", "s3"))
        yield Finding(key, f"{there} (give exactly one of connection, codecommit and s3)", keys)
    partition = facts().partition_of(config.region)
    theirs = source.connection and re.match(r"arn:([a-z-]+):", source.connection.arn)
    if theirs and partition and theirs[1] != partition.name:
        message = f"the connection is in partition {theirs[1]}, {config.region} in"
        yield Finding(f"{key}.connection.arn", f"{message} {partition.name} (use a connection of its own)", ("region",))


RULES: tuple[Rule, ...] = (
    one_limit_for_each_place,
    limits_suit_the_metric,
    quantiles_suit_the_metric,
    labels_are_numbers_or_classes,
    names_stay_different,
    name_is_allowed_in_buckets,
    region_is_known,
    instance_types_are_known,
    local_disks_take_no_key,
    default_models_are_the_pipelines_own,
    mails_are_deliverable,
    environment_variables_are_free,
    network_is_complete,
    durations_fit,
    columns_make_sense,
    key_belongs_here,
    tags_are_accepted,
    models_do_not_repeat,
    algorithms_are_known,
    tuning_is_possible,
    files_are_complete,
    models_can_be_served,
    found_models_are_possible,
    retries_fit_into_names,
    cicd_has_one_source,
)
