"""Shared by all templates: tags, references, roles, rules, buckets, retention, and a template as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stepgluon.deploy.templates.policies import policy
from stepgluon.names import Names

Resource = dict[str, Any]
LOG_DAYS = 90
BUILD_IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"  # has Python 3.11, Docker and the aws command line
WIDTH = 140
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
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


def resource(kind: str, **properties: Any) -> Resource:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def tagged(names: Names, kind: str, **properties: Any) -> Resource:
    return resource(kind, **properties, Tags=tags(names))


def log(names: Names, part: str) -> Resource:
    return tagged(names, "Logs::LogGroup", LogGroupName=names.log_group(part), RetentionInDays=LOG_DAYS)


def role(names: Names, part: str, **boundary: str) -> Resource:
    return tagged(
        names,
        "IAM::Role",
        RoleName=names.role(part),
        AssumeRolePolicyDocument=policy(names, f"{part}-trust"),
        **boundary,
        Policies=[{"PolicyName": part, "PolicyDocument": policy(names, part)}],
    )


def rule(names: Names, name: str, description: str, pattern: dict[str, Any], target: dict[str, Any]) -> Resource:
    """An EventBridge rule with one target."""
    described = {"Description": description, "EventPattern": pattern, "State": "ENABLED"}
    return tagged(names, "Events::Rule", Name=name, **described, Targets=[target])


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
    encrypted = {"ServerSideEncryptionByDefault": rule, **({"BucketKeyEnabled": True} if key else {})}
    return {"ServerSideEncryptionConfiguration": [encrypted]}


def private_bucket(names: Names, name: str, rules: list[dict[str, Any]], **more: Any) -> Resource:
    """A private bucket that outlives its stack and keeps deleted versions for a while."""
    blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    properties = {
        "BucketName": name,
        "BucketEncryption": bucket_encryption(names),
        "LifecycleConfiguration": {"Rules": rules},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": dict.fromkeys(blocked, True),
        "VersioningConfiguration": {"Status": "Enabled"},
        "Tags": tags(names),
        **more,
    }
    return kept(resource("S3::Bucket", **properties))


def bucket_policy(bucket: str, document: dict[str, Any]) -> Resource:
    """Not kept with its bucket: the next deploy could neither create nor import it (docs/decisions/0063)."""
    return resource("S3::BucketPolicy", Bucket=ref(bucket), PolicyDocument=document)


def lifecycle(name: str, **more: Any) -> dict[str, Any]:
    return {"Id": name, "Status": "Enabled", **more}


def tidy(days: int) -> list[dict[str, Any]]:
    """Expire the parts of broken uploads, and replaced or deleted versions, after a while."""
    old = {"NoncurrentVersionExpiration": {"NoncurrentDays": days}, "ExpiredObjectDeleteMarker": True}
    return [
        lifecycle("broken-uploads", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
        lifecycle("replaced-versions", **old),
    ]


# A template as text: compact, because its size is limited, but with a line for each part that may change


def canonical(document: dict[str, Any]) -> str:
    """JSON: short values on one line, everything else with a line for each part."""
    return "\n".join(_lines(document, "", "", "")) + "\n"


def _lines(value: Any, indent: str, before: str, after: str) -> Iterator[str]:
    whole = _compact(value)
    if len(whole) <= WIDTH or not isinstance(value, (dict, list)):
        yield f"{indent}{before}{whole}{after}"
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield f"{indent}{before}{opening}"
    parts = (
        [(f"{_compact(key)}: ", item) for key, item in value.items()]
        if isinstance(value, dict)
        else ([("", item) for item in value])
    )
    for index, (name, item) in enumerate(parts, 1):
        yield from _lines(item, indent + " ", name, "," if index < len(parts) else "")
    yield f"{indent}{closing}{after}"
