"""Reads the files of runs in S3."""

from __future__ import annotations

import json
from typing import Any

from stepgluon.aws import answer


def read_json(s3: Any, bucket: str, key: str) -> Any:
    """The value of a small JSON object; None if it does not exist."""
    found = answer(lambda: s3.get_object(Bucket=bucket, Key=key), "NoSuchKey", "NoSuchBucket", "404")
    return json.loads(found["Body"].read()) if found else None


def sizes(s3: Any, bucket: str, folder: str) -> dict[str, int]:
    """The size of each file in a folder."""
    found: dict[str, int] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        found |= {entry["Key"].removeprefix(folder): entry["Size"] for entry in page.get("Contents", ())}
    return found
