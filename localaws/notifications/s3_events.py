"""S3's events in AWS's form: one per upload, which does not wait for the function.

moto's events lack the sequencer and the version, encode `/`, are sent twice for a multipart upload, and are delivered
inside the PUT, which fails if the function fails.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from localaws.base.patches import Patches
from localaws.lambda_.moto_api import may_invoke
from localaws.notifications.eventbridge import put_event, service_event

COMPLETED = "s3:ObjectCreated:CompleteMultipartUpload"
# What EventBridge calls them
REASONS = {"Put": "PutObject", "Post": "POST Object", "Copy": "CopyObject"}

Send = Callable[[str, Any], object]
"""Invokes a function, by its ARN, with an event that is on disk before the call returns."""


class Sequencer:
    """Hexadecimal strings that increase with each event, also across restarts."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> str:
        with self._lock:
            self._last = max(self._last + 1, self._clock())
            return f"{self._last:018X}"


def install(send: Send) -> Patches:
    """Send AWS's events for uploads into moto's buckets, until `undo()`."""
    from moto.s3 import notifications
    from moto.s3.exceptions import S3ClientError
    from moto.s3.models import S3Backend

    sequencer, completing = Sequencer(), threading.local()
    complete, set_up = S3Backend.complete_multipart_upload, S3Backend.put_bucket_notification_configuration

    def complete_once(*args: Any, **kwargs: Any) -> Any:
        # Inside it, moto puts the object and its tags, with an event for each.
        completing.now = True
        try:
            return complete(*args, **kwargs)
        finally:
            completing.now = False

    def send_event(account_id: str, event_name: Any, bucket: Any, key: Any) -> None:
        configuration = bucket.notification_configuration
        kind = str(getattr(event_name, "value", event_name))
        if configuration is None or (getattr(completing, "now", False) and kind != COMPLETED):
            return
        order = sequencer.next()  # the same for all targets
        for target in configuration.cloud_function:
            # [s3] an event that may not be delivered is silently lost
            if target.matches(kind, key.name) and _may_invoke(account_id, bucket.name, target.arn):
                event = {"Records": [record(kind, bucket, key, target.id, order, account_id)]}
                send(target.arn, event)
        if configuration.event_bridge is not None and kind.startswith("s3:ObjectCreated:"):
            put_event(created(kind, bucket, key, order, account_id))

    def configure(backend: Any, bucket_name: str, notification_config: dict[str, Any]) -> None:
        if notification_config.keys() & {"QueueConfiguration", "TopicConfiguration"}:
            raise S3ClientError("NotImplemented", "Locally, buckets notify only functions and EventBridge")
        functions = [
            str(target["CloudFunction"]) for target in notification_config.get("CloudFunctionConfiguration", ())
        ]
        if not all(_may_invoke(backend.account_id, bucket_name, arn) for arn in functions):
            raise S3ClientError("InvalidArgument", "Unable to validate the following destination configurations")
        set_up(backend, bucket_name, notification_config)

    patches = Patches()
    patches.attribute(S3Backend, "put_bucket_notification_configuration", configure)
    patches.attribute(S3Backend, "complete_multipart_upload", complete_once)
    patches.attribute(notifications, "send_event", send_event)
    return patches


def _may_invoke(account: str, bucket: str, arn: str) -> bool:
    return may_invoke(account, arn, "s3.amazonaws.com", f"arn:{arn.split(':')[1]}:s3:::{bucket}")


def created(kind: str, bucket: Any, key: Any, sequencer: str, account: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html; unlike a notification, the key is plain."""
    thing = {"key": key.name, "size": key.size, "etag": key.etag.strip('"'), "sequencer": sequencer}
    if key.version_id not in (None, "null"):
        thing["version-id"] = key.version_id
    how = kind.rpartition(":")[2]
    detail = {
        "version": "0",
        "event-version": "1.1",
        "bucket": {"name": bucket.name},
        "object": thing,
        "request-id": secrets.token_hex(8).upper(),
        "requester": account,
        "source-ip-address": "127.0.0.1",
        "reason": REASONS.get(how, how),
    }
    return service_event("aws.s3", "Object Created", account, bucket.region_name, [bucket.arn], detail)


def record(kind: str, bucket: Any, key: Any, notification: str, sequencer: str, account: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    from moto.s3 import notifications

    (found,) = notifications._get_s3_event(kind, bucket, key, notification)["Records"]
    thing = {"key": quote_plus(key.name, safe="/"), "sequencer": sequencer}
    if kind.startswith("s3:ObjectCreated:"):
        thing = {**found["s3"]["object"], **thing}
    if key.version_id not in (None, "null"):
        thing["versionId"] = key.version_id
    bucket_of = {**found["s3"]["bucket"], "ownerIdentity": {"principalId": account}}
    return {
        **found,
        "userIdentity": {"principalId": f"AWS:{account}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": secrets.token_hex(8).upper(), "x-amz-id-2": secrets.token_urlsafe(56)},
        "s3": {**found["s3"], "bucket": bucket_of, "object": thing},
    }
