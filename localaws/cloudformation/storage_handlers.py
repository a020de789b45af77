"""The calls for buckets, image repositories, log groups and groups of models, which a stack can import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localaws.cloudformation.handlers import Aws, HandlerError, Properties, lower_first, only, tags_as_dict

# S3: one call per property of a bucket


def create_bucket(aws: Aws, name: str, given: Properties) -> None:
    if bucket_exists(aws, name):
        raise HandlerError(f"{name} already exists")  # in us-east-1, CreateBucket does not report this
    region = aws("s3").meta.region_name
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    aws("s3").create_bucket(Bucket=name, **where)


def bucket_exists(aws: Aws, name: str) -> bool:
    return any(bucket["Name"] == name for bucket in aws("s3").list_buckets()["Buckets"])


def configure_bucket(aws: Aws, bucket: str, old: Properties, new: Properties) -> None:
    removed = sorted(old.keys() - new.keys())
    if removed:
        raise HandlerError(f"the local AWS cannot remove {removed[0]} from a bucket")
    for name, (put, parameter, translate) in PARTS.items():
        if name in new and new[name] != old.get(name):
            getattr(aws("s3"), put)(Bucket=bucket, **{parameter: translate(new[name])})


def _same(value: Any) -> Any:
    return value


def _renamed(value: dict[str, Any], **names: str) -> dict[str, Any]:
    """With other names for some keys. S3's client refuses keys that it does not know."""
    return {names.get(key, key): item for key, item in value.items()}


def _encryption(given: Any) -> Any:
    names = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    return {"Rules": [_renamed(rule, **names) for rule in given["ServerSideEncryptionConfiguration"]]}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    found = {"Filter": {"Prefix": ""}, **_renamed(rule, Id="ID")}
    if "Prefix" in found:
        found["Filter"] = {"Prefix": found.pop("Prefix")}
    for name, part in (("ExpirationInDays", "Days"), ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker")):
        if name in found:
            found["Expiration"] = {part: found.pop(name)}
    if "Transitions" in found:
        found["Transitions"] = [_renamed(step, TransitionInDays="Days") for step in found["Transitions"]]
    return found


def _notification(given: Any) -> Any:
    unknown = sorted(given.keys() - {"EventBridgeConfiguration"})
    if unknown:
        raise HandlerError(f"the local AWS does not know {unknown[0]} of a bucket's notifications")
    return {"EventBridgeConfiguration": {}} if given["EventBridgeConfiguration"]["EventBridgeEnabled"] else {}


PARTS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {  # the call, its parameter, and that parameter's value
    "BucketEncryption": ("put_bucket_encryption", "ServerSideEncryptionConfiguration", _encryption),
    "LifecycleConfiguration": (
        "put_bucket_lifecycle_configuration",
        "LifecycleConfiguration",
        lambda given: {"Rules": [_lifecycle_rule(rule) for rule in given["Rules"]]},
    ),
    "NotificationConfiguration": ("put_bucket_notification_configuration", "NotificationConfiguration", _notification),
    "OwnershipControls": ("put_bucket_ownership_controls", "OwnershipControls", _same),
    "PublicAccessBlockConfiguration": ("put_public_access_block", "PublicAccessBlockConfiguration", _same),
    "Tags": ("put_bucket_tagging", "Tagging", lambda tags: {"TagSet": tags}),
    "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration", _same),
}


# ECR and logs


def create_repository(aws: Aws, name: str, given: Properties) -> None:
    encryption = lower_first(only(given, "EncryptionConfiguration"))
    aws("ecr").create_repository(repositoryName=name, tags=given.get("Tags", []), **encryption)


def configure_repository(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    client, mutability = aws("ecr"), new.get("ImageTagMutability", "MUTABLE")
    client.put_image_tag_mutability(repositoryName=name, imageTagMutability=mutability)
    if "ImageScanningConfiguration" in new:
        scan = lower_first(new["ImageScanningConfiguration"])
        client.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration=scan)
    if "LifecyclePolicy" in new:
        client.put_lifecycle_policy(repositoryName=name, **lower_first(new["LifecyclePolicy"]))


def repository_exists(aws: Aws, name: str) -> bool:
    return any(found["repositoryName"] == name for found in aws("ecr").describe_repositories()["repositories"])


def create_log_group(aws: Aws, name: str, given: Properties) -> None:
    aws("logs").create_log_group(logGroupName=name, tags=tags_as_dict(given))


def configure_log_group(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    if "RetentionInDays" in new:
        aws("logs").put_retention_policy(logGroupName=name, retentionInDays=new["RetentionInDays"])
    elif "RetentionInDays" in old:
        aws("logs").delete_retention_policy(logGroupName=name)


def log_group_exists(aws: Aws, name: str) -> bool:
    found = aws("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name for group in found)


# SageMaker


def create_model_group(aws: Aws, name: str, given: Properties) -> None:
    description = only(given, "ModelPackageGroupDescription")
    aws("sagemaker").create_model_package_group(ModelPackageGroupName=name, Tags=given.get("Tags", []), **description)


def model_group_exists(aws: Aws, name: str) -> bool:
    found = aws("sagemaker").list_model_package_groups(NameContains=name, MaxResults=100)
    return any(group["ModelPackageGroupName"] == name for group in found["ModelPackageGroupSummaryList"])
