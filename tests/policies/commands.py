"""The calls of whoever deploys and operates: the commands of `pipeline.py`, the build, and what CodePipeline does.

OPERATIONS has each operation that the commands call, and what IAM is asked for it; a test compares it with the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from policies.calls import RUN, Caller

from localaws.iam.policy_evaluation import Call
from stepgluon.deploy.templates.policy_values import connection_arns
from stepgluon.names import Names
from stepgluon.programs import all_scripts, builds_in_runs, transforms

CODE = Path(__file__).parent.parent.parent / "stepgluon"
STACKS, MACHINE, EXECUTION, REPOSITORY, TOPIC, QUEUE = "stacks", "machine", "execution", "repository", "topic", "queue"
FUNCTION_LOG, KEY, GROUP, VERSION = "function log", "key", "group", "version"
LIVE, OBJECT, BUCKET, LOG, STREAM, NONE, FUNCTION = "live", "object", "bucket", "log", "stream", "none", "function"
TUNING, ENDPOINT, ENDPOINT_CONFIG, MODEL, SCALED = "tuning", "endpoint", "endpoint config", "model", "scaled"
ANY_ENDPOINT, ENDPOINTS_TAGS, MAP_RUN = "any endpoint", "endpoints' tags", "map run"
ANY_EXECUTION, LISTED = "execution or child", "machine or map run"

# Where an operation asks for more than one action, or for one of another name, AWS's page of the operation says so.
OPERATIONS: dict[str, tuple[str, str]] = {
    # plan and deploy; CloudFormation's own calls are in handlers.py
    "create_change_set": ("cloudformation:CreateChangeSet cloudformation:TagResource", STACKS),
    "delete_change_set": ("cloudformation:DeleteChangeSet", STACKS),
    "delete_stack": ("cloudformation:DeleteStack", STACKS),
    "describe_change_set": ("cloudformation:DescribeChangeSet", STACKS),
    "describe_stack_events": ("cloudformation:DescribeStackEvents", STACKS),
    "describe_stack_resource": ("cloudformation:DescribeStackResource", STACKS),
    "describe_stacks": ("cloudformation:DescribeStacks", STACKS),
    "describe_events": ("cloudformation:DescribeEvents", STACKS),
    "execute_change_set": (
        "cloudformation:ExecuteChangeSet cloudformation:TagResource cloudformation:UntagResource",
        STACKS,
    ),
    "get_template": ("cloudformation:GetTemplate", STACKS),
    "describe_images": ("ecr:DescribeImages", REPOSITORY),
    "describe_repositories": ("ecr:DescribeRepositories", REPOSITORY),
    "get_account_settings": ("lambda:GetAccountSettings", NONE),
    "get_function_concurrency": ("lambda:GetFunctionConcurrency", FUNCTION),
    "describe_key": ("kms:DescribeKey", KEY),
    "list_service_quotas": ("servicequotas:ListServiceQuotas", NONE),
    "list_subscriptions_by_topic": ("sns:ListSubscriptionsByTopic", TOPIC),
    "head_object": ("s3:GetObject", OBJECT),
    "get_object": ("s3:GetObject", OBJECT),
    "put_object": ("s3:PutObject s3:AbortMultipartUpload", OBJECT),
    "head_bucket": ("s3:ListBucket", BUCKET),
    "list_objects_v2": ("s3:ListBucket", BUCKET),
    # verify
    "list_aws_default_service_quotas": ("servicequotas:ListAWSDefaultServiceQuotas", NONE),
    "simulate_custom_policy": ("iam:SimulateCustomPolicy", NONE),
    "test_state": ("states:TestState", NONE),
    "validate_state_machine_definition": ("states:ValidateStateMachineDefinition", NONE),
    # destroy
    "delete_bucket": ("s3:DeleteBucket", BUCKET),
    "delete_objects": ("s3:DeleteObject s3:DeleteObjectVersion", OBJECT),
    "list_object_versions": ("s3:ListBucketVersions", BUCKET),
    "delete_repository": ("ecr:DeleteRepository", REPOSITORY),
    "stop_execution": ("states:StopExecution", EXECUTION),
    "delete_model_package": ("sagemaker:DeleteModelPackage", VERSION),
    "delete_model_package_group": ("sagemaker:DeleteModelPackageGroup", GROUP),
    "describe_model_package_group": ("sagemaker:DescribeModelPackageGroup", GROUP),
    # destroy and status: endpoints; "Registering a target: permissions" in the guide of Application Auto Scaling
    "delete_endpoint": ("sagemaker:DeleteEndpoint", ENDPOINT),
    "delete_endpoint_config": ("sagemaker:DeleteEndpointConfig", ENDPOINT_CONFIG),
    "delete_model": ("sagemaker:DeleteModel", MODEL),
    "deregister_scalable_target": ("application-autoscaling:DeregisterScalableTarget", SCALED),
    "describe_endpoint": ("sagemaker:DescribeEndpoint", ENDPOINT),
    "describe_endpoint_config": ("sagemaker:DescribeEndpointConfig", ENDPOINT_CONFIG),
    "list_endpoint_configs": ("sagemaker:ListEndpointConfigs", ANY_ENDPOINT),
    "list_endpoints": ("sagemaker:ListEndpoints", ANY_ENDPOINT),
    "list_models": ("sagemaker:ListModels", ANY_ENDPOINT),
    "list_tags": ("sagemaker:ListTags", ENDPOINTS_TAGS),
    # promote and models
    "describe_model_package": ("sagemaker:DescribeModelPackage", VERSION),
    "list_model_packages": ("sagemaker:ListModelPackages", VERSION),
    "update_model_package": ("sagemaker:UpdateModelPackage", VERSION),
    # start, watch, status, redrive, promote and rollback
    "copy": ("s3:GetObject s3:GetObjectTagging s3:PutObject s3:PutObjectTagging s3:AbortMultipartUpload", OBJECT),
    "copy_object": ("s3:GetObject s3:GetObjectTagging s3:PutObject s3:PutObjectTagging", OBJECT),
    "delete_object": ("s3:DeleteObject", OBJECT),
    "describe_execution": ("states:DescribeExecution", EXECUTION),
    "describe_map_run": ("states:DescribeMapRun", MAP_RUN),
    "get_execution_history": ("states:GetExecutionHistory", ANY_EXECUTION),
    "list_executions": ("states:ListExecutions", LISTED),
    "start_execution": ("states:StartExecution", LIVE),
    "describe_state_machine": ("states:DescribeStateMachine", MACHINE),
    "describe_state_machine_alias": ("states:DescribeStateMachineAlias", MACHINE),
    "list_state_machine_versions": ("states:ListStateMachineVersions", MACHINE),
    "update_state_machine_alias": ("states:UpdateStateMachineAlias", MACHINE),
    "get_queue_url": ("sqs:GetQueueUrl", QUEUE),
    "get_queue_attributes": ("sqs:GetQueueAttributes", QUEUE),
    "filter_log_events": ("logs:FilterLogEvents", FUNCTION_LOG),
    "describe_log_streams": ("logs:DescribeLogStreams", LOG),
    "get_log_events": ("logs:GetLogEvents", STREAM),
    "describe_hyper_parameter_tuning_job": ("sagemaker:DescribeHyperParameterTuningJob", TUNING),
    "list_training_jobs_for_hyper_parameter_tuning_job": (
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        TUNING,
    ),
}
FREE = {"get_caller_identity": "sts:GetCallerIdentity is allowed to everybody"}
# "IAM permissions for pushing an image" in ECR's guide; docker logs in with the token
PUSH = """BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeImages GetDownloadUrlForLayer
    InitiateLayerUpload PutImage UploadLayerPart"""
OF_THE_BUILD = {  # what `plan` and `deploy --only pipeline` call, of the stacks they change and those they look at
    "pipeline": "create_change_set delete_change_set delete_stack describe_change_set describe_events"
    " describe_stack_events describe_stack_resource describe_stacks execute_change_set",
    "base": "describe_stacks get_template",
    "cicd": "describe_stacks",
}
BUILD_ALSO = "describe_images describe_key get_account_settings get_function_concurrency list_service_quotas"
BUILD_ALSO += " list_subscriptions_by_topic describe_state_machine describe_state_machine_alias"


def called_by_the_code() -> set[str]:
    """The methods of boto3's clients that the code of the commands names."""
    found: set[str] = set()
    for node in _nodes():
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # a paginator's name, or an operation that is asked for by its name
    # The command's name, and that of a regular expression's method; KMS and SageMaker have operations of these names.
    return found & _methods() - {"verify", "search"}


def services_of_the_code() -> set[str]:
    """What `door.client("s3")` names; it is a text that stands in the call."""
    found: set[str] = set()
    for node in _nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "client":
            named = node.args[0]
            assert isinstance(named, ast.Constant), ast.unparse(node)
            found.add(named.value)
    return found


@cache
def _nodes() -> tuple[ast.AST, ...]:
    files = [
        *(CODE / "cli").glob("*.py"),
        *(CODE / "deploy").glob("*.py"),
        *(CODE / "runs").glob("*.py"),
        *(CODE / "verify").glob("*.py"),
    ]
    return tuple(node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


@cache
def _methods() -> set[str]:
    """botocore raises for a service that it does not know."""
    session = botocore.session.get_session()
    models = [session.get_service_model(service) for service in services_of_the_code()]
    return {xform_name(name) for model in models for name in model.operation_names}


def operator_calls(names: Names, who: str = "deployer") -> Iterator[Call]:
    """Every command, of all three stacks."""
    call = Caller(names, names.role_arn(who))
    for operation, (actions, about) in OPERATIONS.items():
        for action in actions.split():
            for arn in _resources(names, about):
                yield call(operation, action, arn, **_context(names, about))
    # By hand: the page of a job, where its log tells too little, and `aws logs tail`, as a failure's report advises
    tag = {"aws:ResourceTag/stepgluon": names.prefix}
    jobs = [("Training", "train"), ("Processing", "post"), *([("Transform", "predict")] if _transforms(names) else [])]
    for kind, job in jobs:
        arn = names.arn("sagemaker", f"{kind.lower()}-job/{names.prefix}-{job}-x")
        yield call("look at a job", f"sagemaker:Describe{kind}Job", arn, **tag)
    for arn in _resources(names, LOG):
        yield call("follow a job's log", "logs:FilterLogEvents", arn)
    yield from _pushes(call)
    yield from _encrypted(call, "Decrypt GenerateDataKey")


def _context(names: Names, about: str) -> dict[str, str]:
    told = {LIVE: {"states:StateMachineQualifier": "live"}, TUNING: {"aws:ResourceTag/stepgluon": names.prefix}}
    told |= {key: {"aws:ResourceTag/stepgluon": names.prefix} for key in (ENDPOINT, ENDPOINT_CONFIG, MODEL)}
    told[SCALED] = {"application-autoscaling:service-namespace": "sagemaker"}
    return told.get(about, {})


def _transforms(names: Names) -> bool:
    return any(transforms(names.config, model) for model in names.config.models)


def build_calls(names: Names, objects: tuple[str, ...]) -> Iterator[Call]:
    """What CodeBuild does with its role, and what buildspec.yml runs; `objects` are the keys of the release's."""
    call = Caller(names, names.role_arn("build"))
    work = names.arn("s3", names.work_bucket, region="", account="")
    for part, operations in OF_THE_BUILD.items():
        for operation in operations.split():
            for action in OPERATIONS[operation][0].split():
                yield call(operation, action, names.arn("cloudformation", f"stack/{names.stack(part)}/0123"))
    for operation in BUILD_ALSO.split():
        actions, about = OPERATIONS[operation]
        yield from (call(operation, action, arn) for action in actions.split() for arn in _resources(names, about))
    for key in objects:
        yield call("what the stack refers to", "s3:GetObject", f"{work}/{key}")
        yield call("what the stack refers to", "s3:PutObject", f"{work}/{key}")
    yield call("tell missing from forbidden", "s3:ListBucket", work)
    yield from _pushes(call)
    yield from _in_codebuild(call)
    yield from _encrypted(call, "Decrypt GenerateDataKey")


def check_calls(names: Names) -> Iterator[Call]:
    """What CodeBuild does with the role of the tests; they themselves call nothing."""
    call = Caller(names, names.role_arn("check"))
    yield from _in_codebuild(call)
    yield from _encrypted(call, "Decrypt")


def image_calls(names: Names) -> Iterator[Call]:
    """What CodeBuild does with the role that builds images for runs."""
    images = builds_in_runs(names.config)
    call = Caller(names, names.role_arn("image"))
    for image in images:
        source = names.arn("s3", f"{names.work_bucket}/builds/{image}/0123.zip", region="", account="")
        for action in ("GetObject", "GetObjectVersion"):
            yield call("the source", f"s3:{action}", source)
        yield call("log in to ECR", "ecr:GetAuthorizationToken")
        repository = names.arn("ecr", f"repository/{names.repository(image)}")
        yield from (
            call("push an image", f"ecr:{action}", repository) for action in PUSH.split() if "Describe" not in action
        )
    stream = names.arn("logs", f"log-group:{names.log_group('image')}:log-stream:0123")
    for action in ("CreateLogStream", "PutLogEvents") if images else ():
        yield call("log", f"logs:{action}", stream)
    if images:
        yield from _encrypted(call, "Decrypt")


def _in_codebuild(call: Caller) -> Iterator[Call]:
    """ "Allow CodeBuild to interact with other AWS services": its log, and the source that CodePipeline hands over."""
    names = call.names
    stream = names.arn("logs", f"log-group:{names.log_group('build')}:log-stream:0123")
    for action in ("CreateLogStream", "PutLogEvents"):
        yield call("log", f"logs:{action}", stream)
    source = names.arn("s3", f"{names.work_bucket}/{names.artifacts}/Source/0123", region="", account="")
    for action in ("GetObject", "GetObjectVersion"):
        yield call("the source", f"s3:{action}", source)


def pipeline_calls(names: Names, template: dict[str, Any]) -> Iterator[Call]:
    """What CodePipeline does with its role: "Permissions required" of each action in its reference of structures."""
    call = Caller(names, names.role_arn("pipeline"))
    store = names.arn("s3", names.work_bucket, region="", account="")
    for action in ("GetObject", "GetObjectVersion", "PutObject"):
        yield call("artifacts", f"s3:{action}", f"{store}/{names.artifacts}/Source/0123")
    for action in ("GetBucketAcl", "GetBucketLocation", "GetBucketVersioning"):
        yield call("artifacts", f"s3:{action}", store)
    yield from _encrypted(call, "Decrypt GenerateDataKey")
    for stage in template["Resources"]["Pipeline"]["Properties"]["Stages"]:
        for action in stage["Actions"]:
            yield from _action_calls(call, action["ActionTypeId"]["Provider"], action["Configuration"])


def _action_calls(call: Caller, provider: str, configuration: dict[str, Any]) -> Iterator[Call]:
    names = call.names
    store = names.arn("s3", names.work_bucket, region="", account="")
    if provider == "CodeBuild":
        project = {"Build": names.build, "Check": names.check}[configuration["ProjectName"]["Ref"]]
        for action in ("BatchGetBuilds", "StartBuild"):
            yield call("build", f"codebuild:{action}", names.arn("codebuild", f"project/{project}"))
    elif provider == "CodeStarSourceConnection":
        for arn in connection_arns(configuration["ConnectionArn"]):
            yield call("source", f"{arn.split(':')[2]}:UseConnection", arn)
        # It uploads with an ACL: aws-cdk #13557
        yield call("source", "s3:PutObjectAcl", f"{store}/{names.artifacts}/Source/0123")
    elif provider == "CodeCommit":
        arn = names.arn("codecommit", configuration["RepositoryName"])
        actions = "CancelUploadArchive GetBranch GetCommit GetRepository GetUploadArchiveStatus UploadArchive"
        yield from (call("source", f"codecommit:{action}", arn) for action in actions.split())
    else:
        assert provider == "S3"
        bucket = names.arn("s3", configuration["S3Bucket"], region="", account="")
        for action in ["GetBucketAcl", "GetBucketLocation", "GetBucketVersioning", "ListBucket"]:
            yield call("source", f"s3:{action}", bucket)
        for action in ["GetObject", "GetObjectTagging", "GetObjectVersion", "GetObjectVersionTagging"]:
            yield call("source", f"s3:{action}", f"{bucket}/{configuration['S3ObjectKey']}")


def start_calls(names: Names) -> Iterator[Call]:
    call = Caller(names, names.role_arn("start"))
    yield call("a push", "codepipeline:StartPipelineExecution", names.build_pipeline_arn)


def _resources(names: Names, about: str) -> list[str]:
    buckets = [names.arn("s3", bucket, region="", account="") for bucket in (names.raw_bucket, names.work_bucket)]
    groups = [names.model_group(model) for model in names.config.models if model.register]
    logged = ["Training", "Processing", *(["Transform"] if _transforms(names) else [])]
    kinds = [f"log-group:/aws/sagemaker/{kind}Jobs" for kind in logged]
    tuned = any(model.tune for model in names.config.models)
    served = [model for model in names.config.models if model.serve]
    made = [f"{names.of_endpoint(model)}0123456789ab" for model in served]
    map_runs = [names.arn("states", f"mapRun:{names.machine}/Groups:0123")] if names.config.partitioned else []
    executions = [names.arn("states", f"execution:{names.machine}{child}:{RUN}") for child in ("", "/Groups")]
    return {
        ENDPOINT: [names.endpoint_arn(model) for model in served],
        ENDPOINT_CONFIG: [names.arn("sagemaker", f"endpoint-config/{name}") for name in made],
        MODEL: [names.arn("sagemaker", f"model/{name}") for name in made],
        SCALED: [names.arn("application-autoscaling", "scalable-target/1234abcd")] if served else [],
        ANY_ENDPOINT: ["*"] if served else [],
        ENDPOINTS_TAGS: [names.endpoint_arn(model) for model in served],
        NONE: ["*"],
        KEY: [key for key in [names.config.encryption.kms_key] if key],
        STACKS: [names.arn("cloudformation", f"stack/{names.stack(p)}/0123") for p in ("base", "pipeline", "cicd")],
        REPOSITORY: [names.arn("ecr", f"repository/{names.repository(image)}") for image in all_scripts()],
        FUNCTION: [names.arn("lambda", f"function:{names.function}")],
        TOPIC: [names.topic_arn],
        QUEUE: [names.arn("sqs", names.queue)],
        MACHINE: [names.machine_arn],
        LIVE: [names.machine_arn],
        EXECUTION: [names.arn("states", f"execution:{names.machine}:{RUN}")],
        MAP_RUN: map_runs,
        ANY_EXECUTION: executions[: 1 + len(map_runs)],
        LISTED: [names.machine_arn, *map_runs],
        BUCKET: buckets,
        OBJECT: [f"{buckets[0]}/june/my.csv", f"{buckets[1]}/promoted.json"],
        GROUP: [names.arn("sagemaker", f"model-package-group/{group}") for group in groups],
        VERSION: [names.arn("sagemaker", f"model-package/{group}/1") for group in groups],
        TUNING: [names.arn("sagemaker", f"hyper-parameter-tuning-job/{names.prefix}-train-x")] if tuned else [],
        FUNCTION_LOG: [names.arn("logs", f"log-group:{names.log_group('function')}")],
        LOG: [names.arn("logs", f"{kind}:*") for kind in kinds],
        STREAM: [names.arn("logs", f"{kind}:log-stream:{names.prefix}-train-x") for kind in kinds],
    }[about]


def _pushes(call: Caller) -> Iterator[Call]:
    yield call("log in to ECR", "ecr:GetAuthorizationToken")
    for repository in _resources(call.names, REPOSITORY):
        yield from (call("push an image", f"ecr:{action}", repository) for action in PUSH.split())


def _encrypted(call: Caller, actions: str) -> Iterator[Call]:
    yield from call.with_key("what lies in S3", call.names.config.encryption.kms_key, "s3", actions)
