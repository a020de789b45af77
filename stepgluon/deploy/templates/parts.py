"""Shared by all templates: tags, references, and retention."""

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
    """Keep the resource when its stack is deleted or a change replaces it."""
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
    """The properties of a private bucket that keeps deleted versions for a while."""
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
    """Not kept with its bucket: the next deploy could neither create nor import it (docs/decisions/0063)."""
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": ref(bucket), "PolicyDocument": document},
    }


def tidy(days: int) -> list[dict[str, Any]]:
    """Expire the parts of broken uploads, and replaced or deleted versions, after a while."""
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
