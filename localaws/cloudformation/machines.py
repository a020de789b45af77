"""State machines, their versions and aliases."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from localaws.cloudformation.kinds import Kind, Properties, lower_first


class StateMachine(Kind):
    type = "AWS::StepFunctions::StateMachine"
    name = "StateMachineName"
    fixed = frozenset({"StateMachineName", "StateMachineType"})
    known = fixed | {
        "Definition",
        "DefinitionS3Location",
        "DefinitionString",
        "DefinitionSubstitutions",
        "EncryptionConfiguration",
        "LoggingConfiguration",
        "RoleArn",
        "Tags",
        "TracingConfiguration",
    }

    def make(self, given: Properties) -> str:
        made = self.place.client("stepfunctions").create_state_machine(
            name=self.named(given, 80),
            type=given.get("StateMachineType", "STANDARD"),
            tags=lower_first(given.get("Tags", [])),
            **self._told(given),
        )
        return str(made["stateMachineArn"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        if old:
            client = self.place.client("stepfunctions")
            client.update_state_machine(stateMachineArn=physical, **self._told(new))
            if old.get("Tags") != new.get("Tags"):
                client.untag_resource(resourceArn=physical, tagKeys=[tag["Key"] for tag in old.get("Tags", [])])
                client.tag_resource(resourceArn=physical, tags=lower_first(new.get("Tags", [])))

    def _told(self, given: Properties) -> dict[str, Any]:
        parts = ("EncryptionConfiguration", "LoggingConfiguration", "TracingConfiguration")
        more = {part[:1].lower() + part[1:]: lower_first(given[part]) for part in parts if part in given}
        return {"definition": self._definition(given), "roleArn": given["RoleArn"], **more}

    def _definition(self, given: Properties) -> str:
        """The definition from wherever it is, with its substitutions made."""
        if "DefinitionS3Location" in given:
            place = given["DefinitionS3Location"]
            version = {"VersionId": place["Version"]} if "Version" in place else {}
            found = self.place.client("s3").get_object(Bucket=place["Bucket"], Key=place["Key"], **version)
            text = found["Body"].read().decode()
        else:
            text = given.get("DefinitionString") or json.dumps(given["Definition"])
        values = given.get("DefinitionSubstitutions", {})
        # [cfn] `${name}`, of letters, digits and underscores; one that has no value stays
        return re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text, flags=re.ASCII)

    def remove(self, physical: str, given: Properties) -> None:
        self.place.client("stepfunctions").delete_state_machine(stateMachineArn=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        told = self.place.client("stepfunctions").describe_state_machine(stateMachineArn=physical)
        revision = told.get("revisionId", "INITIAL")
        return {"Arn": physical, "Name": physical.split(":")[-1], "StateMachineRevisionId": revision}


class StateMachineVersion(Kind):
    type = "AWS::StepFunctions::StateMachineVersion"
    fixed = frozenset({"StateMachineArn", "StateMachineRevisionId"})
    known = fixed | {"Description"}

    def make(self, given: Properties) -> str:
        more = {"revisionId": given["StateMachineRevisionId"]} if "StateMachineRevisionId" in given else {}
        if "Description" in given:
            more["description"] = given["Description"]
        made = self.place.client("stepfunctions").publish_state_machine_version(
            stateMachineArn=given["StateMachineArn"], **more
        )
        return str(made["stateMachineVersionArn"])

    def remove(self, physical: str, given: Properties) -> None:
        self.place.client("stepfunctions").delete_state_machine_version(stateMachineVersionArn=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": physical}


class StateMachineAlias(Kind):
    type = "AWS::StepFunctions::StateMachineAlias"
    name = "Name"
    fixed = frozenset({"Name"})
    known = fixed | {"DeploymentPreference", "Description", "RoutingConfiguration"}

    def make(self, given: Properties) -> str:
        made = self.place.client("stepfunctions").create_state_machine_alias(
            name=self.named(given, 80), description=given.get("Description", ""), routingConfiguration=_routing(given)
        )
        return str(made["stateMachineAliasArn"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        if old:
            self.place.client("stepfunctions").update_state_machine_alias(
                stateMachineAliasArn=physical,
                description=new.get("Description", ""),
                routingConfiguration=_routing(new),
            )

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("stepfunctions")
        with contextlib.suppress(client.exceptions.ResourceNotFound, client.exceptions.StateMachineDoesNotExist):
            client.delete_state_machine_alias(stateMachineAliasArn=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": physical}


def _routing(given: Properties) -> list[dict[str, Any]]:
    if "DeploymentPreference" in given:  # all at once, gradually: here it is always at once
        version = given["DeploymentPreference"]["StateMachineVersionArn"]
        return [{"stateMachineVersionArn": version, "weight": 100}]
    return [
        {"stateMachineVersionArn": route["StateMachineVersionArn"], "weight": int(route["Weight"])}
        for route in given["RoutingConfiguration"]
    ]
