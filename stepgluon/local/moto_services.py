"""More fixes of moto, as in moto_fixes.py: of the services that a deployment talks to."""

from __future__ import annotations

import json
import os
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


@fix
def a_history_is_read_in_pages_and_from_its_end(patches: Patches, here: Here) -> None:
    """`reverseOrder`, `maxResults` and `nextToken`; moto always gives all events, the oldest first."""
    response = loaded("moto.stepfunctions.responses").StepFunctionResponse
    result = loaded("moto.core.responses").ActionResult

    def get_execution_history(self: Any) -> Any:
        history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
        events = history["events"][:: -1 if self._get_param("reverseOrder") else 1]
        start = int(self._get_param("nextToken") or 0)
        end = start + int(self._get_param("maxResults") or len(events))
        more = {"nextToken": str(end)} if end < len(events) else {}
        return result({"events": events[start:end], **more})

    patches.attribute(response, "get_execution_history", get_execution_history)


@fix
def a_symmetric_key_has_no_pair(patches: Patches, here: Here) -> None:
    """moto makes a pair of RSA for it, which takes as long as the rest of a small deployment."""
    models = loaded("moto.kms.models")
    plain = models.generate_private_key
    patches.attribute(models, "generate_private_key", lambda spec: None if spec == "SYMMETRIC_DEFAULT" else plain(spec))


@fix
def a_service_is_known_by_its_folder(patches: Patches, here: Here) -> None:
    """Before it reads a service's model, botocore looks for such a file of each of four hundred services."""
    loader = loaded("botocore.loaders").Loader

    def list_available_services(self: Any, type_name: str) -> list[str]:
        return sorted({name for place in self._potential_locations() for name in os.listdir(place)})

    patches.attribute(
        loader, "list_available_services", loaded("botocore.loaders").instance_cache(list_available_services)
    )


@fix
def what_was_made_is_not_kept_in_a_list(patches: Patches, here: Here) -> None:
    """Each class of moto's lists all that was ever made of it, so that nothing of a deleted object is given back."""
    patches.attribute(
        loaded("moto.core.common_models").BaseModel,
        "__new__",
        staticmethod(lambda made, *_, **__: object.__new__(made)),
    )
