"""Lambda's runtime: loads a function's handler and passes it events one by one.

A script that uses only the standard library. Arguments: FOLDER HANDLER CHANNEL. Each request from the channel is
answered; the handler's output goes to the log.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

Handler = Callable[[Any, Any], Any]


def main() -> None:
    folder, name, number = sys.argv[1:]
    channel = Connection(int(number))
    sys.path.insert(0, folder)
    module, _, function = name.rpartition(".")
    try:
        handler: Handler = getattr(importlib.import_module(module.replace("/", ".")), function)
    except Exception as error:  # anything the function's module raises is the function's failure
        reply(channel, failure(error, "Runtime.ImportModuleError"))
        return
    reply(channel, {})
    while True:
        try:
            request = channel.recv_bytes()
        except EOFError:  # the server has ended
            return
        reply(channel, answer(handler, json.loads(request)))


def answer(handler: Handler, request: dict[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + request["seconds"]
    # Ends a hanging handler if the server has been killed.
    signal.alarm(request["seconds"] + 2)
    context = SimpleNamespace(
        **request["context"], get_remaining_time_in_millis=lambda: max(0, int(1000 * (end - time.monotonic())))
    )
    try:
        return {"result": json.dumps(handler(request["event"], context))}
    except Exception as error:  # anything the handler raises is the invocation's failure
        return failure(error, type(error).__name__)
    finally:
        signal.alarm(0)


def failure(error: Exception, kind: str) -> dict[str, Any]:
    trace = traceback.format_tb(error.__traceback__)[1:]
    print(f"[ERROR] {kind}: {error}\n{''.join(trace)}", flush=True)
    return {"failure": {"errorMessage": str(error), "errorType": kind, "stackTrace": trace}}


def reply(channel: Connection, answer: dict[str, Any]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    channel.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
