"""The web server on 127.0.0.1: serves our application around moto's in threads, and refuses web pages."""

from __future__ import annotations

import errno
import io
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from localaws.base import quick_http, requests
from localaws.base.requests import Application, show
from localaws.errors import ComputerError
from localaws.iam.enforce import refusal

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
_INVOCATION = re.compile(rb"POST /endpoints/[A-Za-z0-9-]+/invocations HTTP/1\.1")
_MOST_BYTES = 6 * 1024 * 1024  # of a body that is read at once
OF_THE_PAGE = "/_live/"  # not a bucket's: their names begin with a letter or a digit


def bind(port: int) -> socket.socket:
    """A listening socket on the given port, or on any free port if it is 0."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as problem:
        listener.close()
        reason = (
            "is used by another program" if problem.errno == errno.EADDRINUSE else f"cannot be used: {problem.strerror}"
        )
        raise ComputerError(f"port {port} of this computer {reason} (name another with --port)") from None
    return listener


class Web:
    def __init__(self, listener: socket.socket, application: Any) -> None:
        from moto.moto_server.werkzeug_app import MotoRequestHandler
        from werkzeug.serving import ThreadedWSGIServer

        class Handler(MotoRequestHandler):  # type: ignore[misc]
            disable_nagle_algorithm = True  # otherwise each response waits for the client's acknowledgement

            def handle_one_request(self) -> None:
                """Answer an InvokeEndpoint, and keep its connection as AWS does; moto's server closes all."""
                invokes = _INVOCATION.match(self.rfile.peek())
                if invokes and (head := quick_http.read_head(self.rfile, _MOST_BYTES)):
                    self.close_connection = False
                    self.connection.sendall(_answer(head, self, application))
                else:
                    super().handle_one_request()

            def setup(self) -> None:
                super().setup()
                connections.add(self.connection)

            def finish(self) -> None:
                connections.discard(self.connection)
                super().finish()

            def log(self, *values: Any) -> None:
                """Log nothing: the first line would load the colouring code."""

        class Server(ThreadedWSGIServer):
            def log(self, *values: Any) -> None:
                """Called while an application's exception is being handled."""
                bug = sys.exc_info()[1]
                if isinstance(bug, Exception):
                    show(bug)

        connections = self._connections = set[socket.socket]()
        host, port = listener.getsockname()
        self._server = Server(host, port, application, handler=Handler, fd=listener.fileno())
        listener.close()  # the server has a copy
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="local AWS", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            with suppress(OSError):  # it was closed just now
                connection.shutdown(socket.SHUT_RD)  # a kept one ends; a response is still written
        self._server.server_close()


def _answer(head: quick_http.Head, handler: Any, application: Application) -> bytes:
    """The response to an InvokeEndpoint with this head."""
    first, headers = head
    method, path, protocol = first.split(" ")
    environ: dict[str, Any] = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    size = environ.pop("HTTP_CONTENT_LENGTH")
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": size, "SERVER_PROTOCOL": protocol}
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    environ["wsgi.input"] = io.BytesIO(handler.rfile.read(int(size)))
    given: list[Any] = []
    try:
        parts = application(environ, lambda *response: given.extend(response))
        return quick_http.message(f"HTTP/1.1 {given[0]}", given[1], b"".join(parts))
    except Exception as bug:  # any bug: the client gets an answer
        show(bug)
        return quick_http.message("HTTP/1.1 500 Internal Server Error", [("Content-Length", "0")], b"")


def no_web_pages(
    port: int, others: Application, our_page: Callable[[], Application | None] = lambda: None
) -> Application:
    """Refuse requests from web pages, and accept those of local programs.

    A browser lets any page send requests to 127.0.0.1, so a page of any site could otherwise upload a script and run
    it as a job. Three headers that a page cannot change reveal it: Origin, Sec-Fetch-Site, and the Host if the site's
    owner has pointed a name at 127.0.0.1 (DNS rebinding).

    `our_page` gets GET / if a person opened it in a browser, and the page's own requests below /_live/. An object
    in a bucket has the same origin, so our script must also send a secret, and another page may not open ours: it could
    read the secret.
    """
    hosts = {f"{name}:{port}" for name in NAMES} | {name for name in NAMES if port == 80}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").lower()
        if host not in hosts:
            reason = f"The Host of the request is {host!r} (expected: {NAMES[0]}:{port} or {NAMES[1]}:{port})."
        elif (page := our_page()) and (_opens_page(environ) or _is_of_page(environ, host)):
            return page(environ, start_response)
        # A typed address or a bookmark has "none"; aws, curl and the SDKs send neither header.
        elif "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
            reason = "The local AWS answers no web pages."
        else:
            return others(environ, start_response)
        return refusal(requests.signed_by(environ)[1], reason, environ, start_response)

    return application


def _opens_page(environ: dict[str, Any]) -> bool:
    """Whether a person opens the page; S3's ListBuckets is also GET /."""
    typed = environ.get("HTTP_SEC_FETCH_SITE") == "none" and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    return typed and (environ["REQUEST_METHOD"], environ.get("PATH_INFO")) == ("GET", "/")


def _is_of_page(environ: dict[str, Any], host: str) -> bool:
    """Whether the page's own script may have sent the request."""
    same = environ.get("HTTP_ORIGIN", f"http://{host}") == f"http://{host}"
    return (
        same
        and environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
        and environ.get("PATH_INFO", "").startswith(OF_THE_PAGE)
    )
