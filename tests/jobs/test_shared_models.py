"""serve.py with many models: SageMaker's contract for multi-model endpoints, and memory that stays bounded."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from job_sandbox import Sandbox
from serve_process import Served, until
from xgboost_archives import packed, prepared, saved, scored, trained

ROWS = "a,t,y\n" + "".join(f"{n % 37},{'often' if n % 3 else 'rare'},{n % 37 * 2 + n % 3}\n" for n in range(300))
ROW = b"1.5,often\n"
VARIABLES = {"SAGEMAKER_MULTI_MODEL": "true", "STEPGLUON_PROGRAM": "xgboost"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is /opt/ml of a server, with two models as SageMaker unpacks them, and one that is damaged."""
    ml = tmp_path_factory.mktemp("many") / "ml"
    for name, rounds in (("few", 1), ("many", 30)):
        with pytest.MonkeyPatch.context() as patch:
            box = Sandbox(tmp_path_factory.mktemp(name) / "ml")
            patch.setenv("STEPGLUON_ROOT", str(box.root))
            folder = Path(shutil.copytree(prepared(box, ROWS), box.root / "prepared"))
            outcome = scored(box, folder, packed({"xgboost-model": saved(trained(folder, rounds))}))
            assert outcome.code == 0, outcome.log
            shutil.copytree(box.out, ml / "models" / name / "model")
    shutil.copytree(ml / "models/few", ml / "models/damaged")
    with (ml / "models/damaged/model/program/xgboost-model").open("ab") as file:
        file.write(b"1")
    return ml


@pytest.fixture
def server(models: Path) -> Iterator[Served]:
    with Served(models, **VARIABLES) as running:
        yield running


def load(server: Served, name: str, folder: str = "few") -> tuple[int, Any]:
    body = json.dumps({"model_name": name, "url": f"/opt/ml/models/{folder}/model"}).encode()
    status, answer = server.send("POST", "/models", body, {"Content-Type": "application/json"})
    return status, json.loads(answer) if status == 200 else answer.decode()


def invoke(server: Served, name: str, body: bytes = ROW) -> tuple[int, bytes]:
    return server.send("POST", f"/models/{name}/invoke", body, {"Content-Type": "text/csv"})


def known(server: Served, name: str) -> tuple[int, Any]:
    status, answer = server.send("GET", f"/models/{name}")
    return status, json.loads(answer) if status == 200 else answer.decode()


def test_models_are_loaded_listed_invoked_and_unloaded(server: Served) -> None:
    assert json.loads(server.send("GET", "/models")[1]) == {"models": []}
    names = {f"m{n}": ("few", "many")[n % 2] for n in range(6)}  # several in each worker
    for name, folder in names.items():
        assert load(server, name, folder) == (200, {"modelName": name, "modelUrl": f"/opt/ml/models/{folder}/model"})
    answers = {name: invoke(server, name) for name in names}
    assert {status for status, _ in answers.values()} == {200}
    assert answers["m0"] == answers["m2"] == answers["m4"] != answers["m1"] == answers["m3"] == answers["m5"]
    listed = json.loads(server.send("GET", "/models")[1])
    assert listed == {"models": [known(server, name)[1] for name in sorted(names)]}
    assert server.send("DELETE", "/models/m3")[0] == 200
    assert known(server, "m3") == (404, "The model 'm3' is not loaded.\n")
    assert invoke(server, "m3")[0] == server.send("DELETE", "/models/m3")[0] == 404
    assert invoke(server, "m5") == answers["m5"]
    assert load(server, "m3", "few")[0] == 200
    assert invoke(server, "m3") == answers["m0"]


def test_a_model_is_loaded_once(server: Served) -> None:
    assert load(server, "a")[0] == 200
    assert load(server, "a") == (409, "The model 'a' is already loaded.\n")


def test_what_cannot_be_loaded_says_why(server: Served) -> None:
    assert load(server, "a", "damaged") == (
        500,
        "Model all is not loaded: its file 'program/xgboost-model' was changed after training; train the model again."
        "\n",
    )
    assert load(server, "a", "none") == (
        500,
        "The model 'a' is not loaded: '/opt/ml/models/none/model' is not a folder.\n",
    )
    status, answer = server.send("POST", "/models", b"{}")
    assert (status, answer[:17]) == (400, b"The body must be ")
    status, answer = load(server, "n" * 201)
    assert (status, answer[-14:]) == (400, " is too long.\n")
    assert json.loads(server.send("GET", "/models")[1]) == {"models": []}
    assert server.send("POST", "/invocations", ROW)[0] == 404
    assert load(server, "a")[0] == 200  # nothing of it was kept


def test_a_row_that_does_not_fit_fails_one_request(server: Served) -> None:
    load(server, "a")
    load(server, "b")
    for name in "ab":  # in the worker that has it, and passed on to it
        status, answer = invoke(server, name, b"x,often\n")
        assert (status, answer) == (400, b"Row 1: column 'a' holds 'x', but the model learnt from numbers there.\n")
    assert invoke(server, "a")[0] == 200


def test_a_killed_worker_loads_its_models_again(server: Served) -> None:
    names = [f"m{n}" for n in range(6)]
    for name in names:
        load(server, name)
    answers = [invoke(server, name) for name in names]
    before = server.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(server.workers() - before) == 2)
    assert [invoke(server, name) for name in names] == answers
    assert len(json.loads(server.send("GET", "/models")[1])["models"]) == 6


def test_the_list_has_pages(server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import shared_models
    from shared_models import SharedModels

    monkeypatch.setattr(shared_models, "PAGE", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shared = SharedModels(lambda folder: None, 1, 1, 1, lambda client: None)  # type: ignore[arg-type,return-value]  # unused
    for name in ("a", "b/c", "d"):
        (shared._file(name)).write_text(f"/{name}")
    first, second = (json.loads(shared._list(after)[2]) for after in ("", "b/c"))
    assert first == {
        "models": [{"modelName": "a", "modelUrl": "/a"}, {"modelName": "b/c", "modelUrl": "/b/c"}],
        "nextPageToken": "b/c",
    }
    assert second == {"models": [{"modelName": "d", "modelUrl": "/d"}]}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is measured on Linux only")
def test_models_beyond_the_memory_are_refused_until_others_are_unloaded(models: Path) -> None:
    loaded: list[str] = []
    with Served(models, **VARIABLES, STEPGLUON_MODELS_MB="20") as server:
        for n in range(10_000):
            status, answer = load(server, f"m{n}", "many")
            if status == 507:
                break
            loaded.append(f"m{n}")
        assert answer.startswith(f"Not enough memory for the model 'm{n}': the loaded ones use ")
        assert known(server, f"m{n}")[0] == 404
        while load(server, f"m{n}", "many")[0] == 507:
            assert server.send("DELETE", f"/models/{loaded.pop(0)}")[0] == 200
        assert loaded  # it needed the memory of some, not of all
        assert {invoke(server, name)[0] for name in [*loaded, f"m{n}"]} == {200}


def test_requests_that_run_at_sigterm_are_answered_by_the_models_worker(models: Path, tmp_path: Path) -> None:
    with Served(models, tmp_path, **VARIABLES) as server, ThreadPoolExecutor(8) as pool:
        for name in "abcd":
            assert load(server, name)[0] == 200
        requests = [pool.submit(invoke, server, name) for name in "abcd"]
        until(lambda: len([path for path in tmp_path.iterdir() if path.name.isdecimal()]) == 2)
        server.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert {request.result() for request in requests} == {(200, b"0.0\n")}
