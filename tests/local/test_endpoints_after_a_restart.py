"""Endpoints after the local AWS was stopped or killed: records on disk, servers started again, none left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_aws import ACCOUNT, REGION, alive, make_bucket, may_do_everything, until
from served import Served
from test_transform import SERVER, pack

from localaws.base.clients import Clients
from localaws.server.aws import LocalAws, Settings

MODEL = "def respond(body): return 200, str(os.getpid()).encode()"
CHILD = """
import sys, threading
from pathlib import Path
sys.path[:0] = {path!r}
from test_endpoints_after_a_restart import running
with running(Path({work!r}), Path({code!r})) as aws:
    print(aws.endpoint, flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(work: Path, code: Path) -> Iterator[LocalAws]:
    with LocalAws(Settings(work, ACCOUNT, REGION, code=code, cores=1, grace_seconds=1.0)) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        aws.sagemaker.endpoints.resume()
        yield aws


def made(client: Any, code: Path) -> None:
    """An endpoint in service; the image of this name runs serve.py of a code folder with xgboost_model.py."""
    (code / "xgboost_model.py").touch()
    (code / "serve.py").write_text(SERVER.replace("DO", MODEL))
    client("s3").put_object(Bucket="data", Key="m.tar.gz", Body=pack({"weights": b"7"}))
    api = client("sagemaker")
    container = {"Image": "my-xgboost:1", "ModelDataUrl": "s3://data/m.tar.gz"}
    api.create_model(ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/job", PrimaryContainer=container)
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    api.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    api.create_endpoint(EndpointName="e", EndpointConfigName="c")
    until(lambda: api.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService")


def asked(client: Any) -> int:
    """The server's process."""
    return int(client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"1")["Body"].read())


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def test_an_endpoint_survives_a_kill_and_no_server_is_left(tmp_path: Path, code: Path) -> None:
    work = tmp_path / "work"
    text = CHILD.format(path=[str(Path(__file__).parent), *sys.path], work=str(work), code=str(code))
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        clients = Clients(child.stdout.readline().decode().strip())

        def client(service: str) -> Any:
            return clients.get(service, REGION)

        made(client, code)
        scaled = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/a"}
        dimension = {"ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
        client("application-autoscaling").register_scalable_target(**scaled, **dimension, MinCapacity=1, MaxCapacity=2)
        before = asked(client)
        child.send_signal(signal.SIGKILL)
        clients.close()
    until(lambda: not alive(before))
    with running(work, code) as aws:
        described = aws.client("sagemaker").describe_endpoint(EndpointName="e")
        assert described["EndpointStatus"] in ("SystemUpdating", "InService")
        after = asked(aws.client)  # it waits until the server answers
        assert after != before
        until(lambda: aws.client("sagemaker").describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService")
        assert aws.client("sagemaker").describe_model(ModelName="m")["PrimaryContainer"]["Image"] == "my-xgboost:1"
        [target] = aws.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
            "ScalableTargets"
        ]
        assert target["MaxCapacity"] == 2
    assert not alive(after)


def test_an_endpoint_without_its_role_keeps_its_record_until_the_role_is_there(tmp_path: Path, code: Path) -> None:
    work = tmp_path / "work"
    with running(work, code) as aws:
        made(aws.client, code)
    with LocalAws(Settings(work, ACCOUNT, REGION, code=code, cores=1, grace_seconds=1.0)) as aws:  # of another pipeline
        before = aws.sagemaker.endpoints.endpoints["e"].record
        aws.sagemaker.endpoints.resume()
        assert aws.sagemaker.endpoints.endpoints["e"].record is before
    with running(work, code) as aws:
        assert asked(aws.client)


def test_an_update_that_was_cut_off_is_made_again_and_a_rollback_is_finished(tmp_path: Path, code: Path) -> None:
    work = tmp_path / "work"
    with running(work, code) as aws:
        made(aws.client, code)
        kept = aws.sagemaker.endpoints.endpoints["e"].record
    for status, wanted in (("RollingBack", "c"), ("Updating", "c2")):
        with running(work, code) as aws:
            served = Served.__new__(Served)
            served.api = aws.client("sagemaker")
            served.settled("e")
        config = {**kept["config"], "name": "c2"}
        pending = {"config": config, "deployment": {}, "since": kept["CreationTime"] + 10**6}
        record = {**kept, "EndpointStatus": status, "pending": pending}
        from localaws.s3.store import Objects

        objects = Objects(work / "buckets")
        objects.write_document("endpoint", record["EndpointArn"], json.dumps(record).encode())
        objects.close()
        with running(work, code) as aws:
            served.api = aws.client("sagemaker")
            described = served.settled("e")
            assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", wanted)
            assert asked(aws.client)
