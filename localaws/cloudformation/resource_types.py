"""The resource types that a template may use: their properties, and the calls that AWS's handlers make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.cloudformation import handlers as h
from localaws.cloudformation import storage_handlers as storage
from localaws.cloudformation.handlers import Aws, Properties
from localaws.cloudformation.template import Refusal

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


def _nothing(*values: Any) -> None:
    """No call is needed."""


def _deletes(service: str, operation: str, parameter: str) -> Callable[[Aws, str, Properties], object]:
    return lambda aws, physical, given: getattr(aws(service), operation)(**{parameter: physical})


def _arn(service: str, resource: str) -> Callable[[Place, str], dict[str, Any]]:
    return lambda place, physical: {"Arn": place.arn(service, resource.format(physical))}


@dataclass(frozen=True)
class ResourceType:
    """One row. A property that is neither `name`, `fixed` nor `changeable` is refused."""

    name: str = ""  # the property that names the resource
    fixed: str = ""  # other properties whose change replaces the resource
    changeable: str = ""
    create: Callable[[Aws, str, Properties], str | None] = _nothing  # under a name; returns another physical id
    configure: Callable[[Aws, str, Properties, Properties], object] = _nothing  # from old properties, {} at first
    remove: Callable[[Aws, str, Properties], object] = _nothing
    exists: Callable[[Aws, str], bool] = lambda aws, name: False  # needed to import it into a stack
    attributes: Callable[[Place, str], dict[str, Any]] = lambda place, physical: {}  # by GetAtt

    def replacing(self, old: Properties, new: Properties) -> list[str]:
        """The changed properties whose change replaces the resource."""
        return [part for part in f"{self.name} {self.fixed}".split() if old.get(part) != new.get(part)]

    def check(self, logical: str, given: Properties) -> None:
        unknown = sorted(given.keys() - set(f"{self.name} {self.fixed} {self.changeable}".split()))
        if unknown:
            raise Refusal(
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
        raise Refusal(f"Template format error: Unrecognized resource types: [{name}] (the local AWS does not know it)")
    return RESOURCE_TYPES[name]


RESOURCE_TYPES: dict[str, ResourceType] = {
    "AWS::CloudWatch::Alarm": ResourceType(
        name="AlarmName",
        changeable="""AlarmActions AlarmDescription ComparisonOperator DatapointsToAlarm Dimensions EvaluationPeriods
            ExtendedStatistic MetricName Namespace Period Statistic Tags Threshold TreatMissingData""",
        configure=lambda aws, name, old, new: aws("cloudwatch").put_metric_alarm(**{**new, "AlarmName": name}),
        remove=lambda aws, name, given: aws("cloudwatch").delete_alarms(AlarmNames=[name]),
    ),
    "AWS::CodeBuild::Project": ResourceType(
        name="Name",
        changeable="""Artifacts Cache Description EncryptionKey Environment LogsConfig ServiceRole Source Tags
            TimeoutInMinutes""",
        create=h.create_project,
        configure=h.configure_project,
        remove=_deletes("codebuild", "delete_project", "name"),
    ),
    "AWS::CodePipeline::Pipeline": ResourceType(
        name="Name",
        changeable="ArtifactStore ExecutionMode PipelineType RoleArn Stages Tags",
        create=h.create_pipeline,
        configure=h.configure_pipeline,
        remove=_deletes("codepipeline", "delete_pipeline", "name"),
    ),
    "AWS::ECR::Repository": ResourceType(
        name="RepositoryName",
        fixed="EncryptionConfiguration",
        changeable="ImageScanningConfiguration ImageTagMutability LifecyclePolicy Tags",
        create=storage.create_repository,
        configure=storage.configure_repository,
        remove=_deletes("ecr", "delete_repository", "repositoryName"),
        exists=storage.repository_exists,
    ),
    "AWS::Events::Rule": ResourceType(
        name="Name",
        changeable="Description EventPattern ScheduleExpression State Tags Targets",
        configure=h.configure_rule,
        remove=h.delete_rule,
    ),
    "AWS::IAM::ManagedPolicy": ResourceType(
        name="ManagedPolicyName",
        fixed="Description",
        changeable="PolicyDocument",
        create=h.create_policy,
        configure=h.configure_policy,
        remove=_deletes("iam", "delete_policy", "PolicyArn"),
    ),
    "AWS::IAM::Role": ResourceType(
        name="RoleName",
        changeable="AssumeRolePolicyDocument PermissionsBoundary Policies Tags",
        create=h.create_role,
        configure=h.configure_role,
        remove=h.delete_role,
        attributes=lambda place, name: {"Arn": f"arn:{place.partition}:iam::{place.account}:role/{name}"},
    ),
    "AWS::KMS::Key": ResourceType(
        changeable="Description EnableKeyRotation KeyPolicy PendingWindowInDays Tags",
        create=h.create_key,
        configure=h.configure_key,
        remove=lambda aws, key, given: aws("kms").schedule_key_deletion(
            KeyId=key, PendingWindowInDays=given.get("PendingWindowInDays", 30)
        ),
        attributes=_arn("kms", "key/{}"),
    ),
    "AWS::Lambda::EventInvokeConfig": ResourceType(
        fixed="FunctionName Qualifier",
        changeable="MaximumEventAgeInSeconds MaximumRetryAttempts",
        create=lambda aws, name, given: f"{given['FunctionName']}|{given['Qualifier']}",
        configure=lambda aws, physical, old, new: aws("lambda").put_function_event_invoke_config(**new),
        remove=lambda aws, physical, given: aws("lambda").delete_function_event_invoke_config(
            FunctionName=given["FunctionName"]
        ),
    ),
    "AWS::Lambda::Function": ResourceType(
        name="FunctionName",
        changeable=f"{h.FUNCTION_SETTINGS} Architectures Code ReservedConcurrentExecutions Tags",
        create=h.create_function,
        configure=h.configure_function,
        remove=_deletes("lambda", "delete_function", "FunctionName"),
        attributes=_arn("lambda", "function:{}"),
    ),
    "AWS::Lambda::Permission": ResourceType(
        fixed="Action FunctionName Principal SourceAccount SourceArn",
        configure=lambda aws, name, old, new: aws("lambda").add_permission(StatementId=name, **new),
        remove=lambda aws, name, given: aws("lambda").remove_permission(
            FunctionName=given["FunctionName"], StatementId=name
        ),
    ),
    "AWS::Logs::LogGroup": ResourceType(
        name="LogGroupName",
        changeable="RetentionInDays Tags",
        create=storage.create_log_group,
        configure=storage.configure_log_group,
        remove=_deletes("logs", "delete_log_group", "logGroupName"),
        exists=storage.log_group_exists,
        attributes=_arn("logs", "log-group:{}:*"),
    ),
    "AWS::S3::Bucket": ResourceType(
        name="BucketName",
        changeable=" ".join(storage.PARTS),
        create=storage.create_bucket,
        configure=storage.configure_bucket,
        remove=_deletes("s3", "delete_bucket", "Bucket"),
        exists=storage.bucket_exists,
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
    "AWS::SageMaker::ModelPackageGroup": ResourceType(
        name="ModelPackageGroupName",
        fixed="ModelPackageGroupDescription",
        changeable="Tags",
        create=storage.create_model_group,
        remove=_deletes("sagemaker", "delete_model_package_group", "ModelPackageGroupName"),
        exists=storage.model_group_exists,
        attributes=_arn("sagemaker", "model-package-group/{}"),
    ),
    "AWS::SNS::Subscription": ResourceType(
        fixed="Endpoint Protocol TopicArn",
        create=lambda aws, name, given: str(
            aws("sns").subscribe(ReturnSubscriptionArn=True, **given)["SubscriptionArn"]
        ),
        remove=_deletes("sns", "unsubscribe", "SubscriptionArn"),
    ),
    "AWS::SNS::Topic": ResourceType(
        name="TopicName",
        changeable="KmsMasterKeyId Tags",
        create=lambda aws, name, given: str(aws("sns").create_topic(Name=name, Tags=given.get("Tags", []))["TopicArn"]),
        configure=lambda aws, topic, old, new: h.set_topic_attribute(
            aws, topic, "KmsMasterKeyId", new.get("KmsMasterKeyId", "")
        ),
        remove=_deletes("sns", "delete_topic", "TopicArn"),
    ),
    "AWS::SNS::TopicPolicy": ResourceType(changeable="PolicyDocument Topics", configure=h.configure_topic_policy),
    "AWS::SQS::Queue": ResourceType(
        name="QueueName",
        changeable=" ".join([*h.QUEUE_DEFAULTS, "Tags"]),
        create=lambda aws, name, given: str(
            aws("sqs").create_queue(QueueName=name, tags=h.tags_as_dict(given))["QueueUrl"]
        ),
        configure=h.configure_queue,
        remove=_deletes("sqs", "delete_queue", "QueueUrl"),
        attributes=lambda place, url: {
            "Arn": place.arn("sqs", url.rpartition("/")[2]),
            "QueueName": url.rpartition("/")[2],
        },
    ),
    "AWS::SQS::QueuePolicy": ResourceType(
        changeable="PolicyDocument Queues",
        configure=lambda aws, name, old, new: h.set_queue_policy(aws, new, json.dumps(new["PolicyDocument"])),
        remove=lambda aws, name, given: h.set_queue_policy(aws, given, ""),
    ),
    "AWS::StepFunctions::StateMachine": ResourceType(
        name="StateMachineName",
        fixed="StateMachineType",
        changeable="""DefinitionS3Location DefinitionString DefinitionSubstitutions LoggingConfiguration RoleArn Tags
            TracingConfiguration""",
        create=h.create_machine,
        configure=h.configure_machine,
        remove=_deletes("stepfunctions", "delete_state_machine", "stateMachineArn"),
        attributes=lambda place, arn: {"StateMachineRevisionId": h.revision(place.client, arn)},
    ),
    "AWS::StepFunctions::StateMachineAlias": ResourceType(
        name="Name",
        changeable="RoutingConfiguration",
        create=h.create_alias,
        configure=h.configure_alias,
        remove=_deletes("stepfunctions", "delete_state_machine_alias", "stateMachineAliasArn"),
    ),
    "AWS::StepFunctions::StateMachineVersion": ResourceType(
        fixed="StateMachineArn StateMachineRevisionId", create=h.create_version
    ),
}
