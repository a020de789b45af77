"""Lambda's runtime: loads a function's handler and passes it events one by one.

A script that uses only the standard library. Arguments: CHANNEL MODULE... It imports the modules and then gets its
function from the channel: folder, handler, variables, log. Each later request is answered; the handler's output goes to
the log.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

Handler = Callable[[Any, Any], Any]


def main() -> None:
    channel = Connection(int(sys.argv[1]))
    for name in sys.argv[2:]:
        with suppress(Exception):  # if the function needs it, its own import will report it
            importlib.import_module(name)
    try:
        order = json.loads(channel.recv_bytes())
    except EOFError:  # the server has ended
        return
    become(**order)
    module, _, function = order["handler"].rpartition(".")
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


def become(folder: str, variables: dict[str, str], log: str, **_: str) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.path.insert(0, folder)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for place in (1, 2):
        os.dup2(output, place)
    os.close(output)


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
