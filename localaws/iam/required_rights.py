"""The rights that a service call needs: actions, resources, and the request's context.

A call may need rights that its name does not suggest: creating a job needs AddTags and PassRole, starting an alias
needs its machine. tests/policies derives all calls of a pipeline with the same table. Operations missing from the table
are `Unknown`, and refused to roles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from localaws.iam.policy_evaluation import Value

Parameters = Mapping[str, Any]


class Account(Protocol):
    """An account and region, for making ARNs."""

    def arn(self, service: str, resource: str, region: str | None = None, account: str | None = None) -> str: ...


@dataclass(frozen=True)
class Right:
    action: str
    resource: str = "*"
    context: Mapping[str, Value] = field(default_factory=dict, hash=False)


class Unknown(Exception):
    """The table lacks this operation."""


Rule = Callable[[Account, Parameters], Iterator[Right]]
Tags = Mapping[str, str]
TagsOf = Callable[[str, str], Tags]
"""The tags of a job, by its kind and its name."""


def rights(account: Account, operation: str, given: Parameters, tags_of: TagsOf = lambda kind, name: {}) -> list[Right]:
    """The rights for an operation like `s3:GetObject`, in the order in which IAM checks them."""
    kind = _DESCRIBES.get(operation)
    if kind:
        name = given[f"{kind}JobName"]
        return [job_right(account, "Describe", kind, name, tags_of(kind.lower(), name))]
    rule = _RULES.get(operation)
    if rule is None:
        raise Unknown(operation)
    return list(rule(account, given))


# S3


def bucket(account: Account, name: str) -> str:
    return account.arn("s3", name, region="", account="")


def _object(action: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        versioned = "Version" if given.get("VersionId") else ""
        yield Right(f"s3:{action}{versioned}", f"{bucket(account, given['Bucket'])}/{given['Key']}")

    return rule


def _put_object(account: Account, given: Parameters) -> Iterator[Right]:
    place = f"{bucket(account, given['Bucket'])}/{given['Key']}"
    if given.get("CopySource"):
        source, _, version = given["CopySource"].lstrip("/").partition("?versionId=")
        yield Right(f"s3:GetObject{'Version' if version else ''}", account.arn("s3", source, region="", account=""))
    yield Right("s3:PutObject", place)
    if given.get("Tagging"):
        yield Right("s3:PutObjectTagging", place)
    if given.get("ACL"):
        yield Right("s3:PutObjectAcl", place)


def _list_bucket(account: Account, given: Parameters) -> Iterator[Right]:
    context = {"s3:prefix": given["Prefix"]} if "Prefix" in given else {}
    yield Right("s3:ListBucket", bucket(account, given["Bucket"]), context)


# Step Functions, SNS, SQS, logs


def _start_execution(account: Account, given: Parameters) -> Iterator[Right]:
    # "Authorization for versions and aliases": the resource is the machine, the alias its qualifier
    parts = given["stateMachineArn"].split(":")
    qualifier = {"states:StateMachineQualifier": parts[7]} if len(parts) == 8 else {}
    yield Right("states:StartExecution", ":".join(parts[:7]), qualifier)


def _publish(account: Account, given: Parameters) -> Iterator[Right]:
    yield Right("sns:Publish", given.get("TopicArn") or given.get("TargetArn") or given.get("PhoneNumber") or "*")


def _of_queue(action: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        yield Right(f"sqs:{action}", account.arn("sqs", given["QueueUrl"].rstrip("/").rpartition("/")[2]))

    return rule


def _of_execution(action: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        yield Right(f"states:{action}", given["executionArn"])

    return rule


def _log_streams(account: Account, given: Parameters) -> Iterator[Right]:
    # for the group the resource is a stream without a name
    yield Right("logs:DescribeLogStreams", account.arn("logs", f"log-group:{given['logGroupName']}:log-stream:"))


def _of_log_stream(action: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        stream = f"log-group:{given['logGroupName']}:log-stream:{given['logStreamName']}"
        yield Right(f"logs:{action}", account.arn("logs", stream))

    return rule


# SageMaker's jobs


def job_arn(account: Account, kind: str, name: str) -> str:
    return account.arn("sagemaker", f"{kind.lower()}-job/{name.lower()}")


def _create_job(kind: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        arn, tags = job_arn(account, kind, given[f"{kind}JobName"]), given.get("Tags", [])
        context = _of_request(tags)
        yield Right(f"sagemaker:Create{kind}Job", arn, context)
        if tags:
            yield Right("sagemaker:AddTags", arn, {**context, "sagemaker:TaggingAction": f"Create{kind}Job"})
        yield Right("iam:PassRole", given["RoleArn"], {"iam:PassedToService": "sagemaker.amazonaws.com"})

    return rule


def _of_request(tags: list[dict[str, str]]) -> dict[str, Value]:
    context: dict[str, Value] = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
    return context | ({"aws:TagKeys": tuple(tag["Key"] for tag in tags)} if tags else {})


def job_right(account: Account, verb: str, kind: str, name: str, tags: Tags) -> Right:
    """To describe or stop a job with these tags."""
    context: dict[str, Value] = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    return Right(f"sagemaker:{verb}{kind}Job", job_arn(account, kind, name), context)


def list_tags(account: Account, kind: str, name: str) -> Right:
    """Without aws:ResourceTag, which AWS does not document for ListTags."""
    return Right("sagemaker:ListTags", job_arn(account, kind, name))


def _tags(action: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        yield Right(f"sagemaker:{action}", given["ResourceArn"], _of_request(given.get("Tags", [])))

    return rule


def managed_rule(account: Account, kind: str) -> list[Right]:
    """To create the rule through which `.sync` learns about the ends of jobs."""
    rule = account.arn("events", f"rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule")
    return [Right(f"events:{action}", rule) for action in ("PutRule", "PutTargets", "DescribeRule")]


def _nothing(account: Account, given: Parameters) -> Iterator[Right]:
    """Everyone may do it."""
    return iter(())


_DESCRIBES = {f"sagemaker:Describe{kind}Job": kind for kind in ("Processing", "Training")}
_RULES: dict[str, Rule] = {
    "logs:CreateLogStream": _of_log_stream("CreateLogStream"),
    "logs:DescribeLogStreams": _log_streams,
    "logs:GetLogEvents": _of_log_stream("GetLogEvents"),
    "logs:PutLogEvents": _of_log_stream("PutLogEvents"),
    "s3:AbortMultipartUpload": _object("AbortMultipartUpload"),
    "s3:DeleteObject": _object("DeleteObject"),
    "s3:GetObject": _object("GetObject"),
    "s3:HeadBucket": _list_bucket,
    "s3:HeadObject": _object("GetObject"),
    "s3:ListObjects": _list_bucket,
    "s3:ListObjectsV2": _list_bucket,
    "s3:PutObject": _put_object,
    "sagemaker:AddTags": _tags("AddTags"),
    "sagemaker:CreateProcessingJob": _create_job("Processing"),
    "sagemaker:CreateTrainingJob": _create_job("Training"),
    "sagemaker:ListTags": _tags("ListTags"),
    "sns:Publish": _publish,
    "sns:PublishBatch": _publish,
    "sqs:DeleteMessage": _of_queue("DeleteMessage"),
    "sqs:ReceiveMessage": _of_queue("ReceiveMessage"),
    "sqs:SendMessage": _of_queue("SendMessage"),
    "sqs:SendMessageBatch": _of_queue("SendMessage"),
    "states:DescribeExecution": _of_execution("DescribeExecution"),
    "states:GetExecutionHistory": _of_execution("GetExecutionHistory"),
    "states:RedriveExecution": _of_execution("RedriveExecution"),
    "states:StartExecution": _start_execution,
    "sts:GetCallerIdentity": _nothing,
}
