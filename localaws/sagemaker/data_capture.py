"""Data capture: a share of the requests and answers of an endpoint, as JSON lines in S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import json
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from localaws.sagemaker import job_files
from localaws.sagemaker.job import Workshop
from localaws.sagemaker.traffic import Member

FLUSH_SECONDS = 1.0  # AWS takes minutes; kill -9 loses this much
_MODES = {"Input": ("Input",), "Output": ("Output",), "InputAndOutput": ("Input", "Output")}


class DataCapture:
    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._lines: dict[tuple[str, str, str, str], list[str]] = {}  # by endpoint, variant, address and role
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None

    def add(
        self,
        endpoint: str,
        member: Member,
        request: tuple[str, bytes],
        answer: tuple[str, bytes],
        more: Mapping[str, Any],
    ) -> None:
        """Capture an invocation, if its turn comes; `request` and `answer` are a content type and a body."""
        config = member.capture
        # No pseudo-random number protects anything here.
        if not config.get("EnableCapture", True) or random.random() * 100 >= config["InitialSamplingPercentage"]:  # nosec
            return
        wanted = {mode for option in config["CaptureOptions"] for mode in _MODES[option["CaptureMode"]]}
        given = {"Input": request, "Output": answer}
        data = {f"endpoint{mode}": _captured(mode, *given[mode], config) for mode in given if mode in wanted}
        now = datetime.now(timezone.utc)
        known = {key: value for key, value in more.items() if value}
        event = {"eventId": str(uuid.uuid4()), **known, "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        line = json.dumps({"captureData": data, "eventMetadata": event, "eventVersion": "0"}, separators=(",", ":"))
        with self._lock:
            key = (endpoint, member.name, config["DestinationS3Uri"], member.role)
            self._lines.setdefault(key, []).append(line)
            if self._timer is None:
                self._timer = threading.Timer(FLUSH_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Return when all captured lines are written, also those that the timer's thread is writing."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        with self._lock:
            found, self._lines, self._timer = self._lines, {}, None
        permissions = self._shop.permissions
        for (endpoint, variant, uri, role), lines in found.items():
            now = datetime.now(timezone.utc)
            name = f"{now:%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
            bucket, folder = job_files.split(uri)
            path = [folder.rstrip("/")] if folder.strip("/") else []
            key = "/".join([*path, endpoint, variant, f"{now:%Y/%m/%d/%H}", name])
            user = permissions.user(role, "SageMaker")
            refused = permissions.why_not(user, "s3:PutObject", {"Bucket": bucket, "Key": key})
            if refused or not self._shop.buckets.exists(bucket):
                problem = refused or f"the bucket {bucket} does not exist"
                self._shop.logs.of_build(f"/aws/sagemaker/Endpoints/{endpoint}", "data-capture")(problem)
            else:
                content = self._shop.buckets.objects.add(("\n".join(lines) + "\n").encode())
                self._shop.buckets.put_content(bucket, key, content)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self.flush()


def _captured(mode: str, kind: str, body: bytes, config: Mapping[str, Any]) -> dict[str, str]:
    types, kinds = (
        config.get("CaptureContentTypeHeader", {}),
        (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")),
    )
    encodings = {known.lower(): encoding for encoding, key in kinds for known in types.get(key, [])}
    encoding = encodings.get(kind.partition(";")[0].strip().lower(), "BASE64")
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode("utf-8", "replace")
    return {"observedContentType": kind, "mode": mode.upper(), "data": data, "encoding": encoding}
