"""Application Auto Scaling of endpoints: records, kept in the work folder, by which nothing is scaled.

moto's would load the tables of EC2 first, which takes seconds, and forgets its targets with the process.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from localaws.base import api_model, requests
from localaws.base.api_error import ApiError
from localaws.base.requests import Application
from localaws.iam.permissions import Permissions
from localaws.s3.store import Objects

SERVICE = "application-autoscaling"
KIND = "scalable target"
_TARGET = "AnyScaleFrontendService"
_PLACE = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_CAPACITY = ("MinCapacity", "MaxCapacity")
Request = dict[str, Any]


class Scaling:
    def __init__(self, objects: Objects, permissions: Permissions) -> None:
        self._objects, self._permissions = objects, permissions
        self._place = permissions.arn(SERVICE, "scalable-target/")
        self._lock = threading.Lock()
        found = [(name, json.loads(text)) for name, text in objects.documents(KIND) if name.startswith(self._place)]
        self._targets: dict[str, Request] = {name.removeprefix(self._place): target for name, target in found}

    def door(self, others: Application) -> Application:
        """Answers the calls about endpoints."""

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            service, _, action = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
            request = requests.json_body(environ) if service == _TARGET else {}
            if request.get("ServiceNamespace") != "sagemaker" or not hasattr(self, f"_{action}"):
                return others(environ, start_response)
            try:
                if wrong := api_model.problems(SERVICE, action, request):
                    raise ApiError("ValidationException", "; ".join(wrong))
                with self._lock:
                    status, answer = "200 OK", getattr(self, f"_{action}")(request)
            except ApiError as error:
                status, answer = "400 Error", {"__type": error.code, "message": error.message}
            return requests.respond(start_response, status, "application/x-amz-json-1.1", json.dumps(answer))

        return application

    def knows(self, endpoint: str) -> bool:
        """Whether a variant of the endpoint has a scalable target."""
        return any(_is_of(target, endpoint) for target in list(self._targets.values()))

    def forget(self, endpoint: str) -> None:
        with self._lock:
            for target in [one for one in self._targets.values() if _is_of(one, endpoint)]:
                self._DeregisterScalableTarget(target)

    # Actions

    def _RegisterScalableTarget(self, request: Request) -> dict[str, Any]:
        known = self._targets.get(_name(request))
        if known is None and any(request.get(name) is None for name in _CAPACITY):
            raise ApiError("ValidationException", "MinCapacity and MaxCapacity are required to register a new target.")
        role = self._permissions.arn("iam", "role/aws-service-role/sagemaker.application-autoscaling", region="")
        target = known or {"ScalableTargetId": uuid.uuid4().hex, "CreationTime": time.time(), "policies": {}}
        given = {name: request[name] for name in (*_PLACE, *_CAPACITY) if name in request}
        self._write({"RoleARN": role, **target, **given})
        return {"ScalableTargetARN": self._place + str(target["ScalableTargetId"])}

    def _DeregisterScalableTarget(self, request: Request) -> dict[str, Any]:
        self._objects.remove_document(KIND, self._place + _name(self._target(request)))
        del self._targets[_name(request)]
        return {}

    def _DescribeScalableTargets(self, request: Request) -> dict[str, Any]:
        found = [
            one for one in self._among(request) if one["ResourceId"] in request.get("ResourceIds", [one["ResourceId"]])
        ]
        return {"ScalableTargets": [{key: one[key] for key in one if key != "policies"} for one in found]}

    def _PutScalingPolicy(self, request: Request) -> dict[str, Any]:
        target, name = self._target(request), request["PolicyName"]
        arn = self._permissions.arn(
            "autoscaling", f"scalingPolicy:{uuid.uuid4()}:resource/sagemaker/{target['ResourceId']}"
        )
        known = target["policies"].get(name, {"PolicyARN": f"{arn}:policyName/{name}", "CreationTime": time.time()})
        self._write({**target, "policies": {**target["policies"], name: {**known, **request}}})
        return {"PolicyARN": known["PolicyARN"], "Alarms": []}

    def _DescribeScalingPolicies(self, request: Request) -> dict[str, Any]:
        found = [policy for target in self._among(request) for policy in target["policies"].values()]
        found = [one for one in found if request.get("ResourceId") in (None, one["ResourceId"])]
        return {"ScalingPolicies": found}

    def _DeleteScalingPolicy(self, request: Request) -> dict[str, Any]:
        target, name = self._target(request), request["PolicyName"]
        if name not in target["policies"]:
            raise ApiError(
                "ObjectNotFoundException", f"No scaling policy found for {_words(request)}, policy name: {name}"
            )
        self._write({**target, "policies": {key: one for key, one in target["policies"].items() if key != name}})
        return {}

    # Parts

    def _among(self, request: Request) -> list[Request]:
        dimension = request.get("ScalableDimension")
        return [one for one in self._targets.values() if dimension in (None, one["ScalableDimension"])]

    def _target(self, request: Request) -> Request:
        if _name(request) not in self._targets:
            raise ApiError("ObjectNotFoundException", f"No scalable target found for {_words(request)}")
        return self._targets[_name(request)]

    def _write(self, target: Request) -> None:
        """First on disk, then in memory."""
        self._objects.write_document(KIND, self._place + _name(target), json.dumps(target).encode())
        self._targets[_name(target)] = target


def _name(request: Request) -> str:
    return "|".join(str(request[name]) for name in _PLACE)


def _words(request: Request) -> str:
    namespace, resource, dimension = (request[name] for name in _PLACE)
    return f"service namespace: {namespace}, resource ID: {resource}, scalable dimension: {dimension}"


def _is_of(target: Request, endpoint: str) -> bool:
    return str(target["ResourceId"]).split("/")[1:2] == [endpoint]
