"""Calls the local AWS's WSGI application in this process, without a socket: for the server's own clients."""

from __future__ import annotations

import errno
import io
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.util import setup_testing_defaults

from localaws.errors import is_exhaustion

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
_DISK = (errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS)


def show(bug: Exception) -> None:
    """Print a bug's traceback to the server's stderr; the caller gets its name only.

    Errors of the disk and used-up threads or memory are not bugs: the run that they end reports them in one sentence.
    """
    if getattr(bug, "errno", None) not in _DISK and not is_exhaustion(repr(bug)):
        traceback.print_exception(bug)


class _Raw(io.BytesIO):
    """A body in the form that botocore reads."""

    def stream(self, *values: Any, **named: Any) -> Iterator[bytes]:
        while piece := self.read(1 << 16):
            yield piece


def call(application: Application, request: Any) -> Any:
    """Pass botocore's prepared request to the application; return botocore's AWSResponse."""
    from botocore.awsrequest import AWSResponse
    from werkzeug.test import run_wsgi_app

    try:
        body, status, found = run_wsgi_app(application, _environ(request), buffered=True)
        code, headers, content = int(status.split()[0]), dict(found), b"".join(body)
    except Exception as bug:  # a web server catches all exceptions of its application, too
        show(bug)
        code, headers, content = 500, {}, f"{type(bug).__name__}: {bug}".encode()
    return AWSResponse(request.url, code, headers, _Raw(content))


def _environ(request: Any) -> dict[str, Any]:
    """Built by hand: werkzeug's EnvironBuilder takes 0.4 ms per call."""
    place, body = urlsplit(request.url), request.body or b""
    content = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else bytes(body)
    path = place.path or "/"
    uri = f"{path}?{place.query}" if place.query else path
    environ = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote(path).encode().decode("latin-1"),
        "QUERY_STRING": place.query,
        "REQUEST_URI": uri,
        "RAW_URI": uri,
        "SERVER_NAME": place.hostname,
        "SERVER_PORT": str(place.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": place.netloc,
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
    }
    setup_testing_defaults(environ)
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        environ.setdefault(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", text)
    return environ
