"""Enforces roles: calls that the deployed policies refuse in an account are refused locally.

Lambda, Step Functions and SageMaker act with their role's credentials, issued by moto's STS as for any AssumeRole. Each
right that such a call needs (required_rights.py) is checked (policy_evaluation.py) against the current policies in
moto's IAM, S3, SNS and SQS. All other credentials are the administrator's, who may do everything.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from localaws.iam.policy_evaluation import Call, Policies, Policy, Unchanging, Value, refusal
from localaws.iam.required_rights import Right, TagsOf, Unknown, rights

UNKNOWN = "the local AWS does not know which right this needs (add it to localaws/iam/required_rights.py)"


@dataclass(frozen=True)
class User:
    """An assumed role: its ARN and the session's ARN."""

    role: str
    session: str


class Permissions:
    """The permissions in one account and region, whose ARNs are made by `arn`."""

    def __init__(self, account: str, partition: str, region: str) -> None:
        from moto.iam.models import iam_backends
        from moto.s3.models import s3_backends
        from moto.sns.models import sns_backends
        from moto.sqs.models import sqs_backends
        from moto.sts.models import sts_backends

        self._account, self._partition, self._region = account, partition, region
        self._iam, self._sts = iam_backends[account][partition], sts_backends[account][partition]
        self._s3 = s3_backends[account][partition]
        self._sns, self._sqs = sns_backends[account], sqs_backends[account]
        self._given: dict[tuple[str, str], Any] = {}
        self._users: dict[str, User] = {}
        self._lock = threading.Lock()
        self.tags_of: TagsOf = lambda kind, name: {}  # of SageMaker's jobs

    def arn(self, service: str, resource: str, region: str | None = None, account: str | None = None) -> str:
        region = self._region if region is None else region
        account = self._account if account is None else account
        return f"arn:{self._partition}:{service}:{region}:{account}:{resource}"

    # Callers

    def credentials(self, role: str, session: str = "") -> dict[str, str]:
        """A role's credentials as environment variables; an unnamed session gets a random name."""
        with self._lock:
            made = self._given.get((role, session))
            if made is None:
                name = session or secrets.token_hex(16)
                made = self._sts.assume_role(self._region, name, role, "", 3600, "")
                self._given[role, session] = made
                self._users[made.access_key_id] = User(role, made.arn)
        return {
            "AWS_ACCESS_KEY_ID": made.access_key_id,
            "AWS_SECRET_ACCESS_KEY": made.secret_access_key,
            "AWS_SESSION_TOKEN": made.session_token,
        }

    def user(self, role: str, session: str = "") -> User:
        return self._users[self.credentials(role, session)["AWS_ACCESS_KEY_ID"]]

    def known_by(self, key: str) -> User | None:
        """The owner of an access key; None for the administrator."""
        found = self._users.get(key)
        if found is None and key.startswith("ASIA"):
            made = self._sts.get_assumed_role_from_access_key(key)
            if made is not None:
                found = self._users[key] = User(made.role_arn, made.arn)
        return found

    # Permissions

    def why_not(self, user: User, operation: str, given: Mapping[str, Any]) -> str:
        """Why a user may not call an operation like `s3:GetObject`, in AWS's words; empty if allowed."""
        try:
            return self.refused(user, rights(self, operation, given, self.tags_of))
        except (Unknown, KeyError):  # KeyError: a required parameter is missing
            return f"User: {user.session} is not authorized to perform: {operation}: {UNKNOWN}"

    def refused(self, user: User, needed: Iterable[Right]) -> str:
        """Why a user lacks one of these rights, in AWS's words; empty if the user has all."""
        return next((reason for right in needed if (reason := self._refused(user.role, user.session, right))), "")

    def refused_to_service(self, service: str, right: Right) -> str:
        """The same for a service that acts for itself, like events.amazonaws.com."""
        return self._refused(service, service, right)

    def _refused(self, principal: str, called: str, right: Right) -> str:
        context: dict[str, Value] = {"aws:SecureTransport": "true", **right.context}  # the local AWS counts as TLS
        policies = replace(self._of_role(principal), resource=self._of_resource(right.resource))
        try:
            reason = refusal(Call(principal, right.action, right.resource, context), policies)
        except ValueError as unknown:
            reason = f"because a policy cannot be evaluated locally: {unknown}"
        if not reason:
            return ""
        message = f"User: {called} is not authorized to perform: {right.action} on resource: {right.resource} {reason}"
        return message.replace(" sns:", " SNS:")  # SNS's spelling

    def role(self, arn: str) -> Any:
        """moto's role; None if it does not exist."""
        return next((role for role in list(self._iam.roles.values()) if role.arn == arn), None)

    def _of_role(self, arn: str) -> Policies:
        """The policies of a role; a role that does not exist may do nothing."""
        role = self.role(arn)
        if role is None:
            return Policies()
        attached = [_in_force(policy) for policy in list(role.managed_policies.values())]
        limit = role.permissions_boundary_arn
        boundary = self._iam.managed_policies.get(limit)
        return Policies(
            identity=tuple(_parsed(text) for text in [*list(role.policies.values()), *attached]),
            boundary=_parsed(_in_force(boundary) if boundary else "{}") if limit else None,
        )

    def _of_resource(self, arn: str) -> Policy | None:
        """The policy of a bucket, topic or queue of this account, if any."""
        _, _, service, region, _, name = [*arn.split(":", 5), *[""] * 5][:6]
        places: dict[str, Callable[[], Any]] = {
            "s3": lambda: self._s3.buckets.get(name.partition("/")[0]),
            "sns": lambda: self._sns[region].topics.get(arn),
            "sqs": lambda: self._sqs[region].queues.get(name),
        }
        owner = places[service]() if service in places else None
        return _parsed(owner.policy) if owner and owner.policy else None


def _in_force(managed: Any) -> str:
    return next(str(version.document) for version in managed.versions if version.is_default)


@lru_cache(maxsize=256)
def _parsed(text: str | bytes) -> Policy:
    return Unchanging(json.loads(text))
