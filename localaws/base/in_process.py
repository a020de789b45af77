"""Calls that stay within the process: a client of the server's own goes to its application, past any socket."""

from __future__ import annotations

import errno
import io
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
_DISK = (errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS)


def show(bug: Exception) -> None:
    """Whoever started the server sees where a bug is, while who called is told no more than its name.

    What the disk does is no bug, and is told as one sentence where the run ends.
    """
    if getattr(bug, "errno", None) not in _DISK:
        traceback.print_exception(bug)


class Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, *values: Any, **named: Any) -> Iterator[bytes]:
        while piece := self.read(1 << 16):
            yield piece


def answered(application: Application, request: Any) -> Any:
    """botocore's answer to a request that was prepared by it."""
    from botocore.awsrequest import AWSResponse

    told: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        told[:] = [int(status.split()[0]), headers]

    try:
        content = _whole(application(_environ(request), start_response))
        status, headers = told
    except Exception as bug:  # as a web server does with whatever its application raises
        show(bug)
        status, headers, content = 500, [], f"{type(bug).__name__}: {bug}".encode()
    return AWSResponse(request.url, status, _Headers(headers), Raw(content))


def _whole(body: Iterable[bytes]) -> bytes:
    try:
        return b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


def _environ(request: Any) -> dict[str, Any]:
    place, body = urlsplit(request.url), request.body or b""
    content = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else bytes(body)
    uri = f"{place.path or '/'}?{place.query}" if place.query else place.path or "/"
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(place.path or "/").encode().decode("latin-1"),
        "QUERY_STRING": place.query,
        "REQUEST_URI": uri,
        "RAW_URI": uri,
        "SERVER_NAME": place.hostname,
        "SERVER_PORT": str(place.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": place.hostname,
        "HTTP_HOST": place.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": place.scheme,
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    environ["CONTENT_LENGTH"] = str(len(content))
    return environ


class _Headers(dict[str, str]):
    """Headers whatever their letters' case, as urllib3 gives them."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        super().__init__({name.lower(): value for name, value in headers})

    def get(self, name: str, other: Any = None) -> Any:
        return super().get(name.lower(), other)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())
