"""Serve: answers HTTP requests with a model's predictions, as SageMaker's endpoints and transform jobs need it.

Reads   model/   a folder written by train or score; in a multi-model endpoint the folders that SageMaker names
        environment variables
            SAGEMAKER_BIND_TO_PORT                8080
            SAGEMAKER_MODEL_SERVER_WORKERS        processes; one for each core
            SAGEMAKER_MODEL_SERVER_TIMEOUT        seconds for a request to arrive; 60
            SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT  text/csv
            SAGEMAKER_BATCH                       true in a transform job, whose requests may have 100 MB, not 6
            MAX_CONTENT_LENGTH                    bytes of a request, if neither fits
            STEPGLUON_MANIFEST                    the sha256 of the model's manifest.json; not checked without it
            SAGEMAKER_MULTI_MODEL                 true in a multi-model endpoint: see shared_models.py
            STEPGLUON_PROGRAM                     what trained its models, like autogluon: imported before the fork
            STEPGLUON_MODELS_MB                   memory for its models; 80 % of the container's

One model is loaded before the server listens, and all workers share its memory. So if it cannot be loaded, /ping
never answers, and the process ends with the reason.
"""

from __future__ import annotations

import gc
import importlib
import logging
import mmap
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import job_io
import job_model
from job_io import JobError, log, shown

MEGABYTE = 1024 * 1024
THREADS = 16  # of a worker: they read bodies and answer /ping while one of them predicts
GRACE_SECONDS = 25  # to finish requests after SIGTERM; SageMaker sends SIGKILL after 30
# A busier worker waits this long before it accepts a connection, so that a less busy one can take it. Longer than the
# 5 ms after which Python hands over its lock.
BUSY_SECONDS = 0.006
KEPT_SECONDS = 5  # for which a local connection is kept
NEXT_SECONDS = 0.05  # for which a thread waits for a connection's next request: cheaper than passing it on
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
    what = f"model {application.model}" if application.model else "many models"
    log.info("%s: serving on port %s with %s", what, port, job_io.counted(workers, "worker"))
    serve(application, port, workers, seconds)
    return 0


def loaded(workers: int) -> Any:
    """The application with its model."""
    from model_folder import METRICS, verified
    from predict import load, schema_of  # numpy, which it imports, reads the number of threads once
    from programs import PROGRAMS, library_of

    accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or TYPES[0]
    if accept not in TYPES:
        raise JobError(
            f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {shown(accept)}; it must be one of {', '.join(TYPES)}."
        )
    megabytes = 100 if os.environ.get("SAGEMAKER_BATCH") else 6  # [sm] MaxPayloadInMB, and InvokeEndpoint's body
    most = number("MAX_CONTENT_LENGTH", megabytes * MEGABYTE)
    # [sm] the product is at most 100 MB
    parameters = {
        "MaxConcurrentTransforms": min(workers, 100),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": max(1, min(6, 100 // workers)),
    }

    def application(folder: Path, expected: str = "") -> Any:
        model = str(job_io.read_json(folder / METRICS)["model"])
        manifest = verified(folder, model, expected)
        predictor, schema = load(folder, model, manifest, in_memory=True), schema_of(manifest.get("classes", []))
        from invocations import Application  # after the library: XGBoost's keeps out pandas, which this would import

        return Application(predictor, model, manifest["features"], schema, most, accept, parameters, body_is_read)

    if os.environ.get("SAGEMAKER_MULTI_MODEL", "").lower() != "true":
        return application(job_io.root() / "model", job_model.prediction_manifest())
    if program := os.environ.get("STEPGLUON_PROGRAM", ""):
        if program not in PROGRAMS or PROGRAMS[program].answers:
            raise JobError(f"The environment variable STEPGLUON_PROGRAM is {shown(program)}, which serves no model.")
        library_of(program)  # XGBoost's keeps other libraries out
        importlib.import_module(PROGRAMS[program].library)
    from shared_models import SharedModels, available_bytes

    memory = number("STEPGLUON_MODELS_MB", available_bytes() * 8 // 10 // MEGABYTE) * MEGABYTE
    return SharedModels(application, workers, memory, most, body_is_read)


def body_is_read(client: Any) -> None:
    _arriving.pop(client, None)


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
            kept = self._handle_one(conn)
            while kept is True and self.alive and select.select([conn.sock], [], [], NEXT_SECONDS)[0]:
                kept = self._handle_one(conn)
            return kept

        def _handle_one(self, conn: Any) -> Any:
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

    def post_fork(_: Any, worker: Any) -> None:
        application.begin(worker.place)

    def worker_exit(_: Any, worker: Any) -> None:
        """Answer what other workers pass on, until all have finished their requests."""
        requests[worker.place], end = 0, time.monotonic() + GRACE_SECONDS
        while any(requests[:]) and time.monotonic() < end:
            time.sleep(BUSY_SECONDS)

    shared = {"post_fork": post_fork, "worker_exit": worker_exit} if hasattr(application, "begin") else {}

    class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
        def load_config(self) -> None:
            # Locally it is a process without a network of its own.
            local = bool(os.environ.get("STEPGLUON_ROOT"))
            host = "127.0.0.1" if local else "0.0.0.0"
            settings = {
                "bind": f"{host}:{port}",
                "workers": workers,
                "worker_class": Worker,
                "threads": THREADS,
                # Not kept, so that each request goes to an idle worker. The local AWS spreads its connections itself.
                "keepalive": KEPT_SECONDS if local else 0,
                "pre_fork": pre_fork,
                "timeout": max(seconds, 60),
                "graceful_timeout": GRACE_SECONDS,
                "loglevel": "warning",
                "control_socket_disable": True,
                **shared,
            }
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return application

    Server().run()


if __name__ == "__main__":
    sys.exit(main())
