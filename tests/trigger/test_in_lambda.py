"""The zip as Lambda runs it: awslambdaric, AWS's own runtime client, asks a Runtime API that this test serves."""

from __future__ import annotations

import http.server
import json
import queue
import random
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from trigger.lambda_events import BUCKET, REGION, event, record, zipped

pytest.importorskip("awslambdaric")
MACHINE = f"arn:aws:states:{REGION}:123456789012:stateMachine:penguins"
KEYS = {"region_name": REGION, "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


class RuntimeApi(http.server.ThreadingHTTPServer):
    """Gives out events one by one and keeps the answers, as the Runtime API of Lambda does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RuntimeRequest)
        self.events: queue.Queue[Any] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()

    def ask(self, told: Any) -> tuple[str, Any]:
        self.events.put(told)
        return self.answers.get(timeout=300)


class RuntimeRequest(http.server.BaseHTTPRequestHandler):
    server: RuntimeApi

    def do_GET(self) -> None:
        told = self.server.events.get()
        if told is None:
            return
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", "4102444800000")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", f"arn:aws:lambda:{REGION}:123456789012:function:x")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.put((self.path.rpartition("/")[2], json.loads(body)))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """A test's output is for its failures."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    moto_api_backend.reset()


@pytest.fixture(scope="module")
def step_functions(endpoint: str) -> Any:
    boto3.client("s3", endpoint_url=endpoint, **KEYS).create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    client = boto3.client("stepfunctions", endpoint_url=endpoint, **KEYS)
    states = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    client.create_state_machine(
        name="penguins", definition=json.dumps(states), roleArn="arn:aws:iam::123456789012:role/x"
    )
    return client


@contextmanager
def runtime(endpoint: str, folder: Path) -> Iterator[RuntimeApi]:
    """One of Lambda's environments for the function: a process that has one event at a time."""
    zipfile.ZipFile(BytesIO(zipped())).extractall(folder)
    api = RuntimeApi()
    threading.Thread(target=api.serve_forever, daemon=True).start()
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "start_pipeline.handler"],
        cwd=folder,
        env={
            "PYTHONPATH": ":".join([str(folder), *sys.path[1:]]),
            "LAMBDA_TASK_ROOT": str(folder),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "RAW_BUCKET": BUCKET,
            "STATE_MACHINE_ARN": MACHINE,
            "HOME": str(folder),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield api
    finally:
        process.kill()
        process.wait()
        api.events.put(None)
        api.shutdown()
        api.server_close()


@pytest.fixture(scope="module")
def lambda_(endpoint: str, step_functions: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeApi]:
    with runtime(endpoint, tmp_path_factory.mktemp("task")) as api:
        yield api


def started(step_functions: Any) -> set[str]:
    return {e["name"] for e in step_functions.list_executions(stateMachineArn=MACHINE)["executions"]}


def test_the_zip_answers_events_one_after_the_other_in_lambda_s_own_runtime(
    lambda_: RuntimeApi, step_functions: Any, endpoint: str
) -> None:
    answer = {"started": 1, "ignored": 0}
    assert lambda_.ask(event(record("june/go.run"))) == ("response", answer)
    assert lambda_.ask(event(record("june/go.run"))) == ("response", answer)
    assert len(started(step_functions)) == 1

    kind, failure = lambda_.ask(event(record("bad/go.run", size=99999), record("july/go.run")))
    assert kind == "error" and failure["errorType"] == "Refused"
    assert failure["errorMessage"] == "1 of 2 records failed; each has a line in the log."
    assert len(started(step_functions)) == 2

    content = b"note: by the runtime's own hands"
    tag = boto3.client("s3", endpoint_url=endpoint, **KEYS).put_object(Bucket=BUCKET, Key="a/go.run", Body=content)[
        "ETag"
    ]
    assert lambda_.ask(event(record("a/go.run", size=len(content), eTag=tag.strip('"')))) == ("response", answer)
    assert lambda_.ask({"Event": "s3:TestEvent"}) == ("response", {"started": 0, "ignored": 1})
    assert lambda_.ask([])[0] == "error"
    assert len(started(step_functions)) == 3


def test_two_environments_get_every_event_three_times_in_any_order_and_each_upload_starts_once(
    lambda_: RuntimeApi, step_functions: Any, endpoint: str, tmp_path: Path
) -> None:
    before = started(step_functions)
    uploads = [event(record(f"many/{n}/go.run", sequencer=f"{n:016X}")) for n in range(8)]
    malformed = [event({"s3": 7}), {}, event(record("many/go.run", key="%ff.run"))]
    told = (uploads + malformed) * 3
    random.Random(7).shuffle(told)
    with runtime(endpoint, tmp_path) as another, ThreadPoolExecutor(2) as both:
        halves = [both.submit(lambda api, part: [api.ask(one) for one in part], *pair) for pair in (
            (lambda_, told[::2]),
            (another, told[1::2]),
        )]  # fmt: skip
        answers = [kind for half in halves for kind, _ in half.result()]
    assert answers.count("response") == 24 and answers.count("error") == 9
    assert len(started(step_functions) - before) == 8
