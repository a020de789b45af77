"""A pipeline's endpoints in the local AWS: what status says of them, and how destroy takes them away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_aws import ACCOUNT, REGION, Jobs, until
from released import config
from served import Served

from stepgluon.config.schema import PipelineConfig
from stepgluon.cost.prices import Prices
from stepgluon.names import Names
from stepgluon.runs import endpoints
from stepgluon.runs.endpoints import delete_endpoints


@pytest.fixture
def served(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    made = Served(jobs, tmp_path, monkeypatch)
    yield made
    made.remove()


def soon(seconds: float) -> None:
    time.sleep(0.05)


def names_of(*models: str, prefix: str = "shop") -> Names:
    listed = [{"name": name, "label": f"y-{name}", "serve": {}} for name in models]
    loaded: PipelineConfig = config(name=prefix, account=ACCOUNT, region=REGION, models=listed).config
    return Names(loaded)


def serve(served: Served, names: Names, count: int = 1) -> tuple[str, str, str]:
    """An endpoint with its config and model, as a run makes them; their names."""
    tags, made = (
        [{"Key": "stepgluon", "Value": names.prefix}],
        f"{names.of_endpoint(names.config.models[0])}0123456789ab",
    )
    image = served.saying("a")
    container = served.api.describe_model(ModelName=image)["PrimaryContainer"]
    role = served.api.describe_model(ModelName=image)["ExecutionRoleArn"]
    served.api.create_model(ModelName=made, ExecutionRoleArn=role, PrimaryContainer=container, Tags=tags)
    machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": count}
    variant = {"VariantName": "AllTraffic", "ModelName": made, **machine}
    served.api.create_endpoint_config(EndpointConfigName=made, ProductionVariants=[variant], Tags=tags)
    endpoint = names.endpoint(names.config.models[0])
    served.api.create_endpoint(EndpointName=endpoint, EndpointConfigName=made, Tags=tags)
    until(lambda: served.described(endpoint)["EndpointStatus"] == "InService")
    return endpoint, made, made


def test_destroy_takes_scaling_endpoint_configs_and_models_away_and_leaves_those_of_others(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = names_of("price"), names_of("price", prefix="shop-prod")
    endpoint, made, _ = serve(served, ours)
    others = serve(served, other)
    scaling = served.aws.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    removed_from_the_config = names_of("another")  # of the same pipeline

    found = endpoints.endpoints(served.aws, removed_from_the_config)
    assert [one.words() for one in found] == [f"{endpoint}: InService, ml.m5.large, no price"]
    said: list[str] = []
    assert delete_endpoints(removed_from_the_config, served.aws, said.append, soon) == [endpoint]
    assert said == [f"deleting the endpoint {endpoint}"]
    left = {
        *(one["EndpointName"] for one in served.api.list_endpoints()["Endpoints"]),
        *(one["EndpointConfigName"] for one in served.api.list_endpoint_configs()["EndpointConfigs"]),
        *(one["ModelName"] for one in served.api.list_models()["Models"]),
    }
    assert not {endpoint, made} & left and set(others) <= left
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert delete_endpoints(ours, served.aws, said.append, soon) == [], "the second time nothing is there"
    delete_endpoints(other, served.aws, said.append, soon)


def test_status_says_what_an_endpoint_costs_a_day(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    hosting = Prices(REGION, "2026-09-21", {"Hosting": {"ml.m5.large": 0.115}})
    monkeypatch.setattr(endpoints, "prices_of", lambda region: hosting)
    names = names_of("price")
    endpoint, _, _ = serve(served, names, count=2)
    (found,) = endpoints.endpoints(served.aws, names)
    assert found.usd_a_day == pytest.approx(2 * 24 * 0.115)
    assert found.words() == f"{endpoint}: InService, 2 × ml.m5.large, about 5.52 USD a day"
    delete_endpoints(names, served.aws, lambda text: None, soon)
    assert endpoints.endpoints(served.aws, names) == []


def test_a_pipeline_that_serves_nothing_asks_nothing() -> None:
    names = Names(config().config)
    assert endpoints.endpoints(None, names) == []  # type: ignore[arg-type]  # there is no client to ask
