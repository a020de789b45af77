"""serve.py as a process: the numbers of predict.py over HTTP, and what may go wrong while it runs."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from job_sandbox import CODE, MINUTES, Sandbox, points
from serve_process import EARLY, Response, Served, until
from xgboost_archives import packed, prepared, saved, scored, trained

TABLE = "a,t,day,y\n" + "".join(
    f"{n % 37},{'often' if n % 3 else 'rare'},2026-03-{1 + n % 28:02},{n % 37 * 2 + n % 3}\n" for n in range(300)
)
ROW = b"1.5,often,2026-03-04\n"


@pytest.fixture(scope="module")
def xgboost_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is /opt/ml of a server: its model was written by score."""
    with pytest.MonkeyPatch.context() as patch:
        box = Sandbox(tmp_path_factory.mktemp("scored") / "ml")
        patch.setenv("STEPGLUON_ROOT", str(box.root))
        folder = Path(shutil.copytree(prepared(box, TABLE), box.root / "prepared"))
        outcome = scored(box, folder, packed({"xgboost-model": saved(trained(folder))}))
        assert outcome.code == 0, outcome.log
        shutil.copytree(box.out, box.root / "model")
    return box.root


@pytest.fixture(scope="module")
def server(xgboost_root: Path) -> Iterator[Served]:
    with Served(xgboost_root) as running:
        yield running


def rows_of_xgboost() -> pa.Table:
    days = pa.array([20_500 + n % 40 if n % 7 else None for n in range(2000)], pa.int32()).cast(pa.date32())
    texts = [("often", "rare", "never seen", None)[n % 4] for n in range(2000)]
    return pa.table({"t": texts, "a": [n / 7 if n % 5 else None for n in range(2000)], "day": days, "new": texts})


def forms(rows: pa.Table, features: list[str]) -> Iterator[tuple[str, bytes]]:
    """The same rows in each format."""
    for kind, table in (("text/csv", rows), ("text/csv; header=absent", rows.select(features))):
        sink = io.BytesIO()
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(include_header=table is rows))
        yield kind, sink.getvalue()
    objects = json.loads(json.dumps(rows.to_pylist(), default=str))
    yield "application/json", json.dumps(objects).encode()
    yield "application/json", json.dumps({"instances": [[row[name] for name in features] for row in objects]}).encode()
    yield "application/jsonlines", "\n".join(map(json.dumps, objects)).encode()
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    yield "application/x-parquet", sink.getvalue()


def predicted(box: Sandbox, model: Path, rows: pa.Table) -> Any:
    """What predict.py predicts for the rows."""
    box.put_folder(model, "processing/input/model")
    box.put_parquet("processing/input/rows/part-00000.parquet", rows)
    outcome = box.run("predict.py", STEPGLUON_MODEL="all")
    assert outcome.code == 0, outcome.log
    return box.table(".")["prediction"].to_numpy()


def test_a_model_of_xgboost_answers_each_format_with_the_numbers_of_predict(
    sandbox: Sandbox, xgboost_root: Path, server: Served
) -> None:
    rows = rows_of_xgboost()
    expected = predicted(sandbox, xgboost_root / "model", rows)
    for kind, body in forms(rows, ["a", "t", "day"]):
        status, answer = server.invoke(body, kind)
        assert status == 200, (kind, answer)
        assert [float(line) for line in answer.split()] == expected.tolist(), kind


def test_a_model_of_autogluon_answers_each_format_with_the_numbers_of_predict(
    sandbox: Sandbox, trained: Path, tmp_path: Path
) -> None:
    rows = pa.table({name: values for name, values in points(300, 500).items() if name != "y"})
    expected = predicted(sandbox, trained, rows)
    shutil.copytree(trained, tmp_path / "model")
    with Served(tmp_path) as running:
        for kind, body in forms(rows, ["a", "b"]):
            status, answer = running.invoke(body, kind)
            assert status == 200, (kind, answer)
            assert np.allclose([float(line) for line in answer.split()], expected, rtol=1e-12), kind


def test_xgboost_answers_one_row_or_many_without_pandas(xgboost_root: Path) -> None:
    """Importing pandas takes longer than loading the model."""
    look = (
        f"import sys; sys.path.insert(0, {str(CODE)!r})\n"
        "import serve; application = serve.loaded(1)\n"
        "def answers(rows):\n"
        f"    status, _, said = application.invoked({ROW!r} * rows, 'text/csv', 'text/csv')\n"
        "    assert status == 200, said\n"
        "    return [float(line) for line in said.split()]\n"
        "assert answers(1000) == answers(1) * 1000\n"
        "assert not sys.modules.get('pandas'), 'pandas was imported'\n"
    )
    command = [sys.executable, "-c", look]
    done = subprocess.run(
        command, env=os.environ | {"STEPGLUON_ROOT": str(xgboost_root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_hundred_thousand_rows_are_one_request(server: Served) -> None:
    status, answer = server.invoke(ROW * 100_000)
    assert status == 200
    assert len(answer.split()) == 100_000


def test_a_body_that_is_too_long_is_refused_whatever_its_header_says(server: Served) -> None:
    assert server.invoke(ROW * 400_000)[0] == 413
    pieces = [f"{len(ROW * 1000):x}\r\n".encode() + ROW * 1000 + b"\r\n"] * 400
    with socket.create_connection(("127.0.0.1", server.port), MINUTES) as client:
        client.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(pieces)
        )
        client.sendall(b"0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_slow_clients_are_dropped_and_others_are_answered_meanwhile(xgboost_root: Path) -> None:
    with Served(xgboost_root, SAGEMAKER_MODEL_SERVER_TIMEOUT="3", SAGEMAKER_MODEL_SERVER_WORKERS="1") as running:
        begun = [b"POST /invo", b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n1.5,"]
        clients = [socket.create_connection(("127.0.0.1", running.port), MINUTES) for _ in range(10)]
        for client, start in zip(clients, begun * 5, strict=True):
            client.sendall(start)
        assert running.invoke(ROW)[0] == 200
        answers = [client.recv(1000) for client in clients]  # each waits for the end of its connection
        assert {answer[:13] for answer in answers} == {b"", b"HTTP/1.1 408 "}
        for client in clients:
            client.close()


def test_a_connection_is_kept_for_the_next_request(xgboost_root: Path) -> None:
    with Served(xgboost_root) as running, closing(HTTPConnection("127.0.0.1", running.port, timeout=MINUTES)) as client:
        answers = []
        for method, path, body in (("POST", "/invocations", ROW), ("GET", "/missing", None)) * 2:
            client.request(method, path, body, {"Content-Type": "text/csv"})
            response = client.getresponse()
            answers.append((response.status, response.read(), client.sock))
        assert [status for status, _, _ in answers] == [200, 404] * 2
        assert answers[:2] == answers[2:] and client.sock is not None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(MINUTES) == 0


def test_a_killed_worker_comes_back(xgboost_root: Path) -> None:
    with Served(xgboost_root) as running:
        until(lambda: len(running.workers()) == 2)
        before = running.workers()
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len(running.workers() - before) == 2)
        assert running.invoke(ROW)[0] == 200


def test_sigterm_lets_a_running_request_end(xgboost_root: Path, tmp_path: Path) -> None:
    with Served(xgboost_root, held=tmp_path) as running, ThreadPoolExecutor() as pool:
        request = pool.submit(running.invoke, ROW)
        until(lambda: list(tmp_path.iterdir()) and len(running.workers()) == 2)
        running.process.send_signal(signal.SIGTERM)
        until(lambda: len(running.workers()) == 1)  # the other one, which is idle, has ended
        assert not request.done()
        (tmp_path / "go").touch()
        assert request.result() == (200, b"0.0\n")
        assert running.process.wait(MINUTES) == 0


def test_sigterm_reaches_a_worker_that_is_just_starting(xgboost_root: Path, tmp_path: Path) -> None:
    with Served(xgboost_root, tmp_path, EARLY, SAGEMAKER_MODEL_SERVER_WORKERS="1") as running:
        first = int((tmp_path / "first").read_text())
        until(lambda: running.workers() and first not in running.workers())
        assert running.invoke(ROW)[0] == 200


def test_each_worker_predicts_and_ping_is_answered_meanwhile(xgboost_root: Path, tmp_path: Path) -> None:
    with Served(xgboost_root, held=tmp_path) as running, ThreadPoolExecutor(30) as pool:
        requests: list[Future[Response]] = []
        began = time.monotonic()

        def both_predict() -> bool:
            # Ever less often: the first ones may all come before the second worker has started.
            if time.monotonic() > began + 0.01 * 1.5 ** len(requests):
                requests.append(pool.submit(running.invoke, ROW))
            return len(list(tmp_path.iterdir())) == 2

        until(both_predict)
        assert running.ping()
        assert {int(path.name) for path in tmp_path.iterdir()} == running.workers()
        (tmp_path / "go").touch()
        assert {request.result() for request in requests} == {(200, b"0.0\n")}


def ended(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A server that ends by itself: it never listens."""
    given = {**os.environ, "STEPGLUON_ROOT": str(root), "SAGEMAKER_BIND_TO_PORT": "1", **variables}
    return forks.run([sys.executable, str(CODE / "serve.py")], env=given, capture_output=True, text=True)


def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason(xgboost_root: Path, tmp_path: Path) -> None:
    shutil.copytree(xgboost_root / "model", tmp_path / "model")
    with (tmp_path / "model/program/xgboost-model").open("ab") as file:
        file.write(b"1")
    done = ended(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Model all is not loaded: its file 'program/xgboost-model' was changed after training; train the model again.\n"
    )


def test_a_model_without_a_manifest_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/xgboost-model").write_bytes(b"{}")
    done = ended(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("metrics.json is missing in ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_TIMEOUT", "MAX_CONTENT_LENGTH"]
)
def test_a_setting_that_is_not_a_number_ends_the_server_with_the_reason(xgboost_root: Path, name: str) -> None:
    done = ended(xgboost_root, **{name: "many"})
    assert done.returncode == 1
    assert done.stderr == f"The environment variable {name} is 'many'; it must be a number from 1 on.\n"
