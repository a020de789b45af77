"""An upload that starts no run is mailed, and so is the next one, whatever is still in the queue."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from local_aws import MINUTES, until
from whole import Whole, whole


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("work")) as running:
        yield running


def refused(pipeline: Whole, folder: str) -> None:
    """An order that nobody understands, until it is in the queue."""
    place, before = pipeline.place, in_queue(pipeline)
    place.aws.client("s3").put_object(Bucket=place.names.raw_bucket, Key=f"{folder}/go.run", Body=b"hurry: please")
    until(lambda: in_queue(pipeline) == before + 1)
    assert place.functions.drain(MINUTES), "whatever is mailed has been"


def in_queue(pipeline: Whole) -> int:
    sqs = pipeline.place.aws.client("sqs")
    url = sqs.get_queue_url(QueueName=pipeline.place.names.queue)["QueueUrl"]
    asked = ["ApproximateNumberOfMessages"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"][asked[0]])


def alarms_mailed(pipeline: Whole) -> list[Any]:
    found = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in sorted(pipeline.place.outbox.glob("*.eml"))
    ]
    return [letter for letter in found if letter["Subject"].startswith("ALARM")]


def quarter_of_an_hour_ago(pipeline: Whole) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    settings = pipeline.place.aws.settings
    alarm = cloudwatch_backends[settings.account][settings.region].alarms[pipeline.place.names.alarm]
    alarm.state_updated_timestamp -= timedelta(minutes=15)


def test_each_refusal_is_mailed_with_the_command_that_tells_why_but_not_each_of_many(pipeline: Whole) -> None:
    names = pipeline.place.names
    refused(pipeline, "june")
    [letter] = alarms_mailed(pipeline)
    assert letter["Subject"] == f'ALARM: "{names.alarm}" in eu-west-1'
    assert f"aws logs tail {names.log_group('function')} --since 1h --region eu-west-1" in letter.get_content()
    assert names.queue in letter.get_content()
    refused(pipeline, "july")
    assert len(alarms_mailed(pipeline)) == 1, "it is the same alarm"
    quarter_of_an_hour_ago(pipeline)
    refused(pipeline, "august")
    assert in_queue(pipeline) == 3, "those before are still there"
    assert len(alarms_mailed(pipeline)) == 2


def test_an_alarm_that_may_not_publish_mails_nothing(pipeline: Whole) -> None:
    names, sns = pipeline.place.names, pipeline.place.aws.client("sns")
    policy = sns.get_topic_attributes(TopicArn=names.topic_arn)["Attributes"]["Policy"]
    before = len(alarms_mailed(pipeline))
    quarter_of_an_hour_ago(pipeline)
    nobody = policy.replace("cloudwatch.amazonaws.com", "lambda.amazonaws.com")
    assert nobody != policy
    sns.set_topic_attributes(TopicArn=names.topic_arn, AttributeName="Policy", AttributeValue=nobody)
    try:
        refused(pipeline, "september")
        assert len(alarms_mailed(pipeline)) == before
    finally:
        sns.set_topic_attributes(TopicArn=names.topic_arn, AttributeName="Policy", AttributeValue=policy)
