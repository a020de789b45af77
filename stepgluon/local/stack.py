"""What a pipeline needs to be there before it can run: made in the local AWS by its ordinary APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stepgluon.config import LoadedConfig
from stepgluon.local.server import LocalAws
from stepgluon.names import Names

# The images do not exist here; their addresses must be valid all the same.
DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Stack:
    machine_arn: str
    topic_arn: str
    raw_bucket: str
    work_bucket: str


def stand_up(loaded: LoadedConfig, definition: str, aws: LocalAws) -> Stack:
    """Makes the buckets, the topic with its subscriptions, the roles and the state machine; what is there stays."""
    config = loaded.config
    names = Names(config)
    for bucket in (names.raw_bucket, names.work_bucket):
        aws.buckets.ensure(bucket, config.region)
    place = names.config_uri.removeprefix(f"s3://{names.work_bucket}/")
    aws.client("s3").put_object(Bucket=names.work_bucket, Key=place, Body=names.config_json.encode())
    topic = aws.client("sns").create_topic(Name=names.topic)["TopicArn"]
    for address in config.notify:
        aws.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    roles = {
        part: _role(aws, names.role(part), service) for part, service in (("job", "sagemaker"), ("machine", "states"))
    }
    machine = aws.client("stepfunctions").create_state_machine(
        name=names.machine,
        definition=definition.replace("${AutogluonDigest}", DIGEST).replace("${DataDigest}", DIGEST),
        roleArn=roles["machine"],
    )
    return Stack(machine["stateMachineArn"], topic, names.raw_bucket, names.work_bucket)


def _role(aws: LocalAws, name: str, service: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = aws.client("iam")
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    return str(made["Role"]["Arn"])
