"""Rules about `serve` and `monitor`: what SageMaker hosts, and what its updates and serverless endpoints offer."""

from __future__ import annotations

from collections.abc import Iterator

from stepgluon import limits
from stepgluon.config.aws_facts import facts
from stepgluon.config.durations import as_duration
from stepgluon.config.model_rules import Finding, models_of, repeated
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.serving_schema import Release, Scale, Serve
from stepgluon.errors import did_you_mean, found

# [sm] What SageMaker does not offer for serverless endpoints.
_OF_INSTANCES = {
    "instance": "a serverless endpoint has no instances (keep one of the two)",
    "scale": "a serverless endpoint scales by itself (remove it; concurrency is its limit)",
    "release": "a serverless endpoint is updated all at once (remove it, or use instance)",
    "capture": "SageMaker captures no requests of a serverless endpoint (remove it, or use instance)",
}
# [sm] What SageMaker does not offer for multi-model endpoints.
_OF_ONE_MODEL = {
    "serverless": "SageMaker has no serverless endpoints for many models (use instance)",
    "capture": "SageMaker's Model Monitor supports endpoints of one model only (remove it)",
}
STARTUP_SECONDS = 3600  # of the new fleet, before the first step of an update


def models_can_be_served(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        if model.monitor:
            if model.serve is None:
                message = "it needs an endpoint to watch (add serve, or remove it)"
                yield Finding(f"{key}.monitor", message, (f"{key}.serve",))
            if config.data.files:
                message = "it compares columns of tables, and data.files has no tables (remove it)"
                yield Finding(f"{key}.monitor", message, ("data.files",))
        if model.serve is None:
            continue
        at = f"{key}.serve"
        yield from _shared(at, model.serve, config)
        if model.serve.serverless and not model.serve.shared:
            yield from _serverless(at, model.serve, config)
        else:
            yield from _instances(at, model.serve, config)


def _shared(at: str, serve: Serve, config: PipelineConfig) -> Iterator[Finding]:
    if serve.shared and config.partitioned is None:
        message = "only models for values found in the data share an endpoint (remove it, or write models: "
        yield Finding(f"{at}.shared", message + "{partition_by: …} without values)")
    elif serve.shared:
        for name, message in _OF_ONE_MODEL.items():
            if getattr(serve, name):
                yield Finding(f"{at}.{name}", message, (f"{at}.shared",))


def _serverless(at: str, serve: Serve, config: PipelineConfig) -> Iterator[Finding]:
    for name, message in _OF_INSTANCES.items():
        if getattr(serve, name):
            yield Finding(f"{at}.{name}", message, (f"{at}.serverless",))
    network = config.network
    for name, given in (("subnets", network.subnets), ("isolate", network.isolate)):
        if given:
            message = f"a serverless endpoint does not support network.{name} (use instance, or remove network.{name})"
            yield Finding(f"{at}.serverless", message, (f"network.{name}",))


def _instances(at: str, serve: Serve, config: PipelineConfig) -> Iterator[Finding]:
    if message := _unhosted(serve.machines.type):
        yield Finding(f"{at}.instance.type", message)
    if serve.scale:
        yield from _scale(at, serve, serve.scale)
    if serve.release:
        yield from _release(f"{at}.release", serve.release)


def _unhosted(machine: str) -> str:
    hosting = dict.fromkeys(facts().hosting_instances)
    if machine in hosting:
        return ""
    if machine in facts().training_instances or machine in facts().processing_instances:
        return f"{machine} is not offered for endpoints (choose another type, such as ml.m5.large)"
    guess = f"ml.{machine}" if f"ml.{machine}" in hosting else did_you_mean(machine, hosting)
    hint = f"did you mean {guess}?" if guess else "expected: one like ml.m5.large"
    return f"{found(machine)} is not an instance type for endpoints ({hint})"


def _scale(at: str, serve: Serve, scale: Scale) -> Iterator[Finding]:
    count = serve.machines.count
    fewest = count if scale.min is None else scale.min
    keys = (f"{at}.scale.min", f"{at}.scale.max", f"{at}.instance.count")
    if scale.max < fewest:
        message = f"{scale.max} is less than the fewest instances, {fewest} (write at least {fewest})"
        yield Finding(keys[1], message, keys)
    elif not fewest <= count <= scale.max:
        message = f"{count} is outside scale (write {fewest} to {scale.max}, or change scale)"
        yield Finding(keys[2], message, keys)


def _release(at: str, release: Release) -> Iterator[Finding]:
    if release.canary and release.linear:
        yield Finding(f"{at}.linear", "canary and linear exclude each other (keep one)", (f"{at}.canary",))
    elif release.seconds + STARTUP_SECONDS > limits.RELEASE_SECONDS:
        most = as_duration((limits.RELEASE_SECONDS - STARTUP_SECONDS) * release.bake // release.seconds // 60 * 60)
        message = f"the update would take {as_duration(release.seconds)}, plus 1h to start its machines; SageMaker"
        message += (
            f" stops it after {as_duration(limits.RELEASE_SECONDS)} (at most {most} for each step, or larger steps)"
        )
        yield Finding(f"{at}.bake", message, (f"{at}.linear",))
    yield from repeated(f"{at}.roll_back_on", [alarm.on for alarm in release.roll_back_on])
