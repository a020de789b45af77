"""The local model registry: by the aws command line, in a state machine, through CloudFormation, after a restart."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, REGION
from test_moto_fixes import Interpreter, task

from localaws.base.api_error import ApiError
from localaws.base.environment import harmless
from localaws.sagemaker.model_registry import ModelRegistry
from localaws.server.aws import LocalAws

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package"
DATA = {"S3DataSource": {"S3Uri": "s3://data/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}}
CONTAINERS = {"Containers": [{"Image": "image", "ModelDataSource": DATA}]}
Cli = Callable[..., Any]


@pytest.fixture
def cli(aws: LocalAws) -> Cli:
    """The aws command line; gives its JSON, or raises with its error."""

    def run(*words: str) -> Any:
        command = [sys.executable, str(Path(sys.executable).with_name("aws")), "sagemaker", *words]
        place = harmless(ACCOUNT, REGION, aws.endpoint)
        done = forks.run(command, env=place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    return run


def group(aws: LocalAws, name: str) -> str:
    aws.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    return name


def test_the_aws_command_line_registers_approves_lists_and_deletes(cli: Cli) -> None:
    cli("create-model-package-group", "--model-package-group-name", "cli", "--tags", "Key=team,Value=ml")
    spec = ("--inference-specification", json.dumps(CONTAINERS))
    said = ("--customer-metadata-properties", "metric=mae,score=200")
    create = ("create-model-package", "--model-package-group-name", "cli", *spec, *said)
    assert cli(*create, "--client-token", "one") == {"ModelPackageArn": f"{ARN}/cli/1"}
    assert cli(*create, "--client-token", "one") == {"ModelPackageArn": f"{ARN}/cli/1"}
    assert cli(*create, "--client-token", "two") == {"ModelPackageArn": f"{ARN}/cli/2"}

    approve = ("update-model-package", "--model-package-arn", f"{ARN}/cli/1", "--model-approval-status", "Approved")
    cli(*approve, "--approval-description", "looked at it", "--customer-metadata-properties", "who=me")
    one = cli("describe-model-package", "--model-package-name", f"{ARN}/cli/1")
    assert one["CustomerMetadataProperties"] == {"metric": "mae", "score": "200", "who": "me"}
    assert (one["ModelApprovalStatus"], one["ApprovalDescription"]) == ("Approved", "looked at it")
    assert one["InferenceSpecification"] == CONTAINERS
    listed = cli("list-model-packages", "--model-package-group-name", "cli", "--sort-order", "Descending")
    statuses = {v["ModelPackageVersion"]: v["ModelApprovalStatus"] for v in listed["ModelPackageSummaryList"]}
    assert statuses == {2: "PendingManualApproval", 1: "Approved"}
    assert cli("list-tags", "--resource-arn", f"{ARN}-group/cli")["Tags"] == [{"Key": "team", "Value": "ml"}]

    for version in (1, 2):
        with pytest.raises(AssertionError, match="ConflictException"):
            cli("delete-model-package-group", "--model-package-group-name", "cli")
        cli("delete-model-package", "--model-package-name", f"{ARN}/cli/{version}")
    assert cli(*create)["ModelPackageArn"] == f"{ARN}/cli/3"  # a number is not used again


def test_a_token_is_for_one_request(aws: LocalAws) -> None:
    api = aws.client("sagemaker")
    request = {"ModelPackageGroupName": group(aws, "token"), "ClientToken": "t", "InferenceSpecification": CONTAINERS}
    api.create_model_package(**request)
    with pytest.raises(ClientError, match="ClientToken t was used for another request"):
        api.create_model_package(**request, ModelApprovalStatus="Approved")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"ModelPackageGroupName": "nowhere"}, "ModelPackageGroup .*/nowhere does not exist"),
        ({"ModelPackageName": "alone"}, "Without ModelPackageGroupName, model packages need AWS"),
        ({"ModelPackageGroupName": "refusals", "Tags": [{"Key": "a", "Value": "b"}]}, "Tags are not allowed"),
        ({"ModelPackageGroupName": "refusals", "ModelApprovalStatus": "Perhaps"}, "must satisfy enum value set"),
    ],
)
def test_what_sagemaker_refuses_is_refused(aws: LocalAws, request_: dict[str, Any], words: str) -> None:
    api = aws.client("sagemaker")
    with pytest.raises(ClientError, match=words):
        if request_.get("ModelPackageGroupName") == "refusals":
            for known in api.list_model_package_groups(NameContains="refusals")["ModelPackageGroupSummaryList"]:
                api.delete_model_package_group(ModelPackageGroupName=known["ModelPackageGroupName"])
            group(aws, "refusals")
        api.create_model_package(**request_)


def test_a_state_machine_registers_a_version_as_its_role_may(aws: LocalAws) -> None:
    request = {"ModelPackageGroupName": group(aws, "machine"), "ModelApprovalStatus": "Approved"}
    state = task("aws-sdk:sagemaker:createModelPackage", Arguments=request)
    assert Interpreter(aws).output({"Register": state}) == {"ModelPackageArn": f"{ARN}/machine/1"}
    state["Arguments"] = {**request, "ModelPackageGroupName": "nowhere"}
    failed = Interpreter(aws)
    failed._count = 100
    assert failed.run({"Register": state})["error"] == "SageMaker.SageMakerException"


def test_each_change_of_a_version_is_an_event(aws: LocalAws) -> None:
    events, sqs, api = aws.client("events"), aws.client("sqs"), aws.client("sagemaker")
    queue = sqs.create_queue(QueueName="approvals")["QueueUrl"]
    pattern = {"source": ["aws.sagemaker"], "detail": {"ModelApprovalStatus": ["Approved"]}}
    events.put_rule(Name="approved", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:approvals"}
    events.put_targets(Rule="approved", Targets=[target])
    made = api.create_model_package(ModelPackageGroupName=group(aws, "events"), InferenceSpecification=CONTAINERS)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    api.update_model_package(ModelPackageArn=made["ModelPackageArn"], ModelApprovalStatus="Approved")
    event = json.loads(sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"])
    assert event["detail-type"] == "SageMaker Model Package State Change"
    assert event["detail"]["ModelPackageVersion"] == 1


def test_a_stack_adopts_a_group_that_it_left_behind(aws: LocalAws) -> None:
    stacks = aws.client("cloudformation")
    group_ = {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "stack"}}
    template = json.dumps({"Resources": {"Group": {**group_, "DeletionPolicy": "Retain"}}})
    for again in (False, True):
        request = {"StackName": f"s{again}", "ChangeSetName": "c", "ChangeSetType": "CREATE", "TemplateBody": template}
        made = stacks.create_change_set(**request, ImportExistingResources=True)
        stacks.execute_change_set(ChangeSetName=made["Id"])
        assert stacks.describe_stacks(StackName=f"s{again}")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
        stacks.delete_stack(StackName=f"s{again}")
        assert aws.client("sagemaker").describe_model_package_group(ModelPackageGroupName="stack")


def test_the_registry_outlives_the_server(aws: LocalAws) -> None:
    api = aws.client("sagemaker")
    made = api.create_model_package(ModelPackageGroupName=group(aws, "kept"), InferenceSpecification=CONTAINERS)
    api.delete_model_package_group(ModelPackageGroupName=group(aws, "deleted"))
    restarted = ModelRegistry(aws.objects, aws.permissions)
    found = restarted.call("DescribeModelPackage", {"ModelPackageName": made["ModelPackageArn"]})
    assert found["InferenceSpecification"] == CONTAINERS
    with pytest.raises(ApiError, match="deleted does not exist"):
        restarted.call("DescribeModelPackageGroup", {"ModelPackageGroupName": "deleted"})
