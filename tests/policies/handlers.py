"""What CloudFormation calls in the name of whoever deploys a template.

The table is made from AWS's resource schemas: `handlers.*.permissions` and `tagging.permissions` of each type, as
pulumi/pulumi-aws-native had them in its aws-cloudformation-schema/ on 7 August 2026. A schema lists what any use of its
type may need; here is what ours needs. Left out is what belongs to properties that no template of ours has: networks,
file systems, layers and code signing of functions, replication, websites and table buckets of S3, data protection of
topics and logs, managed policies of roles, keys of logs and state machines. CodeBuild::Project has no schema: its row
has the operations of CodeBuild's API.

An action without a service is of the row's own; one with a service is about something else, which `_about` finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.calls import KEY_ID, Caller

from localaws.iam.policy_evaluation import Call, Value
from stepgluon.deploy.templates.policy_values import connection_arns
from stepgluon.names import Names

Resource = dict[str, Any]
VIA = ("cloudformation.amazonaws.com",)

_BUCKET_READS = """GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketCORS GetBucketLogging
    GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPublicAccessBlock
    GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration
    GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration
    GetBucketMetadataTableConfiguration ListBucket"""
_BUCKET_WRITES = """PutBucketNotification PutBucketOwnershipControls PutBucketPublicAccessBlock PutBucketTagging
    PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration ListBucket"""
_TAGS = "ListTagsForResource TagResource UntagResource"

HANDLERS: dict[str, dict[str, str]] = {
    "AWS::CloudWatch::Alarm": {
        "create": "PutMetricAlarm DescribeAlarms TagResource",
        "read": "DescribeAlarms ListTagsForResource",
        "update": f"PutMetricAlarm DescribeAlarms {_TAGS}",
        "delete": "DeleteAlarms DescribeAlarms",
    },
    "AWS::CodeBuild::Project": {
        "create": "CreateProject BatchGetProjects iam:PassRole",
        "update": "UpdateProject BatchGetProjects iam:PassRole",
        "delete": "DeleteProject",
    },
    "AWS::CodePipeline::Pipeline": {
        "create": "CreatePipeline GetPipeline GetPipelineState TagResource iam:GetRole iam:PassRole connection",
        "read": "GetPipeline GetPipelineState ListTagsForResource",
        "update": f"UpdatePipeline GetPipeline GetPipelineState StartPipelineExecution {_TAGS} iam:GetRole iam:PassRole"
        " connection",
        "delete": "DeletePipeline GetPipeline",
    },
    "AWS::ECR::Repository": {
        "create": "CreateRepository PutLifecyclePolicy TagResource kms:CreateGrant kms:DescribeKey kms:RetireGrant",
        "read": "DescribeRepositories GetLifecyclePolicy GetRepositoryPolicy ListTagsForResource",
        "update": "DescribeRepositories PutLifecyclePolicy PutImageScanningConfiguration PutImageTagMutability"
        " TagResource UntagResource kms:CreateGrant kms:DescribeKey kms:RetireGrant",
        "delete": "DeleteRepository kms:RetireGrant",
    },
    "AWS::Events::Rule": {
        "create": "PutRule PutTargets DescribeRule TagResource iam:PassRole",
        "read": "DescribeRule ListTargetsByRule ListTagsForResource iam:PassRole",
        "update": f"PutRule PutTargets RemoveTargets DescribeRule {_TAGS} iam:PassRole",
        "delete": "DeleteRule RemoveTargets ListTargetsByRule DescribeRule iam:PassRole",
    },
    "AWS::IAM::ManagedPolicy": {
        "create": "CreatePolicy",
        "read": "GetPolicy GetPolicyVersion ListEntitiesForPolicy",
        "update": "GetPolicy ListPolicyVersions CreatePolicyVersion DeletePolicyVersion",
        "delete": "GetPolicy ListPolicyVersions DeletePolicyVersion ListEntitiesForPolicy DeletePolicy",
    },
    "AWS::IAM::Role": {
        "create": "CreateRole PutRolePolicy GetRolePolicy GetRole TagRole UntagRole",
        "read": "GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies ListRoleTags",
        "update": "UpdateRole UpdateAssumeRolePolicy PutRolePolicy DeleteRolePolicy TagRole UntagRole boundary",
        "delete": "DeleteRole DeleteRolePolicy GetRole ListAttachedRolePolicies ListRolePolicies TagRole UntagRole",
    },
    "AWS::KMS::Key": {
        # PutKeyPolicy is not called: KMS makes no key whose policy its maker may not change ("Default key policy")
        "create": "CreateKey PutKeyPolicy TagResource EnableKeyRotation",
        "read": "DescribeKey GetKeyPolicy GetKeyRotationStatus ListResourceTags",
        "update": "DescribeKey DisableKeyRotation EnableKeyRotation PutKeyPolicy UpdateKeyDescription TagResource"
        " UntagResource ListResourceTags",
        "delete": "DescribeKey ScheduleKeyDeletion",
    },
    "AWS::Lambda::EventInvokeConfig": {
        "create": "PutFunctionEventInvokeConfig",
        "read": "GetFunctionEventInvokeConfig",
        "update": "UpdateFunctionEventInvokeConfig",
        "delete": "DeleteFunctionEventInvokeConfig",
    },
    "AWS::Lambda::Function": {
        "create": "CreateFunction GetFunction PutFunctionConcurrency TagResource iam:PassRole code"
        " kms:CreateGrant kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey",
        "read": "GetFunction GetFunctionCodeSigningConfig GetFunctionRecursionConfig GetRuntimeManagementConfig"
        " GetFunctionScalingConfig ListTags kms:Decrypt",
        "update": "UpdateFunctionCode UpdateFunctionConfiguration GetFunction PutFunctionConcurrency"
        " DeleteFunctionConcurrency TagResource UntagResource GetFunctionCodeSigningConfig GetFunctionRecursionConfig"
        " GetRuntimeManagementConfig iam:PassRole code kms:CreateGrant kms:Decrypt kms:DescribeKey kms:GenerateDataKey",
        "delete": "DeleteFunction GetFunction",
    },
    "AWS::Lambda::Permission": {"create": "AddPermission", "read": "GetPolicy", "delete": "RemovePermission"},
    "AWS::Logs::LogGroup": {
        "create": "CreateLogGroup PutRetentionPolicy TagResource DescribeLogGroups DescribeIndexPolicies"
        " DescribeResourcePolicies GetDataProtectionPolicy",
        "read": "DescribeLogGroups ListTagsForResource GetDataProtectionPolicy DescribeIndexPolicies"
        " DescribeResourcePolicies",
        "update": f"DescribeLogGroups PutRetentionPolicy DeleteRetentionPolicy GetDataProtectionPolicy"
        f" DescribeResourcePolicies {_TAGS}",
        "delete": "DescribeLogGroups DeleteLogGroup",
    },
    "AWS::S3::Bucket": {
        "create": f"CreateBucket GetBucketAcl {_BUCKET_WRITES}",
        "read": _BUCKET_READS,
        "update": _BUCKET_WRITES,
        # No delete: buckets are kept.
    },
    "AWS::S3::BucketPolicy": {
        "create": "GetBucketPolicy PutBucketPolicy",
        "read": "GetBucketPolicy",
        "update": "GetBucketPolicy PutBucketPolicy",
        "delete": "GetBucketPolicy DeleteBucketPolicy",
    },
    "AWS::SageMaker::ModelPackageGroup": {
        "create": "CreateModelPackageGroup DescribeModelPackageGroup GetModelPackageGroupPolicy ListTags AddTags",
        "read": "DescribeModelPackageGroup GetModelPackageGroupPolicy ListTags",
        "update": "DescribeModelPackageGroup GetModelPackageGroupPolicy ListTags AddTags DeleteTags",
        # No delete: groups are kept.
    },
    "AWS::SNS::Subscription": {
        "create": "Subscribe",
        "read": "GetSubscriptionAttributes",
        # No update: an address is the whole of it, and another address is another subscription.
        "delete": "Unsubscribe GetSubscriptionAttributes",
    },
    "AWS::SNS::Topic": {
        "create": "CreateTopic TagResource GetTopicAttributes",
        "read": "GetTopicAttributes ListTagsForResource ListSubscriptionsByTopic GetDataProtectionPolicy",
        "update": f"SetTopicAttributes GetTopicAttributes ListSubscriptionsByTopic GetDataProtectionPolicy {_TAGS}",
        "delete": "GetTopicAttributes DeleteTopic",
    },
    "AWS::SNS::TopicPolicy": dict.fromkeys(("create", "update", "delete"), "SetTopicAttributes"),
    "AWS::SQS::Queue": {
        "create": "CreateQueue GetQueueUrl GetQueueAttributes ListQueueTags TagQueue",
        "read": "GetQueueAttributes ListQueueTags",
        "update": "SetQueueAttributes GetQueueAttributes ListQueueTags TagQueue UntagQueue",
        "delete": "DeleteQueue GetQueueAttributes",
    },
    "AWS::SQS::QueuePolicy": dict.fromkeys(("create", "update", "delete"), "SetQueueAttributes"),
    "AWS::StepFunctions::StateMachine": {
        "create": "CreateStateMachine DescribeStateMachine TagResource iam:PassRole code",
        "read": "DescribeStateMachine ListTagsForResource",
        "update": f"UpdateStateMachine DescribeStateMachine {_TAGS} iam:PassRole code",
        "delete": "DeleteStateMachine DescribeStateMachine",
    },
    "AWS::StepFunctions::StateMachineAlias": {
        "create": "CreateStateMachineAlias DescribeStateMachineAlias",
        "read": "DescribeStateMachineAlias",
        "update": "UpdateStateMachineAlias DescribeStateMachineAlias",
        "delete": "DeleteStateMachineAlias DescribeStateMachineAlias",
    },
    "AWS::StepFunctions::StateMachineVersion": {
        "create": "PublishStateMachineVersion ListStateMachineVersions DescribeStateMachine",
        "read": "DescribeStateMachine",
        # No delete: versions are kept for a rollback.
    },
}
SERVICES = {"States": "states", "StepFunctions": "states"}
NO_RESOURCE = {
    *("logs:DescribeLogGroups", "logs:DescribeIndexPolicies", "logs:DescribeResourcePolicies"),
    *("sns:Unsubscribe", "sns:GetSubscriptionAttributes", "kms:CreateKey"),
}
BOUNDED = {"iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"}


def stack_calls(names: Names, who: str, template: dict[str, Any]) -> Iterator[Call]:
    """Every call of creating, reading, changing and deleting each resource of the template."""
    resources: dict[str, Resource] = template["Resources"]
    caller = Caller(names, names.role_arn(who))
    for logical, resource in resources.items():
        service = resource["Type"].split("::")[1]
        service = SERVICES.get(service, service).lower()
        for operation, actions in HANDLERS[resource["Type"]].items():
            for action in actions.split():
                why = f"{operation} {logical}"
                yield from _call(caller, why, f"{service}:{action}", resources, logical, operation)


def _call(
    caller: Caller, why: str, action: str, of: dict[str, Resource], logical: str, operation: str
) -> Iterator[Call]:
    names, properties = caller.names, of[logical]["Properties"]
    service, _, rest = action.partition(":")
    context: dict[str, Value] = {"aws:CalledVia": VIA}
    if rest.startswith("kms:"):
        yield from caller.with_key(why, _key(properties), service, rest.partition(":")[2], **context)
    elif rest.startswith("iam:"):
        for role in _roles(names, properties, of):
            passed = {"iam:PassedToService": f"{service}.amazonaws.com"} if rest == "iam:PassRole" else {}
            yield caller(why, rest, role, **context, **passed)
    elif rest == "connection":
        for connection in _connections(properties):
            for arn in connection_arns(connection):
                yield caller(why, f"{arn.split(':')[2]}:PassConnection", arn, **context)
    elif rest == "code":
        yield from _code(caller, why, properties, context)
    elif rest == "boundary":
        if "PermissionsBoundary" in properties:
            bounded = {"iam:PermissionsBoundary": properties["PermissionsBoundary"]}
            yield caller(why, "iam:PutRolePermissionsBoundary", _arn(names, of, logical), **context, **bounded)
    else:
        if action in BOUNDED and "PermissionsBoundary" in properties:
            context["iam:PermissionsBoundary"] = properties["PermissionsBoundary"]
        for arn in _about(names, action, of, logical):
            yield caller(why, action, arn, **context, **_tags(names, action, operation))


def _tags(names: Names, action: str, operation: str) -> dict[str, Value]:
    """A key has its tag from the call that makes it, and KMS may know of it some minutes later: see its guide."""
    if not action.startswith("kms:"):
        return {}
    if action in ("kms:CreateKey", "kms:TagResource") and operation == "create":
        return {"aws:RequestTag/stepgluon": names.prefix}
    return {} if operation in ("create", "read") else {"aws:ResourceTag/stepgluon": names.prefix}


def _about(names: Names, action: str, of: dict[str, Resource], logical: str) -> list[str]:
    if action in NO_RESOURCE:
        return ["*"]
    arn = _arn(names, of, logical)
    # "IAM policies for CloudWatch Logs": tags by the ARN of the group, and all else by that with `:*`
    return [arn if "Tag" in action or not action.startswith("logs:") else f"{arn}:*"]


def _arn(names: Names, of: dict[str, Resource], logical: str) -> str:
    kind, properties = of[logical]["Type"].split("::", 1)[1], of[logical]["Properties"]
    owner = {
        "Lambda::EventInvokeConfig": "FunctionName",
        "Lambda::Permission": "FunctionName",
        "S3::BucketPolicy": "Bucket",
        "SNS::Subscription": "TopicArn",
        "StepFunctions::StateMachineVersion": "StateMachineArn",
    }.get(kind)
    several = {"SNS::TopicPolicy": "Topics", "SQS::QueuePolicy": "Queues"}.get(kind)
    if owner or several:
        return _arn(names, of, (properties[owner] if owner else properties[several or ""][0])["Ref"])
    if kind == "StepFunctions::StateMachineAlias":
        return _arn(names, of, "Machine")  # IAM is asked for the machine; the alias is the qualifier
    service, form, given, glob = {
        "CloudWatch::Alarm": ("cloudwatch", "alarm:{}", "AlarmName", False),
        "CodeBuild::Project": ("codebuild", "project/{}", "Name", False),
        "CodePipeline::Pipeline": ("codepipeline", "{}", "Name", False),
        "ECR::Repository": ("ecr", "repository/{}", "RepositoryName", False),
        "Events::Rule": ("events", "rule/{}", "Name", False),
        "IAM::ManagedPolicy": ("iam", "policy/{}", "ManagedPolicyName", True),
        "IAM::Role": ("iam", "role/{}", "RoleName", True),
        "KMS::Key": ("kms", f"key/{KEY_ID}", "", False),
        "Lambda::Function": ("lambda", "function:{}", "FunctionName", False),
        "Logs::LogGroup": ("logs", "log-group:{}", "LogGroupName", False),
        "SageMaker::ModelPackageGroup": ("sagemaker", "model-package-group/{}", "ModelPackageGroupName", False),
        "S3::Bucket": ("s3", "{}", "BucketName", True),
        "SNS::Topic": ("sns", "{}", "TopicName", False),
        "SQS::Queue": ("sqs", "{}", "QueueName", False),
        "StepFunctions::StateMachine": ("states", "stateMachine:{}", "StateMachineName", False),
    }[kind]
    named = form.format(properties[given]) if given else form
    if not glob:
        return names.arn(service, named)
    return names.arn(service, named, region="", account="" if service == "s3" else None)


def _roles(names: Names, properties: Resource, of: dict[str, Resource]) -> list[str]:
    """The roles that the resource gets, by ARN."""
    given = [properties.get(key) for key in ("Role", "RoleArn", "ServiceRole")]
    given += [target.get("RoleArn") for target in properties.get("Targets", [])]
    return [_arn(names, of, role["Fn::GetAtt"][0]) for role in given if role]


def _connections(properties: Resource) -> Iterator[str]:
    for stage in properties["Stages"]:
        for action in stage["Actions"]:
            if "ConnectionArn" in action["Configuration"]:
                yield action["Configuration"]["ConnectionArn"]


def _key(properties: Resource) -> str | None:
    """The key of the config, which encrypts the resource."""
    key: str | None = properties.get("KmsKeyArn") or properties.get("EncryptionConfiguration", {}).get("KmsKey")
    return key


def _code(caller: Caller, why: str, properties: Resource, context: dict[str, Value]) -> Iterator[Call]:
    """The zip of the function, or the machine's definition: read in the deployer's name."""
    names = caller.names
    place = properties.get("DefinitionS3Location") or {
        "Bucket": properties["Code"]["S3Bucket"],
        "Key": properties["Code"]["S3Key"],
    }
    arn = names.arn("s3", f"{place['Bucket']}/{place['Key']}", region="", account="")
    for action in ("GetObject", "GetObjectVersion"):
        yield caller(why, f"s3:{action}", arn, **context)
    yield from caller.with_key(why, names.config.encryption.kms_key, "s3", "Decrypt", **context)
