"""How many requests serve.py answers, and how much memory it takes, against the same predictor behind plain gunicorn.

    python benchmarks/serve.py MODEL_FOLDER [--rows 1 100 10000] [--requests 400] [--turns 3]

MODEL_FOLDER is what train or score wrote. The plain server is a WSGI function of ten lines with gunicorn's own workers.
Both have a worker for each core. The sides run in turns; the figures are the best of the turns. Memory is the
proportional size of all processes, with the model loaded and a request answered in each (on Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CODE = Path(__file__).resolve().parents[1] / "code"
CLIENTS = 8

PLAIN = {
    "autogluon": """
        import io, json
        import pandas as pd
        from autogluon.tabular import TabularPredictor
        predictor = TabularPredictor.load(FOLDER + "/predictor", verbosity=0)
        predictor.persist()
        names = list(json.load(open(FOLDER + "/manifest.json"))["features"])

        def predicted(body):
            return predictor.predict(pd.read_csv(io.BytesIO(body), names=names)).to_numpy()
    """,
    "xgboost": """
        import json, sys
        from pathlib import Path
        sys.path.insert(0, CODE)
        import pyarrow as pa, pyarrow.csv
        from predict import load
        manifest = json.load(open(FOLDER + "/manifest.json"))
        predictor, names = load(Path(FOLDER), "all", manifest), list(manifest["features"])

        def predicted(body):
            rows = pa.csv.read_csv(pa.BufferReader(body), pa.csv.ReadOptions(column_names=names, use_threads=False))
            return predictor.answers(predictor.inputs(rows))
    """,
}
APPLICATION = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/ping":
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]
    body = environ["wsgi.input"].read()
    answer = "\\n".join(map(repr, predicted(body).tolist())).encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""


@dataclass
class Server:
    command: list[str]
    environment: dict[str, str]

    def __enter__(self) -> Server:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [word.replace("PORT", str(self.port)) for word in self.command]
        variables = {**os.environ, **self.environment, "SAGEMAKER_BIND_TO_PORT": str(self.port)}
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, env=variables, stdout=quiet, stderr=quiet)
        while not self.healthy():
            if self.process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended")
            time.sleep(0.1)
        return self

    def __exit__(self, *problem: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def healthy(self) -> bool:
        try:
            return self.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(1 << 20), b""))

    def per_second(self, body: bytes, requests: int) -> float:
        head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv; header=absent\r\nConnection: close\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(self.send, [request] * CLIENTS * 2))
            began = time.monotonic()
            answers = list(clients.map(self.send, [request] * requests))
            seconds = time.monotonic() - began
        if not all(answer.startswith(b"HTTP/1.1 200") for answer in answers):
            raise SystemExit(answers[0].decode())
        return requests / seconds

    def megabytes(self) -> float:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (self.process.pid, *children)]
        return sum(int(found[1]) for text in texts if (found := re.search(r"^Pss: +(\d+)", text, re.M))) / 1024


def lines(features: dict[str, str], rows: int) -> bytes:
    """Rows of plausible values."""
    values = {"string": "north", "bool": "true", "date32[day]": "2026-03-04"}
    return "".join(
        ",".join(values.get(kind, str(n % 100)) for kind in features.values()) + "\n" for n in range(rows)
    ).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures serve.py against the same predictor behind plain gunicorn.")
    parser.add_argument("folder", type=Path, help="a model's folder, as train or score wrote it")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100, 10_000], help="of a request")
    parser.add_argument("--requests", type=int, default=400, help="fewer with more rows")
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "model").symlink_to(folder)
        plain = textwrap.dedent(PLAIN[manifest.get("program", "autogluon")])
        Path(name, "plain.py").write_text(f"FOLDER, CODE = {str(folder)!r}, {str(CODE)!r}\n{plain}{APPLICATION}")
        gunicorn = [sys.executable, "-m", "gunicorn", "--chdir", name, "--bind", "127.0.0.1:PORT"]
        one_core = {"STEPGLUON_CORES": "1", "OMP_NUM_THREADS": "1"}
        sides = {
            "plain": Server([*gunicorn, "--workers", str(cores), "plain:application"], one_core),
            "serve": Server([sys.executable, str(CODE / "serve.py")], {"STEPGLUON_ROOT": name}),
        }
        found: dict[tuple[str, int], list[float]] = {}
        memory: dict[str, list[float]] = {}
        for _ in range(chosen.turns):
            for side, server in sides.items():
                with server:
                    for rows in chosen.rows:
                        body = lines(manifest["features"], rows)
                        requests = max(20, chosen.requests // max(1, rows // 100))
                        found.setdefault((side, rows), []).append(server.per_second(body, requests))
                    memory.setdefault(side, []).append(server.megabytes())
    print(f"{cores} workers, {CLIENTS} clients (budget: throughput 0.8)")
    for rows in chosen.rows:
        one, other = max(found["plain", rows]), max(found["serve", rows])
        print(f"  {rows:6} rows: plain {one:8.1f} requests/s, serve {other:8.1f}, ratio {other / one:.2f}")
    least, ours = min(memory["plain"]), min(memory["serve"])
    print(f"  memory: plain {least:.0f} MB, serve {ours:.0f} MB, ratio {ours / least:.2f}")


if __name__ == "__main__":
    main()
