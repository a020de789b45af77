"""The base stack: buckets, image repositories, groups of models' versions, and the boundary that no role of the
pipeline may exceed.

Its resources outlive every version of the pipeline, so it changes rarely, and no push changes it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from stepgluon import limits
from stepgluon.config.schema import Model
from stepgluon.deploy.templates.endpoints import captured
from stepgluon.deploy.templates.parts import (
    BUILD_IMAGE,
    Resource,
    attribute,
    bucket_policy,
    document,
    kept,
    lifecycle,
    log,
    private_bucket,
    ref,
    resource,
    role,
    tagged,
    tidy,
)
from stepgluon.deploy.templates.policies import policy
from stepgluon.names import Names
from stepgluon.programs import builds_in_runs, images_of, title_of


def base(names: Names) -> dict[str, Any]:
    resources = {
        "WorkBucket": _work_bucket(names),
        "WorkBucketPolicy": bucket_policy("WorkBucket", policy(names, "work-bucket")),
        "RawBucket": _raw_bucket(names),
        "RawBucketPolicy": bucket_policy("RawBucket", policy(names, "raw-bucket")),
        **{f"{title_of(image)}Repository": _repository(names, image) for image in images_of(names.config)},
        **{_group_id(model): _model_group(names, model) for model in names.config.models if model.register},
        **(_image_build(names) if builds_in_runs(names.config) else {}),
        "Boundary": resource(
            "IAM::ManagedPolicy",
            ManagedPolicyName=names.role("boundary"),
            Description=f"What no role of the pipeline {names.prefix} may exceed",
            PolicyDocument=policy(names, "boundary"),
        ),
    }
    outputs = {
        "RawBucket": {"Description": "Upload tables here, then a file that ends in .run", "Value": ref("RawBucket")},
        "WorkBucket": {"Description": "Models, results and all in between", "Value": ref("WorkBucket")},
        "Boundary": {"Description": "Every role of the pipeline carries it", "Value": ref("Boundary")},
    }
    return document(names, "buckets, image repositories and the boundary of all roles", resources, Outputs=outputs)


def _raw_bucket(names: Names) -> Resource:
    """Uploads become EventBridge events: S3 itself can only notify a function that already exists."""
    events = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    return private_bucket(names, names.raw_bucket, tidy(90), NotificationConfiguration=events)


def _work_bucket(names: Names) -> Resource:
    """Everything that a rollback or a later run may need never expires: definitions, functions, results, models.

    Old runs move to cheaper storage until they are read again. The source of a push expires after its deployment.
    """
    cheaper = [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 30}]
    runs = lifecycle("runs", Prefix="runs/", Transitions=cheaper)
    # Also without cicd: its remains expire, and setting it up needs no base change.
    pushes = lifecycle("pushes", Prefix=f"{names.artifacts}/", ExpirationInDays=30)
    return private_bucket(names, names.work_bucket, [*tidy(30), runs, pushes, *captured(names)])


def _repository(names: Names, image: str) -> Resource:
    key = names.config.encryption.kms_key
    encryption = {"EncryptionType": "KMS", "KmsKey": key} if key else {"EncryptionType": "AES256"}
    repository = tagged(
        names,
        "ECR::Repository",
        RepositoryName=names.repository(image),
        EncryptionConfiguration=encryption,
        ImageScanningConfiguration={"ScanOnPush": True},
        ImageTagMutability="IMMUTABLE",
        LifecyclePolicy={"LifecyclePolicyText": json.dumps(LIFECYCLE)},
    )
    return kept(repository)


# Two runs may build the same image. Tags never move, so ECR refuses the second push; the first one's image is the same.
BUILDSPEC = """version: 0.2
phases:
  build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY"
      - docker build --tag "$IMAGE" --platform linux/amd64 .
      - docker push "$IMAGE" || docker manifest inspect "$IMAGE"
"""


def _image_build(names: Names) -> dict[str, Resource]:
    """The project that builds images in runs. A push can change neither it nor its role; the run gives the source."""
    config = names.config
    host = f"{config.account}.dkr.ecr.{config.region}.{names.partition.dns_suffix}"
    key = config.encryption.kms_key
    project = {
        "Name": names.image_build,
        "Description": f"Builds images for runs of {names.prefix}",
        "ServiceRole": attribute("ImageRole"),
        "Source": {"Type": "S3", "Location": f"{names.work_bucket}/builds/none.zip", "BuildSpec": BUILDSPEC},
        "Artifacts": {"Type": "NO_ARTIFACTS"},
        **({"EncryptionKey": key} if key else {}),
        "Environment": {
            "Type": "LINUX_CONTAINER",
            "Image": BUILD_IMAGE,
            "ComputeType": "BUILD_GENERAL1_MEDIUM",
            "PrivilegedMode": True,
            "EnvironmentVariables": [{"Name": "REGISTRY", "Value": host}],
        },
        "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": ref("ImageLog")}},
        "TimeoutInMinutes": limits.IMAGE_BUILD_SECONDS // 60,
    }
    return {
        "ImageLog": log(names, "image"),
        "ImageRole": role(names, "image"),
        "ImageBuild": tagged(names, "CodeBuild::Project", **project),
    }


def _group_id(model: Model) -> str:
    return f"ModelGroup{hashlib.sha256(model.name.encode()).hexdigest()[:8]}"


def _model_group(names: Names, model: Model) -> Resource:
    """Kept, because a group with versions cannot be deleted."""
    group = {
        "ModelPackageGroupName": names.model_group(model),
        "ModelPackageGroupDescription": f"Accepted models {model.name} of the pipeline {names.prefix}",
    }
    return kept(tagged(names, "SageMaker::ModelPackageGroup", **group))


# A tag is the hash of the image's content, so each tagged image may be used again: by a promoted model, by a rollback,
# or when a change is reverted. ECR does not know which are in use, so only untagged images expire.
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "Images that were never tagged: what a broken push left",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 7,
            },
            "action": {"type": "expire"},
        }
    ]
}
