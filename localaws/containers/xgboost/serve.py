"""The command `serve` of sagemaker-xgboost: answers HTTP on the port SAGEMAKER_BIND_TO_PORT.

Reads  model/xgboost-model, which must be in XGBoost's own format: a pickle is not loaded, because loading executes it
"""

from __future__ import annotations

import csv
import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import xgboost

from localaws.containers.xgboost.data import check_content_type, columns, matrix
from localaws.containers.xgboost.errors import UserError
from localaws.containers.xgboost.train import log

ACCEPTED = ["application/json", "application/jsonlines", "application/x-recordio-protobuf", "text/csv"]
MOST_BYTES = int(os.environ.get("MAX_CONTENT_LENGTH", "6291456"))


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def loaded(folder: Path) -> Any:
    """The booster in the folder; raises UserError."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    if not files:
        raise UserError("Unable to load model: /opt/ml/model is empty")
    if len(files) > 1:  # the container averages the answers of all files in the folder
        names = ", ".join(file.name for file in files)
        raise UserError(f"ensembles are not available locally; the archive must hold xgboost-model alone, not {names}.")
    log(f"Loading the model from /opt/ml/model/{files[0].name}")
    booster, content = xgboost.Booster(), files[0].read_bytes()
    try:
        booster.load_model(bytearray(content))
    except xgboost.core.XGBoostError as problem:
        reason = "pickles are not loaded locally" if content.startswith(b"\x80") else str(problem).splitlines()[0]
        raise UserError(f"Model /opt/ml/model/{files[0].name} cannot be loaded: {reason}") from None
    booster.set_param("nthread", "1")  # as in the container: one thread for each request
    return booster


def predicted(booster: Any, body: bytes, content_type: str | None) -> list[Any]:
    try:
        check_content_type(content_type)
        text = body.strip()
        line = text[: text.find(b"\n") if b"\n" in text else None].decode()
        rows = matrix(columns(pyarrow.BufferReader(text), line))
    except UserError as problem:
        raise Refused(415, str(problem)) from None
    except (csv.Error, UnicodeDecodeError, pyarrow.ArrowInvalid) as problem:
        words = "Loading csv data failed with Exception, please ensure data is in csv format:"
        raise Refused(415, f"{words}\n {type(problem)}\n {problem}") from None
    try:
        answers: list[Any] = booster.predict(xgboost.DMatrix(rows, nthread=1), validate_features=False).tolist()
    except (xgboost.core.XGBoostError, ValueError) as problem:
        raise Refused(400, f"Unable to evaluate payload provided: {problem}") from None
    return answers


def encoded(answers: list[Any], accept: str) -> tuple[str, str]:
    """The content type and the text of the response."""
    kind = accept.partition(";")[0].strip().lower()
    if kind in ("", "*/*"):
        kind = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    if kind not in ACCEPTED:
        raise Refused(406, f"Accept type {kind} is not supported. Please use supported accept types: {ACCEPTED}.")
    if os.environ.get("SAGEMAKER_BATCH"):
        return kind, "\n".join(map(str, answers)) + "\n"
    if kind == "application/json":
        return kind, json.dumps({"predictions": [{"score": answer} for answer in answers]})
    if kind != "text/csv":
        raise Refused(406, f"Accept type {kind} is not available locally; use text/csv or application/json.")
    rows = (",".join(map(str, answer)) if isinstance(answer, list) else str(answer) for answer in answers)
    return kind, "\n".join(rows) + "\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    booster: Any

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._answer(200, "text/html; charset=utf-8", "")
        elif self.path == "/execution-parameters":
            most = {"MaxConcurrentTransforms": int(os.environ.get("STEPGLUON_CORES", "1"))}
            more = {"BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": MOST_BYTES // 1024**2}
            self._answer(200, "application/json", json.dumps(most | more))
        else:
            self._answer(404, "text/html; charset=utf-8", "Not Found")

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if size > MOST_BYTES:
            self.close_connection = True
            return self._answer(413, "text/html; charset=utf-8", "Request Entity Too Large")
        body = self.rfile.read(size)
        if self.path != "/invocations":
            return self._answer(404, "text/html; charset=utf-8", "Not Found")
        if not body:
            return self._answer(204, "text/html; charset=utf-8", "")
        try:
            answers = predicted(self.booster, body, self.headers.get("Content-Type"))
            self._answer(200, *encoded(answers, self.headers.get("Accept", "")))
        except Refused as problem:
            log(str(problem), "ERROR")
            self._answer(problem.status, "text/html; charset=utf-8", str(problem))

    def _answer(self, status: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:
        """Requests are not logged: one line each for a million rows."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if "SAGEMAKER_INFERENCE_OUTPUT" in os.environ:
        log("SAGEMAKER_INFERENCE_OUTPUT (selectable inference) is not available locally; leave it out.", "ERROR")
        return 1
    try:
        Handler.booster = loaded(Path(os.environ["STEPGLUON_ROOT"]) / "model")
    except UserError as problem:
        log(str(problem), "ERROR")
        return 1
    with Server(("127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), Handler) as server:
        log("Model loaded successfully for worker : 1")
        server.serve_forever()
    return 0
