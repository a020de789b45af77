"""Rules over a whole config: what no single value shows, and what AWS would refuse late.

Each rule yields findings; `RULES` has them all. A rule may take for granted that each value by itself is valid.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from stepgluon import limits
from stepgluon.config import Instance, Model, PipelineConfig
from stepgluon.errors import found
from stepgluon.facts import facts
from stepgluon.names import Names, short
from stepgluon.wording import did_you_mean, unknown
from stepgluon.yamltext import join

ROW_ID = "stepgluon_row"  # the column that keeps the input's order
DAY = 24 * 3600
PROCESSING_SECONDS = 777_600  # [sm] ProcessingMaxRuntimeInSeconds
TRAINING_SECONDS = 28 * DAY  # [sm] quota: longest run time for a training job
OUR_VARIABLES = 5  # at most so many does the pipeline itself set
RETRIES = 999  # a job's name has three digits for the number of the try
RESERVED_VARIABLES = ("STEPGLUON_", "SM_", "SAGEMAKER_", "AWS_")
RESERVED_NAMES = ("xn--", "sthree-", "amzn-s3-demo-")  # [s3] bucket naming rules
# SageMaker encrypts the local disk of these itself and refuses a VolumeKmsKeyId: families like m5d, r6id, and the GPUs'.
_LOCAL_DISK = re.compile(r"ml\.([a-z]+[0-9]+[a-z]*d[a-z]*|g4dn|g5|g6e?|gr6|p4de|p5e?n?|trn1n?|trn2)\.")


class Finding(NamedTuple):
    key: str  # of the resolved config
    message: str
    relies_on: tuple[str, ...] = ()  # other keys: where one of them is invalid itself, the finding is not said


Rule = Callable[[PipelineConfig], Iterator[Finding]]


def findings(config: PipelineConfig) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(config)


def _models(config: PipelineConfig) -> Iterator[tuple[str, Model]]:
    for i, model in enumerate(config.models):
        yield f"models[{i}]", model


def every_model_has_a_threshold(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in _models(config):
        if model.threshold is None and config.fallback.threshold is None:
            message = (
                f"the model {model.name} has no threshold (give it one here, or all models one in fallback.threshold)"
            )
            yield Finding(f"{key}.threshold", message, ("fallback.threshold", f"{key}.name"))


def names_stay_different(config: PipelineConfig) -> Iterator[Finding]:
    seen: dict[str, tuple[str, str]] = {}
    for key, model in _models(config):
        for kind, form in (("", re.sub(r"[-_]+", "-", model.name).lower()), ("job:", short(model).lower())):
            first_key, first = seen.setdefault(kind + form, (key, model.name))
            if first_key == key:
                continue
            if first == model.name:
                message = f"two models have the name {model.name} (rename one)"
            elif kind:
                message = f"{model.name} and {first} both become {form} in job names (rename one)"
            else:
                message = f"{model.name} and {first} differ only in case, - or _ (rename one: their jobs would have the same names)"
            yield Finding(f"{key}.name", message, (f"{first_key}.name",))
            break


def name_is_allowed_in_buckets(config: PipelineConfig) -> Iterator[Finding]:
    for start in RESERVED_NAMES:
        if config.name.startswith(start):
            yield Finding("name", f"S3 keeps names that begin with {start} for itself (choose another name)")


def region_is_known(config: PipelineConfig) -> Iterator[Finding]:
    known = sorted(region for partition in facts().partitions for region in partition.regions)
    if config.region not in known:
        yield Finding("region", unknown(config.region, known, "AWS region", "ap-northeast-1"))


def _instances(config: PipelineConfig) -> Iterator[tuple[str, Instance]]:
    for name in ("prepare", "predict", "postprocess"):
        yield f"{name}.instance", getattr(config, name).instance
    yield "train.instance", config.train.instance
    for key, model in _models(config):
        yield f"{key}.train.instance", model.train.instance


def instance_types_are_known(config: PipelineConfig) -> Iterator[Finding]:
    training, processing = facts().training_instances, facts().processing_instances
    for key, instance in _instances(config):
        kind, these, others = "training", training, processing
        if "train." not in key:
            kind, these, others = "processing", processing, training
        if instance.type in these:
            continue
        if instance.type in others:
            message = f"{instance.type} is not offered for {kind} jobs (choose another type, such as ml.m5.xlarge)"
        elif f"ml.{instance.type}" in these:
            message = f"{found(instance.type)} is no SageMaker instance type (did you mean ml.{instance.type}?)"
        else:
            message = unknown(instance.type, these, f"instance type for {kind} jobs", "ml.m5.xlarge")
        yield Finding(f"{key}.type", message)


def only_predict_shares_its_work(config: PipelineConfig) -> Iterator[Finding]:
    for key, instance in _instances(config):
        if instance.count > 1 and not key.startswith("predict"):
            message = f"{instance.count} instances cannot share this job (expected: 1; only predict takes more)"
            yield Finding(f"{key}.count", message)


def local_disks_take_no_key(config: PipelineConfig) -> Iterator[Finding]:
    for key, instance in _instances(config):
        if config.encryption.kms_key is not None and _LOCAL_DISK.match(instance.type):
            message = (
                f"{instance.type} encrypts its local disk itself and takes no encryption.kms_key (choose another type)"
            )
            yield Finding(f"{key}.type", message, ("encryption.kms_key",))


def default_models_are_the_pipelines_own(config: PipelineConfig) -> Iterator[Finding]:
    places = [("fallback", config.fallback.default_model)]
    places += [(key, model.default_model) for key, model in _models(config) if model.default_model is not None]
    for key, uri in places:
        if uri != "promoted" and (message := _refused_model(config, uri)):
            relies_on = ("name", "account", "region") if "bucket" in message else ()
            yield Finding(f"{key}.default_model", message, relies_on)


def _refused_model(config: PipelineConfig, uri: str) -> str | None:
    match = re.fullmatch(r"s3://([^/]+)/(.*)", uri, re.DOTALL)
    if match is None:
        guess = "; did you mean promoted?" if did_you_mean(uri, ["promoted"]) else ""
        return f"{found(uri)} is no place of a model (expected: promoted, or s3://BUCKET/FOLDER/{guess})"
    bucket, path = match.groups()
    raw, work = _bucket_names(config)
    if bucket not in (raw, work):
        return f"{found(bucket)} is not a bucket of this pipeline (copy the model to s3://{work}/models/ and name that)"
    if path.endswith(".run"):
        return "a file that ends in .run starts the pipeline (expected: the folder of a model)"
    if not path.strip("/") or "//" in path or not re.fullmatch(r"[A-Za-z0-9!_.*'()/=+@:,-]+", path):
        return f"{found(path)} is not usable as a folder (expected: letters, digits, - _ . = and single /)"
    if bucket == work and re.match(r"(config|promoted)(/|$)|runs(/[^/]*(/(?!models/).*)?)?$", path):
        return (
            f"{found(path)} is written by the pipeline itself (expected: a folder like models/, or runs/RUN/models/…)"
        )
    return None


def _bucket_names(config: PipelineConfig) -> tuple[str, str]:
    names = Names(config)
    return names.raw_bucket, names.work_bucket


def mails_are_deliverable(config: PipelineConfig) -> Iterator[Finding]:
    count = len(config.notify)
    if count > limits.PENDING_SUBSCRIPTIONS:
        message = f"{count:,} addresses are more than SNS takes (at most {limits.PENDING_SUBSCRIPTIONS:,}: give a mailing list)"
        yield Finding("notify", message)
    seen: dict[str, str] = {}
    for i, address in enumerate(config.notify):
        first = seen.setdefault(address.lower(), f"notify[{i}]")
        if first != f"notify[{i}]":
            yield Finding(f"notify[{i}]", f"the address {found(address)} is given twice (remove one)", (first,))


def _job_environments(config: PipelineConfig) -> Iterator[tuple[str, dict[str, str]]]:
    for name in ("prepare", "train", "predict", "postprocess"):
        yield f"{name}.environment", getattr(config, name).environment
    for key, model in _models(config):
        yield f"{key}.train.environment", model.train.environment


def environment_variables_are_free(config: PipelineConfig) -> Iterator[Finding]:
    most = limits.ENVIRONMENT_ENTRIES - OUR_VARIABLES
    for key, variables in _job_environments(config):
        if len(variables) > most:
            yield Finding(key, f"{len(variables)} environment variables are too many (at most {most} for a job)")
        for name in variables:
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
    for name in ("subnets", "security_groups"):
        yield from _repeated(f"network.{name}", getattr(network, name))


def _repeated(key: str, values: Iterable[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for i, value in enumerate(values):
        if value in seen:
            yield Finding(f"{key}[{i}]", f"{found(value)} is given twice (remove one)")
        seen.add(value)


def durations_fit(config: PipelineConfig) -> Iterator[Finding]:
    for name in ("prepare", "predict", "postprocess"):
        if getattr(config, name).max_runtime > PROCESSING_SECONDS:
            yield Finding(
                f"{name}.max_runtime",
                f"SageMaker lets no processing job run so long (at most {PROCESSING_SECONDS // 3600}h)",
            )
    for key, train in [("train", config.train), *((f"{key}.train", model.train) for key, model in _models(config))]:
        if train.max_runtime > TRAINING_SECONDS:
            yield Finding(
                f"{key}.max_runtime",
                f"SageMaker lets no training job run so long (at most {TRAINING_SECONDS // 3600}h)",
            )
        if train.time_limit >= train.max_runtime:
            message = f"the search may take {train.time_limit}s, and the job is stopped after {train.max_runtime}s"
            message += " (make time_limit shorter than max_runtime)"
            yield Finding(f"{key}.time_limit", message, (f"{key}.max_runtime",))


def columns_make_sense(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in _models(config):
        label = found(model.label)
        if model.label in model.where:
            message = f"the label {label} is also in where, but rows to predict have no label yet (choose the rows by another column)"
            yield Finding(f"{key}.label", message, (f"{key}.where",))
        for i, column in enumerate(model.drop):
            if column == model.label:
                yield Finding(
                    f"{key}.drop[{i}]",
                    f"{label} is the model's label (remove it: a label is never an input)",
                    (f"{key}.label",),
                )
        yield from _repeated(f"{key}.drop", model.drop)
        for place, column in [
            ("label", model.label),
            *(("where", c) for c in model.where),
            *(("drop", c) for c in model.drop),
        ]:
            if column == ROW_ID:
                yield Finding(f"{key}.{place}", f"the column {ROW_ID} is added by the pipeline itself (rename yours)")


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
        expected = f"arn:{partition.name if partition else 'aws'}:kms:{config.region}:{config.account}:key/…"
        yield Finding(key, f"{found(arn)} is not the ARN of a KMS key (expected: {expected})", ("region", "account"))
    elif partition is not None and match[1] != partition.name:
        yield Finding(
            key,
            f"the key is in partition {match[1]}, the region {config.region} in {partition.name} (use a key of the region)",
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
        bad = [c for c in name + value if unicodedata.category(c)[0] not in "LNZ" and c not in "_.:/=+-@"]
        if bad:
            yield Finding(
                key, f"a tag cannot hold {found(bad[0])} (expected: letters, digits, spaces and _ . : / = + - @)"
            )
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield Finding(
                key, f"the tags {found(first)} and {found(name)} differ only in case, which IAM refuses (remove one)"
            )


def models_do_not_repeat(config: PipelineConfig) -> Iterator[Finding]:
    seen: dict[object, tuple[str, str]] = {}
    for key, model in _models(config):
        rows = {
            column: tuple(sorted((type(v).__name__, str(v)) for v in (value if isinstance(value, list) else [value])))
            for column, value in model.where.items()
        }
        first_key, first = seen.setdefault((model.label, tuple(sorted(rows.items()))), (key, model.name))
        if first_key != key:
            message = f"{model.name} predicts {found(model.label)} for the same rows as {first} (give them different where, or remove one)"
            relies_on = tuple(f"{k}.{part}" for k in (key, first_key) for part in ("label", "where", "name"))
            yield Finding(f"{key}.where", message, relies_on)


def retries_fit_into_names(config: PipelineConfig) -> Iterator[Finding]:
    retries = config.retries
    total = retries.throttling + (60 if retries.quota is None else retries.quota) + retries.job
    if total > RETRIES:
        yield Finding("retries", f"throttling, quota and job are {total} tries together (at most {RETRIES})")


RULES: tuple[Rule, ...] = (
    every_model_has_a_threshold,
    names_stay_different,
    name_is_allowed_in_buckets,
    region_is_known,
    instance_types_are_known,
    only_predict_shares_its_work,
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
    retries_fit_into_names,
)
