"""What all templates share: tags, references, and how buckets are kept."""

from __future__ import annotations

from typing import Any

from stepgluon.names import Names

Resource = dict[str, Any]
IMAGES = ("data", "autogluon")
REASONS = ("docs/decisions/0060-how-it-is-deployed.md", "docs/decisions/0063-policies.md")
REASONS_OF_CICD = ("docs/decisions/0064-how-a-push-is-deployed.md", *REASONS)


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def attribute(name: str, of: str = "Arn") -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, of]}


def tag_map(names: Names) -> dict[str, str]:
    return {"stepgluon": names.prefix, **names.config.tags}


def tags(names: Names) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tag_map(names).items()]


def kept(resource: Resource) -> Resource:
    """The resource stays when its stack goes, or when a change would replace it."""
    return {"Type": resource["Type"], "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", **resource}


def document(
    names: Names, tells: str, resources: dict[str, Resource], reasons: tuple[str, ...] = REASONS, **more: Any
) -> dict[str, Any]:
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{names.prefix}: {tells} (made by stepgluon from its config; change that, not this)",
        "Metadata": {"Stepgluon": {"Pipeline": names.prefix, "Reasons": list(reasons)}},
        **more,
        "Resources": resources,
    }


def bucket_encryption(names: Names) -> dict[str, Any]:
    key = names.config.encryption.kms_key
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    encrypted: dict[str, Any] = {"ServerSideEncryptionByDefault": rule}
    if key:
        encrypted["BucketKeyEnabled"] = True
    return {"ServerSideEncryptionConfiguration": [encrypted]}


def private_bucket(names: Names, name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """The properties of a bucket that nobody else reads and that forgets nothing at once."""
    return {
        "BucketName": name,
        "BucketEncryption": bucket_encryption(names),
        "LifecycleConfiguration": {"Rules": rules},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "VersioningConfiguration": {"Status": "Enabled"},
        "Tags": tags(names),
    }


def bucket_policy(bucket: str, document: dict[str, Any]) -> Resource:
    """Not kept with its bucket: the next deploy could neither make it again nor take it in (decision 63)."""
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": ref(bucket), "PolicyDocument": document},
    }


def tidy(days: int) -> list[dict[str, Any]]:
    """What is left of broken uploads, and versions that were replaced or deleted, goes after a while."""
    return [
        {
            "Id": "broken-uploads",
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "Id": "replaced-versions",
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": days},
            "ExpiredObjectDeleteMarker": True,
        },
    ]
