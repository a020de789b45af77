"""boto3 clients for the local AWS, created once per role or for the administrator. They cannot call anything else."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.util import setup_testing_defaults

from localaws.base.requests import Application, show

ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@cache
def models() -> Any:
    """Loads the services' models, once per process."""
    from botocore.loaders import Loader

    return Loader()


class Clients:
    """With an application, calls go to it without a socket; `credentials` returns a role's credentials."""

    def __init__(
        self,
        endpoint: str,
        application: Application | None = None,
        credentials: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._application = application
        self._credentials = credentials
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()
        self._session: Any = None

    def get(self, service: str, region: str, role: str = "") -> Any:
        """The administrator's client, or a role's, given its ARN."""
        with self._lock:
            client = self._clients.get((service, region, role))
            if client is None:
                client = self._clients[service, region, role] = self._make(service, region, role)
            return client

    def _make(self, service: str, region: str, role: str) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.session import Session

        if self._session is None:
            self._session = Session()
            self._session.register_component("data_loader", models())
        unsigned = {"signature_version": UNSIGNED, "user_agent": "local"} if self._application else {}
        config = Config(
            **unsigned,  # computing both takes a sixth of a call
            retries={"total_max_attempts": 1},
            proxies={},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=50,
            parameter_validation=False,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        known = self._credentials(role) if role and self._credentials else ADMINISTRATOR
        client = self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=known.get("AWS_SESSION_TOKEN"),
            config=config,
        )
        if self._application:
            application = self._application
            scope = (
                f"{known['AWS_ACCESS_KEY_ID']}/20000101/{region}/{client.meta.service_model.signing_name}/aws4_request"
            )
            caller = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"
            client.meta.events.register("before-send.*.*", lambda request, **more: call(application, request, caller))
        return client

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


# Without a socket: for the server's own clients


class _Raw(io.BytesIO):
    """A body in the form that botocore reads."""

    def stream(self, *values: Any, **named: Any) -> Iterator[bytes]:
        while piece := self.read(1 << 16):
            yield piece


def call(application: Application, request: Any, caller: str) -> Any:
    """Pass botocore's prepared request to the application; return botocore's AWSResponse.

    `caller` is its Authorization: nothing here checks a signature, only whose it is and for which service.
    """
    from botocore.awsrequest import AWSResponse
    from werkzeug.test import run_wsgi_app

    try:
        body, status, found = run_wsgi_app(
            application, _environ(request) | {"HTTP_AUTHORIZATION": caller}, buffered=True
        )
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
