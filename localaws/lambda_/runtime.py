"""Lambda's runtime: loads a function's handler and passes it events one by one.

A script that uses only the standard library. Arguments: FOLDER HANDLER SOCKET. Each line from the socket is a request,
and is answered with one line; the handler's output goes to the log.
"""

from __future__ import annotations

import importlib
import json
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Handler = Callable[[Any, Any], Any]


def main() -> None:
    folder, handler_name, number = sys.argv[1:]
    channel = socket.socket(fileno=int(number))
    requests = channel.makefile("r", encoding="utf-8")
    sys.path.insert(0, folder)
    try:
        handler = load(handler_name)
    except Exception as error:  # anything the function's module raises is the function's failure
        reply(channel, {"failure": failure(error, "Runtime.ImportModuleError")})
        return
    reply(channel, {})
    for line in requests:
        reply(channel, answer(handler, json.loads(line)))


def load(name: str) -> Handler:
    module, _, function = name.rpartition(".")
    handler: Handler = getattr(importlib.import_module(module.replace("/", ".")), function)
    return handler


def answer(handler: Handler, request: dict[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + request["seconds"]
    # Ends a hanging handler if the server has been killed.
    signal.alarm(request["seconds"] + 2)
    context = SimpleNamespace(
        **request["context"], get_remaining_time_in_millis=lambda: max(0, int(1000 * (end - time.monotonic())))
    )
    found: dict[str, Any]
    try:
        found = {"result": json.dumps(handler(request["event"], context))}
    except Exception as error:  # anything the handler raises is the invocation's failure
        found = {"failure": failure(error, type(error).__name__)}
    signal.alarm(0)
    return found


def failure(error: Exception, kind: str) -> dict[str, Any]:
    found = {
        "errorMessage": str(error),
        "errorType": kind,
        "stackTrace": traceback.format_tb(error.__traceback__)[1:],
    }
    print(f"[ERROR] {kind}: {error}\n{''.join(found['stackTrace'])}", flush=True)
    return found


def reply(channel: socket.socket, answer: dict[str, Any]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    channel.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
