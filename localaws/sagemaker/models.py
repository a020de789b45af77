"""SageMaker's models: checked as the service checks them, and recorded by moto, which describes and deletes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from localaws.base.api_error import ApiError
from localaws.sagemaker import bubblewrap, job_files
from localaws.sagemaker.built_in import built_in
from localaws.sagemaker.job import Workshop

MULTI = "MultiModel"
LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"


@dataclass(frozen=True)
class Model:
    """What a server needs to know of a model."""

    image: str
    data: str  # the archive's address; empty if there is none
    environment: dict[str, str]
    role: str
    prefix: str = ""  # of an uncompressed model's files
    multi: bool = False  # whether `data` is a prefix of archives, and each request names one


class Models:
    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop

    @cached_property
    def _moto(self) -> Any:
        from moto.sagemaker.models import sagemaker_backends

        account = self._shop.permissions.arn("sagemaker", "").split(":")[4]
        return sagemaker_backends[account][self._shop.region]

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name, role = request["ModelName"], request.get("ExecutionRoleArn", "")
        arn = self._shop.permissions.arn("sagemaker", f"model/{name.lower()}")
        container: dict[str, Any] = request.get("PrimaryContainer") or next(iter(request.get("Containers", [])), {})
        if len(request.get("Containers", [])) > 1:
            raise ApiError("ValidationException", "Inference pipelines (Containers) are not available locally.")
        if not container.get("Image"):
            raise ApiError("ValidationException", "PrimaryContainer must have an Image: model packages need AWS.")
        if self._shop.permissions.role(role) is None:
            raise ApiError("ValidationException", job_files.NO_ROLE.format(role=role))
        if name.lower() in {known.lower() for known in self._moto._models}:
            raise ApiError("ValidationException", f'Cannot create already existing model "{arn}".')
        if container.get("Mode") == MULTI:
            _check_multi_model(container)
        elif "ModelDataUrl" in container:
            self._check_data(container["ModelDataUrl"], role)
        self._moto.create_model(
            name, role, container, request.get("VpcConfig"), request.get("Containers"), request.get("Tags")
        )
        return {"ModelArn": arn}

    def _check_data(self, uri: str, role: str) -> None:
        bucket, key = job_files.split(uri)
        permissions = self._shop.permissions
        if permissions.why_not(permissions.user(role, "SageMaker"), "s3:GetObject", {"Bucket": bucket, "Key": key}):
            raise ApiError(
                "ValidationException",
                f'Could not access model data at {uri}. Please ensure that the role "{role}" exists and that its '
                'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the '
                f"object is located in {self._shop.region}.",
            )
        if self._shop.buckets.objects.one(bucket, key) is None:
            raise ApiError("ValidationException", f"Could not find model data at {uri}.")

    def tags(self, name: str) -> dict[str, str]:
        known = self._moto._models.get(name)
        return {tag["Key"]: tag["Value"] for tag in known.tags} if known else {}

    def get(self, name: str) -> Model:
        known = self._moto._models.get(name)
        if known is None:
            arn = self._shop.permissions.arn("sagemaker", f"model/{name.lower()}")
            raise ApiError("ValidationException", f'Could not find model "{arn}".')
        container = known.primary_container
        source = container.get("ModelDataSource", {}).get("S3DataSource", {})
        packed = source.get("CompressionType") == "Gzip"
        return Model(
            container["Image"],
            source["S3Uri"] if packed else container.get("ModelDataUrl", ""),
            container.get("Environment", {}),
            known.execution_role_arn,
            "" if packed else source.get("S3Uri", ""),
            container.get("Mode") == MULTI,
        )

    def bring_back(self, name: str, model: Model) -> None:
        """Put back a model that an endpoint uses: moto forgets it with the process."""
        if name not in self._moto._models:
            container: dict[str, Any] = {"Image": model.image, "Environment": model.environment}
            if model.prefix:
                source = {"S3Uri": model.prefix, "S3DataType": "S3Prefix", "CompressionType": "None"}
                container["ModelDataSource"] = {"S3DataSource": source}
            elif model.data:
                container |= {"ModelDataUrl": model.data} | ({"Mode": MULTI} if model.multi else {})
            self._moto.create_model(name, model.role, container, None, None, None)


def _check_multi_model(container: dict[str, Any]) -> None:
    image = container["Image"]
    if not container.get("ModelDataUrl"):
        raise ApiError("ValidationException", f"Mode {MULTI} needs ModelDataUrl, the prefix of the models' archives.")
    if container.get("MultiModelConfig", {}).get("ModelCacheSetting") == "Disabled":
        raise ApiError("ValidationException", "ModelCacheSetting Disabled is not available locally.")
    if built_in(image):
        raise ApiError("ValidationException", f"Multi-model endpoints of {image} are not available locally.")
    if bubblewrap.has(image) and bubblewrap.labels(image).get(LABEL) != "true":
        message = f"Your Ecr Image {image} does not contain required {LABEL}=true Docker label(s)."
        raise ApiError("ValidationException", message)
