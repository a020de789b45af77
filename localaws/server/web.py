"""The web server on 127.0.0.1: serves our application around moto's in threads, and refuses web pages."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from localaws.base import requests
from localaws.base.requests import Application, show
from localaws.errors import ComputerError
from localaws.iam.enforce import refusal

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
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

            def log(self, *values: Any) -> None:
                """Log nothing: the first line would load the colouring code."""

        class Server(ThreadedWSGIServer):
            def log(self, *values: Any) -> None:
                """Called while an application's exception is being handled."""
                bug = sys.exc_info()[1]
                if isinstance(bug, Exception):
                    show(bug)

        host, port = listener.getsockname()
        self._server = Server(host, port, application, handler=Handler, fd=listener.fileno())
        listener.close()  # the server has a copy
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="local AWS", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


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
