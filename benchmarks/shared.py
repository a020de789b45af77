"""A local multi-model endpoint with many models in bounded memory: first and later answers, and the server's memory.

    python benchmarks/shared.py MODEL_FOLDER [--models 500] [--memory 400] [--requests 2000]

MODEL_FOLDER is what train or score wrote; each model is an archive of it with a name of its own. First each model gets
a request, so it is unpacked, verified and loaded, and others are unloaded. Then 4 clients use the models that were
loaded last. Memory is the proportional size of the server's processes, sampled twice a second (on Linux).
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serve import CODE, lines

CLIENTS = 4
LATER = 40  # models that are asked again; they stay in memory
LOCAL_AWS = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from localaws.server.aws import LocalAws, Settings
with LocalAws(Settings(Path({work!r}), "123456789012", "us-east-1", code=Path({code!r}))) as aws:
    iam, s3, api = aws.client("iam"), aws.client("s3"), aws.client("sagemaker")
    role = iam.create_role(RoleName="job", AssumeRolePolicyDocument="{{}}")["Role"]["Arn"]
    right = {{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "*", "Resource": "*"}}]}}
    iam.put_role_policy(RoleName="job", PolicyName="all", PolicyDocument=json.dumps(right))
    s3.create_bucket(Bucket="data")
    body = Path({archive!r}).read_bytes()
    for number in range({models}):
        s3.put_object(Bucket="data", Key=f"many/{{number}}.tar.gz", Body=body)
    container = {{"Image": "my-{program}:1", "Mode": "MultiModel", "ModelDataUrl": "s3://data/many/"}}
    container["Environment"] = {{"STEPGLUON_MODELS_MB": "{memory}"}}
    api.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {{"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}}
    api.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    api.create_endpoint(EndpointName="e", EndpointConfigName="c")
    api.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig={{"Delay": 1}})
    print(aws.port, flush=True)
    sys.stdin.read()
"""


class Client:
    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, number: int, body: bytes) -> tuple[float, bytes]:
        """The seconds, and the answer."""
        headers = {"Content-Type": "text/csv; header=absent"}
        headers["X-Amzn-SageMaker-Target-Model"] = f"{number}.tar.gz"
        began = time.perf_counter()
        self._connection.request("POST", "/endpoints/e/invocations", body, headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise SystemExit(f"Model {number}: {response.status} {content.decode()}")
        return time.perf_counter() - began, content


class Memory:
    """The largest proportional size of the server's processes."""

    def __init__(self, work: Path) -> None:
        self._root, self.most, self._ended = f"STEPGLUON_ROOT={work}".encode(), 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            self.most = max(self.most, sum(map(self._size, Path("/proc").glob("[0-9]*"))))

    def _size(self, process: Path) -> int:
        try:
            if self._root not in (process / "environ").read_bytes():
                return 0
            return int(re.findall(r"^Pss:\s+(\d+) kB", (process / "smaps_rollup").read_text(), re.M)[0]) // 1024
        except (OSError, IndexError):  # it has ended
            return 0


def print_times(what: str, times: list[float]) -> None:
    ordered = sorted(times)
    middle, slow = (1000 * ordered[len(ordered) * part // 100] for part in (50, 99))
    print(f"  {what}: {len(times)} answers, p50 {middle:.1f} ms, p99 {slow:.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures a local multi-model endpoint.")
    parser.add_argument("folder", type=Path, help="a model's folder, as train or score wrote it")
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--memory", type=int, default=400, help="MB for the models")
    parser.add_argument("--requests", type=int, default=2000)
    chosen = parser.parse_args()
    manifest = json.loads((chosen.folder / "manifest.json").read_text())
    body = lines(manifest["features"], 1)
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name, "model.tar.gz")
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(chosen.folder, ".", filter=lambda entry: entry if entry.isdir() or entry.isreg() else None)
        program = manifest.get("program", "autogluon")
        text = LOCAL_AWS.format(
            **{"root": str(CODE.parent), "code": str(CODE), "archive": str(archive), "work": f"{name}/aws"},
            **{"program": program, "models": chosen.models, "memory": chosen.memory},
        )
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, text=True)
        assert process.stdout is not None and process.stdin is not None
        port = int(process.stdout.readline())
        print(f"{chosen.models} models of {program}, {archive.stat().st_size / 1024:.0f} kB each, {CLIENTS} clients")
        with Memory(Path(name)) as memory, ThreadPoolExecutor(CLIENTS) as clients:
            began = time.monotonic()
            parts = [range(first, chosen.models, CLIENTS) for first in range(CLIENTS)]

            def first(part: range) -> list[tuple[float, bytes]]:
                client = Client(port)
                return [client.ask(number, body) for number in part]

            found = [one for part in clients.map(first, parts) for one in part]
            print_times(
                f"first ({chosen.models / (time.monotonic() - began):.1f} models a second)", [one[0] for one in found]
            )

            def later(seed: int) -> list[tuple[float, bytes]]:
                client, chance = Client(port), random.Random(seed)
                recent = range(max(0, chosen.models - LATER), chosen.models)
                return [client.ask(chance.choice(recent), body) for _ in range(chosen.requests // CLIENTS)]

            list(clients.map(lambda seed: later(seed)[:0], range(CLIENTS)))  # all of them are loaded now
            began = time.monotonic()
            again = [one for part in clients.map(later, range(CLIENTS)) for one in part]
            print_times(f"later ({len(again) / (time.monotonic() - began):.0f} a second)", [one[0] for one in again])
        wrong = sum(answer != found[0][1] for _, answer in [*found, *again])
        print(f"  memory of the server: at most {memory.most} MB ({chosen.memory} for models); {wrong} wrong answers")
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
