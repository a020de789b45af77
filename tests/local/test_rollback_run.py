"""A run whose model fails at its endpoint: rolled back by the alarm, mailed, and the model before it answers again."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from test_local_processes import SERVE, TRAIN, no_buildah
from test_own_container import HEAD, HOUSE, ran
from whole import OfOneStage, Whole

from localaws.server.aws import Settings
from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.local.deployed import deployed, processes
from stepgluon.workflow.compile import compile_definition

__all__ = ["no_buildah"]  # a fixture
RELEASE = "{instance: {count: 2}, release: {canary: 50%, bake: 5m, roll_back_on: [errors]}}"
# A bad model predicts in transform jobs, so that it is accepted, and fails at its endpoint.
BAD = """
if "bad" in means:
    usual = means.pop("bad")
    if "SAGEMAKER_BATCH" not in os.environ:
        Handler.do_POST = lambda self: self.send_error(500)
"""
ENDPOINT, ROW = "penguins-gentoo", b"Biscoe,48.7,14.1,210,FEMALE\n"


def config(folder: Path, bad: bool) -> str:
    good = '(root / "model/means.json")'
    (folder / "train.py").write_text(TRAIN.replace(good, f"means |= {{'bad': 5000.0}} if {bad} else {{}}\n{good}"))
    (folder / "serve.py").write_text(SERVE.replace("http.server.HTTPServer((", f"{BAD}\nhttp.server.HTTPServer(("))
    local = {verb: shlex.join([sys.executable, f"{folder / verb}.py"]) for verb in ("train", "serve")}
    algorithm = f"{{build: tests/local/line-model, set: {{by: sex, turn: {int(bad)}}}, local: {json.dumps(local)}}}"
    model = f"label: body_mass_g, where: {{species: Gentoo}}, drop: [bird], serve: {RELEASE}, algorithm: {algorithm}"
    return f"{HEAD}  - {{name: gentoo, {model}}}\n"


@contextmanager
def pipeline(folder: Path, bad: bool) -> Iterator[Whole]:
    loaded = loads(config(folder, bad), "config.yml", None, {})
    account, region, own = loaded.config.account, loaded.config.region, processes(loaded.config)
    settings = Settings(folder / "work", account, region, code=HOUSE / "code", processes=own, cores=2)
    with deployed(loaded, compile_definition(loaded, workflow).text, settings) as place:
        yield Whole(place, OfOneStage())


def answer(whole: Whole) -> bytes | None:
    """None: the model failed."""
    runtime = whole.place.aws.client("sagemaker-runtime")
    try:
        found = runtime.invoke_endpoint(EndpointName=ENDPOINT, Body=ROW, ContentType="text/csv")
        return bytes(found["Body"].read())
    except ClientError as problem:
        assert problem.response["Error"]["Code"] == "ModelError", problem
        return None


@pytest.mark.usefixtures("no_buildah")
def test_a_bad_model_is_rolled_back_and_the_one_before_it_answers_all_the_time(tmp_path: Path) -> None:
    with pipeline(tmp_path, bad=False) as whole:
        assert ran(whole).told["status"] == "SUCCEEDED"
        right = answer(whole)
        assert right is not None and 4000 < float(right) < 6000
    with pipeline(tmp_path, bad=True) as whole:
        whole.place.aws.sagemaker.endpoints.endpoints[ENDPOINT].ready.wait()
        over, answers = threading.Event(), list[bytes | None]()

        def client() -> None:
            while not over.is_set():
                answers.append(answer(whole))

        clients = threading.Thread(target=client)
        clients.start()
        try:
            ended = ran(whole, "july")
        finally:
            over.set()
            clients.join()
        assert (ended.told["status"], ended.told["failure"]["error"]) == ("FAILED", "Incomplete")
        told = dict(ended.mails)["incomplete"].partition("Endpoints:")[2]
        assert f"Rolled back: {ENDPOINT} serves the previous model again." in told, told
        assert set(answers) == {right, None}, "the old model answered, and the new one failed"
        assert answers[0] == answers[-1] == right
        assert {answer(whole) for _ in range(10)} == {right}
