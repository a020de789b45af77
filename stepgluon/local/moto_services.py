"""More fixes of moto, as in moto_fixes.py: of the services that a deployment talks to."""

from __future__ import annotations

import json
import types
from typing import Any

from stepgluon.local.moto_fixes import Here, fix, loaded
from stepgluon.local.patching import Patches


@fix
def bucket_policies_deny_by_their_conditions(patches: Patches, here: Here) -> None:
    """A Deny for connections that are not encrypted denies nothing to those that are; moto looks at no condition.

    This place stands for encrypted connections, and knows of no other condition: it leaves out such statements.
    """
    bucket = loaded("moto.s3.models").FakeBucket
    plain = bucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if not self.policy:
            return plain(self, action, resource)
        document = json.loads(self.policy)
        statements = [one for one in document["Statement"] if "Condition" not in one]
        known = types.SimpleNamespace(policy=json.dumps({**document, "Statement": statements}).encode())
        return plain(known, action, resource)

    patches.attribute(bucket, "get_permission", get_permission)


@fix
def what_is_not_there_is_said(patches: Patches, here: Here) -> None:
    """A call that moto does not know is answered with NotImplemented; moto dies of it, and the answer is a page."""
    response = loaded("moto.core.responses").BaseResponse
    plain = response.call_action

    def call_action(self: Any) -> Any:
        try:
            return plain(self)
        except NotImplementedError as problem:
            told = f"The local AWS cannot do this: {problem}"
            if "json" in str(self.headers.get("Content-Type", "")):
                return 501, {"status": 501}, json.dumps({"__type": "NotImplemented", "message": told})
            body = f"<Error><Code>NotImplemented</Code><Message>{told}</Message></Error>"
            return 501, {"status": 501}, f"<ErrorResponse>{body}</ErrorResponse>"

    patches.attribute(response, "call_action", call_action)


@fix
def a_queue_keeps_its_policy(patches: Patches, here: Here) -> None:
    """SetQueueAttributes changes what it names; in moto the policy is gone whenever it is not named."""
    queue = loaded("moto.sqs.models").Queue
    plain = queue._set_attributes

    def set_attributes(self: Any, attributes: dict[str, Any], now: float | None = None) -> None:
        kept = getattr(self, "policy", None)
        plain(self, attributes, now)
        if "Policy" not in attributes:
            self.policy = kept

    patches.attribute(queue, "_set_attributes", set_attributes)
