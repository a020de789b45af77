"""Logs a trained model to an MLflow server over its REST API, if the config has `track: {mlflow: ADDRESS}`.

If the server refuses or does not answer, the log has a line about it; the training never fails.
https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from job_io import log

SECONDS = 10  # for each call
VALUE = 500  # characters of a parameter's value: the least that any MLflow allows
_ARTIFACTS = "mlflow-artifacts:"  # the scheme of a server that stores artifacts for its clients


def track(
    address: str, experiment: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any], files: Iterable[Path]
) -> None:
    """One MLflow run for one trained model, named after the training job."""
    try:
        server = _Server(address)
        run = server.begun(experiment, os.environ.get("TRAINING_JOB_NAME") or str(parameters.get("model")))
        now = int(time.time() * 1000)
        server.call(
            "runs/log-batch",
            run_id=run["run_id"],
            params=[{"key": key, "value": str(value)[:VALUE]} for key, value in parameters.items()],
            metrics=[
                {"key": key, "value": value, "timestamp": now, "step": 0}
                for key, value in metrics.items()
                if isinstance(value, (int, float)) and math.isfinite(value)
            ],
        )
        if run["artifact_uri"].startswith(_ARTIFACTS):
            folder = run["artifact_uri"].removeprefix(_ARTIFACTS).strip("/")
            for file in files:
                server.put(f"mlflow-artifacts/artifacts/{quote(folder)}/{quote(file.name)}", file.read_bytes())
        else:
            log.info(
                "MLflow stores artifacts in %s, which this job cannot write to: none are sent",
                run["artifact_uri"].partition(":")[0],
            )
        server.call("runs/update", run_id=run["run_id"], status="FINISHED", end_time=now)
        log.info("logged to MLflow, experiment %s", experiment)
    except Exception as problem:  # a training must not fail because of its tracker, whatever the server answers
        log.warning("not logged to MLflow: %s", str(problem) or type(problem).__name__)


class _Server:
    def __init__(self, address: str) -> None:
        self._api = f"{address.rstrip('/')}/api/2.0"

    def begun(self, experiment: str, name: str) -> dict[str, Any]:
        """A new run's id and place for artifacts."""
        with suppress(HTTPError):  # it exists; another job may have just created it
            self.call("experiments/create", name=experiment)
        found = self.call(f"experiments/get-by-name?experiment_name={quote(experiment)}")
        number, now = found["experiment"]["experiment_id"], int(time.time() * 1000)
        made = self.call("runs/create", experiment_id=number, run_name=name, start_time=now)
        info: dict[str, Any] = made["run"]["info"]
        return info

    def call(self, path: str, **content: Any) -> Any:
        body = json.dumps(content).encode() if content else None
        return json.loads(self._send("POST" if content else "GET", f"mlflow/{path}", body) or b"{}")

    def put(self, path: str, content: bytes) -> None:
        self._send("PUT", path, content, "application/octet-stream")

    def _send(self, method: str, path: str, body: bytes | None, kind: str = "application/json") -> bytes:
        headers = {"Content-Type": kind}
        if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        request = Request(f"{self._api}/{path}", body, headers, method=method)
        with urlopen(request, timeout=SECONDS) as answer:  # nosec B310 - the config's check ensures http or https
            read: bytes = answer.read()
            return read
