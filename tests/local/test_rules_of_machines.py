"""EventBridge's rules start state machines: on an approval, and by a schedule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from local_aws import ACCOUNT, REGION, until
from test_moto_fixes import Interpreter, a_pass, task

from localaws.notifications import eventbridge
from localaws.server.aws import LocalAws

DAY = 86_400


@pytest.fixture(scope="module")
def asl(aws: LocalAws) -> Iterator[Interpreter]:
    patches = eventbridge.install(print, aws.permissions, aws.client)
    yield Interpreter(aws)
    patches.undo()


def role(aws: LocalAws, name: str, machine: str) -> str:
    """A role that may start this machine."""
    iam = aws.client("iam")
    right = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    iam.put_role_policy(RoleName=name, PolicyName="start", PolicyDocument=document)
    return str(made)


def started(asl: Interpreter, machine: str) -> list[Any]:
    """The inputs of the machine's executions."""
    found = asl.api.list_executions(stateMachineArn=machine)["executions"]
    return [json.loads(asl.api.describe_execution(executionArn=one["executionArn"])["input"]) for one in found]


def test_an_approval_starts_the_machine_with_its_event(asl: Interpreter) -> None:
    api, events = asl.aws.client("sagemaker"), asl.aws.client("events")
    machine, other = asl.machine(a_pass()), asl.machine(a_pass())
    queue = asl.aws.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    dead = {"DeadLetterConfig": {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"}}
    allowed = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": allowed,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    asl.aws.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document})
    starter = role(asl.aws, "starter", machine)
    pattern = {"source": ["aws.sagemaker"], "detail": {"ModelApprovalStatus": ["Approved"]}}
    events.put_rule(Name="approved", EventPattern=json.dumps(pattern))
    targets = [{"Id": arn[-2:], "Arn": arn, "RoleArn": starter, **dead} for arn in (machine, other)]
    events.put_targets(Rule="approved", Targets=targets)

    api.create_model_package_group(ModelPackageGroupName="sizes")
    container = {"Image": "image", "ModelDataUrl": "s3://data/model.tar.gz"}
    containers = {"Containers": [container], "SupportedContentTypes": ["text/csv"]}
    given = {"ModelPackageGroupName": "sizes", "InferenceSpecification": containers}
    version = api.create_model_package(**given, ModelApprovalStatus="PendingManualApproval")["ModelPackageArn"]
    assert started(asl, machine) == []
    api.update_model_package(ModelPackageArn=version, ModelApprovalStatus="Approved")
    (event,) = until(lambda: started(asl, machine))
    assert (event["detail-type"], event["resources"]) == ("SageMaker Model Package State Change", [version])
    assert (event["detail"]["ModelPackageVersion"], "ingestion-time" in event) == (1, False)

    assert started(asl, other) == [], "the role may not start it"
    (message,) = asl.aws.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"]) == event


def test_a_scheduled_rule_is_due_each_time_its_rate_has_passed(asl: Interpreter) -> None:
    events, machine, objects = asl.aws.client("events"), asl.machine(a_pass()), asl.aws.objects
    events.put_rule(Name="daily", ScheduleExpression="rate(1 day)")
    events.put_rule(Name="off", ScheduleExpression="rate(1 hour)", State="DISABLED")
    target = {"Id": "m", "Arn": machine, "RoleArn": role(asl.aws, "daily", machine)}
    for name in ("daily", "off"):
        events.put_targets(Rule=name, Targets=[target])
    began = 1_800_000_000.0

    def fired(later: float) -> list[str]:
        return eventbridge.fire_due(ACCOUNT, REGION, objects, began + later)

    assert [fired(0), fired(DAY - 1)] == [[], []]
    assert [fired(DAY), fired(DAY + 1), fired(2 * DAY - 1)] == [["daily"], [], []]
    assert fired(5 * DAY) == ["daily"], "once for what was missed"
    assert fired(5 * DAY + 1) == []
    one, two = until(lambda: len(found := started(asl, machine)) == 2 and found)
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/daily"
    assert (one["source"], one["detail-type"], one["resources"], one["detail"]) == (
        "aws.events",
        "Scheduled Event",
        [arn],
        {},
    )
    assert one["id"] != two["id"]


def test_a_schedule_that_is_not_a_rate_is_found(asl: Interpreter) -> None:
    events, nightly = asl.aws.client("events"), "cron(0 3 * * ? *)"
    events.put_rule(Name="nightly", ScheduleExpression=nightly)
    events.put_rule(Name="hourly", ScheduleExpression="rate(1 hour)")
    events.put_rule(Name="off", ScheduleExpression=nightly, State="DISABLED")
    events.put_rule(Name="pattern", EventPattern='{"source": ["aws.s3"]}')
    assert eventbridge.never_due(ACCOUNT, REGION) == {"nightly": nightly}
    assert eventbridge.fire_due(ACCOUNT, REGION, asl.aws.objects, 1_800_000_000.0) == []


def test_a_machine_finds_an_execution_and_its_input(asl: Interpreter) -> None:
    machine = asl.machine(a_pass())
    arn = asl.api.start_execution(stateMachineArn=machine, name="x", input='{"data": 1}')["executionArn"]
    found = asl.output({"T": task("aws-sdk:sfn:listExecutions", Arguments={"StateMachineArn": machine})})
    assert [one["ExecutionArn"] for one in found["Executions"]] == [arn]
    assert asl.output({"T": task("aws-sdk:sfn:describeExecution", Arguments={"ExecutionArn": arn})})["Input"] == (
        '{"data": 1}'
    )
