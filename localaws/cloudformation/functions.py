"""Lambda functions, who may call them, and what becomes of what they cannot do."""

from __future__ import annotations

import contextlib
from typing import Any

from localaws.cloudformation.kinds import Kind, Properties, tags_as_dict


class Function(Kind):
    type = "AWS::Lambda::Function"
    name = "FunctionName"
    fixed = frozenset({"FunctionName", "PackageType"})
    _settings = frozenset(
        {
            "DeadLetterConfig",
            "Description",
            "Environment",
            "Handler",
            "KmsKeyArn",
            "LoggingConfig",
            "MemorySize",
            "Role",
            "Runtime",
            "Timeout",
            "TracingConfig",
        }
    )
    known = fixed | _settings | {"Architectures", "Code", "ReservedConcurrentExecutions", "Tags"}

    def make(self, given: Properties) -> str:
        name = self.named(given)
        self.place.client("lambda").create_function(
            FunctionName=name, Code=given["Code"], Tags=tags_as_dict(given), **_settings(given)
        )
        return name

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("lambda")
        if old and old["Code"] != new["Code"]:
            client.update_function_code(FunctionName=physical, **new["Code"])
        if old and _settings(old) != _settings(new):
            client.update_function_configuration(FunctionName=physical, **_settings(new))
        reserved = new.get("ReservedConcurrentExecutions")
        if reserved is not None:
            client.put_function_concurrency(FunctionName=physical, ReservedConcurrentExecutions=reserved)
        elif old.get("ReservedConcurrentExecutions") is not None:
            client.delete_function_concurrency(FunctionName=physical)

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("lambda")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_function(FunctionName=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": self.place.arn("lambda", f"function:{physical}")}


def _settings(given: Properties) -> dict[str, Any]:
    renamed = {"KmsKeyArn": "KMSKeyArn"}
    return {renamed.get(key, key): value for key, value in given.items() if key in Function._settings}


class Permission(Kind):
    type = "AWS::Lambda::Permission"
    fixed = frozenset({"Action", "FunctionName", "Principal", "SourceAccount", "SourceArn"})
    known = fixed

    def make(self, given: Properties) -> str:
        statement = f"{self.place.stack}-{self.logical}"
        self.place.client("lambda").add_permission(StatementId=statement, **given)
        return statement

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("lambda")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.remove_permission(FunctionName=given["FunctionName"], StatementId=physical)


class EventInvokeConfig(Kind):
    type = "AWS::Lambda::EventInvokeConfig"
    fixed = frozenset({"FunctionName", "Qualifier"})
    known = fixed | {"DestinationConfig", "MaximumEventAgeInSeconds", "MaximumRetryAttempts"}

    def make(self, given: Properties) -> str:
        return f"{given['FunctionName']}|{given['Qualifier']}"

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        told = {key: value for key, value in new.items() if key != "Qualifier"}
        self.place.client("lambda").put_function_event_invoke_config(**told)

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("lambda")
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_function_event_invoke_config(FunctionName=given["FunctionName"])
