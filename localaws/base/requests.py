"""Which operation a web request is, and with which parameters: in the protocols of the services that roles call."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

# Of a signature in the headers, or in the address that somebody was given.
_SIGNED = re.compile(r"Credential=([^/%&]+)(?:/|%2F)[^/%&]*(?:/|%2F)[^/%&]*(?:/|%2F)([^/%&]+)")
# Parameters of an address with which S3's operation stays the same; any other makes it another one.
_SAME = re.compile(r"x-id|versionId|partNumber|uploadId|uploads|response-.*|X-Amz-.*|x-amz-.*")
_OF_LISTS = {"list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "continuation-token"}
_OF_LISTS |= {"encoding-type", "fetch-owner", "x-id"}

Operation = tuple[str, dict[str, Any]]


def signed_by(environ: Mapping[str, Any]) -> tuple[str, str]:
    """The access key and the service for which the request is signed; nothing where it is not."""
    found = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", "") or environ.get("QUERY_STRING", ""))
    return (found[1], found[2]) if found else ("", "")


def operation(service: str, environ: dict[str, Any]) -> Operation:
    """Like `sqs:SendMessage` and its parameters; one of S3 that nobody knows has the request's words for its name."""
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
    """The request's body, which the next one can read again."""
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
    asked = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    others = sorted(name for name in asked if not _SAME.fullmatch(name))
    given: dict[str, Any] = {"Bucket": bucket}
    if not key:
        given |= {"Prefix": asked["prefix"]} if "prefix" in asked else {}
        known = {"GET": "ListObjectsV2", "HEAD": "HeadBucket"}.get(method, "") if not {*others} - _OF_LISTS else ""
        return _named(known if bucket else "", method, path, others), given
    given |= {"Key": key} | ({"VersionId": asked["versionId"]} if "versionId" in asked else {})
    parts = {"x-amz-copy-source": "CopySource", "x-amz-tagging": "Tagging", "x-amz-acl": "ACL"}
    for header, name in parts.items():
        value = environ.get(f"HTTP_{header.upper().replace('-', '_')}")
        given |= {name: unquote(value)} if value else {}
    upload = "uploadId" in asked or "uploads" in asked
    known = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}.get(method, "")
    if method == "POST" and upload:
        known = "PutObject"  # a multipart upload's begin and end; its parts are PUT
    if method == "DELETE":
        known = "AbortMultipartUpload" if upload else "DeleteObject"
    if upload and method in ("GET", "HEAD"):
        known = ""  # the list of its parts
    return _named("" if others else known, method, path, others), given


def _named(known: str, method: str, path: str, others: list[str]) -> str:
    return f"s3:{known}" if known else f"s3:{method} {path}{'?' if others else ''}{'&'.join(others)}"
