"""A served model's settings as data, and the outcome of its release in words."""

from __future__ import annotations

from typing import Any

from stepgluon import limits
from stepgluon.config.schema import Model
from stepgluon.config.serving_rules import STARTUP_SECONDS
from stepgluon.names import Names
from stepgluon.workflow.expressions import expression, jsonata, text

SERVES = "$own.status = 'InService' and $own.serves = $own.config"


def settings(names: Names, model: Model) -> dict[str, Any]:
    """A served model's own part of the machine's data."""
    serve = model.serve
    if serve is None:
        return {}
    own: dict[str, Any] = {
        "variant": {"InstanceType": serve.machines.type, "InitialInstanceCount": serve.machines.count}
    }
    if one := serve.serverless:
        variant = {"MemorySizeInMB": 1024 * one.memory_gb, "MaxConcurrency": one.concurrency}
        own = {"variant": {"ServerlessConfig": variant}}
    else:
        own["traffic"] = _traffic(model)
        own["alarms"] = [alarm.on for alarm in serve.release.roll_back_on] if serve.release else []
    if serve.capture:
        own["capture"] = serve.capture.share
    if serve.scale:
        fewest = serve.machines.count if serve.scale.min is None else serve.scale.min
        own["scale"] = {"MinCapacity": fewest, "MaxCapacity": serve.scale.max}
        own["invocations"] = serve.scale.invocations
    return {"endpoint": names.endpoint(model), "of_endpoint": names.of_endpoint(model), "serve": own}


def _traffic(model: Model) -> dict[str, Any]:
    """The blue/green policy of an update."""
    release = model.serve.release if model.serve else None
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": release.bake if release else 0}
    for kind, member, size in (
        ("CANARY", "CanarySize", release and release.canary),
        ("LINEAR", "LinearStepSize", release and release.linear),
    ):
        if size:
            routing |= {"Type": kind, member: {"Type": "CAPACITY_PERCENT", "Value": size}}
    most = min((release.seconds if release else 0) + STARTUP_SECONDS, limits.RELEASE_SECONDS)
    return {"TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": most}


def outcome(model: str, what: str = "it") -> str:
    """The outcome in a word, and the sentence for mails; `what` is what the endpoint serves."""
    endpoint = f"{model}.endpoint"
    broken = "{} needs repair: its update and the rollback failed (UpdateRollbackFailed).{}"
    said = {
        "released": text(f"{{}} serves {what} now.", endpoint),
        "unchanged": text(f"{{}} already serves {what}." if what == "it" else f"{{}} serves {what}.", endpoint),
        "rolled back": text("Rolled back: {} serves the previous model again.{}", endpoint, "$reason"),
        "overtaken": text("Another run or a person has changed {} in the meantime.", endpoint),
        "stuck": text(broken, endpoint, "$reason"),
        "failed": text("Not released: {}", "$failure"),
        "none": text("Not released: {}.", "$own.why"),
    }
    deleted = text("{} was deleted during the release.", endpoint)
    sentences = jsonata({word: expression(one) for word, one in said.items()})
    return f"""($reason := $own.reason = '' ? '' : ' ' & $own.reason;
$failure := $own.failure != '' ? $own.failure : $own.status = 'Missing' ? {deleted} :
{endpoint} & ' is ' & $own.status & '.' & $reason;
$word := $own.why != '' ? 'none' : $own.failure != '' ? 'failed' :
{SERVES} ? ($own.did = '' ? 'unchanged' : 'released') : $own.status = 'UpdateRollbackFailed' ? 'stuck' :
$own.status = 'InService' and $own.did = 'updated' ?
($own.serves = $own.before ? 'rolled back' : 'overtaken') : 'failed';
{{'outcome': $word, 'endpoint': {endpoint}, 'said': $lookup({sentences}, $word) & $own.noted}})"""
