"""What a change set would do to a resource, and what would be lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.errors import StepgluonError

LOSES = {
    "AWS::ECR::Repository": "its images are lost to the pipeline",
    "AWS::KMS::Key": "what it has encrypted can no longer be read",
    "AWS::Logs::LogGroup": "its logs go with it",
    "AWS::S3::Bucket": "its objects are lost to the pipeline",
    "AWS::SNS::Subscription": "the address must confirm again",
    "AWS::SNS::Topic": "every address must confirm again",
    "AWS::SQS::Queue": "its messages go with it",
    "AWS::StepFunctions::StateMachine": "its runs' histories go with it",
}
_GONE = ("removed", "replaced", "perhaps replaced")
_ACTIONS = {"Add": "created", "Import": "found again", "Modify": "changed", "Remove": "removed"}
_REPLACED = {"True": "replaced", "Conditional": "perhaps replaced"}


class Lasting(StepgluonError):
    """The change would need to modify something that cannot be changed later."""


@dataclass(frozen=True)
class Change:
    action: str  # created, found again, changed, replaced, perhaps replaced, removed, let go
    resource: str  # its logical id
    kind: str  # AWS::S3::Bucket
    name: str = ""  # its physical id; empty for a resource that does not exist yet
    properties: tuple[str, ...] = ()  # that would change

    @property
    def loses(self) -> str:
        """What would be lost; empty if nothing."""
        if self.kind == "AWS::SNS::Subscription" and self.action == "removed":
            return ""  # its address was removed from the config
        return LOSES.get(self.kind, "") if self.action in _GONE else ""


def changes_of(described: list[dict[str, Any]], stack: str) -> tuple[Change, ...]:
    """The Changes of DescribeChangeSet; raises on one that CloudFormation would only refuse halfway through."""
    changes = tuple(change_of(found, stack) for found in described)
    fixed = sorted(c.name for c in changes if c.kind == "AWS::ECR::Repository" and "replaced" in c.action)
    if fixed:
        anew = pipeline_py("destroy --delete-data")
        raise Lasting(
            f"the repositories {', '.join(fixed)} keep the encryption that they were made with, and nothing was "
            f"changed (leave encryption.kms_key as it was, or begin anew: `{anew}` deletes all "
            f"data, then deploy)"
        )
    return changes


def change_of(found: dict[str, Any], stack: str) -> Change:
    """One of the Changes of DescribeChangeSet."""
    change = found.get("ResourceChange")
    if not change:  # a change set without resources changes the stack's outputs, parameters or tags
        return Change("changed", stack, "AWS::CloudFormation::Stack", stack)
    action = _ACTIONS.get(change["Action"], "changed")
    if action == "changed":
        action = _REPLACED.get(change.get("Replacement", ""), action)
    elif action == "removed" and change.get("PolicyAction") == "Retain":
        action = "let go"
    targets = [detail.get("Target", {}) for detail in change.get("Details", [])]
    properties = {str(target.get("Name") or target.get("Attribute") or "") for target in targets} - {""}
    resource, kind, name = change["LogicalResourceId"], change["ResourceType"], change.get("PhysicalResourceId") or ""
    return Change(action, str(resource), str(kind), str(name), tuple(sorted(properties)))
