"""Endpoints and their scaling in a state machine: names of errors, rights, and the order of a release."""

from __future__ import annotations

import json
from typing import Any

import pytest
from local_aws import ACCOUNT, REGION
from served import Cli, Served, cli, refused, served
from test_moto_fixes import Interpreter, task

__all__ = ["cli", "served"]  # fixtures
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
SCALED = "sagemaker:variant:DesiredInstanceCount"


@pytest.fixture
def asl(served: Served) -> Interpreter:
    interpreter = Interpreter(served.aws)
    interpreter._count = int(served.jobs.name().split("-")[1])  # machines' names
    return interpreter


def place(name: str) -> dict[str, str]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{name}/variant/a", "ScalableDimension": SCALED}


def in_a_row(*tasks: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """States that make the calls one after the other; the output is the last answer."""
    states = {}
    for number, (resource, arguments) in enumerate(tasks):
        states[f"T{number}"] = {**task(resource, Arguments=arguments), "End": False, "Next": f"T{number + 1}"}
        del states[f"T{number}"]["End"]
    last = states[f"T{len(tasks) - 1}"]
    del last["Next"]
    last["End"] = True
    return states


def test_a_machine_makes_updates_and_describes_an_endpoint(served: Served, asl: Interpreter) -> None:
    config, name, new = served.jobs.name(), served.jobs.name(), served.config(served.saying("new"))
    variant = {"VariantName": "a", "ModelName": served.saying("old"), "InstanceType": "ml.m5.large"}
    made = in_a_row(
        (
            "sagemaker:createEndpointConfig",
            {"EndpointConfigName": config, "ProductionVariants": [{**variant, "InitialInstanceCount": 1}]},
        ),
        ("sagemaker:createEndpoint", {"EndpointName": name, "EndpointConfigName": config}),
    )
    assert asl.output(made) == {"EndpointArn": f"{ARN}:endpoint/{name}"}
    served._made.append(name)
    assert served.settled(name)["EndpointStatus"] == "InService"
    asl.output({"T": task("sagemaker:updateEndpoint", Arguments={"EndpointName": name, "EndpointConfigName": new})})
    assert served.settled(name)["EndpointConfigName"] == new
    described = asl.output({"T": task("aws-sdk:sagemaker:describeEndpoint", Arguments={"EndpointName": name})})
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", new)
    assert described["ProductionVariants"][0]["DesiredInstanceCount"] == 1
    asked = {"EndpointName": name, "Body": "1", "ContentType": "text/csv"}
    assert asl.output({"T": task("aws-sdk:sagemakerruntime:invokeEndpoint", Arguments=asked)})["Body"] == "new:1"


@pytest.mark.parametrize(
    ("resource", "arguments", "error", "cause"),
    [
        (
            "sagemaker:createEndpoint",
            {"EndpointName": "e"},
            "SageMaker.AmazonSageMakerException",
            "Could not find endp",
        ),
        ("aws-sdk:sagemaker:createEndpoint", {"EndpointName": "e"}, "SageMaker.SageMakerException", "Could not find e"),
        ("aws-sdk:sagemaker:deleteEndpointConfig", {}, "SageMaker.SageMakerException", "Could not find endpoint conf"),
    ],
)
def test_errors_have_the_names_of_step_functions(
    asl: Interpreter, resource: str, arguments: dict[str, str], error: str, cause: str
) -> None:
    told = asl.run({"T": task(resource, Arguments={**arguments, "EndpointConfigName": "none"})})
    assert (told["error"], told["cause"][: len(cause)]) == (error, cause)


def test_a_machine_registers_and_deregisters_the_scaling_of_a_variant(served: Served, asl: Interpreter) -> None:
    name, scaling = served.endpoint(served.config(served.saying("x"))), "aws-sdk:applicationautoscaling"
    missing = asl.run({"T": task(f"{scaling}:deregisterScalableTarget", Arguments=place(name))})
    assert missing["error"] == "ApplicationAutoScaling.ObjectNotFoundException"
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    tracking = {
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 100.0, "PredefinedMetricSpecification": metric}
    }
    unregistered = asl.run({"T": task(f"{scaling}:putScalingPolicy", Arguments={**place(name), **policy, **tracking})})
    assert unregistered["error"] == "ApplicationAutoScaling.ObjectNotFoundException"
    told = asl.output(
        in_a_row(
            (f"{scaling}:registerScalableTarget", {**place(name), "MinCapacity": 1, "MaxCapacity": 4}),
            (f"{scaling}:putScalingPolicy", {**place(name), **policy, **tracking}),
            (
                f"{scaling}:describeScalableTargets",
                {"ServiceNamespace": "sagemaker", "ResourceIds": [place(name)["ResourceId"]]},
            ),
        )
    )
    [target] = told["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    client = served.aws.client("application-autoscaling")
    [known] = client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=place(name)["ResourceId"])[
        "ScalingPolicies"
    ]
    assert known["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 100.0
    asl.output({"T": task(f"{scaling}:deregisterScalableTarget", Arguments=place(name))})
    assert not client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def test_a_role_deletes_a_scaled_endpoint_only_if_it_may_deregister_its_target(served: Served) -> None:
    name = served.endpoint(served.config(served.saying("x")))
    client = served.aws.client("application-autoscaling")
    client.register_scalable_target(**place(name), MinCapacity=1, MaxCapacity=2)
    iam, role = served.aws.client("iam"), served.jobs.name()
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")

    def allow(*actions: str) -> None:
        right = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [right]})
        iam.put_role_policy(RoleName=role, PolicyName="one", PolicyDocument=document)

    allow("sagemaker:DeleteEndpoint")
    api = served.aws._clients.get("sagemaker", REGION, f"arn:aws:iam::{ACCOUNT}:role/{role}")
    assert "AccessDeniedException: An Application AutoScaling scalable target exists for a variant being deleted" in (
        refused(api.delete_endpoint, EndpointName=name)
    )
    allow("sagemaker:DeleteEndpoint", "application-autoscaling:DeregisterScalableTarget")
    api.delete_endpoint(EndpointName=name)
    assert not client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def test_a_role_updates_an_endpoint_only_if_it_and_its_config_have_the_tag(served: Served) -> None:
    ours = [{"Key": "stepgluon", "Value": "shop"}]
    name, role = served.endpoint(served.config(served.saying("old"))), served.jobs.name()
    new, iam = served.config(served.saying("new")), served.aws.client("iam")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")

    tagged = {"StringEquals": {"aws:ResourceTag/stepgluon": "shop"}}
    right = {"Effect": "Allow", "Action": "sagemaker:*Endpoint", "Resource": "*", "Condition": tagged}
    document = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    iam.put_role_policy(RoleName=role, PolicyName="update", PolicyDocument=document)
    update = served.aws.client("sagemaker", f"arn:aws:iam::{ACCOUNT}:role/{role}").update_endpoint
    for resource in (f"{ARN}:endpoint/{name}", f"{ARN}:endpoint-config/{new}"):
        said = f"not authorized to perform: sagemaker:UpdateEndpoint on resource: {resource}"
        assert said in refused(update, EndpointName=name, EndpointConfigName=new)
        served.api.add_tags(ResourceArn=resource, Tags=ours)
    update(EndpointName=name, EndpointConfigName=new)
    assert served.settled(name)["EndpointConfigName"] == new


def test_an_update_retains_the_instances_of_scaling_only_if_it_is_told_to(served: Served) -> None:
    model = served.saying("x")
    name, new = served.endpoint(served.config(model)), served.config(model)
    wanted = [{"VariantName": "a", "DesiredInstanceCount": 3}]
    served.api.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
    served.api.update_endpoint(EndpointName=name, EndpointConfigName=new, RetainAllVariantProperties=True)
    assert served.settled(name)["ProductionVariants"][0]["DesiredInstanceCount"] == 3
    assert served.updated(name, new)["ProductionVariants"][0]["DesiredInstanceCount"] == 1


def test_the_command_line_lists_endpoints(served: Served, cli: Cli) -> None:
    name = served.endpoint(served.config(served.saying("x")))
    [listed] = cli("sagemaker", "list-endpoints", "--name-contains", name)["Endpoints"]
    assert (listed["EndpointName"], listed["EndpointStatus"]) == (name, "InService")
