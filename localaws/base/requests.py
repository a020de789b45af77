"""Reads a web request's operation and parameters, in the protocols of the services that roles call; sends responses."""

from __future__ import annotations

import errno
import io
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from localaws.errors import is_exhaustion

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
_DISK = (errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS)
REQUEST_ID = "00000000-0000-0000-0000-000000000000"
# In the headers, or in a presigned URL.
_SIGNED = re.compile(r"Credential=([^/%&]+)(?:/|%2F)[^/%&]*(?:/|%2F)[^/%&]*(?:/|%2F)([^/%&]+)")
# Query parameters and headers of S3 that do not select another operation.
_SAME = re.compile(r"x-id|versionId|partNumber|uploadId|uploads|response-.*|X-Amz-.*|x-amz-.*")
_OF_LISTS = {"list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "continuation-token"}
_OF_LISTS |= {"encoding-type", "fetch-owner", "x-id"}
_MORE_RIGHTS = ("HTTP_X_AMZ_COPY_SOURCE", "HTTP_X_AMZ_TAGGING", "HTTP_X_AMZ_ACL")
_OF_BUCKETS = {"GET": "ListObjectsV2", "HEAD": "HeadBucket"}
_OF_OBJECTS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_OF_UPLOADS = {"POST": "PutObject", "PUT": "PutObject", "DELETE": "AbortMultipartUpload"}  # in parts

_INVOKED = re.compile("/endpoints/([^/]+)/invocations")

Operation = tuple[str, dict[str, Any]]


def signed_by(environ: Mapping[str, Any]) -> tuple[str, str]:
    """The access key and service that the request is signed for; empty if it is not signed."""
    found = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", "") or environ.get("QUERY_STRING", ""))
    return (found[1], found[2]) if found else ("", "")


def invoked(environ: Mapping[str, Any]) -> str:
    """The endpoint that an InvokeEndpoint calls; empty for other requests."""
    found = _INVOKED.fullmatch(environ.get("PATH_INFO", "")) if environ["REQUEST_METHOD"] == "POST" else None
    return found[1] if found else ""


def operation(service: str, environ: dict[str, Any]) -> Operation:
    """The operation, like `sqs:SendMessage`, and its parameters. Unknown S3 requests are named by method and path."""
    if service == "s3":
        return _of_s3(environ)
    if service == "sagemaker" and (endpoint := invoked(environ)):
        return "sagemaker:InvokeEndpoint", {"EndpointName": endpoint}
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{service}:{target.rpartition('.')[2]}", json_body(environ)
    form = dict(parse_qsl(body(environ).decode("utf-8", "replace"), keep_blank_values=True))
    action = form.get("Action") or f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '/')}"
    return f"{service}:{action}", form


def body(environ: dict[str, Any]) -> bytes:
    """The request's body; the next application can still read it."""
    content: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(content)
    return content


def json_body(environ: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in the request's body; empty if there is none."""
    try:
        found = json.loads(body(environ) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def respond(start_response: Any, status: str, kind: str, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    content = text.encode()
    known = [("Content-Type", kind), ("Content-Length", str(len(content))), ("x-amzn-RequestId", REQUEST_ID)]
    start_response(status, [*known, *headers])
    return [content]


def show(bug: Exception) -> None:
    """Print a bug's traceback to the server's stderr; the caller gets its name only.

    Errors of the disk and used-up threads or memory are not bugs: the run that they end reports them in one sentence.
    """
    if getattr(bug, "errno", None) not in _DISK and not is_exhaustion(repr(bug)):
        # One write: other threads print, too.
        sys.stderr.write("".join(traceback.format_exception(bug)))


def _of_s3(environ: dict[str, Any]) -> Operation:
    method = environ["REQUEST_METHOD"]
    path = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
    bucket, _, key = path.lstrip("/").partition("/")
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    others = {name for name in query if not _SAME.fullmatch(name)}
    given: dict[str, Any] = {"Bucket": bucket}
    if not key:
        given |= {"Prefix": query["prefix"]} if "prefix" in query else {}
        others -= _OF_LISTS
        known = _OF_BUCKETS.get(method) if bucket else None
    else:
        given |= {"Key": key} | ({"VersionId": query["versionId"]} if "versionId" in query else {})
        others |= {name for name in _MORE_RIGHTS if name in environ}
        known = (_OF_UPLOADS if {"uploadId", "uploads"} & query.keys() else _OF_OBJECTS).get(method)
    if known and not others:
        return f"s3:{known}", given
    return f"s3:{method} {path}{'?' if others else ''}{'&'.join(sorted(others))}", given
