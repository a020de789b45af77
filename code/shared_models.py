"""The HTTP application of many models: SageMaker's contract for containers of multi-model endpoints.

    GET    /ping
    GET    /models               the loaded models, in pages
    POST   /models               {"model_name": NAME, "url": FOLDER} loads a model: 409 if it is loaded, 507 if there is
                                 not enough memory, so that SageMaker unloads others and tries again
    GET    /models/NAME          as in the list; 404 if it is not loaded, and so below
    DELETE /models/NAME          unloads it
    POST   /models/NAME/invoke   predictions, as /invocations gives them for one model

Each model is in the memory of one worker, which the hash of its name chooses. Requests for other models are passed
to their workers through Unix sockets, so models of different workers predict at the same time. A folder has a file for
each loaded model: a worker that was killed loads its models again when they are invoked.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import re
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import job_io
from invocations import TEXT, Answer, Application, Http, answer_of
from job_io import JobError, log, shown
from request_rows import JSON, Refused

PAGE = 1000
LONGEST_NAME = 200  # quoted: it is a file's name
RESTART_SECONDS = 30.0  # how long to wait for a worker that is being restarted
_PLACE = re.compile(r"/models/(?P<name>.+?)(?P<invoke>/invoke)?")
_MEGABYTE = 1024 * 1024


class SharedModels(Http):
    model = ""  # there are many

    def __init__(
        self,
        load: Callable[[Path], Application],
        workers: int,
        memory: int,
        most: int,
        body_is_read: Callable[[Any], object],
    ) -> None:
        """`memory` is in bytes, for the models in all workers."""
        self.load, self.workers, self.memory, self.most, self.body_is_read = load, workers, memory, most, body_is_read
        self._folder = Path(tempfile.mkdtemp(prefix="models-"))  # only its owner can enter it
        (self._folder / "loaded").mkdir()
        short = f"/proc/self/fd/{os.open(self._folder, os.O_RDONLY)}"  # a socket's path has at most 107 characters
        self._sockets = short if os.path.isdir(short) else str(self._folder)
        self._used = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")  # by the models of each worker; shared by all
        self._place = 0  # this worker's
        self._before = 0  # its memory without models
        self._models: dict[str, Application] = {}
        self._loading = threading.Lock()
        self._predicting = threading.Lock()  # each worker has one core

    def begin(self, place: int) -> None:
        """Answer for this worker's models from now on; it has just been forked."""
        self._place, self._before, self._used[place] = place, private_bytes(), 0
        (self._folder / str(place)).unlink(missing_ok=True)  # of an earlier worker
        listener = Listener(f"{self._sockets}/{place}", "AF_UNIX", backlog=128)
        threading.Thread(target=self._listen, args=(listener,), name="models", daemon=True).start()

    # HTTP

    def respond(self, environ: dict[str, Any]) -> Answer:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == "/ping" and method == "GET":
            return 200, TEXT, b""
        if path == "/models" and method == "GET":
            return self._list(parse_qs(environ.get("QUERY_STRING", "")).get("next_page_token", [""])[0])
        if path == "/models" and method == "POST":
            name, url = _load_request(self.body(environ))
            return self._passed(name, "load", url)
        found = _PLACE.fullmatch(path)
        if found and found["invoke"] and method == "POST":
            body = self.body(environ)
            return self._passed(
                found["name"], "invoke", body, environ.get("CONTENT_TYPE", ""), environ.get("HTTP_ACCEPT", "")
            )
        if found and not found["invoke"] and method == "GET":
            return _json({"modelName": found["name"], "modelUrl": self._url(found["name"])})
        if found and not found["invoke"] and method == "DELETE":
            return self._passed(found["name"], "unload")
        raise Refused(404, f"{method} {shown(path)} is not supported; code/shared_models.py lists what is.")

    def _list(self, after: str) -> Answer:
        names = sorted(unquote(file.name) for file in (self._folder / "loaded").iterdir())
        page = [name for name in names if name > after][: PAGE + 1]
        models = []
        for name in page[:PAGE]:
            with suppress(Refused):  # unloaded since
                models.append({"modelName": name, "modelUrl": self._url(name)})
        return _json({"models": models} | ({"nextPageToken": page[PAGE - 1]} if len(page) > PAGE else {}))

    def _file(self, name: str) -> Path:
        quoted = quote(name, safe="")
        if len(quoted) > LONGEST_NAME:
            raise Refused(400, f"The model's name {shown(name)} is too long.")
        return self._folder / "loaded" / quoted

    def _url(self, name: str) -> str:
        try:
            return self._file(name).read_text("utf-8")
        except FileNotFoundError:
            raise Refused(404, f"The model {shown(name)} is not loaded.") from None

    # Between workers

    def _passed(self, name: str, *call: Any) -> Answer:
        """The answer of the model's worker."""
        place = zlib.crc32(name.encode()) % self.workers
        if place == self._place:
            return self._called(name, *call)
        end = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                connection = Client(f"{self._sockets}/{place}", "AF_UNIX")
                break
            except (FileNotFoundError, ConnectionRefusedError):  # it is being started again
                if time.monotonic() > end:
                    raise Refused(503, f"The worker of the model {shown(name)} does not start.") from None
                time.sleep(0.02)
        with closing(connection):
            try:
                connection.send((name, *call))
                answer: Answer = connection.recv()
            except (EOFError, OSError):
                raise Refused(503, f"The worker of the model {shown(name)} ended; send the request again.") from None
        return answer

    def _listen(self, listener: Listener) -> None:
        while True:
            with suppress(OSError):  # a client that has ended
                threading.Thread(target=self._serve, args=(listener.accept(),), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with closing(connection), suppress(EOFError, OSError):
            name, *call = connection.recv()
            connection.send(answer_of(lambda: self._called(name, *call)))

    def _called(self, name: str, verb: str, *given: Any) -> Answer:
        calls: dict[str, Callable[..., Answer]]
        calls = {"load": self._load, "unload": self._unload, "invoke": self._invoke}
        return calls[verb](name, *given)

    # The models of this worker

    def _load(self, name: str, url: str) -> Answer:
        with self._loading:
            file = self._file(name)
            if file.exists():
                raise Refused(409, f"The model {shown(name)} is already loaded.")
            self._bring(name, url)
            new = self._folder / f"new-{self._place}"
            new.write_text(url, "utf-8")
            new.rename(file)
        log.info("model %s: loaded from %s", name, url)
        return _json({"modelName": name, "modelUrl": url})

    def _bring(self, name: str, url: str) -> None:
        """Load a model into memory, or raise Refused: 507 if the memory of all models would be exceeded."""
        folder = _local(url)
        if not folder.is_dir():
            raise Refused(500, f"The model {shown(name)} is not loaded: {shown(url)} is not a folder.")
        if sum(self._used) >= self.memory:
            raise self._full(name)
        try:
            model = self.load(folder)
        except MemoryError:
            self._free()
            raise self._full(name) from None
        except JobError as problem:  # not the client's mistake
            raise Refused(500, str(problem)) from None
        model.predicting = self._predicting
        self._measure()
        if sum(self._used) > self.memory:
            del model
            self._free()
            raise self._full(name)
        self._models[name] = model

    def _full(self, name: str) -> Refused:
        used, most = sum(self._used) // _MEGABYTE, self.memory // _MEGABYTE
        return Refused(507, f"Not enough memory for the model {shown(name)}: the loaded ones use {used} of {most} MB.")

    def _unload(self, name: str) -> Answer:
        with self._loading:
            url = self._url(name)
            self._file(name).unlink()
            self._models.pop(name, None)
            self._free()
        return _json({"modelName": name, "modelUrl": url})

    def _invoke(self, name: str, body: bytes, content_type: str, accept: str) -> Answer:
        model = self._models.get(name)
        if model is None:
            with self._loading:
                url = self._url(name)
                if name not in self._models:  # this worker is new
                    self._bring(name, url)
                model = self._models[name]
        return model.invoked(body, content_type, accept)

    def _free(self) -> None:
        """Return free memory to the system."""
        gc.collect()
        with suppress(AttributeError, OSError):  # only glibc has it
            ctypes.CDLL(None).malloc_trim(0)
        self._measure()

    def _measure(self) -> None:
        """Show the other workers how much memory this worker's models use."""
        self._used[self._place] = max(0, private_bytes() - self._before)


def _load_request(body: bytes) -> tuple[str, str]:
    try:
        given = json.loads(body)
        name, url = given["model_name"], given["url"]
    except (ValueError, KeyError, TypeError):
        raise Refused(
            400, 'The body must be like {"model_name": "NAME", "url": "/opt/ml/models/NAME/model"}.'
        ) from None
    if not (isinstance(name, str) and name and isinstance(url, str)):
        raise Refused(400, "model_name and url must be texts.")
    return name, url


def _local(url: str) -> Path:
    """The folder; locally a job's folder replaces /opt/ml."""
    path = Path(url)
    return job_io.root() / path.relative_to("/opt/ml") if path.is_relative_to("/opt/ml") else path


def _json(content: dict[str, Any]) -> Answer:
    return 200, JSON, json.dumps(content).encode()


def private_bytes() -> int:
    """The memory of this process that no other process shares; 0 if the system does not report it."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(size) * 1024 for size in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


def available_bytes() -> int:
    """The memory of this container, or of the computer."""
    found = [2**40]
    with suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))  # "max" is not a number
    with suppress(OSError):
        found += [int(size) * 1024 for size in re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())]
    return min(found)
