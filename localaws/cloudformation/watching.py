"""Logs, rules and alarms."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from localaws.cloudformation.kinds import Failed, Kind, Properties, tags_as_dict


class LogGroup(Kind):
    type = "AWS::Logs::LogGroup"
    name = "LogGroupName"
    fixed = frozenset({"LogGroupName", "LogGroupClass"})
    known = fixed | {"KmsKeyId", "RetentionInDays", "Tags"}

    def make(self, given: Properties) -> str:
        name = self.named(given, 512)
        key = {"kmsKeyId": given["KmsKeyId"]} if "KmsKeyId" in given else {}
        self.place.client("logs").create_log_group(logGroupName=name, tags=tags_as_dict(given), **key)
        return name

    def there(self, given: Properties) -> str | None:
        found = self.place.client("logs").describe_log_groups(logGroupNamePrefix=given[self.name])["logGroups"]
        return next((group["logGroupName"] for group in found if group["logGroupName"] == given[self.name]), None)

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("logs")
        if "RetentionInDays" in new:
            client.put_retention_policy(logGroupName=physical, retentionInDays=new["RetentionInDays"])
        elif "RetentionInDays" in old:
            client.delete_retention_policy(logGroupName=physical)

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("logs")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_log_group(logGroupName=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": self.place.arn("logs", f"log-group:{physical}:*")}


class ResourcePolicy(Kind):
    type = "AWS::Logs::ResourcePolicy"
    name = "PolicyName"
    fixed = frozenset({"PolicyName"})
    known = fixed | {"PolicyDocument"}

    def make(self, given: Properties) -> str:
        return self.named(given)

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        self.place.client("logs").put_resource_policy(policyName=physical, policyDocument=new["PolicyDocument"])

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("logs")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_resource_policy(policyName=physical)


class Rule(Kind):
    type = "AWS::Events::Rule"
    name = "Name"
    fixed = frozenset({"Name", "EventBusName"})
    known = fixed | {"Description", "EventPattern", "RoleArn", "ScheduleExpression", "State", "Tags", "Targets"}

    def make(self, given: Properties) -> str:
        self._put(self.named(given), given)
        return self.named(given)

    def _put(self, name: str, given: Properties) -> None:
        told: dict[str, Any] = {
            key: given[key] for key in ("Description", "RoleArn", "ScheduleExpression") if key in given
        }
        if "EventPattern" in given:
            told["EventPattern"] = json.dumps(given["EventPattern"])
        tags = given.get("Tags", [])
        self.place.client("events").put_rule(Name=name, State=given.get("State", "ENABLED"), Tags=tags, **told)

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("events")
        if old:
            self._put(physical, new)
        gone = {target["Id"] for target in old.get("Targets", [])} - {target["Id"] for target in new.get("Targets", [])}
        if gone:
            client.remove_targets(Rule=physical, Ids=sorted(gone))
        if new.get("Targets"):
            told = client.put_targets(Rule=physical, Targets=new["Targets"])
            if told["FailedEntryCount"]:
                raise Failed(told["FailedEntries"][0]["ErrorMessage"])

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("events")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            targets = [target["Id"] for target in given.get("Targets", [])]
            if targets:
                client.remove_targets(Rule=physical, Ids=targets)
            client.delete_rule(Name=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": self.place.arn("events", f"rule/{physical}")}


class Alarm(Kind):
    type = "AWS::CloudWatch::Alarm"
    name = "AlarmName"
    fixed = frozenset({"AlarmName"})
    known = fixed | {
        "ActionsEnabled",
        "AlarmActions",
        "AlarmDescription",
        "ComparisonOperator",
        "DatapointsToAlarm",
        "Dimensions",
        "EvaluationPeriods",
        "MetricName",
        "Namespace",
        "OKActions",
        "Period",
        "Statistic",
        "Tags",
        "Threshold",
        "TreatMissingData",
    }

    def make(self, given: Properties) -> str:
        return self.named(given, 255)

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        self.place.client("cloudwatch").put_metric_alarm(**{**new, "AlarmName": physical})

    def remove(self, physical: str, given: Properties) -> None:
        self.place.client("cloudwatch").delete_alarms(AlarmNames=[physical])

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": self.place.arn("cloudwatch", f"alarm:{physical}")}
