"""The API of endpoints and their configurations, kept in the work folder. moto's are records without servers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from localaws.base.api_error import ApiError
from localaws.sagemaker.endpoint import IN_PROGRESS, Alarms, Endpoint, Record, Surroundings, variants, weight
from localaws.sagemaker.job import Workshop
from localaws.sagemaker.models import Model, Models
from localaws.sagemaker.pages import in_order, page
from localaws.sagemaker.scaling import Scaling

Request = dict[str, Any]
KINDS = {"endpoint": "endpoint", "endpoint-config": "endpoint configuration"}  # in ARNs and messages
_WITHOUT = ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants")
_RETAINED = {"InitialInstanceCount": "DesiredInstanceCount", "InitialVariantWeight": "DesiredWeight"}
_CAPTURE = "DataCaptureConfig"


class Endpoints:
    def __init__(self, shop: Workshop, models: Models, alarms: Alarms, waiting: float) -> None:
        self._shop, self._models, self._alarms = shop, models, alarms
        self._objects = shop.buckets.objects
        self.account = shop.permissions.arn("sagemaker", "").split(":")[4]
        self._lock = threading.RLock()
        self.scaling = Scaling(self._objects, shop.permissions)
        self._given = Surroundings(shop, alarms, waiting, self._save, self._forget)
        self._configs: dict[str, Record] = {record["name"]: record for record in self._stored("endpoint-config")}
        found = self._stored("endpoint")
        self.endpoints = {record["EndpointName"]: Endpoint(record, self._given) for record in found}
        for record in [*self._configs.values(), *(endpoint["config"] for endpoint in found)]:
            for name, model in record["models"].items():
                models.bring_back(name, Model(**model))

    def resume(self) -> None:
        """Start the servers of the endpoints that an earlier local AWS left, unless their roles do not exist: then
        they belong to a pipeline that is not deployed now.
        """
        for endpoint in list(self.endpoints.values()):
            roles = {model["role"] for model in endpoint.record["config"]["models"].values()}
            if all(self._shop.permissions.role(role) for role in roles):
                endpoint.resume()

    def close(self) -> None:
        for endpoint in list(self.endpoints.values()):
            endpoint.close()

    def call(self, action: str, request: Request) -> dict[str, Any]:
        """The response; raises ApiError. The request is valid by botocore's model."""
        with self._lock:
            return ACTIONS[action](self, request)

    def tags(self, action: str, request: Request, changed: Callable[..., list[dict[str, str]]]) -> dict[str, Any]:
        kind, _, name = request["ResourceArn"].rpartition(":")[2].partition("/")
        with self._lock:
            records = {one.name.lower(): one.record for one in self.endpoints.values()}
            records = records if kind == "endpoint" else {name.lower(): one for name, one in self._configs.items()}
            if name not in records:
                raise self._missing(kind, name)
            record = records[name]
            if action != "ListTags":
                record["Tags"] = changed(record["Tags"], request)
                self._write(kind, record)
        return {} if action == "DeleteTags" else {"Tags": record["Tags"]}

    def tags_of(self, kind: str, name: str) -> dict[str, str]:
        """Empty if it does not exist."""
        endpoint = self.endpoints.get(name)
        record = self._configs.get(name) if kind == "endpoint-config" else endpoint and endpoint.record
        return {tag["Key"]: tag["Value"] for tag in record["Tags"]} if record else {}

    # Configurations

    def create_config(self, request: Request) -> dict[str, Any]:
        name = request["EndpointConfigName"]
        arn = self._arn("endpoint-config", name)
        if name.lower() in {known.lower() for known in self._configs}:
            raise ApiError("ValidationException", f'Cannot create already existing endpoint configuration "{arn}".')
        for member in (*_WITHOUT, "ExecutionRoleArn"):
            if request.get(member):
                raise ApiError("ValidationException", f"{member} is not available locally.")
        for variant in request["ProductionVariants"]:
            if not variant.get("ModelName"):
                raise ApiError("ValidationException", "Inference components (variants without ModelName) need AWS.")
            fixed = "InstanceType" in variant and "InitialInstanceCount" in variant
            if fixed == ("ServerlessConfig" in variant):
                raise ApiError(
                    "ValidationException",
                    f"The variant {variant['VariantName']} must have either InstanceType and InitialInstanceCount, or "
                    "ServerlessConfig.",
                )
        models = {one["ModelName"]: asdict(self._models.get(one["ModelName"])) for one in request["ProductionVariants"]}
        for variant in request["ProductionVariants"]:
            if models[variant["ModelName"]]["multi"] and "ServerlessConfig" in variant:
                raise ApiError("ValidationException", "A serverless variant does not support Mode MultiModel.")
        record = {"name": name, "request": request, "models": models, "CreationTime": time.time()}
        record |= {"Tags": request.pop("Tags", [])}
        self._write("endpoint-config", record)
        self._configs[name] = record
        return {"EndpointConfigArn": arn}

    def describe_config(self, request: Request) -> dict[str, Any]:
        record = self._config(request["EndpointConfigName"])
        arn = self._arn("endpoint-config", record["name"])
        return {**record["request"], "EndpointConfigArn": arn, "CreationTime": record["CreationTime"]}

    def delete_config(self, request: Request) -> dict[str, Any]:
        record = self._config(request["EndpointConfigName"])
        self._objects.remove_document("endpoint-config", self._arn("endpoint-config", record["name"]))
        del self._configs[record["name"]]
        return {}

    def list_configs(self, request: Request) -> dict[str, Any]:
        found = [self.describe_config({"EndpointConfigName": name}) for name in self._configs]
        return _listed("EndpointConfigs", "EndpointConfigName", found, request)

    # Endpoints

    def create(self, request: Request) -> dict[str, Any]:
        name, config = request["EndpointName"], deepcopy(self._config(request["EndpointConfigName"]))
        arn = self._arn("endpoint", name)
        if name.lower() in {known.lower() for known in self.endpoints}:
            raise ApiError("ValidationException", f'Cannot create already existing endpoint "{arn}".')
        now = time.time()
        record = {"EndpointName": name, "EndpointArn": arn, "EndpointStatus": "Creating", "CreationTime": now}
        record |= {"LastModifiedTime": now, "Tags": request.get("Tags", []), "config": config, "pending": None}
        record |= {"failure": "", "deployment": self._checked(request.get("DeploymentConfig", {}))}
        self._save(record)
        endpoint = self.endpoints[name] = Endpoint(record, self._given)
        endpoint.create()
        return {"EndpointArn": arn}

    def update(self, request: Request) -> dict[str, Any]:
        endpoint = self._changeable(request["EndpointName"])
        if endpoint.status == "Failed":
            arn = endpoint.record["EndpointArn"]
            raise ApiError("ValidationException", f'Cannot update failed endpoint "{arn}"; it can only be deleted.')
        config, before = deepcopy(self._config(request["EndpointConfigName"])), endpoint.record["config"]
        if request.get("RetainAllVariantProperties"):
            excluded = {one["VariantPropertyType"] for one in request.get("ExcludeRetainedVariantProperties", [])}
            _retain(config, before, excluded)
        deployment = self._checked(request.get("DeploymentConfig", {}))
        if request.get("RetainDeploymentConfig"):
            deployment = endpoint.record["deployment"]
        endpoint.update(config, deployment)
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def change_weights(self, request: Request) -> dict[str, Any]:
        """The number of instances is a record only: a variant has one server."""
        endpoint = self._changeable(request["EndpointName"])
        config = deepcopy(endpoint.record["config"])
        known = {one["VariantName"]: one for one in variants(config)}
        for wanted in request["DesiredWeightsAndCapacities"]:
            variant = known.get(wanted["VariantName"])
            if variant is None:
                raise ApiError("ValidationException", f"Variant {wanted['VariantName']} does not exist.")
            for name, given in (("InitialVariantWeight", "DesiredWeight"), *_RETAINED.items()):
                if given in wanted:
                    variant[name] = wanted[given]
        endpoint.record["config"] = config
        endpoint.weigh()
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def describe(self, request: Request) -> dict[str, Any]:
        record = self._endpoint(request["EndpointName"]).record
        config, pending = record["config"], record["pending"]
        answer = {key: record[key] for key in ("EndpointName", "EndpointArn", "EndpointStatus")}
        answer |= {key: record[key] for key in ("CreationTime", "LastModifiedTime")}
        answer |= {"EndpointConfigName": config["name"], "FailureReason": record["failure"] or None}
        answer["ProductionVariants"] = [_summary(one, config) for one in variants(config)]
        answer["LastDeploymentConfig"] = record["deployment"] or None
        if capture := config["request"].get(_CAPTURE):
            on = capture.get("EnableCapture", True)
            answer["DataCaptureConfig"] = {
                "EnableCapture": on,
                "CaptureStatus": "Started" if on and record["EndpointStatus"] == "InService" else "Stopped",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
        if pending:
            status = {"Status": "Baking" if "bakes" in pending else "Creating", "StatusMessage": pending.get("bakes")}
            status = {key: value for key, value in status.items() if value}
            new = [
                {**_summary(one, pending["config"]), "VariantStatus": [status]} for one in variants(pending["config"])
            ]
            summary = {"EndpointConfigName": pending["config"]["name"], "StartTime": pending["since"]}
            answer["PendingDeploymentSummary"] = {**summary, "ProductionVariants": new}
        return {key: value for key, value in answer.items() if value is not None}

    def delete(self, request: Request) -> dict[str, Any]:
        """AWS deregisters the scalable targets of the variants; iam/enforce.py asks for that right."""
        endpoint = self._changeable(request["EndpointName"])
        self.scaling.forget(endpoint.name)
        endpoint.delete()
        return {}

    def list_endpoints(self, request: Request) -> dict[str, Any]:
        found = [self.describe({"EndpointName": name}) for name in self.endpoints]
        if status := request.get("StatusEquals"):
            found = [one for one in found if one["EndpointStatus"] == status]
        return _listed("Endpoints", "EndpointName", found, request)

    # Parts

    def _config(self, name: str) -> Record:
        if name not in self._configs:
            raise self._missing("endpoint-config", name)
        return self._configs[name]

    def _endpoint(self, name: str) -> Endpoint:
        if name not in self.endpoints:
            raise self._missing("endpoint", name)
        return self.endpoints[name]

    def _changeable(self, name: str) -> Endpoint:
        endpoint = self._endpoint(name)
        if endpoint.status in IN_PROGRESS:
            arn = endpoint.record["EndpointArn"]
            raise ApiError("ValidationException", f'Cannot update in-progress endpoint "{arn}".')
        return endpoint

    def _missing(self, kind: str, name: str) -> ApiError:
        return ApiError("ValidationException", f'Could not find {KINDS[kind]} "{self._arn(kind, name)}".')

    def _checked(self, deployment: Request) -> Request:
        """A deployment that this computer can do; https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html"""
        if "RollingUpdatePolicy" in deployment:
            raise ApiError("ValidationException", "RollingUpdatePolicy is not available locally.")
        routing = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
        for kind, key, least, most in (("CANARY", "CanarySize", 1, 50), ("LINEAR", "LinearStepSize", 10, 50)):
            if routing.get("Type") == kind:
                size = routing.get(key)
                if size is None:
                    raise ApiError("ValidationException", f"{kind} needs {key}.")
                if size["Type"] == "CAPACITY_PERCENT" and not least <= size["Value"] <= most:
                    raise ApiError("ValidationException", f"{key} must be between {least} and {most} percent.")
        for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", []):
            if not self._alarms.exists(alarm["AlarmName"]):
                raise ApiError("ValidationException", f"The alarm {alarm['AlarmName']} does not exist.")
        return deployment

    def _arn(self, kind: str, name: str) -> str:
        return self._shop.permissions.arn("sagemaker", f"{kind}/{name.lower()}")

    def _stored(self, kind: str) -> list[Record]:
        """The records of this account and region."""
        documents = self._objects.documents(kind)
        return [json.loads(text) for arn, text in documents if arn.startswith(self._arn(kind, ""))]

    def _write(self, kind: str, record: Record) -> None:
        name = self._arn(kind, record["EndpointName" if kind == "endpoint" else "name"])
        self._objects.write_document(kind, name, json.dumps(record).encode())

    def _save(self, record: Record) -> None:
        self._write("endpoint", record)

    def _forget(self, record: Record) -> None:
        with self._lock:
            self._objects.remove_document("endpoint", record["EndpointArn"])
            self.endpoints.pop(record["EndpointName"], None)


def _retain(config: Record, before: Record, excluded: set[str]) -> None:
    """Give the variants of a new configuration the weights and counts that the endpoint has now."""
    known = {one["VariantName"]: one for one in variants(before)}
    for variant in variants(config):
        for name, kind in _RETAINED.items():
            old = known.get(variant["VariantName"], {})
            if kind not in excluded and name in old:
                variant[name] = old[name]
    if _CAPTURE not in excluded and _CAPTURE in before["request"]:
        config["request"][_CAPTURE] = before["request"][_CAPTURE]


def _summary(variant: Record, config: Record) -> dict[str, Any]:
    summary: dict[str, Any] = {"VariantName": variant["VariantName"]}
    summary["DeployedImages"] = [{"SpecifiedImage": config["models"][variant["ModelName"]]["image"]}]
    for kind in ("Current", "Desired"):
        summary[f"{kind}Weight"] = weight(variant)
        if "ServerlessConfig" in variant:
            summary[f"{kind}ServerlessConfig"] = variant["ServerlessConfig"]
        else:
            summary[f"{kind}InstanceCount"] = variant["InitialInstanceCount"]
    return summary


def _listed(member: str, name: str, found: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    named = [one for one in found if request.get("NameContains", "") in one[name]]
    return page(member, in_order(name, named, request, "Descending"), request)


ACTIONS: dict[str, Callable[[Endpoints, Request], dict[str, Any]]] = {
    "CreateEndpoint": Endpoints.create,
    "CreateEndpointConfig": Endpoints.create_config,
    "DeleteEndpoint": Endpoints.delete,
    "DeleteEndpointConfig": Endpoints.delete_config,
    "DescribeEndpoint": Endpoints.describe,
    "DescribeEndpointConfig": Endpoints.describe_config,
    "ListEndpoints": Endpoints.list_endpoints,
    "ListEndpointConfigs": Endpoints.list_configs,
    "UpdateEndpoint": Endpoints.update,
    "UpdateEndpointWeightsAndCapacities": Endpoints.change_weights,
}
