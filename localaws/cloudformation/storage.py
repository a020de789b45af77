"""Buckets and image repositories."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.cloudformation.kinds import Failed, Kind, Properties, lower_first


class Bucket(Kind):
    type = "AWS::S3::Bucket"
    name = "BucketName"
    fixed = frozenset({"BucketName"})
    known = fixed | {
        "BucketEncryption",
        "LifecycleConfiguration",
        "NotificationConfiguration",
        "OwnershipControls",
        "PublicAccessBlockConfiguration",
        "Tags",
        "VersioningConfiguration",
    }

    def make(self, given: Properties) -> str:
        bucket, region = self.named(given, 63).lower(), self.place.region
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        if self.there({"BucketName": bucket}):
            raise Failed(f"{bucket} already exists")  # S3 says so in us-east-1 too, where CreateBucket does not
        self.place.client("s3").create_bucket(Bucket=bucket, **where)
        return bucket

    def there(self, given: Properties) -> str | None:
        client = self.place.client("s3")
        try:
            client.head_bucket(Bucket=given[self.name])
        except client.exceptions.ClientError:
            return None
        return str(given[self.name])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("s3")
        for name, part in _PARTS_OF_A_BUCKET.items():
            if name in new and new[name] != old.get(name):
                getattr(client, part.put)(Bucket=physical, **{part.key: part.told(new[name])})
            elif name in old and name not in new and part.delete:
                getattr(client, part.delete)(Bucket=physical)
            elif name in old and name not in new:
                getattr(client, part.put)(Bucket=physical, **{part.key: part.without})

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("s3")
        with contextlib.suppress(client.exceptions.NoSuchBucket):
            client.delete_bucket(Bucket=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        place = self.place
        return {
            "Arn": f"arn:{place.partition}:s3:::{physical}",
            "DomainName": f"{physical}.s3.amazonaws.com",
            "RegionalDomainName": f"{physical}.s3.{place.region}.amazonaws.com",
        }


def _encryption(given: Any) -> Any:
    renamed = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    rules = [{renamed.get(k, k): v for k, v in rule.items()} for rule in given["ServerSideEncryptionConfiguration"]]
    return {"Rules": rules}


def _lifecycle(given: Any) -> Any:
    return {"Rules": [_rule(rule) for rule in given["Rules"]]}


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation has its own words for the parts of a rule."""
    told: dict[str, Any] = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        told["Expiration"] = {"Days": rule["ExpirationInDays"]}
    elif "ExpiredObjectDeleteMarker" in rule:
        told["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    if "Transitions" in rule:
        told["Transitions"] = [
            {"Days": step["TransitionInDays"], "StorageClass": step["StorageClass"]} for step in rule["Transitions"]
        ]
    same = {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
    told |= {part: rule[part] for part in sorted(same & rule.keys())}
    renamed = {"Id", "Status", "Prefix", "ExpirationInDays", "ExpiredObjectDeleteMarker", "Transitions"}
    unknown = sorted(rule.keys() - same - renamed)
    if unknown:
        raise Failed(f"the local AWS does not know {unknown[0]} of a lifecycle rule")
    return told


def _notification(given: Any) -> Any:
    kinds = {
        "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
        "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
        "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
    }
    told: dict[str, Any] = {}
    for kind, entries in given.items():
        if kind == "EventBridgeConfiguration":
            told[kind] = {}
            continue
        name, place, arn = kinds[kind]
        told[name] = [{arn: entry[place], "Events": [entry["Event"]], **_filter(entry)} for entry in entries]
    return told


def _filter(entry: dict[str, Any]) -> dict[str, Any]:
    if "Filter" not in entry:
        return {}
    return {"Filter": {"Key": {"FilterRules": entry["Filter"]["S3Key"]["Rules"]}}}


@dataclass(frozen=True)
class _Part:
    """How S3's API puts a part of a bucket, by which key, and how it takes it away."""

    put: str
    key: str
    delete: str = ""
    told: Callable[[Any], Any] = lambda given: given
    without: Any = None  # what is put where nothing deletes it


_PARTS_OF_A_BUCKET = {
    "BucketEncryption": _Part(
        "put_bucket_encryption", "ServerSideEncryptionConfiguration", "delete_bucket_encryption", _encryption
    ),
    "LifecycleConfiguration": _Part(
        "put_bucket_lifecycle_configuration", "LifecycleConfiguration", "delete_bucket_lifecycle", _lifecycle
    ),
    "NotificationConfiguration": _Part(
        "put_bucket_notification_configuration", "NotificationConfiguration", told=_notification, without={}
    ),
    "OwnershipControls": _Part(
        "put_bucket_ownership_controls", "OwnershipControls", "delete_bucket_ownership_controls"
    ),
    "PublicAccessBlockConfiguration": _Part(
        "put_public_access_block", "PublicAccessBlockConfiguration", "delete_public_access_block"
    ),
    "Tags": _Part("put_bucket_tagging", "Tagging", "delete_bucket_tagging", lambda tags: {"TagSet": tags}),
    "VersioningConfiguration": _Part(
        "put_bucket_versioning", "VersioningConfiguration", without={"Status": "Suspended"}
    ),
}


class BucketPolicy(Kind):
    type = "AWS::S3::BucketPolicy"
    fixed = frozenset({"Bucket"})
    known = fixed | {"PolicyDocument"}

    def make(self, given: Properties) -> str:
        return str(given["Bucket"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        self.place.client("s3").put_bucket_policy(Bucket=physical, Policy=json.dumps(new["PolicyDocument"]))

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("s3")
        with contextlib.suppress(client.exceptions.NoSuchBucket):
            client.delete_bucket_policy(Bucket=physical)


class Repository(Kind):
    type = "AWS::ECR::Repository"
    name = "RepositoryName"
    fixed = frozenset({"RepositoryName", "EncryptionConfiguration"})
    known = fixed | {
        "EmptyOnDelete",
        "ImageScanningConfiguration",
        "ImageTagMutability",
        "LifecyclePolicy",
        "RepositoryPolicyText",
        "Tags",
    }

    def make(self, given: Properties) -> str:
        name = self.named(given, 256)
        encryption = given.get("EncryptionConfiguration")
        told = {"encryptionConfiguration": lower_first(encryption)} if encryption else {}
        self.place.client("ecr").create_repository(repositoryName=name, tags=given.get("Tags", []), **told)
        return name

    def there(self, given: Properties) -> str | None:
        client = self.place.client("ecr")
        try:
            client.describe_repositories(repositoryNames=[given[self.name]])
        except client.exceptions.RepositoryNotFoundException:
            return None
        return str(given[self.name])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("ecr")
        client.put_image_tag_mutability(
            repositoryName=physical, imageTagMutability=new.get("ImageTagMutability", "MUTABLE")
        )
        if "ImageScanningConfiguration" in new:
            scan = bool(new["ImageScanningConfiguration"].get("ScanOnPush"))
            client.put_image_scanning_configuration(
                repositoryName=physical, imageScanningConfiguration={"scanOnPush": scan}
            )
        if "LifecyclePolicy" in new:
            text = new["LifecyclePolicy"]["LifecyclePolicyText"]
            client.put_lifecycle_policy(repositoryName=physical, lifecyclePolicyText=text)
        elif "LifecyclePolicy" in old:
            client.delete_lifecycle_policy(repositoryName=physical)
        if "RepositoryPolicyText" in new:
            text = json.dumps(new["RepositoryPolicyText"])
            client.set_repository_policy(repositoryName=physical, policyText=text)
        elif "RepositoryPolicyText" in old:
            client.delete_repository_policy(repositoryName=physical)

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("ecr")
        with contextlib.suppress(client.exceptions.RepositoryNotFoundException):
            client.delete_repository(repositoryName=physical, force=bool(given.get("EmptyOnDelete")))

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        place = self.place
        host = f"{place.account}.dkr.ecr.{place.region}.amazonaws.com"
        return {"Arn": place.arn("ecr", f"repository/{physical}"), "RepositoryUri": f"{host}/{physical}"}
