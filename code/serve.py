"""Serve: answers HTTP requests with a model's predictions, as SageMaker's endpoints and transform jobs need it.

Reads   model/   a folder written by train or score
        environment variables
            SAGEMAKER_BIND_TO_PORT                8080
            SAGEMAKER_MODEL_SERVER_WORKERS        processes; one for each core
            SAGEMAKER_MODEL_SERVER_TIMEOUT        seconds for a request to arrive; 60
            SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT  text/csv
            SAGEMAKER_BATCH                       true in a transform job, whose requests may have 100 MB, not 6
            MAX_CONTENT_LENGTH                    bytes of a request, if neither fits
            STEPGLUON_MANIFEST                    the sha256 of the model's manifest.json; not checked without it

The model is loaded once, before the server listens, and all workers share its memory. So if it cannot be loaded, /ping
never answers, and the process ends with the reason.
"""

from __future__ import annotations

import gc
import logging
import mmap
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import job_io
from job_io import JobError, log, shown

MEGABYTE = 1024 * 1024
THREADS = 16  # of a worker: they read bodies and answer /ping while one of them predicts
GRACE_SECONDS = 25  # to finish requests after SIGTERM; SageMaker sends SIGKILL after 30
BUSY_SECONDS = 0.002  # for which a worker leaves a new connection to those that have fewer
TYPES = ("text/csv", "application/json", "application/jsonlines")

_arriving: dict[Any, float] = {}  # when each socket's request must have arrived


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # without a handler, a container's first process ignores it
    try:
        workers = number("SAGEMAKER_MODEL_SERVER_WORKERS", job_io.cores())
        seconds = number("SAGEMAKER_MODEL_SERVER_TIMEOUT", 60)
        port = number("SAGEMAKER_BIND_TO_PORT", 8080)
        # A pool of threads would not survive the fork of the workers; and each has a core of its own.
        os.environ["STEPGLUON_CORES"] = "1"
        job_io.limit_threads()
        application = loaded(workers)
    except BaseException as problem:  # the log always gets a sentence
        print(job_io.sentence_of(problem), file=sys.stderr)
        return 1
    gc.collect()
    gc.freeze()  # a collection would write to the memory that the workers share
    log.info("model %s: serving on port %s with %s", application.model, port, job_io.counted(workers, "worker"))
    serve(application, port, workers, seconds)
    return 0


def loaded(workers: int) -> Any:
    """The application with its model."""
    from invocations import Application  # numpy, which it imports, reads the number of threads once
    from model_folder import METRICS, verified
    from predict import load, schema_of

    accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or TYPES[0]
    if accept not in TYPES:
        raise JobError(
            f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {shown(accept)}; it must be one of {', '.join(TYPES)}."
        )
    folder = job_io.root() / "model"
    model = str(job_io.read_json(folder / METRICS)["model"])
    manifest = verified(folder, model, job_io.prediction_manifest())
    megabytes = 100 if os.environ.get("SAGEMAKER_BATCH") else 6  # [sm] MaxPayloadInMB, and InvokeEndpoint's body
    return Application(
        load(folder, model, manifest, in_memory=True),
        model,
        manifest["features"],
        schema_of(manifest.get("classes", [])),
        number("MAX_CONTENT_LENGTH", megabytes * MEGABYTE),
        accept,
        # [sm] the product is at most 100 MB
        {
            "MaxConcurrentTransforms": min(workers, 100),
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, min(6, 100 // workers)),
        },
        lambda client: _arriving.pop(client, None),
    )


def number(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or not 0 < int(value) < 2**40:
        raise JobError(f"The environment variable {name} is {shown(value)}; it must be a number from 1 on.")
    return int(value)


def serve(application: Any, port: int, workers: int, seconds: int) -> None:
    """Answer requests until SIGTERM."""
    from gunicorn.app.base import BaseApplication
    from gunicorn.workers.gthread import ThreadWorker

    requests = mmap.mmap(-1, workers)  # how many each worker has; shared by all

    class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
        """Leaves requests to workers that have fewer, and drops clients that are too slow."""

        place = 0
        arbiter: Any = None

        def init_signals(self) -> None:
            super().init_signals()
            # A SIGTERM that came before this line went into the copy of the first process's queue, and would be lost.
            while not self.arbiter.SIG_QUEUE.empty():
                if self.arbiter.SIG_QUEUE.get() == signal.SIGTERM:
                    self.alive = False

        def accept(self, listener: Any) -> None:
            if min(requests[:]) < requests[self.place]:
                time.sleep(BUSY_SECONDS)
            super().accept(listener)
            requests[self.place] = min(self.nr_conns, 255)

        def finish_request(self, conn: Any, fs: Any) -> None:
            super().finish_request(conn, fs)
            requests[self.place] = min(self.nr_conns, 255)

        def handle(self, conn: Any) -> Any:
            _arriving[conn.sock] = time.monotonic() + seconds
            try:
                return super().handle(conn)
            finally:
                _arriving.pop(conn.sock, None)

        def notify(self) -> None:  # at least every second
            super().notify()
            for client, end in list(_arriving.items()):
                if time.monotonic() > end:
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_RD)

    def pre_fork(arbiter: Any, worker: Any) -> None:
        worker.place = min(set(range(workers)) - {other.place for other in arbiter.WORKERS.values()})
        requests[worker.place] = 0
        worker.arbiter = arbiter

    class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
        def load_config(self) -> None:
            # Locally it is a process without a network of its own.
            host = "127.0.0.1" if os.environ.get("STEPGLUON_ROOT") else "0.0.0.0"
            settings = {
                "bind": f"{host}:{port}",
                "workers": workers,
                "worker_class": Worker,
                "threads": THREADS,
                "keepalive": 0,  # so that each request goes to a worker that is idle
                "pre_fork": pre_fork,
                "timeout": max(seconds, 60),
                "graceful_timeout": GRACE_SECONDS,
                "loglevel": "warning",
                "control_socket_disable": True,
            }
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return application

    Server().run()


if __name__ == "__main__":
    sys.exit(main())
