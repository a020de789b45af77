"""Topics, subscriptions and queues, and who may use them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from localaws.cloudformation.kinds import Kind, Properties, tags_as_dict, text_of


class Topic(Kind):
    type = "AWS::SNS::Topic"
    name = "TopicName"
    fixed = frozenset({"TopicName"})
    known = fixed | {"DisplayName", "KmsMasterKeyId", "Tags"}

    def make(self, given: Properties) -> str:
        made = self.place.client("sns").create_topic(Name=self.named(given, 256), Tags=given.get("Tags", []))
        return str(made["TopicArn"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        for part in ("DisplayName", "KmsMasterKeyId"):
            if old.get(part) != new.get(part):
                self.place.client("sns").set_topic_attributes(
                    TopicArn=physical, AttributeName=part, AttributeValue=new.get(part, "")
                )

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("sns")
        with contextlib.suppress(client.exceptions.NotFoundException):
            client.delete_topic(TopicArn=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"TopicArn": physical, "TopicName": physical.split(":")[-1]}


class TopicPolicy(Kind):
    type = "AWS::SNS::TopicPolicy"
    known = frozenset({"PolicyDocument", "Topics"})

    def make(self, given: Properties) -> str:
        return f"{self.place.stack}-{self.logical}"

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        for topic in new["Topics"]:
            self.place.client("sns").set_topic_attributes(
                TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(new["PolicyDocument"])
            )


class Subscription(Kind):
    type = "AWS::SNS::Subscription"
    fixed = frozenset({"Endpoint", "Protocol", "TopicArn"})
    known = fixed

    def make(self, given: Properties) -> str:
        made = self.place.client("sns").subscribe(
            TopicArn=given["TopicArn"],
            Protocol=given["Protocol"],
            Endpoint=given["Endpoint"],
            ReturnSubscriptionArn=True,
        )
        return str(made["SubscriptionArn"])

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("sns")
        with contextlib.suppress(client.exceptions.NotFoundException):
            client.unsubscribe(SubscriptionArn=physical)


class Queue(Kind):
    type = "AWS::SQS::Queue"
    name = "QueueName"
    fixed = frozenset({"QueueName"})
    known = fixed | {
        "KmsDataKeyReusePeriodSeconds",
        "KmsMasterKeyId",
        "MessageRetentionPeriod",
        "SqsManagedSseEnabled",
        "Tags",
        "VisibilityTimeout",
    }

    def make(self, given: Properties) -> str:
        made = self.place.client("sqs").create_queue(QueueName=self.named(given, 80), tags=tags_as_dict(given))
        return str(made["QueueUrl"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        before, after = _attributes(old), _attributes(new)
        if before != after:
            gone = {key: _WITHOUT[key] for key in before.keys() - after.keys()}
            self.place.client("sqs").set_queue_attributes(QueueUrl=physical, Attributes={**gone, **after})

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("sqs")
        with contextlib.suppress(client.exceptions.QueueDoesNotExist):
            client.delete_queue(QueueUrl=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        name = physical.rsplit("/", 1)[-1]
        return {"Arn": self.place.arn("sqs", name), "QueueName": name, "QueueUrl": physical}


_WITHOUT = {  # [sqs] what a queue has where nothing is said
    "KmsDataKeyReusePeriodSeconds": "300",
    "KmsMasterKeyId": "",
    "MessageRetentionPeriod": "345600",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}


def _attributes(given: Properties) -> dict[str, str]:
    return {key: text_of(value) for key, value in given.items() if key not in ("QueueName", "Tags")}


class QueuePolicy(Kind):
    type = "AWS::SQS::QueuePolicy"
    known = frozenset({"PolicyDocument", "Queues"})

    def make(self, given: Properties) -> str:
        return f"{self.place.stack}-{self.logical}"

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        for queue in new["Queues"]:
            attributes = {"Policy": json.dumps(new["PolicyDocument"])}
            self.place.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=attributes)

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("sqs")
        for queue in given["Queues"]:
            with contextlib.suppress(client.exceptions.QueueDoesNotExist):
                client.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
