"""The cicd stack: each push is tested and deployed, by CodePipeline and CodeBuild.

docs/decisions/0064 has the reasons.
"""

from __future__ import annotations

from typing import Any

from stepgluon.config.cicd_schema import CicdSource
from stepgluon.deploy.templates.parts import (
    BUILD_IMAGE,
    REASONS_OF_CICD,
    Resource,
    attribute,
    document,
    log,
    ref,
    role,
    rule,
    tagged,
)
from stepgluon.names import Names

MINUTES = 120
SOURCE = "Source"
BUILDSPECS = {"Check": "buildspec-check.yml", "Build": "buildspec.yml"}


def cicd(names: Names) -> dict[str, Any]:
    """The template for a config with `cicd`."""
    assert names.config.cicd is not None
    source = names.config.cicd.source
    resources = {
        "BuildLog": log(names, "build"),
        **_build(names, "Check"),
        **_build(names, "Build"),
        # Without the boundary of the pipeline's roles, because these create them; only a person creates these.
        "PipelineRole": role(names, "pipeline"),
        "Pipeline": _pipeline(names, source),
        **({} if source.connection else _start(names, source)),
        "FailureRule": _failure_rule(names),
    }
    outputs = {
        "Pipeline": {"Description": "The pipeline that deploys each push", "Value": ref("Pipeline")},
        "Check": {"Description": "The project that tests", "Value": ref("Check")},
        "Build": {"Description": "The project that deploys", "Value": ref("Build")},
    }
    return document(names, "tests and deploys each push", resources, REASONS_OF_CICD, Outputs=outputs)


def _build(names: Names, stage: str) -> dict[str, Resource]:
    """A stage's CodeBuild project and role. Only the deploying one builds images and has permission to deploy."""
    assert names.config.cicd is not None
    deploys = stage == "Build"
    key = names.config.encryption.kms_key
    variables = {"AWS_ACCOUNT_ID": names.config.account, "STEPGLUON_ENV": names.config.environment or ""}
    spec = BUILDSPECS[stage]
    properties = {
        "Name": names.build if deploys else names.check,
        "Description": f"{'Deploys' if deploys else 'Tests'} {names.prefix}: {spec}",
        "ServiceRole": attribute(f"{stage}Role"),
        "Source": {"Type": "CODEPIPELINE", "BuildSpec": spec},
        "Artifacts": {"Type": "CODEPIPELINE"},
        **({"EncryptionKey": key} if key else {}),
        "Environment": {
            "Type": "LINUX_CONTAINER",
            "Image": BUILD_IMAGE,
            "ComputeType": f"BUILD_GENERAL1_{names.config.cicd.build.upper()}",
            "PrivilegedMode": deploys,
            "EnvironmentVariables": [{"Name": name, "Value": value} for name, value in variables.items() if value],
        },
        "Cache": {"Type": "LOCAL", "Modes": ["LOCAL_CUSTOM_CACHE", *(["LOCAL_DOCKER_LAYER_CACHE"] if deploys else [])]},
        "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": ref("BuildLog")}},
        "TimeoutInMinutes": MINUTES,
    }
    return {f"{stage}Role": role(names, stage.lower()), stage: tagged(names, "CodeBuild::Project", **properties)}


def _pipeline(names: Names, source: CicdSource) -> Resource:
    key = names.config.encryption.kms_key
    store = {"Type": "S3", "Location": names.work_bucket}
    stages = {
        stage: {
            "Name": stage,
            "ActionTypeId": {"Category": category, "Owner": "AWS", "Provider": "CodeBuild", "Version": "1"},
            "Configuration": {"ProjectName": ref(stage)},
            "InputArtifacts": [{"Name": SOURCE}],
        }
        for stage, category in (("Check", "Test"), ("Build", "Build"))
    }
    properties = {
        "Name": names.build,
        "PipelineType": "V2",
        # One execution at a time in each stage, in the order of the pushes; of the waiting ones, the newest continues.
        "ExecutionMode": "SUPERSEDED",
        "RoleArn": attribute("PipelineRole"),
        "ArtifactStore": {**store, "EncryptionKey": {"Type": "KMS", "Id": key}} if key else store,
        "Stages": [
            {"Name": SOURCE, "Actions": [_source_action(source)]},
            *({"Name": stage, "Actions": [action]} for stage, action in stages.items()),
        ],
    }
    return tagged(names, "CodePipeline::Pipeline", **properties)


def _source_action(source: CicdSource) -> dict[str, Any]:
    provider, configuration = _provider(source)
    owner = {"Category": "Source", "Owner": "AWS", "Provider": provider, "Version": "1"}
    return {
        "Name": SOURCE,
        "ActionTypeId": owner,
        "Configuration": configuration,
        "OutputArtifacts": [{"Name": SOURCE}],
    }


def _provider(source: CicdSource) -> tuple[str, dict[str, Any]]:
    """A connection reports pushes itself; for the other sources EventBridge does, which is faster than polling."""
    if source.connection:
        asked = {
            "ConnectionArn": source.connection.arn,
            "FullRepositoryId": source.connection.repository,
            "BranchName": source.connection.branch,
            "DetectChanges": True,
        }
        return "CodeStarSourceConnection", asked
    if source.codecommit:
        names = {"RepositoryName": source.codecommit.name, "BranchName": source.codecommit.branch}
        return "CodeCommit", {**names, "PollForSourceChanges": False}
    assert source.s3 is not None, "config/rules.py accepts no config without a source"
    place = {"S3Bucket": source.s3.bucket, "S3ObjectKey": source.s3.key}
    return "S3", {**place, "PollForSourceChanges": False}


def _start(names: Names, source: CicdSource) -> dict[str, Resource]:
    target = {"Id": "pipeline", "Arn": names.build_pipeline_arn, "RoleArn": attribute("StartRole")}
    description = f"Starts {names.build} when its source has changed"
    return {
        "StartRole": role(names, "start"),
        "PushRule": rule(names, names.push_rule, description, _pushed(names, source), target),
    }


def _pushed(names: Names, source: CicdSource) -> dict[str, Any]:
    if source.codecommit:
        return {
            "source": ["aws.codecommit"],
            "detail-type": ["CodeCommit Repository State Change"],
            "resources": [names.arn("codecommit", source.codecommit.name)],
            "detail": {
                "event": ["referenceCreated", "referenceUpdated"],
                "referenceType": ["branch"],
                "referenceName": [source.codecommit.branch],
            },
        }
    assert source.s3 is not None, "a connection needs no rule"
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [source.s3.bucket]}, "object": {"key": [source.s3.key]}},
    }


def _failure_rule(names: Names) -> Resource:
    """Mails a failed build; the live version is unchanged."""
    lines = [
        f"A push could not be deployed to {names.prefix}: execution <execution> of {names.build} has failed.",
        "What runs there is what ran before, unless the log of the build says otherwise.",
        f"Look closer: aws logs tail {names.log_group('build')} --since 3h --region {names.config.region}",
    ]
    target = {
        "Id": "mail",
        "Arn": names.topic_arn,
        "InputTransformer": {
            "InputPathsMap": {"execution": "$.detail.execution-id"},
            "InputTemplate": "\n".join(f'"{line}"' for line in lines),
        },
        "DeadLetterConfig": {"Arn": names.arn("sqs", names.queue)},
    }
    pattern = {
        "source": ["aws.codepipeline"],
        "detail-type": ["CodePipeline Pipeline Execution State Change"],
        "detail": {"pipeline": [names.build], "state": ["FAILED"]},
    }
    return rule(names, names.build_failed_rule, f"Mails failures of {names.build}", pattern, target)
