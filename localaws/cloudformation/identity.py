"""Roles, managed policies and keys."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from localaws.cloudformation.kinds import Kind, Properties


class ManagedPolicy(Kind):
    type = "AWS::IAM::ManagedPolicy"
    name = "ManagedPolicyName"
    fixed = frozenset({"ManagedPolicyName", "Description", "Path"})
    known = fixed | {"PolicyDocument"}

    def make(self, given: Properties) -> str:
        document = json.dumps(given["PolicyDocument"])
        told = {"Path": given.get("Path", "/"), "Description": given.get("Description", "")}
        made = self.place.client("iam").create_policy(PolicyName=self.named(given), PolicyDocument=document, **told)
        return str(made["Policy"]["Arn"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        if not old:
            return
        client = self.place.client("iam")
        for version in client.list_policy_versions(PolicyArn=physical)["Versions"]:
            if not version["IsDefaultVersion"]:  # there may be five, and nobody goes back to one
                client.delete_policy_version(PolicyArn=physical, VersionId=version["VersionId"])
        client.create_policy_version(
            PolicyArn=physical, PolicyDocument=json.dumps(new["PolicyDocument"]), SetAsDefault=True
        )

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("iam")
        with contextlib.suppress(client.exceptions.NoSuchEntityException):
            for version in client.list_policy_versions(PolicyArn=physical)["Versions"]:
                if not version["IsDefaultVersion"]:
                    client.delete_policy_version(PolicyArn=physical, VersionId=version["VersionId"])
            client.delete_policy(PolicyArn=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"PolicyArn": physical}


class Role(Kind):
    type = "AWS::IAM::Role"
    name = "RoleName"
    fixed = frozenset({"RoleName", "Path"})
    known = fixed | {
        "AssumeRolePolicyDocument",
        "Description",
        "ManagedPolicyArns",
        "MaxSessionDuration",
        "PermissionsBoundary",
        "Policies",
        "Tags",
    }

    def make(self, given: Properties) -> str:
        name = self.named(given)
        more = {key: given[key] for key in ("Description", "MaxSessionDuration", "PermissionsBoundary") if key in given}
        self.place.client("iam").create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(given["AssumeRolePolicyDocument"]),
            Path=given.get("Path", "/"),
            Tags=given.get("Tags", []),
            **more,
        )
        return name

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("iam")
        if old:
            self._changed(physical, old, new)
        for policy in new.get("Policies", []):
            document = json.dumps(policy["PolicyDocument"])
            client.put_role_policy(RoleName=physical, PolicyName=policy["PolicyName"], PolicyDocument=document)
        for arn in set(new.get("ManagedPolicyArns", [])) - set(old.get("ManagedPolicyArns", [])):
            client.attach_role_policy(RoleName=physical, PolicyArn=arn)

    def _changed(self, role: str, old: Properties, new: Properties) -> None:
        client = self.place.client("iam")
        document = json.dumps(new["AssumeRolePolicyDocument"])
        client.update_assume_role_policy(RoleName=role, PolicyDocument=document)
        boundary = new.get("PermissionsBoundary")
        if boundary:
            client.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=boundary)
        elif old.get("PermissionsBoundary"):
            client.delete_role_permissions_boundary(RoleName=role)
        if old.get("Description") != new.get("Description"):
            client.update_role(RoleName=role, Description=new.get("Description", ""))
        kept = {policy["PolicyName"] for policy in new.get("Policies", [])}
        for policy in old.get("Policies", []):
            if policy["PolicyName"] not in kept:
                client.delete_role_policy(RoleName=role, PolicyName=policy["PolicyName"])
        for arn in set(old.get("ManagedPolicyArns", [])) - set(new.get("ManagedPolicyArns", [])):
            client.detach_role_policy(RoleName=role, PolicyArn=arn)
        if old.get("Tags") != new.get("Tags"):
            client.untag_role(RoleName=role, TagKeys=[tag["Key"] for tag in old.get("Tags", [])])
            client.tag_role(RoleName=role, Tags=new.get("Tags", []))

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("iam")
        with contextlib.suppress(client.exceptions.NoSuchEntityException):
            for name in client.list_role_policies(RoleName=physical)["PolicyNames"]:
                client.delete_role_policy(RoleName=physical, PolicyName=name)
            for policy in client.list_attached_role_policies(RoleName=physical)["AttachedPolicies"]:
                client.detach_role_policy(RoleName=physical, PolicyArn=policy["PolicyArn"])
            client.delete_role(RoleName=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        place = self.place
        path = given.get("Path", "/")
        return {"Arn": f"arn:{place.partition}:iam::{place.account}:role{path}{physical}"}


class Key(Kind):
    type = "AWS::KMS::Key"
    known = frozenset({"Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays", "Tags"})

    def make(self, given: Properties) -> str:
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in given.get("Tags", [])]
        made = self.place.client("kms").create_key(
            Policy=json.dumps(given["KeyPolicy"]), Description=given.get("Description", ""), Tags=tags
        )
        return str(made["KeyMetadata"]["KeyId"])

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        client = self.place.client("kms")
        if old and old["KeyPolicy"] != new["KeyPolicy"]:
            client.put_key_policy(KeyId=physical, PolicyName="default", Policy=json.dumps(new["KeyPolicy"]))
        if new.get("EnableKeyRotation"):
            client.enable_key_rotation(KeyId=physical)
        elif old.get("EnableKeyRotation"):
            client.disable_key_rotation(KeyId=physical)

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("kms")
        with contextlib.suppress(client.exceptions.NotFoundException):
            client.schedule_key_deletion(KeyId=physical, PendingWindowInDays=given.get("PendingWindowInDays", 30))

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": self.place.arn("kms", f"key/{physical}"), "KeyId": physical}


class Alias(Kind):
    type = "AWS::KMS::Alias"
    fixed = frozenset({"AliasName"})
    known = fixed | {"TargetKeyId"}

    def make(self, given: Properties) -> str:
        name = str(given["AliasName"])
        self.place.client("kms").create_alias(AliasName=name, TargetKeyId=given["TargetKeyId"])
        return name

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        if old:
            self.place.client("kms").update_alias(AliasName=physical, TargetKeyId=new["TargetKeyId"])

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("kms")
        with contextlib.suppress(client.exceptions.NotFoundException):
            client.delete_alias(AliasName=physical)
