"""SageMaker's model registry, kept in the work folder.

moto's forgets it with the process, ignores ClientToken, deletes nothing, and sends no events.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from localaws.base.api_error import ApiError
from localaws.iam.permissions import Permissions
from localaws.notifications.eventbridge import put_event, service_event
from localaws.s3.store import Objects
from localaws.sagemaker.pages import in_order, page

KIND = "model package group"
_SUMMARY = {
    *("ModelPackageArn", "ModelPackageGroupName", "ModelPackageVersion", "ModelPackageDescription"),
    *("CreationTime", "ModelPackageStatus", "ModelApprovalStatus"),
}
_METADATA = ("CustomerMetadataProperties", "CustomerMetadataPropertiesToRemove")
_APPROVAL = ("ModelApprovalStatus", "ApprovalDescription")

Request = dict[str, Any]
Group = dict[str, Any]


class ModelRegistry:
    def __init__(self, objects: Objects, permissions: Permissions) -> None:
        self._objects, self._permissions = objects, permissions
        self._place = permissions.arn("sagemaker", "model-package-group/")
        self._lock = threading.Lock()
        documents = ((name, json.loads(text)) for name, text in objects.documents(KIND))
        self._groups: dict[str, Group] = {
            name.removeprefix(self._place): group for name, group in documents if name.startswith(self._place)
        }

    def call(self, action: str, request: Request) -> dict[str, Any]:
        """The response; raises ApiError. The request is valid by botocore's model."""
        with self._lock:
            return ACTIONS[action](self, request)

    # Groups

    def create_group(self, request: Request) -> dict[str, Any]:
        name = request["ModelPackageGroupName"]
        if name in self._groups:
            raise ApiError("ValidationException", f"Model Package Group already exists: {self._place}{name}")
        self._write(name, {**request, "created": time.time(), "last": 0, "versions": {}})
        return {"ModelPackageGroupArn": f"{self._place}{name}"}

    def describe_group(self, request: Request) -> dict[str, Any]:
        return self._group_summary(self._name(request["ModelPackageGroupName"]))

    def list_groups(self, request: Request) -> dict[str, Any]:
        wanted = request.get("NameContains", "")
        found = [self._group_summary(name) for name in self._groups if wanted in name]
        return page(
            "ModelPackageGroupSummaryList", in_order("ModelPackageGroupName", found, request, "Ascending"), request
        )

    def delete_group(self, request: Request) -> dict[str, Any]:
        name = self._name(request["ModelPackageGroupName"])
        if self._groups[name]["versions"]:
            message = f"Model Package Group {self._place}{name} cannot be deleted, because it has model packages."
            raise ApiError("ConflictException", message)
        self._objects.remove_document(KIND, f"{self._place}{name}")
        del self._groups[name]
        return {}

    def tags(self, action: str, request: Request) -> dict[str, Any]:
        name = self._name(request["ResourceArn"])
        with self._lock:
            group = self._groups[name]
            if action != "ListTags":
                group = {**group, "Tags": changed_tags(group.get("Tags", []), request)}
                self._write(name, group)
        return {} if action == "DeleteTags" else {"Tags": group.get("Tags", [])}

    # Versions

    def create(self, request: Request) -> dict[str, Any]:
        if "ModelPackageGroupName" not in request:
            raise ApiError("ValidationException", "Without ModelPackageGroupName, model packages need AWS.")
        if request.get("Tags"):
            raise ApiError("ValidationException", "Tags are not allowed for versioned model packages.")
        name = self._name(request["ModelPackageGroupName"])
        group, token = self._groups[name], request.get("ClientToken")
        asked = {key: value for key, value in request.items() if key != "ModelPackageGroupName"}
        for version in group["versions"].values():
            if token and version["request"].get("ClientToken") == token:
                if version["request"] != asked:
                    raise ApiError("ConflictException", f"The ClientToken {token} was used for another request.")
                return {"ModelPackageArn": version["ModelPackageArn"]}
        number = group["last"] + 1  # the number of a deleted version is not used again
        version = {
            **{key: value for key, value in asked.items() if key != "ClientToken"},
            "ModelPackageGroupName": name,
            "ModelPackageVersion": number,
            "ModelPackageArn": self._permissions.arn("sagemaker", f"model-package/{name.lower()}/{number}"),
            "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            "CreationTime": time.time(),
            "request": asked,
        }
        self._write(name, {**group, "last": number, "versions": {**group["versions"], str(number): version}})
        self._tell(version)
        return {"ModelPackageArn": version["ModelPackageArn"]}

    def describe(self, request: Request) -> dict[str, Any]:
        version = self._version(request["ModelPackageName"])
        return {key: value for key, value in version.items() if key != "request"}

    def list(self, request: Request) -> dict[str, Any]:
        """Without a group, AWS lists unversioned packages, unless ModelPackageType says otherwise."""
        groups = list(self._groups) if request.get("ModelPackageType", "Unversioned") != "Unversioned" else []
        if "ModelPackageGroupName" in request:
            groups = [self._name(request["ModelPackageGroupName"])]
        status = request.get("ModelApprovalStatus")
        found = [
            {key: version[key] for key in _SUMMARY & version.keys()}
            for name in groups
            for version in self._groups[name]["versions"].values()
            if status in (None, version["ModelApprovalStatus"])
        ]
        found = in_order("ModelPackageArn", found, request, "Ascending")
        return page("ModelPackageSummaryList", found, request)

    def update(self, request: Request) -> dict[str, Any]:
        if unknown := sorted(request.keys() - {"ModelPackageArn", "ClientToken", *_APPROVAL, *_METADATA}):
            raise ApiError("ValidationException", f"{unknown[0]} cannot be changed locally.")
        version = dict(self._version(request["ModelPackageArn"]))
        version |= {key: request[key] for key in _APPROVAL if key in request}
        added, removed = (request.get(key, {}) for key in _METADATA)
        metadata = {**version.get(_METADATA[0], {}), **added}
        metadata = {key: value for key, value in metadata.items() if key not in removed}
        version |= {_METADATA[0]: metadata, "LastModifiedTime": time.time()}
        name, group = version["ModelPackageGroupName"], self._groups[version["ModelPackageGroupName"]]
        number = str(version["ModelPackageVersion"])
        self._write(name, {**group, "versions": {**group["versions"], number: version}})
        self._tell(version)
        return {"ModelPackageArn": version["ModelPackageArn"]}

    def delete(self, request: Request) -> dict[str, Any]:
        version = self._version(request["ModelPackageName"])
        name, number = version["ModelPackageGroupName"], str(version["ModelPackageVersion"])
        group = self._groups[name]
        self._write(name, {**group, "versions": {k: v for k, v in group["versions"].items() if k != number}})
        return {}

    # Parts

    def _name(self, given: str) -> str:
        """The name of a group that exists."""
        name = given.rpartition("/")[2]
        if name not in self._groups:
            raise ApiError("ValidationException", f"ModelPackageGroup {self._place}{name} does not exist.")
        return name

    def _version(self, arn: str) -> dict[str, Any]:
        for group in self._groups.values():
            for version in group["versions"].values():
                if version["ModelPackageArn"] == arn:
                    return dict(version)
        raise ApiError("ValidationException", f"ModelPackage {arn} does not exist.")

    def _group_summary(self, name: str) -> dict[str, Any]:
        group = self._groups[name]
        described = {key: group[key] for key in group.keys() & {"ModelPackageGroupDescription"}}
        return {
            "ModelPackageGroupName": name,
            "ModelPackageGroupArn": f"{self._place}{name}",
            **described,
            "CreationTime": group["created"],
            "ModelPackageGroupStatus": "Completed",
        }

    def _write(self, name: str, group: Group) -> None:
        """First on disk, then in memory."""
        self._objects.write_document(KIND, f"{self._place}{name}", json.dumps(group).encode())
        self._groups[name] = group

    def _tell(self, version: dict[str, Any]) -> None:
        """https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html"""
        arn = version["ModelPackageArn"]
        _, _, _, region, account, _ = arn.split(":", 5)
        detail = {key: value for key, value in version.items() if key != "request"}
        put_event(
            service_event("aws.sagemaker", "SageMaker Model Package State Change", account, region, [arn], detail)
        )


def changed_tags(tags: list[dict[str, str]], request: Request) -> list[dict[str, str]]:
    """After AddTags or DeleteTags."""
    values = {tag["Key"]: tag["Value"] for tag in [*tags, *request.get("Tags", [])]}
    return [{"Key": key, "Value": value} for key, value in values.items() if key not in request.get("TagKeys", [])]


ACTIONS: dict[str, Callable[[ModelRegistry, Request], dict[str, Any]]] = {
    "CreateModelPackage": ModelRegistry.create,
    "CreateModelPackageGroup": ModelRegistry.create_group,
    "DeleteModelPackage": ModelRegistry.delete,
    "DeleteModelPackageGroup": ModelRegistry.delete_group,
    "DescribeModelPackage": ModelRegistry.describe,
    "DescribeModelPackageGroup": ModelRegistry.describe_group,
    "ListModelPackageGroups": ModelRegistry.list_groups,
    "ListModelPackages": ModelRegistry.list,
    "UpdateModelPackage": ModelRegistry.update,
}
