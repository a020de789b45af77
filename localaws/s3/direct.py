"""GetObject and PutObject of Tasks without an HTTP request.

Serializing, routing and parsing a request takes ten times as long as the call itself, and a run of 10,000 models makes
thousands of calls. Only plain calls (a bucket, a key and a body) are answered. For other parameters and for failures
the result is None, and the call goes over HTTP, so that the wording of each error is in one place.
"""

from __future__ import annotations

import datetime
from typing import Any

from localaws.iam.permissions import Permissions
from localaws.s3.buckets import Buckets


class DirectS3:
    def __init__(self, buckets: Buckets, permissions: Permissions) -> None:
        self._buckets, self._permissions = buckets, permissions

    def call(self, operation: str, role: str, given: dict[str, Any]) -> dict[str, Any] | None:
        wanted = {"GetObject": {"Bucket", "Key"}, "PutObject": {"Bucket", "Key", "Body"}}.get(operation)
        if given.keys() != wanted or not all(isinstance(given[name], str) for name in ("Bucket", "Key")):
            return None
        if self._permissions.why_not(self._permissions.user(role), f"s3:{operation}", given):
            return None
        return self._get(given) if operation == "GetObject" else self._put(given)

    def _get(self, given: dict[str, Any]) -> dict[str, Any] | None:
        stored = self._buckets.objects.one(given["Bucket"], given["Key"])
        if stored is None:
            return None
        headers = {name.lower(): text for name, text in stored.headers.items()}
        metadata = {name[11:]: text for name, text in headers.items() if name.startswith("x-amz-meta-")}
        version = {"VersionId": headers["stepgluon-version"]} if "stepgluon-version" in headers else {}
        return {
            "AcceptRanges": "bytes",
            "LastModified": datetime.datetime.fromtimestamp(int(stored.modified), datetime.timezone.utc),
            "ContentLength": stored.content.size,
            "ETag": f'"{stored.content.etag}"',
            **version,
            "ContentType": headers.get("content-type", "binary/octet-stream"),
            "Metadata": metadata,
            "Body": self._buckets.objects.file(stored.content).read_bytes(),
        }

    def _put(self, given: dict[str, Any]) -> dict[str, Any] | None:
        body = given["Body"]
        if not self._buckets.exists(given["Bucket"]) or not isinstance(body, (str, bytes)):
            return None
        return self._buckets.put(given["Bucket"], given["Key"], body.encode() if isinstance(body, str) else body)
