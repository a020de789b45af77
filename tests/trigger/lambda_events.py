"""S3 events as AWS sends them, and the trigger as a module."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote_plus

SOURCE = Path(__file__).parents[2] / "lambda" / "start_pipeline.py"
BUCKET = "penguins-raw-123456789012-ap-northeast-1"
REGION = "ap-northeast-1"


def trigger() -> ModuleType:
    """A fresh copy, as in a cold start."""
    spec = importlib.util.spec_from_file_location("start_pipeline", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(SOURCE, SOURCE.name)
    return buffer.getvalue()


def record(name: str, **other: Any) -> dict[str, Any]:
    """One upload; `other` replaces what the object's part has, and None removes it."""
    thing = {
        "key": quote_plus(name, safe="/"),
        "size": 0,
        "eTag": "d41d8cd9",
        "sequencer": "0055AED6DCD90281E5",
        **other,
    }
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2025-01-31T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "run",
            "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
            "object": {part: value for part, value in thing.items() if value is not None},
        },
    }


def bridged(name: str, **other: Any) -> dict[str, Any]:
    """The same upload as EventBridge sends it, with the key as it is."""
    thing = {
        "key": name,
        "size": 0,
        "etag": "d41d8cd9",
        "sequencer": "0055AED6DCD90281E5",
        **other,
    }
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2025-01-31T12:00:00Z",
        "region": REGION,
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {
            "version": "0",
            "event-version": "1.1",
            "bucket": {"name": BUCKET},
            "object": {part: value for part, value in thing.items() if value is not None},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def event(*records: Any) -> dict[str, Any]:
    return {"Records": list(records)}
