"""The rights that a service call needs: actions, resources, and the request's context.

A call may need rights that its name does not suggest: creating a job needs AddTags and PassRole, starting an alias
needs its machine. tests/policies derives all calls of a pipeline with the same table. Operations missing from the table
are `Unknown`, and refused to roles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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


# The kinds of SageMaker's jobs, and their names in the API.
KINDS = {
    "training": "Training",
    "processing": "Processing",
    "transform": "Transform",
    "hyperparametertuning": "HyperParameterTuning",
}


class Unknown(Exception):
    """The table lacks this operation."""


Rule = Callable[[Account, Parameters], Iterable[Right]]
Tags = Mapping[str, str]
TagsOf = Callable[[str, str], Tags]
"""The tags of a job or a model, by its kind and its name."""


def rights(account: Account, operation: str, given: Parameters, tags_of: TagsOf = lambda kind, name: {}) -> list[Right]:
    """The rights for an operation like `s3:GetObject`, in the order in which IAM checks them."""
    if operation in _RESOURCES:
        return [Right(operation, _RESOURCES[operation](account, given))]
    if operation in _DESCRIBES:
        kind = _DESCRIBES[operation]
        name = given[f"{kind}JobName"]
        right = job_right(account, "Describe", kind, name, tags_of(kind.lower(), name))
        return [replace(right, action=operation)]
    if operation in _OF_MODELS:
        tags = tags_of("model", given["ModelName"])
        return [Right(operation, _model(account, given), _of_resource(tags))]
    if kinds := _OF_HOSTED.get(operation):
        return [
            Right(operation, resource(account, given), _of_resource(tags_of(kind, given[noun])))
            for kind, noun, resource in kinds
        ]
    if operation not in _RULES:
        raise Unknown(operation)
    return list(_RULES[operation](account, given))


# The resources of operations that need the right of their own name, without a context


def bucket(account: Account, name: str) -> str:
    return account.arn("s3", name, region="", account="")


def _object(account: Account, given: Parameters) -> str:
    return f"{bucket(account, given['Bucket'])}/{given['Key']}"


def _log_stream(account: Account, given: Parameters) -> str:
    # for DescribeLogStreams, a stream without a name
    return account.arn("logs", f"log-group:{given['logGroupName']}:log-stream:{given.get('logStreamName', '')}")


def _queue(account: Account, given: Parameters) -> str:
    return account.arn("sqs", given["QueueUrl"].rstrip("/").rpartition("/")[2])


def _hosted(kind: str, noun: str) -> Callable[[Account, Parameters], str]:
    """An endpoint or its configuration."""
    return lambda account, given: account.arn("sagemaker", f"{kind}/{given[noun].lower()}")


_endpoint, _endpoint_config = _hosted("endpoint", "EndpointName"), _hosted("endpoint-config", "EndpointConfigName")


_RESOURCES: dict[str, Callable[[Account, Parameters], str]] = {
    **dict.fromkeys(("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"), _object),
    **{
        f"application-autoscaling:Describe{kind}": lambda account, given: "*"
        for kind in ("ScalableTargets", "ScalingPolicies")
    },
    **{
        f"logs:{verb}": _log_stream
        for verb in ("CreateLogStream", "DescribeLogStreams", "GetLogEvents", "PutLogEvents")
    },
    **dict.fromkeys(("sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"), _queue),
    "sns:Publish": lambda account, given: given.get("TopicArn") or given.get("TargetArn") or "*",
    "sagemaker:DescribeModelPackage": lambda account, given: given["ModelPackageName"],
    "states:DescribeExecution": lambda account, given: given["executionArn"],
    "states:GetExecutionHistory": lambda account, given: given["executionArn"],
    "states:ListExecutions": lambda account, given: given.get("mapRunArn") or given["stateMachineArn"],
    "states:RedriveExecution": lambda account, given: given["executionArn"],
}

# Other operations


def _get_object(account: Account, given: Parameters) -> Iterator[Right]:
    yield Right(f"s3:GetObject{'Version' if given.get('VersionId') else ''}", _object(account, given))


def _list_bucket(account: Account, given: Parameters) -> Iterator[Right]:
    context = {"s3:prefix": given["Prefix"]} if "Prefix" in given else {}
    yield Right("s3:ListBucket", bucket(account, given["Bucket"]), context)


def _start_execution(account: Account, given: Parameters) -> Iterator[Right]:
    # "Authorization for versions and aliases": the resource is the machine, the alias its qualifier
    parts = given["stateMachineArn"].split(":")
    qualifier = {"states:StateMachineQualifier": parts[7]} if len(parts) == 8 else {}
    yield Right("states:StartExecution", ":".join(parts[:7]), qualifier)


def job_arn(account: Account, kind: str, name: str) -> str:
    """`kind` is the API's name."""
    words = re.sub("(?<!^)(?=[A-Z])", "-", kind).lower()
    return account.arn("sagemaker", f"{words}-job/{name.lower()}")


def _create_job(kind: str) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        arn, tags = job_arn(account, kind, given[f"{kind}JobName"]), given.get("Tags", [])
        context = _of_request(tags)
        yield Right(f"sagemaker:Create{kind}Job", arn, context)
        if tags:
            yield Right("sagemaker:AddTags", arn, {**context, "sagemaker:TaggingAction": f"Create{kind}Job"})
        role = given.get("TrainingJobDefinition", given).get("RoleArn")
        if role:  # the role of a transform job is the model's
            yield Right("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})

    return rule


def _model(account: Account, given: Parameters) -> str:
    return account.arn("sagemaker", f"model/{given['ModelName'].lower()}")


def _create_model(account: Account, given: Parameters) -> Iterator[Right]:
    arn, tags = _model(account, given), given.get("Tags", [])
    yield Right("sagemaker:CreateModel", arn, _of_request(tags))
    if tags:
        yield Right("sagemaker:AddTags", arn, {**_of_request(tags), "sagemaker:TaggingAction": "CreateModel"})
    yield Right("iam:PassRole", given["ExecutionRoleArn"], {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _create_hosted(operation: str, *resources: Callable[[Account, Parameters], str]) -> Rule:
    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        tags = given.get("Tags", [])
        for resource in resources:
            yield Right(f"sagemaker:{operation}", resource(account, given), _of_request(tags))
        if tags:
            context = {**_of_request(tags), "sagemaker:TaggingAction": operation}
            yield Right("sagemaker:AddTags", resources[0](account, given), context)

    return rule


def _scaling(operation: str) -> Rule:
    """The target's id is AWS's own."""

    def rule(account: Account, given: Parameters) -> Iterator[Right]:
        context = {"application-autoscaling:service-namespace": given["ServiceNamespace"]}
        if "ScalableDimension" in given:
            context["application-autoscaling:scalable-dimension"] = given["ScalableDimension"]
        yield Right(operation, account.arn("application-autoscaling", "scalable-target/1"), context)

    return rule


def deregister(account: Account) -> list[Right]:
    """To delete an endpoint that has a scalable target."""
    given = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    return list(_scaling("application-autoscaling:DeregisterScalableTarget")(account, given))


def _create_model_package(account: Account, given: Parameters) -> Iterator[Right]:
    """A version of a group: the authorization reference names both, and does not say which one is checked when."""
    group = given["ModelPackageGroupName"].rpartition("/")[2]
    context: dict[str, Value] = {"sagemaker:ModelApprovalStatus": given["ModelApprovalStatus"]}
    for resource in (f"model-package-group/{group}", f"model-package/{group}/1"):
        yield Right("sagemaker:CreateModelPackage", account.arn("sagemaker", resource.lower()), context)


def _describe_images(account: Account, given: Parameters) -> Iterator[Right]:
    yield Right("ecr:DescribeImages", account.arn("ecr", f"repository/{given['repositoryName']}"))


def _of_request(tags: list[dict[str, str]]) -> dict[str, Value]:
    context: dict[str, Value] = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
    return context | ({"aws:TagKeys": tuple(tag["Key"] for tag in tags)} if tags else {})


def job_right(account: Account, verb: str, kind: str, name: str, tags: Tags) -> Right:
    """To describe or stop a job with these tags."""
    return Right(f"sagemaker:{verb}{kind}Job", job_arn(account, kind, name), _of_resource(tags))


def _of_resource(tags: Tags) -> dict[str, Value]:
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


def list_tags(account: Account, kind: str, name: str) -> Right:
    """Without aws:ResourceTag, which AWS does not document for ListTags."""
    return Right("sagemaker:ListTags", job_arn(account, kind, name))


def managed_rule(account: Account, kind: str) -> list[Right]:
    """To create the rule through which `.sync` learns about the ends of jobs."""
    word = kind.removeprefix("HyperParameter")
    rule = account.arn("events", f"rule/StepFunctionsGetEventsForSageMaker{word}JobsRule")
    return [Right(f"events:{action}", rule) for action in ("PutRule", "PutTargets", "DescribeRule")]


_DESCRIBES = {f"sagemaker:Describe{kind}Job": kind for kind in KINDS.values()}
_DESCRIBES["sagemaker:ListTrainingJobsForHyperParameterTuningJob"] = "HyperParameterTuning"
_ENDPOINT = ("endpoint", "EndpointName", _endpoint)
_CONFIG = ("endpoint-config", "EndpointConfigName", _endpoint_config)
_OF_HOSTED = {  # decided by the tags of what there is
    **{
        f"sagemaker:{verb}": [_ENDPOINT]
        for verb in ("DeleteEndpoint", "DescribeEndpoint", "InvokeEndpoint", "UpdateEndpointWeightsAndCapacities")
    },
    **{f"sagemaker:{verb}EndpointConfig": [_CONFIG] for verb in ("Delete", "Describe")},
    "sagemaker:UpdateEndpoint": [_ENDPOINT, _CONFIG],
}
_OF_MODELS = ("sagemaker:DeleteModel", "sagemaker:DescribeModel")
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("s3:GetObject", "s3:HeadObject"), _get_object),
    **dict.fromkeys(("s3:HeadBucket", "s3:ListObjects", "s3:ListObjectsV2"), _list_bucket),
    "sagemaker:AddTags": lambda account, given: [
        Right("sagemaker:AddTags", given["ResourceArn"], _of_request(given.get("Tags", [])))
    ],
    **{f"sagemaker:Create{kind}Job": _create_job(kind) for kind in KINDS.values()},
    "sagemaker:CreateModel": _create_model,
    "sagemaker:CreateEndpointConfig": _create_hosted("CreateEndpointConfig", _endpoint_config),
    "sagemaker:CreateEndpoint": _create_hosted("CreateEndpoint", _endpoint, _endpoint_config),
    **{
        operation: _scaling(operation)
        for operation in (
            *("application-autoscaling:RegisterScalableTarget", "application-autoscaling:DeregisterScalableTarget"),
            *("application-autoscaling:PutScalingPolicy", "application-autoscaling:DeleteScalingPolicy"),
        )
    },
    "ecr:DescribeImages": _describe_images,
    "sagemaker:CreateModelPackage": _create_model_package,
    "sagemaker:ListTags": lambda account, given: [Right("sagemaker:ListTags", given["ResourceArn"])],
    "states:StartExecution": _start_execution,
    "sts:GetCallerIdentity": lambda account, given: (),  # everyone may
}
