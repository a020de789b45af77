"""The pipeline's endpoints in an account: what serves, what it costs a day, and their deletion.

They are found by name and tag, so also those of models that the config no longer has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from stepgluon.aws import Door, Refused, answer
from stepgluon.cost.prices import Prices, prices_of, usd
from stepgluon.names import VARIANT, Names

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# [sm] An endpoint cannot be deleted while it changes. Its run was stopped, but a release may bake for hours.
PAUSE, PAUSES = 15, 8 * 3600 // 15
_GONE = ("ValidationException", "ValidationError", "ObjectNotFoundException")


@dataclass(frozen=True)
class Served:
    endpoint: str
    status: str
    machines: str  # `2 × ml.m5.large`, or the memory of a serverless one
    usd_a_day: float | None  # None without a price; a serverless one costs by request

    def words(self) -> str:
        serverless = self.machines.startswith("serverless")
        cost = "billed by request" if serverless else "no price"
        cost = cost if self.usd_a_day is None else f"about {usd(self.usd_a_day)} USD a day"
        return f"{self.endpoint}: {self.status}, {self.machines}, {cost}"


def serving(names: Names) -> bool:
    return any(model.serve for model in names.config.models)


def endpoints(door: Door, names: Names) -> list[Served]:
    if not serving(names):
        return []
    sagemaker, prices = door.client("sagemaker"), prices_of(names.config.region)
    return [_served(sagemaker, name, prices) for name in _ours(sagemaker, names, "list_endpoints", "Endpoint")]


def _served(sagemaker: Any, name: str, prices: Prices) -> Served:
    record = sagemaker.describe_endpoint(EndpointName=name)
    config = record["EndpointConfigName"]
    found = answer(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=config), *_GONE)
    variant = found["ProductionVariants"][0] if found else {}
    if serverless := variant.get("ServerlessConfig"):
        return Served(name, record["EndpointStatus"], f"serverless, {serverless['MemorySizeInMB'] // 1024} GB", None)
    running: dict[str, Any] = next(iter(record.get("ProductionVariants") or []), {})
    count = running.get("CurrentInstanceCount") or variant.get("InitialInstanceCount", 1)
    machine = variant.get("InstanceType", "unknown machines")
    hour = prices.of("Hosting", machine)
    machines = f"{count} × {machine}" if count > 1 else machine
    return Served(name, record["EndpointStatus"], machines, None if hour is None else 24 * hour * count)


def _ours(sagemaker: Any, names: Names, operation: str, kind: str) -> Iterator[str]:
    """The names of what has the pipeline's prefix and tag; `kind` begins the keys of the answers."""
    for page in sagemaker.get_paginator(operation).paginate(NameContains=names.prefix):
        for one in page[f"{kind}s"]:
            if one[f"{kind}Name"].startswith(f"{names.prefix}-"):
                tags = sagemaker.list_tags(ResourceArn=one[f"{kind}Arn"])["Tags"]
                if {"Key": "stepgluon", "Value": names.prefix} in tags:
                    yield one[f"{kind}Name"]


# Deletion


def delete_endpoints(names: Names, door: Door, tell: Callable[[str], None], wait: Callable[[float], None]) -> list[str]:
    """In AWS's order: scaling, endpoint, configs, models; return the endpoints' names."""
    if not serving(names):
        return []
    sagemaker, deleted = door.client("sagemaker"), []
    for name in list(_ours(sagemaker, names, "list_endpoints", "Endpoint")):
        tell(f"deleting the endpoint {name}")
        _until_idle(sagemaker, name, wait)
        _deregister(door, name)
        answer(partial(sagemaker.delete_endpoint, EndpointName=name), *_GONE)
        _until_idle(sagemaker, name, wait)
        deleted.append(name)
    for config in list(_ours(sagemaker, names, "list_endpoint_configs", "EndpointConfig")):
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
    for model in list(_ours(sagemaker, names, "list_models", "Model")):
        sagemaker.delete_model(ModelName=model)
    return deleted


def _deregister(door: Door, endpoint: str) -> None:
    """[autoscaling] Before the endpoint is deleted: its alarms and its policy go with the registration."""
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    client = door.client("application-autoscaling")
    answer(lambda: client.deregister_scalable_target(**target), *_GONE)


def _until_idle(sagemaker: Any, name: str, wait: Callable[[float], None]) -> None:
    status = ""
    for _ in range(PAUSES):
        found = answer(lambda: sagemaker.describe_endpoint(EndpointName=name), *_GONE)
        status = found["EndpointStatus"] if found else ""
        if status not in IN_PROGRESS:
            return
        wait(PAUSE)
    raise Refused(f"the endpoint {name} is still {status} (run destroy again later)")
