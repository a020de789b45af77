"""The words about a stack's change that was interrupted or failed."""

from __future__ import annotations

import re
from typing import Any

from stepgluon.deploy.stack_events import End, plain

_TAKEN = re.compile(r"bucket name is not available|BucketAlreadyExists|already exists", re.IGNORECASE)


def continues(name: str, kind: str, region: str) -> str:
    """What happens after Ctrl-C."""
    aws = f"--stack-name {name} --region {region}"
    cancel = {
        "CREATE": f"; `aws cloudformation delete-stack {aws}` ends it",
        "UPDATE": f"; `aws cloudformation cancel-update-stack {aws}` undoes it",
    }
    return (
        f"interrupted, but {name} continues in AWS: `aws cloudformation describe-stack-events {aws}` shows it"
        f"{cancel.get(kind, '')}; run the same command again to wait for it"
    )


def failure(name: str, kind: str, end: End) -> str:
    """Why the stack could not be changed, what to do, and in which state it is."""
    done, left = {
        "CREATE": ("created", "all of it was removed except buckets and images"),
        "UPDATE": ("changed", "it is as it was before"),
        "DELETE": ("deleted", "the rest of it is still there"),
    }[kind]
    if end.status.endswith("ROLLBACK_FAILED"):
        left = f"could not be rolled back either ({end.status})"
    event = end.failed
    if event is None:
        return f"{name} could not be {done}: {end.status} (look at the stack's events; {left})"
    reason = plain(str(event.get("ResourceStatusReason") or ""))
    resource = f"{event['LogicalResourceId']} ({event['ResourceType']})"
    return f"{name} could not be {done}: {resource}: {reason} ({_way_out(event, reason)}; {left})"


def _way_out(event: dict[str, Any], reason: str) -> str:
    if event["ResourceType"] == "AWS::S3::Bucket" and _TAKEN.search(reason):
        return "bucket names are shared by all accounts: choose another `name` in the config"
    if "not authorized to perform" in reason or "AccessDenied" in reason:
        return "ask for the permissions in policy/deployer.json"
    if _TAKEN.search(reason):
        return "something of that name was made by other means: remove it, or choose another `name` in the config"
    if re.search(r"UnreservedConcurrentExecution", reason):
        return "set `trigger: {reserved_concurrency: 0}` in the config, or ask for more in Lambda's service quotas"
    return "fix that, then run the command again"
