"""How fast a local endpoint answers, against the same predictor behind plain gunicorn, and an update under load.

    python benchmarks/endpoint.py MODEL_FOLDER [--rows 1 100] [--requests 1000] [--turns 3] [--update 10000]

MODEL_FOLDER is what train or score wrote. The plain server is that of benchmarks/serve.py. Both have a worker for each
core and 4 clients; those of the endpoint keep their connections, as AWS's SDKs do; those of the plain server cannot.
The sides run in turns; the figures are the best of the turns. The update replaces the endpoint's configuration by
another one of the same model, all at once, while the clients ask: each answer must be the right one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serve import APPLICATION, CODE, PLAIN, Server, lines

CLIENTS = 4
HEADERS = {"Content-Type": "text/csv; header=absent"}
ROLE = "arn:aws:iam::123456789012:role/job"
LOCAL_AWS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from localaws.server.aws import LocalAws, Settings
with LocalAws(Settings(Path({work!r}), "123456789012", "us-east-1", code=Path({code!r}))) as aws:
    iam, s3, api = aws.client("iam"), aws.client("s3"), aws.client("sagemaker")
    iam.create_role(RoleName="job", AssumeRolePolicyDocument="{{}}")
    right = '{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "*", "Resource": "*"}}]}}'
    iam.put_role_policy(RoleName="job", PolicyName="all", PolicyDocument=right)
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="model.tar.gz", Body=Path({archive!r}).read_bytes())
    container = {{"Image": "my-{program}:1", "ModelDataUrl": "s3://data/model.tar.gz"}}
    api.create_model(ModelName="m", ExecutionRoleArn={role!r}, PrimaryContainer=container)
    variant = {{"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}}
    for name in ("one", "two"):
        api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    api.create_endpoint(EndpointName="e", EndpointConfigName="one")
    print(aws.port, flush=True)
    for line in sys.stdin:
        api.update_endpoint(EndpointName="e", EndpointConfigName="two")
"""


class Plain(Server):
    path = "/invocations"
    kept = False


class Endpoint:
    path, kept = "/endpoints/e/invocations", True

    def __init__(self, folder: Path, program: str, work: Path) -> None:
        archive = work / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, arcname=".", filter=lambda entry: entry if entry.isdir() or entry.isreg() else None)
        given = {"root": str(CODE.parent), "code": str(CODE), "archive": str(archive), "program": program, "role": ROLE}
        self._work, self._given = work, given

    def __enter__(self) -> Endpoint:
        text = LOCAL_AWS.format(work=str(self._work / f"aws-{time.time_ns()}"), **self._given)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *problem: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def update(self) -> None:
        assert self.process.stdin is not None
        print("update", file=self.process.stdin, flush=True)


class Client:
    def __init__(self, server: Plain | Endpoint) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def ask(self, body: bytes) -> tuple[int, bytes, float]:
        began = time.perf_counter()
        self._connection.request("POST", self._server.path, body, HEADERS)
        response = self._connection.getresponse()
        content = response.read()
        if not self._server.kept:
            self._connection.close()
        return response.status, content, time.perf_counter() - began


def asked(server: Plain | Endpoint, body: bytes, count: int) -> tuple[float, float, list[bytes]]:
    """Requests a second, the 99th percentile of their seconds, and the answers."""

    def client(number: int) -> list[tuple[int, bytes, float]]:
        one = Client(server)
        return [one.ask(body) for _ in range(count // CLIENTS)]

    with ThreadPoolExecutor(CLIENTS) as clients:
        began = time.monotonic()
        found = [answer for part in clients.map(client, range(CLIENTS)) for answer in part]
        seconds = time.monotonic() - began
    if wrong := [answer for answer in found if answer[0] != 200]:
        raise SystemExit(f"{len(wrong)} of {len(found)} requests failed: {wrong[0]}")
    times = sorted(took for _, _, took in found)
    return len(found) / seconds, times[len(times) * 99 // 100], [content for _, content, _ in found]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measures a local endpoint against the same predictor behind gunicorn."
    )
    parser.add_argument("folder", type=Path, help="a model's folder, as train or score wrote it")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100], help="of a request")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--update", type=int, default=10_000, help="requests during an update; 0: no update")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    program = manifest.get("program", "autogluon")
    cores = str(len(os.sched_getaffinity(0)))
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        plain = textwrap.dedent(PLAIN[program])
        Path(name, "plain.py").write_text(f"FOLDER, CODE = {str(folder)!r}, {str(CODE)!r}\n{plain}{APPLICATION}")
        gunicorn = [sys.executable, "-m", "gunicorn", "--chdir", name, "--bind", "127.0.0.1:PORT", "--workers", cores]
        one_core = {"STEPGLUON_CORES": "1", "OMP_NUM_THREADS": "1"}
        sides = {
            "plain": Plain([*gunicorn, "plain:application"], one_core),
            "endpoint": Endpoint(folder, program, Path(name)),
        }
        for _ in range(chosen.turns):
            for side, server in sides.items():
                with server:
                    for rows in chosen.rows:
                        body = lines(manifest["features"], rows)
                        wait_for(server, body)
                        asked(server, body, CLIENTS * 10)
                        found.setdefault((side, rows), []).append(asked(server, body, chosen.requests)[:2])
        print(f"{cores} workers, {CLIENTS} clients (budget: throughput 0.8, p99 1.3)")
        for rows in chosen.rows:
            rates = [max(rate for rate, _ in found[side, rows]) for side in sides]
            slowest = [min(slow for _, slow in found[side, rows]) * 1000 for side in sides]
            print(
                f"  {rows:6} rows: plain {rates[0]:7.1f} requests/s, endpoint {rates[1]:7.1f}, "
                f"ratio {rates[1] / rates[0]:.2f}"
            )
            print(
                f"               p99 {slowest[0]:7.1f} ms, endpoint {slowest[1]:7.1f} ms: {slowest[1] / slowest[0]:.2f}"
            )
        if chosen.update:
            update(sides["endpoint"], lines(manifest["features"], 1), chosen.update)


def wait_for(server: Plain | Endpoint, body: bytes) -> bytes:
    while (answer := Client(server).ask(body))[0] != 200:
        time.sleep(0.1)
    return answer[1]


def update(server: Plain | Endpoint, body: bytes, count: int) -> None:
    assert isinstance(server, Endpoint)
    with server:
        right = wait_for(server, body)
        threading.Timer(1.0, server.update).start()
        rate, _, answers = asked(server, body, count)
        print(f"  update under load: {answers.count(right):,} of {len(answers):,} answers are right ({rate:.0f}/s)")


if __name__ == "__main__":
    main()
