"""The web server on 127.0.0.1: serves our application around moto's in threads until it is closed."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from typing import Any

from localaws.base.in_process import show
from localaws.errors import ComputerError

HOST = "127.0.0.1"


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
                """Log nothing: nobody reads it, and the first line would load the colouring code."""

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
