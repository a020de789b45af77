"""The HTTP application of a model: /ping, /invocations and /execution-parameters, as SageMaker calls them.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import job_io
import pyarrow as pa
import pyarrow.csv
from job_io import JobError, log, shown
from predict import Predictor, predicted
from request_rows import CSV, JSON, JSON_LINES, Refused, media_type, rows_of

WRITABLE = (CSV, JSON, JSON_LINES)
FEW = 100  # numbers that Python writes faster than Arrow, which needs 40 µs to begin and then a sixth of the time
_DISCARDED = 100 * 1024 * 1024  # of a body that is too long: a client that is still sending does not read the answer
_PIECE = 64 * 1024
TEXT = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    408: "Request Timeout", 409: "Conflict", 413: "Content Too Large", 415: "Unsupported Media Type",
    500: "Internal Server Error", 503: "Service Unavailable", 507: "Insufficient Storage",
}  # fmt: skip

Answer = tuple[int, str, bytes]
"""Status, content type and body."""


class Http(ABC):
    """The WSGI application of a server; `respond` gives the answer to a request."""

    most: int  # bytes of a body
    body_is_read: Callable[[Any], object]  # gets the socket: from then on the client is not slow

    @abstractmethod
    def respond(self, environ: dict[str, Any]) -> Answer: ...

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, kind, body = answer_of(lambda: self.respond(environ))
        if status >= 400:
            log.info("%s %s: %s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], status, body.decode().strip())
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start_response(f"{status} {_REASONS[status]}", headers)
        return [body]

    def body(self, environ: dict[str, Any]) -> bytes:
        """The body, of which no more than allowed is kept, whatever its header says."""
        source, body, size = environ["wsgi.input"], bytearray(), 0
        while size <= self.most + _DISCARDED and (piece := source.read(_PIECE)):
            size += len(piece)
            if size <= self.most:
                body += piece
        self.body_is_read(environ.get("gunicorn.socket"))
        if size > self.most:
            raise Refused(413, f"The body is larger than {self.most / 2**20:g} MB; send the rows in several requests.")
        if size < int(environ.get("CONTENT_LENGTH") or 0):
            raise Refused(408, "The body ended early, or did not arrive in time.")
        return bytes(body)


def answer_of(respond: Callable[[], Answer]) -> Answer:
    """The answer, or why there is none."""
    try:
        return respond()
    except Refused as problem:
        return problem.status, TEXT, f"{problem}\n".encode()
    except JobError as problem:  # the rows do not have the model's columns
        return 400, TEXT, f"{problem}\n".encode()
    except Exception as problem:  # a bug or a lack of memory fails this request only
        return 500, TEXT, f"{job_io.sentence_of(problem)}\n".encode()


@dataclass
class Application(Http):
    """One model's server; its threads read bodies at the same time, and predict one after the other."""

    predictor: Predictor
    model: str
    features: dict[str, str]
    schema: pa.Schema  # of the answers
    most: int
    accept: str  # for requests that accept anything
    parameters: dict[str, Any]  # for /execution-parameters
    body_is_read: Callable[[Any], object]
    predicting: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, environ: dict[str, Any]) -> Answer:
        path = environ["PATH_INFO"]
        method = {"/ping": "GET", "/execution-parameters": "GET", "/invocations": "POST"}.get(path)
        if method is None:
            raise Refused(
                404, f"{shown(path)} does not exist; there are /ping, /invocations and /execution-parameters."
            )
        if environ["REQUEST_METHOD"] != method:
            raise Refused(405, f"{path} needs {method}.")
        if path == "/ping":
            return 200, TEXT, b""
        if path == "/execution-parameters":
            return 200, JSON, json.dumps(self.parameters).encode()
        body = self.body(environ)
        return self.invoked(body, environ.get("CONTENT_TYPE", ""), environ.get("HTTP_ACCEPT", ""))

    def invoked(self, body: bytes, content_type: str, accept: str) -> Answer:
        """The predictions for the rows in a body."""
        kind, header = accepted(accept, self.accept)
        with self.predicting:
            return 200, kind, self._predict(body, content_type, kind, header)

    def _predict(self, body: bytes, content_type: str, kind: str, header: bool) -> bytes:
        found, rows = [], 0
        for batch in rows_of(body, content_type, self.features, self.model):
            if batch.num_rows:
                answers = self.predictor.answers(self.predictor.inputs(batch))
                numbers = range(rows, rows + batch.num_rows)
                try:
                    found.append(predicted(numbers, answers, "the request", self.model, self.schema))
                except JobError as problem:  # not the client's
                    raise Refused(500, str(problem)) from None
                rows += batch.num_rows
        return encoded(found, self.schema, kind, header)


def accepted(accept: str, default: str) -> tuple[str, bool]:
    """The first type in Accept that can be written, and whether a CSV gets a header."""
    for each in (accept or "*/*").split(","):
        kind, parameters = media_type(each)
        if kind in ("*/*", "text/*" if default == CSV else "application/*"):
            return default, False
        if kind in WRITABLE:
            return kind, parameters.get("header") == "present"
    raise Refused(406, f"The type {shown(accept)} cannot be written; accept {', '.join(WRITABLE)}.")


def encoded(answers: list[pa.RecordBatch], schema: pa.Schema, kind: str, header: bool) -> bytes:
    if kind == JSON:
        rows = [row for batch in answers for row in batch.to_pylist()]
        return json.dumps({"predictions": rows}, ensure_ascii=False).encode() + b"\n"
    if kind == JSON_LINES:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for batch in answers for row in batch.to_pylist())
        return "".join(lines).encode()
    if len(schema) == 1 and not header and sum(batch.num_rows for batch in answers) <= FEW:
        return "".join(f"{number!r}\n" for batch in answers for number in batch.column(0).to_pylist()).encode()
    sink = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed", batch_size=8192)
    with pyarrow.csv.CSVWriter(sink, schema, write_options=options) as writer:
        for batch in answers:
            writer.write_batch(batch)
    return bytes(sink.getvalue())
