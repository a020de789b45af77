"""Multi-model endpoints: archives below a prefix, loaded when they are invoked and unloaded when memory is short."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import forks
import pytest
from local_aws import ACCOUNT, REGION, ROLE, Jobs, until
from served import Served, refused, served
from test_served_models import XGBOOST, folder_of_xgboost, with_code
from test_transform import pack

from localaws.base.environment import harmless
from localaws.sagemaker import model_server

__all__ = ["served", "with_code"]  # fixtures

# A container with room for two models; its answer is the model's file `word` and the body.
ROOM = """
import http.server, json, os, pathlib, threading, time
root = pathlib.Path(os.environ["STEPGLUON_ROOT"])
models, lock = {}, threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.answer(200 if self.path == "/ping" else 404)
    def do_DELETE(self):
        with lock: self.answer(200 if models.pop(self.path.split("/")[2], None) else 404)
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/models":
            return self.load(json.loads(body))
        word = models.get(self.path.split("/")[2])
        if body == b"forget": models.clear()
        if body == b"die": os._exit(3)
        if body == b"wait": (root / f"waits-{word.decode()}").touch()
        while body == b"wait" and not (root / "go").exists(): time.sleep(0.01)
        self.answer(404 if word is None else 200, (word or b"") + b":" + body)
    def load(self, given):
        folder = root / given["url"].removeprefix("/opt/ml/")
        word = (folder / "word").read_bytes()
        target, multi = self.headers["X-Amzn-SageMaker-Target-Model"], os.environ["SAGEMAKER_MULTI_MODEL"]
        os.write(1, f"load {target} {multi}\\n".encode())
        if word == b"broken": return self.answer(500, b"cannot be read")
        while word == b"slow" and not (root / "go").exists(): time.sleep(0.01)
        with lock:
            if len(models) >= 2 or word == b"huge": return self.answer(507, b"full")
            models[given["model_name"]] = word
        self.answer(200)
    def answer(self, status, body=b""):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *given): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def many(served: Served) -> str:
    """An endpoint with the archives a, b, c, slow, huge and broken, and one that is none."""
    prefix = f"many/{served.jobs.name()}"
    for word in ("a", "b", "c", "slow", "huge", "broken"):
        body = pack({"word": word.encode()})
        served.jobs.s3.put_object(Bucket="data", Key=f"{prefix}/{word}.tar.gz", Body=body)
    served.jobs.s3.put_object(Bucket="data", Key=f"{prefix}/text.tar.gz", Body=b"no archive")
    given = {"Mode": "MultiModel", "ModelDataUrl": f"s3://data/{prefix}/"}
    return served.endpoint(served.config(served.model(whole=ROOM, **given)))


def loads(served: Served, name: str) -> list[str]:
    return [line.split()[1].removesuffix(".tar.gz") for line in served.log(name) if line.startswith("load ")]


def folders(served: Served) -> list[str]:
    """The unpacked archives."""
    [models] = served.aws.sagemaker.workshop.folder.glob("endpoint-*/model-server/models")
    return sorted(file.read_text() for file in models.glob("*/model/word"))


def ask(served: Served, name: str, model: str, body: bytes = b"1") -> bytes:
    return served.ask(name, body, TargetModel=f"{model}.tar.gz")


def test_a_model_is_loaded_once_and_the_least_recently_used_one_leaves(served: Served, many: str) -> None:
    assert [ask(served, many, word) for word in "abab"] == [b"a:1", b"b:1", b"a:1", b"b:1"]
    until(lambda: "load a.tar.gz true" in served.log(many))
    assert [ask(served, many, word) for word in "acab"] == [b"a:1", b"c:1", b"a:1", b"b:1"]
    # c and the last b were refused once; the container's log comes later than its answers
    until(lambda: loads(served, many) == ["a", "b", "c", "c", "b", "b"])
    assert "[local] b.tar.gz was unloaded to free memory." in served.log(many)
    assert folders(served) == ["a", "b"]


def test_requests_for_a_new_model_wait_for_one_load(served: Served, many: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, served, many, "slow") for _ in range(8)]
        until(lambda: loads(served, many))
        assert ask(served, many, "a") == b"a:1"  # others do not wait
        [root] = served.aws.sagemaker.workshop.folder.glob("endpoint-*/model-server")
        (root / "go").touch()
        assert {one.result() for one in asked} == {b"slow:1"}
    assert loads(served, many).count("slow") == 1


def test_a_model_with_a_running_request_is_not_unloaded(served: Served, many: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, served, many, word, b"wait") for word in "ab"]
        [root] = served.aws.sagemaker.workshop.folder.glob("endpoint-*/model-server")
        until(lambda: len(list(root.glob("waits-*"))) == 2)
        assert "(507) from primary" in refused(
            served.runtime.invoke_endpoint, EndpointName=many, Body=b"1", TargetModel="c.tar.gz"
        )
        (root / "go").touch()
        assert [one.result() for one in asked] == [b"a:wait", b"b:wait"]
    assert ask(served, many, "c") == b"c:1"


def test_models_that_the_container_lost_are_loaded_again(served: Served, many: str) -> None:
    assert ask(served, many, "a", b"forget") == b"a:forget"
    assert ask(served, many, "a") == b"a:1"
    until(lambda: loads(served, many) == ["a", "a"])
    with pytest.raises(Exception, match="ModelError"):
        ask(served, many, "a", b"die")
    server = next(iter(served.aws.sagemaker.endpoints.endpoints[many].traffic)).server
    until(lambda: any("it is started again" in line for line in served.log(many)) and server.healthy)
    assert ask(served, many, "a") == b"a:1"
    assert folders(served) == ["a"]


def test_a_load_over_the_time_limit_answers_that_the_model_is_not_ready(
    served: Served, many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(model_server, "INVOKE_SECONDS", 0.01)
        told = refused(served.runtime.invoke_endpoint, EndpointName=many, Body=b"1", TargetModel="slow.tar.gz")
    assert told.startswith("ModelNotReadyException: Either a serverless endpoint variant's resources are still being")
    [root] = served.aws.sagemaker.workshop.folder.glob("endpoint-*/model-server")
    (root / "go").touch()


def test_errors_have_aws_s_words(served: Served, many: str) -> None:
    def error(**given: Any) -> str:
        return refused(served.runtime.invoke_endpoint, **({"EndpointName": many, "Body": b"1"} | given))

    assert error() == (
        "ValidationError: Request 00000000-0000-0000-0000-000000000000 is missing a target model header."
    )
    missing = error(TargetModel="none.tar.gz")
    assert missing.startswith("ValidationError: Failed to download model data(bucket: data, key: many/")
    assert missing.endswith(
        "/none.tar.gz). Please ensure that there is an object located at the URL and that the role passed to "
        "CreateModel has permissions to download the model."
    )
    assert "it is not a tar.gz archive" in error(TargetModel="text.tar.gz")
    assert error(TargetModel="broken.tar.gz").startswith(
        'ModelError: Received server error (500) from primary with message "cannot be read".'
    )
    assert "(507) from primary" in error(TargetModel="huge.tar.gz")
    assert folders(served) == []
    single = served.endpoint(served.config(served.saying("x")))
    assert error(EndpointName=single, TargetModel="a.tar.gz") == (
        f"ValidationError: Endpoint {single} is not a multi-model endpoint and does not support target model header."
    )


def test_what_a_multi_model_endpoint_cannot_be_is_refused(served: Served, many: str) -> None:
    def error(**container: Any) -> str:
        given = {"Image": "image", "Mode": "MultiModel", "ModelDataUrl": "s3://data/many/", **container}
        given = {key: value for key, value in given.items() if value}
        return refused(
            served.api.create_model, ModelName=served.jobs.name(), ExecutionRoleArn=ROLE, PrimaryContainer=given
        )

    assert "needs ModelDataUrl" in error(ModelDataUrl="")
    assert "ModelCacheSetting" in error(MultiModelConfig={"ModelCacheSetting": "Disabled"})
    aws = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
    assert f"{aws} are not available locally" in error(Image=aws)
    model = served.api.describe_endpoint_config(EndpointConfigName=served.described(many)["EndpointConfigName"])[
        "ProductionVariants"
    ][0]["ModelName"]
    assert served.api.describe_model(ModelName=model)["PrimaryContainer"]["Mode"] == "MultiModel"
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    variant = {"VariantName": "a", "ModelName": model, "ServerlessConfig": serverless}
    assert "does not support Mode MultiModel" in refused(
        served.api.create_endpoint_config, EndpointConfigName=served.jobs.name(), ProductionVariants=[variant]
    )


def test_the_command_line_makes_an_endpoint_of_models_in_our_image_and_invokes_each(
    with_code: Jobs, tmp_path: Path
) -> None:
    jobs, names = with_code, [f"store-{n}" for n in range(6)]
    archive = folder_of_xgboost(tmp_path / "model")
    for name in names:
        jobs.s3.put_object(Bucket="data", Key=f"shared/{name}.tar.gz", Body=archive)
    aws, place = str(Path(sys.executable).with_name("aws")), harmless(ACCOUNT, REGION, "http://127.0.0.1:1")

    def cli(*words: str) -> Any:
        command = [sys.executable, aws, *words, "--endpoint-url", jobs.aws.endpoint]
        done = forks.run(command, env=place, capture_output=True, text=True)
        return done.stderr.strip() if done.returncode else json.loads(done.stdout or "null")

    container = {"Image": XGBOOST, "Mode": "MultiModel", "ModelDataUrl": "s3://data/shared/"}
    given = json.dumps({**container, "Environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}})
    cli("sagemaker", "create-model", "--model-name", "m", "--execution-role-arn", ROLE, "--primary-container", given)
    variant = "VariantName=a,ModelName=m,InstanceType=ml.m5.large,InitialInstanceCount=1"
    cli("sagemaker", "create-endpoint-config", "--endpoint-config-name", "c", "--production-variants", variant)
    cli("sagemaker", "create-endpoint", "--endpoint-name", "shared", "--endpoint-config-name", "c")
    cli("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "shared")
    invoke = ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "shared", "--content-type", "text/csv"]
    (tmp_path / "body").write_text("3,north\n")
    body = ["--body", f"fileb://{tmp_path / 'body'}"]
    for name in names:
        out = tmp_path / f"{name}.csv"
        told = cli(*invoke, *body, "--target-model", f"{name}.tar.gz", str(out))
        assert told["InvokedProductionVariant"] == "a", told
        assert out.read_text() == (tmp_path / f"{names[0]}.csv").read_text() != ""
    assert "is missing a target model header" in cli(*invoke, *body, str(tmp_path / "none"))
    assert "Failed to download model data" in cli(*invoke, *body, "--target-model", "none", str(tmp_path / "none"))
    jobs.api.delete_endpoint(EndpointName="shared")
    until(lambda: "shared" not in jobs.aws.sagemaker.endpoints.endpoints)
