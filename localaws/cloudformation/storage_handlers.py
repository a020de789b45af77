"""The calls for buckets, image repositories and log groups, which a stack can import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from localaws.cloudformation.handlers import Aws, HandlerError, Properties, lower_first, only, tags_as_dict

# S3: one call per property of a bucket


class _Part(NamedTuple):
    """How S3's API sets one property of a bucket."""

    put: str
    parameter: str
    removed: Any  # when the property is removed: the operation that deletes it, or the value to put
    translate: Callable[[Any], Any] = lambda value: value


def create_bucket(aws: Aws, name: str, given: Properties) -> str:
    if bucket_exists(aws, name):
        raise HandlerError(f"{name} already exists")  # in us-east-1, CreateBucket does not report this
    region = aws("s3").meta.region_name
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    aws("s3").create_bucket(Bucket=name, **where)
    return name


def bucket_exists(aws: Aws, name: str) -> bool:
    return any(bucket["Name"] == name for bucket in aws("s3").list_buckets()["Buckets"])


def configure_bucket(aws: Aws, bucket: str, old: Properties, new: Properties) -> None:
    for name, part in PARTS.items():
        if name in new and new[name] != old.get(name):
            getattr(aws("s3"), part.put)(Bucket=bucket, **{part.parameter: part.translate(new[name])})
        elif name in old and name not in new and isinstance(part.removed, str):
            getattr(aws("s3"), part.removed)(Bucket=bucket)
        elif name in old and name not in new:
            getattr(aws("s3"), part.put)(Bucket=bucket, **{part.parameter: part.removed})


def _encryption(given: Any) -> Any:
    renamed = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    rules = [{renamed.get(k, k): v for k, v in rule.items()} for rule in given["ServerSideEncryptionConfiguration"]]
    return {"Rules": rules}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    same = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    renamed = {"Id", "Prefix", "ExpirationInDays", "ExpiredObjectDeleteMarker", "Transitions"}
    unknown = sorted(rule.keys() - renamed - set(same))
    if unknown:
        raise HandlerError(f"the local AWS does not know {unknown[0]} of a lifecycle rule")
    found = {"ID": rule["Id"], "Filter": {"Prefix": rule.get("Prefix", "")}, **only(rule, *same)}
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": rule["ExpirationInDays"]}
    elif "ExpiredObjectDeleteMarker" in rule:
        found["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    if "Transitions" in rule:
        found["Transitions"] = [
            {"Days": step["TransitionInDays"], "StorageClass": step["StorageClass"]} for step in rule["Transitions"]
        ]
    return found


def _notification(given: Any) -> Any:
    unknown = sorted(given.keys() - {"LambdaConfigurations"})
    if unknown:
        raise HandlerError(f"the local AWS does not know {unknown[0]} of a bucket's notifications")
    functions = [
        {
            "LambdaFunctionArn": entry["Function"],
            "Events": [entry["Event"]],
            **({"Filter": {"Key": {"FilterRules": entry["Filter"]["S3Key"]["Rules"]}}} if "Filter" in entry else {}),
        }
        for entry in given["LambdaConfigurations"]
    ]
    return {"LambdaFunctionConfigurations": functions}


PARTS = {
    "BucketEncryption": _Part(
        "put_bucket_encryption", "ServerSideEncryptionConfiguration", "delete_bucket_encryption", _encryption
    ),
    "LifecycleConfiguration": _Part(
        "put_bucket_lifecycle_configuration",
        "LifecycleConfiguration",
        "delete_bucket_lifecycle",
        lambda given: {"Rules": [_lifecycle_rule(rule) for rule in given["Rules"]]},
    ),
    "NotificationConfiguration": _Part(
        "put_bucket_notification_configuration", "NotificationConfiguration", {}, _notification
    ),
    "OwnershipControls": _Part(
        "put_bucket_ownership_controls", "OwnershipControls", "delete_bucket_ownership_controls"
    ),
    "PublicAccessBlockConfiguration": _Part(
        "put_public_access_block", "PublicAccessBlockConfiguration", "delete_public_access_block"
    ),
    "Tags": _Part("put_bucket_tagging", "Tagging", "delete_bucket_tagging", lambda tags: {"TagSet": tags}),
    "VersioningConfiguration": _Part("put_bucket_versioning", "VersioningConfiguration", {"Status": "Suspended"}),
}


# ECR


def create_repository(aws: Aws, name: str, given: Properties) -> str:
    encryption = lower_first(only(given, "EncryptionConfiguration"))
    aws("ecr").create_repository(repositoryName=name, tags=given.get("Tags", []), **encryption)
    return name


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


# Logs


def create_log_group(aws: Aws, name: str, given: Properties) -> str:
    aws("logs").create_log_group(logGroupName=name, tags=tags_as_dict(given))
    return name


def configure_log_group(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    if "RetentionInDays" in new:
        aws("logs").put_retention_policy(logGroupName=name, retentionInDays=new["RetentionInDays"])
    elif "RetentionInDays" in old:
        aws("logs").delete_retention_policy(logGroupName=name)


def log_group_exists(aws: Aws, name: str) -> bool:
    found = aws("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name for group in found)
