"""The operation and parameters of a web request, in the protocols of the services that roles call."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

# In the headers, or in a presigned URL.
_SIGNED = re.compile(r"Credential=([^/%&]+)(?:/|%2F)[^/%&]*(?:/|%2F)[^/%&]*(?:/|%2F)([^/%&]+)")
# Query parameters that do not select another operation of S3; all others do.
_SAME = re.compile(r"x-id|versionId|partNumber|uploadId|uploads|response-.*|X-Amz-.*|x-amz-.*")
_OF_LISTS = {"list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "continuation-token"}
_OF_LISTS |= {"encoding-type", "fetch-owner", "x-id"}

Operation = tuple[str, dict[str, Any]]


def signed_by(environ: Mapping[str, Any]) -> tuple[str, str]:
    """The access key and service that the request is signed for; empty if it is not signed."""
    found = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", "") or environ.get("QUERY_STRING", ""))
    return (found[1], found[2]) if found else ("", "")


def operation(service: str, environ: dict[str, Any]) -> Operation:
    """The operation, like `sqs:SendMessage`, and its parameters. Unknown S3 requests are named by method and path."""
    if service == "s3":
        return _of_s3(environ)
    given = body(environ)
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{service}:{target.rpartition('.')[2]}", _object(given)
    form = dict(parse_qsl(given.decode("utf-8", "replace"), keep_blank_values=True))
    action = form.get("Action") or f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '/')}"
    return f"{service}:{action}", form


def body(environ: dict[str, Any]) -> bytes:
    """The request's body; the next application can still read it."""
    content: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(content)
    return content


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_s3(environ: dict[str, Any]) -> Operation:
    method = environ["REQUEST_METHOD"]
    path = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
    bucket, _, key = path.lstrip("/").partition("/")
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    others = sorted(name for name in query if not _SAME.fullmatch(name))
    given: dict[str, Any] = {"Bucket": bucket}
    if not key:
        given |= {"Prefix": query["prefix"]} if "prefix" in query else {}
        known = {"GET": "ListObjectsV2", "HEAD": "HeadBucket"}.get(method, "") if not {*others} - _OF_LISTS else ""
        return _named(known if bucket else "", method, path, others), given
    given |= {"Key": key} | ({"VersionId": query["versionId"]} if "versionId" in query else {})
    parts = {"x-amz-copy-source": "CopySource", "x-amz-tagging": "Tagging", "x-amz-acl": "ACL"}
    for header, name in parts.items():
        value = environ.get(f"HTTP_{header.upper().replace('-', '_')}")
        given |= {name: unquote(value)} if value else {}
    upload = "uploadId" in query or "uploads" in query
    known = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}.get(method, "")
    if method == "POST" and upload:
        known = "PutObject"  # start and end of a multipart upload; its parts are PUT
    if method == "DELETE":
        known = "AbortMultipartUpload" if upload else "DeleteObject"
    if upload and method in ("GET", "HEAD"):
        known = ""  # the list of its parts
    return _named("" if others else known, method, path, others), given


def _named(known: str, method: str, path: str, others: list[str]) -> str:
    return f"s3:{known}" if known else f"s3:{method} {path}{'?' if others else ''}{'&'.join(others)}"
