"""The resource types that a template may use: their properties, and the calls that AWS's handlers make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.cloudformation import handlers, storage_handlers
from localaws.cloudformation.handlers import FUNCTION_SETTINGS, Aws, Properties, tags_as_dict
from localaws.cloudformation.template import InvalidRequest

_GONE = re.compile("NotFound|NoSuch|NonExistent|DoesNotExist")


@dataclass(frozen=True)
class Place:
    """The account and region of a stack, with the clients of its services."""

    account: str
    region: str
    partition: str
    stack: str
    client: Aws

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def _named(aws: Aws, name: str, given: Properties) -> str:
    return name


def _nothing(*values: Any) -> None:
    pass


def _deletes(service: str, operation: str, parameter: str) -> Callable[[Aws, str, Properties], object]:
    return lambda aws, physical, given: getattr(aws(service), operation)(**{parameter: physical})


@dataclass(frozen=True)
class ResourceType:
    """One row. A property that is neither `fixed` nor `changeable` is refused."""

    fixed: str = ""  # names of properties; changing one replaces the resource
    changeable: str = ""
    name: str = ""  # the property that names the resource
    create: Callable[[Aws, str, Properties], str] = _named  # under a name; returns the physical id
    configure: Callable[[Aws, str, Properties, Properties], object] = _nothing  # from old properties, {} at first
    remove: Callable[[Aws, str, Properties], object] = _nothing
    exists: Callable[[Aws, str], bool] = lambda aws, name: False  # needed to import it into a stack
    attributes: Callable[[Place, str], dict[str, Any]] = lambda place, physical: {}  # by GetAtt

    def check(self, logical: str, given: Properties) -> None:
        unknown = sorted(given.keys() - set(f"{self.fixed} {self.changeable}".split()))
        if unknown:
            raise InvalidRequest(
                f"Encountered unsupported property {unknown[0]} of {logical}, which the local AWS does not know"
            )

    def name_of(self, place: Place, logical: str, given: Properties) -> str:
        return str(given.get(self.name) or f"{place.stack}-{logical}"[:63])

    def delete(self, aws: Aws, physical: str, given: Properties) -> None:
        """Delete the resource if it still exists."""
        from botocore.exceptions import ClientError

        try:
            self.remove(aws, physical, given)
        except ClientError as error:
            if not _GONE.search(error.response["Error"]["Code"]):
                raise


def resource_type(name: str) -> ResourceType:
    if name not in RESOURCE_TYPES:
        raise InvalidRequest(
            f"Template format error: Unrecognized resource types: [{name}] (the local AWS does not know it)"
        )
    return RESOURCE_TYPES[name]


RESOURCE_TYPES: dict[str, ResourceType] = {
    "AWS::CloudWatch::Alarm": ResourceType(
        fixed="AlarmName",
        changeable="""AlarmActions AlarmDescription ComparisonOperator DatapointsToAlarm Dimensions EvaluationPeriods
            MetricName Namespace Period Statistic Tags Threshold TreatMissingData""",
        name="AlarmName",
        configure=lambda aws, name, old, new: aws("cloudwatch").put_metric_alarm(**{**new, "AlarmName": name}),
        remove=lambda aws, name, given: aws("cloudwatch").delete_alarms(AlarmNames=[name]),
    ),
    "AWS::CodeBuild::Project": ResourceType(
        fixed="Name",
        changeable="""Artifacts Cache Description EncryptionKey Environment LogsConfig ServiceRole Source Tags
            TimeoutInMinutes""",
        name="Name",
        create=handlers.create_project,
        configure=handlers.configure_project,
        remove=_deletes("codebuild", "delete_project", "name"),
    ),
    "AWS::CodePipeline::Pipeline": ResourceType(
        fixed="Name",
        changeable="ArtifactStore ExecutionMode PipelineType RoleArn Stages Tags",
        name="Name",
        create=handlers.create_pipeline,
        configure=handlers.configure_pipeline,
        remove=_deletes("codepipeline", "delete_pipeline", "name"),
    ),
    "AWS::ECR::Repository": ResourceType(
        fixed="RepositoryName EncryptionConfiguration",
        changeable="ImageScanningConfiguration ImageTagMutability LifecyclePolicy Tags",
        name="RepositoryName",
        create=storage_handlers.create_repository,
        configure=storage_handlers.configure_repository,
        remove=_deletes("ecr", "delete_repository", "repositoryName"),
        exists=storage_handlers.repository_exists,
    ),
    "AWS::Events::Rule": ResourceType(
        fixed="Name",
        changeable="Description EventPattern State Tags Targets",
        name="Name",
        configure=handlers.configure_rule,
        remove=handlers.delete_rule,
    ),
    "AWS::IAM::ManagedPolicy": ResourceType(
        fixed="ManagedPolicyName Description",
        changeable="PolicyDocument",
        name="ManagedPolicyName",
        create=handlers.create_policy,
        configure=handlers.configure_policy,
        remove=handlers.delete_policy,
    ),
    "AWS::IAM::Role": ResourceType(
        fixed="RoleName",
        changeable="AssumeRolePolicyDocument PermissionsBoundary Policies Tags",
        name="RoleName",
        create=handlers.create_role,
        configure=handlers.configure_role,
        remove=handlers.delete_role,
        attributes=lambda place, name: {"Arn": f"arn:{place.partition}:iam::{place.account}:role/{name}"},
    ),
    "AWS::KMS::Key": ResourceType(
        changeable="Description EnableKeyRotation KeyPolicy PendingWindowInDays Tags",
        create=handlers.create_key,
        configure=handlers.configure_key,
        remove=lambda aws, key, given: aws("kms").schedule_key_deletion(
            KeyId=key, PendingWindowInDays=given.get("PendingWindowInDays", 30)
        ),
        attributes=lambda place, key: {"Arn": place.arn("kms", f"key/{key}")},
    ),
    "AWS::Lambda::EventInvokeConfig": ResourceType(
        fixed="FunctionName Qualifier",
        changeable="MaximumEventAgeInSeconds MaximumRetryAttempts",
        create=lambda aws, name, given: f"{given['FunctionName']}|{given['Qualifier']}",
        configure=lambda aws, physical, old, new: aws("lambda").put_function_event_invoke_config(
            **{key: value for key, value in new.items() if key != "Qualifier"}
        ),
        remove=lambda aws, physical, given: aws("lambda").delete_function_event_invoke_config(
            FunctionName=given["FunctionName"]
        ),
    ),
    "AWS::Lambda::Function": ResourceType(
        fixed="FunctionName",
        changeable=f"{FUNCTION_SETTINGS} Architectures Code ReservedConcurrentExecutions Tags",
        name="FunctionName",
        create=handlers.create_function,
        configure=handlers.configure_function,
        remove=_deletes("lambda", "delete_function", "FunctionName"),
        attributes=lambda place, name: {"Arn": place.arn("lambda", f"function:{name}")},
    ),
    "AWS::Lambda::Permission": ResourceType(
        fixed="Action FunctionName Principal SourceAccount SourceArn",
        configure=lambda aws, name, old, new: aws("lambda").add_permission(StatementId=name, **new),
        remove=lambda aws, name, given: aws("lambda").remove_permission(
            FunctionName=given["FunctionName"], StatementId=name
        ),
    ),
    "AWS::Logs::LogGroup": ResourceType(
        fixed="LogGroupName",
        changeable="RetentionInDays Tags",
        name="LogGroupName",
        create=storage_handlers.create_log_group,
        configure=storage_handlers.configure_log_group,
        remove=_deletes("logs", "delete_log_group", "logGroupName"),
        exists=storage_handlers.log_group_exists,
        attributes=lambda place, name: {"Arn": place.arn("logs", f"log-group:{name}:*")},
    ),
    "AWS::S3::Bucket": ResourceType(
        fixed="BucketName",
        changeable=" ".join(storage_handlers.PARTS),
        name="BucketName",
        create=storage_handlers.create_bucket,
        configure=storage_handlers.configure_bucket,
        remove=_deletes("s3", "delete_bucket", "Bucket"),
        exists=storage_handlers.bucket_exists,
    ),
    "AWS::S3::BucketPolicy": ResourceType(
        fixed="Bucket",
        changeable="PolicyDocument",
        create=lambda aws, name, given: str(given["Bucket"]),
        configure=lambda aws, bucket, old, new: aws("s3").put_bucket_policy(
            Bucket=bucket, Policy=json.dumps(new["PolicyDocument"])
        ),
        remove=_deletes("s3", "delete_bucket_policy", "Bucket"),
    ),
    "AWS::SNS::Subscription": ResourceType(
        fixed="Endpoint Protocol TopicArn",
        create=lambda aws, name, given: str(
            aws("sns").subscribe(ReturnSubscriptionArn=True, **given)["SubscriptionArn"]
        ),
        remove=_deletes("sns", "unsubscribe", "SubscriptionArn"),
    ),
    "AWS::SNS::Topic": ResourceType(
        fixed="TopicName",
        changeable="KmsMasterKeyId Tags",
        name="TopicName",
        create=lambda aws, name, given: str(aws("sns").create_topic(Name=name, Tags=given.get("Tags", []))["TopicArn"]),
        configure=handlers.configure_topic,
        remove=_deletes("sns", "delete_topic", "TopicArn"),
    ),
    "AWS::SNS::TopicPolicy": ResourceType(
        changeable="PolicyDocument Topics", configure=handlers.configure_topic_policy
    ),
    "AWS::SQS::Queue": ResourceType(
        fixed="QueueName",
        changeable=" ".join([*handlers.QUEUE_DEFAULTS, "Tags"]),
        name="QueueName",
        create=lambda aws, name, given: str(
            aws("sqs").create_queue(QueueName=name, tags=tags_as_dict(given))["QueueUrl"]
        ),
        configure=handlers.configure_queue,
        remove=_deletes("sqs", "delete_queue", "QueueUrl"),
        attributes=lambda place, url: {
            "Arn": place.arn("sqs", url.rpartition("/")[2]),
            "QueueName": url.rpartition("/")[2],
        },
    ),
    "AWS::SQS::QueuePolicy": ResourceType(
        changeable="PolicyDocument Queues",
        configure=lambda aws, name, old, new: handlers.set_queue_policy(aws, new, json.dumps(new["PolicyDocument"])),
        remove=lambda aws, name, given: handlers.set_queue_policy(aws, given, ""),
    ),
    "AWS::StepFunctions::StateMachine": ResourceType(
        fixed="StateMachineName StateMachineType",
        changeable="""DefinitionS3Location DefinitionString DefinitionSubstitutions LoggingConfiguration RoleArn Tags
            TracingConfiguration""",
        name="StateMachineName",
        create=handlers.create_machine,
        configure=handlers.configure_machine,
        remove=_deletes("stepfunctions", "delete_state_machine", "stateMachineArn"),
        attributes=lambda place, arn: {"StateMachineRevisionId": handlers.revision(place.client, arn)},
    ),
    "AWS::StepFunctions::StateMachineAlias": ResourceType(
        fixed="Name",
        changeable="RoutingConfiguration",
        name="Name",
        create=handlers.create_alias,
        configure=handlers.configure_alias,
        remove=_deletes("stepfunctions", "delete_state_machine_alias", "stateMachineAliasArn"),
    ),
    "AWS::StepFunctions::StateMachineVersion": ResourceType(
        fixed="StateMachineArn StateMachineRevisionId",
        create=handlers.create_version,
    ),
}
