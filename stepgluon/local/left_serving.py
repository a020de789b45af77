"""After a run: a local AWS in the background keeps the pipeline's endpoints answering, until `local down`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from localaws.base.clients import Clients
from localaws.base.environment import UNREACHABLE, clean_environment, private_files
from localaws.errors import ComputerError
from localaws.s3.store import Objects
from localaws.server.web import bind
from stepgluon.advice import REQUESTS, asking, pipeline_py
from stepgluon.errors import SurroundingsError, listed
from stepgluon.local.compile_cache import ROOT
from stepgluon.local.surroundings import terminated_as_interrupted, write
from stepgluon.local.work_folder import SERVER, all_runs, is_served
from stepgluon.names import Names
from stepgluon.runs.executions import read_json

SECONDS = 300.0  # for the endpoints to answer, and for a local AWS to end
LOG, LEFT = "serving.log", "serving.json"
_WATCHED = "STEPGLUON_STARTER_WATCHED"  # set for a local AWS whose standard input closes if the run is killed


@contextmanager
def still_serving(work: Path, names: Names, say: Callable[[str], None]) -> Iterator[int]:
    """Yield the port for the block's own local AWS, 0 for any. After the block, one in the background serves the
    pipeline's endpoints, if it has any, and releases versions once they are approved. Ctrl-C ends everything.
    """
    port, ended = _taken_over(work, names.prefix), False
    try:
        yield port
        ended = True
    except KeyboardInterrupt:
        if port:
            say(f"The endpoints of {names.prefix} no longer answer. Serve them: {pipeline_py('local up')}")
        port = 0
        raise
    finally:
        if ended or port:  # otherwise the run's own error matters, like that of a full disk
            found = endpoints_of(work, names.prefix)
            if (found or names.config.served_after_approval) and not is_served(work):
                say(_serve(work, names, found, port))


def _taken_over(work: Path, prefix: str) -> int:
    """End the local AWS that an earlier run of this pipeline left, unless a run is in progress in it; its port."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # there is none, or the file was edited
        left = json.loads((work / LEFT).read_text("utf-8"))
        idle = all(record["status"] != "RUNNING" for record in all_runs(work))
        if left["pipeline"] == prefix and idle and is_served(work) and (address := _address(work, left["process"])):
            end_serving(work)
            return int(address.rpartition(":")[2])
    return 0


def endpoints_of(work: Path, prefix: str) -> list[str]:
    """The pipeline's endpoints in a work folder; none if a local AWS uses it."""
    if is_served(work) or not os.path.isdir(work / "buckets"):
        return []
    with closing(Objects(work / "buckets", sweep=False)) as objects:
        records = [json.loads(text) for _, text in objects.documents("endpoint")]
    tag = {"Key": "stepgluon", "Value": prefix}
    return sorted(str(record["EndpointName"]) for record in records if tag in record["Tags"])


def _serve(work: Path, names: Names, endpoints: list[str], port: int) -> str:
    """Serve in the background; return how to ask the endpoints and how to stop it."""
    words = shlex.split(pipeline_py("local up"))[2:]
    with suppress(ComputerError):  # another program has the port now
        bind(port).close()
        words += ["--port", str(port)] if port else []
    with private_files(), terminated_as_interrupted(), (work / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "pipeline.py"), *words],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, _WATCHED: "1"},
            start_new_session=True,  # a Ctrl-C or the terminal's end does not reach it
        )
        try:
            write(work / LEFT, json.dumps({"process": process.pid, "pipeline": names.prefix}))
            answering = _answering(work, names, endpoints, process)
            assert process.stdin is not None
            process.stdin.write(b".")  # it stays
            process.stdin.close()
            return answering
        except BaseException:  # whatever it is, no server may stay
            process.terminate()
            process.wait()
            raise


def end_with_starter() -> None:
    """End this local AWS if the run that started it is killed before the user knows about it."""

    def watch() -> None:
        if not os.read(0, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.pop(_WATCHED, ""):
        threading.Thread(target=watch, name="starter", daemon=True).start()


def _answering(work: Path, names: Names, endpoints: list[str], process: subprocess.Popen[bytes]) -> str:
    """How to ask the endpoints, once each of them is in service or failed."""
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        if address := _address(work, process.pid):
            found = _described(address, names.config.region, endpoints)
            if all(one["EndpointStatus"] in ("InService", "Failed") for one in found):
                return _words(address, names, found)
        time.sleep(0.1)
    what = "ended" if process.poll() is not None else f"is not ready after {SECONDS:.0f} s"
    raise SurroundingsError(f"the local AWS that keeps {listed(endpoints, 'and')} answering {what} (see {work / LOG})")


def _address(work: Path, process: int) -> str:
    """Where this process serves the folder; empty if it does not yet."""
    with suppress(OSError, ValueError, KeyError):
        known = json.loads((work / SERVER).read_text("utf-8"))
        return str(known["endpoint"]) if known["process"] == process else ""
    return ""


def _described(address: str, region: str, endpoints: list[str]) -> list[dict[str, Any]]:
    with clean_environment(UNREACHABLE), closing(Clients(address)) as clients:
        api = clients.get("sagemaker", region)
        return [api.describe_endpoint(EndpointName=name) for name in endpoints]


def _target(address: str, names: Names) -> str:
    """A model of the shared endpoint; empty if each endpoint has one model, or nothing was released yet."""
    shared = next((model for model in names.config.served if model.serve and model.serve.shared), None)
    if shared is None:
        return ""
    with clean_environment(UNREACHABLE), closing(Clients(address)) as clients:
        s3 = clients.get("s3", names.config.region)
        pointer = read_json(s3, names.work_bucket, names.pointer(shared)) or {}
        bucket, _, key = str(pointer.get("targets", "")).removeprefix("s3://").partition("/")
        targets = read_json(s3, bucket, key) if key else None
    return str(next(iter(targets["models"].values()), "")) if targets else ""


def _words(address: str, names: Names, found: list[dict[str, Any]]) -> str:
    lines, region, target = [], names.config.region, _target(address, names)
    files = names.config.data.files
    file, kind = REQUESTS[files]
    header = f" -H 'X-Amzn-SageMaker-Target-Model: {target}'" if target else ""
    if names.config.served_after_approval:
        lines += [f"A local AWS at {address} releases the models once they are approved: {pipeline_py('promote RUN')}"]
    for one in found:
        name = one["EndpointName"]
        if one["EndpointStatus"] == "Failed":
            lines.append(f"{name} does not answer: {one.get('FailureReason', '')}")
            continue
        curl = f"curl --data-binary @{file} -H 'Content-Type: {kind}'{header} "
        curl += f"{address}/endpoints/{name}/invocations"
        lines += [f"{name} answers at {address}", f"  {asking(name, address, region, target, files)}", f"  {curl}"]
    return "\n".join([*lines, f"Stop it: {pipeline_py('local down')}"])


def end_serving(work: Path) -> str:
    """End the folder's local AWS; return what was done."""
    if not is_served(work):
        return f"No local AWS is running in {work}."
    try:
        process = int(json.loads((work / SERVER).read_text("utf-8"))["process"])
        os.kill(process, signal.SIGTERM)
    except (OSError, ValueError, KeyError):
        raise SurroundingsError(f"{work} is used by a local AWS that is starting or ending (try again)") from None
    end = time.monotonic() + SECONDS
    while is_served(work):
        if time.monotonic() > end:
            raise SurroundingsError(f"the local AWS of {work} does not end (process {process})")
        time.sleep(0.05)
    return f"Ended the local AWS of {work} (process {process}). Start it again: {pipeline_py('local up')}"
