"""Reads the files of runs in S3."""

from __future__ import annotations

import json
from typing import Any


def read_json(s3: Any, bucket: str, key: str) -> Any:
    """A small JSON object's value; None if it does not exist."""
    from botocore.exceptions import ClientError

    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
            return None
        raise


def sizes(s3: Any, bucket: str, folder: str) -> dict[str, int]:
    """The size of each file below a folder."""
    found: dict[str, int] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        found |= {entry["Key"].removeprefix(folder): entry["Size"] for entry in page.get("Contents", ())}
    return found
