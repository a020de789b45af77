"""A trained model is logged to MLflow, and no tracker makes a training fail."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tracking

PLACES = {"mlflow-artifacts:/7/abc/artifacts": True, "s3://bucket/7/abc/artifacts": False}


class Server(ThreadingHTTPServer):
    """Answers like MLflow 3: the parts that are called."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, Any]] = []
        self.place, self.refuses = "mlflow-artifacts:/7/abc/artifacts", ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix("/api/2.0/")
        self.server.asked.append((path, body if self.command == "PUT" else json.loads(body or "{}")))
        known = {
            "mlflow/experiments/get-by-name?experiment_name=a%20b": {"experiment": {"experiment_id": "7"}},
            "mlflow/runs/create": {"run": {"info": {"run_id": "abc", "artifact_uri": self.server.place}}},
        }
        exists = path == "mlflow/experiments/create"
        self.send_response(400 if exists or path == self.server.refuses else 200)
        self.end_headers()
        self.wfile.write(json.dumps(known.get(path, {})).encode())

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *words: Any) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tracked(address: str, folder: Path) -> None:
    (folder / "leader board.csv").write_text("model\n")
    metrics = {"model": "adelie", "mae": 12.5, "r2": None, "rmse": math.inf, "rows_train": 40}
    tracking.track(address, "a b", {"model": "adelie", "label": "y" * 600}, metrics, [folder / "leader board.csv"])


@pytest.mark.parametrize("place", PLACES)
def test_settings_errors_and_files_are_logged(
    server: Server, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.place = place
    monkeypatch.setenv("TRAINING_JOB_NAME", "penguins-train-adelie-1")
    tracked(server.address, tmp_path)
    asked = dict(server.asked)
    assert asked["mlflow/experiments/create"] == {"name": "a b"}
    assert asked["mlflow/runs/create"]["experiment_id"] == "7"
    assert asked["mlflow/runs/create"]["run_name"] == "penguins-train-adelie-1"
    batch = asked["mlflow/runs/log-batch"]
    assert [(one["key"], len(one["value"])) for one in batch["params"]] == [("model", 6), ("label", 500)]
    assert {one["key"]: one["value"] for one in batch["metrics"]} == {"mae": 12.5, "rows_train": 40}
    assert asked["mlflow/runs/update"]["status"] == "FINISHED"
    file = "mlflow-artifacts/artifacts/7/abc/artifacts/leader%20board.csv"
    assert (asked.get(file) == b"model\n") is PLACES[place]


@pytest.mark.parametrize("what", ["mlflow/runs/create", "mlflow/runs/log-batch", "closed", "no web server"])
def test_a_tracker_that_fails_is_a_line_in_the_log(
    server: Server, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuses = what
    address = {"closed": "http://127.0.0.1:1", "no web server": "http://nowhere.invalid"}.get(what, server.address)
    with caplog.at_level(logging.INFO, "stepgluon"):
        tracked(address, tmp_path)
    (line,) = caplog.messages
    assert line.startswith("not logged to MLflow: ")
