"""The images, really built, and the demo's jobs in them with the paths that SageMaker gives them."""

from __future__ import annotations

import csv
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from containers import BASE, HOUSE, Container, alone, built, call, environ, make_base, missing

from stepgluon.config.load import loads
from stepgluon.names import Names

MODEL, SPECIES = "gentoo", "Gentoo"  # one is enough here: tests/local/test_demo.py has all three
COMPILERS = re.compile(
    r"(^|/)(x86_64-linux-gnu-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|cmake|ninja|rustc|go)(-[\d.]+)?$"
)
pytestmark = pytest.mark.skipif(bool(missing()), reason=f"images are not built here: {missing()}")


@pytest.fixture(scope="module", params=["data", "autogluon", "xgboost"])
def each(request: pytest.FixtureRequest) -> Container:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def base() -> Iterator[None]:
    with alone():
        make_base()
        yield


@pytest.fixture(scope="module")
def data(base: None) -> Iterator[Container]:
    container = Container(built("data"))
    yield container
    container.remove()


@pytest.fixture(scope="module")
def autogluon(base: None) -> Iterator[Container]:
    container = Container(built("autogluon"))
    yield container
    container.remove()


@pytest.fixture(scope="module")
def xgboost(base: None) -> Iterator[Container]:
    container = Container(built("xgboost"))
    yield container
    container.remove()


# The jobs


def config_json() -> str:
    """The demo's config as the jobs get it, with one model, and less time for its training."""
    text = (HOUSE / "pipeline-config.yml").read_text(encoding="utf-8")
    short = re.sub(r"time_limit: 10m", "time_limit: 10s", text, count=1)
    assert short != text
    config = loads(short, "pipeline-config.yml", None, {}).config
    one = [model for model in config.models if model.name == MODEL]
    return Names(config.changed(models=one)).config_json


def place(folder: Path, files: dict[str, str | Path]) -> Path:
    """A folder that becomes /opt/ml: each place in it gets a text, or a copy of a file or folder."""
    for where, what in files.items():
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, str):
            path.write_text(what, encoding="utf-8")
        elif what.is_dir():
            shutil.copytree(what, path)
        else:
            shutil.copy(what, path)
    return folder


def job(container: Container, script: str, folder: Path, **variables: str) -> Path:
    ran = container.run("python3", f"/opt/program/{script}.py", opt_ml=folder, **variables)
    assert ran.code == 0, ran.said
    return folder / "processing/output"


@pytest.fixture(scope="module")
def result(data: Container, autogluon: Container, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What post-process leaves when all four jobs ran, each in the image that the state machine names for it."""
    top, inputs = tmp_path_factory.mktemp("jobs"), "processing/input"
    config = {f"{inputs}/config/config.json": config_json()}
    raw = {f"{inputs}/raw/{path.name}": path for path in (HOUSE / "demo").glob("*.csv")}
    prepared = job(data, "prepare", place(top / "prepare", {**config, **raw, f"{inputs}/raw/go.run": ""}))
    last: dict[str, str | Path] = {
        **config,
        f"{inputs}/rows": prepared / "rows",
        f"{inputs}/numbers": prepared / "numbers",
        f"{inputs}/profile/profile.json": prepared / "profile.json",
    }
    training = place(
        top / "train",
        {
            "input/data/data": prepared / "models" / MODEL,
            "input/config/hyperparameters.json": json.dumps({"model": MODEL}),
            "model/.keep": "",
        },
    )
    (training / "model/.keep").unlink()  # SageMaker makes the folder
    trained = autogluon.run("train", opt_ml=training)
    assert trained.code == 0, trained.said
    score = json.loads((training / "model/metrics.json").read_text())
    said = {"threshold": 350, "verdict": "accepted", "reason": None, "uses": "trained", "model_uri": "s3://w/m/"}
    said["outcome"] = "predicted"
    rows = {f"{inputs}/rows": prepared / "predict" / MODEL, f"{inputs}/model": training / "model"}
    variables = {"STEPGLUON_MODEL": MODEL, "STEPGLUON_MANIFEST": score["manifest"]}
    last[f"{inputs}/predictions/predictions/{MODEL}/fingerprint/job"] = job(
        autogluon, "predict", place(top / "predict", rows), **variables
    )
    last[f"{inputs}/verdicts/verdicts.json"] = json.dumps([{"name": MODEL, "mae": score["mae"], **said}])
    return job(data, "postprocess", place(top / "postprocess", last))


ASK = """
import os, time, urllib.request
place = f"http://127.0.0.1:{os.environ['SAGEMAKER_BIND_TO_PORT']}"
while True:
    try:
        urllib.request.urlopen(f"{place}/ping")
        break
    except OSError:
        time.sleep(0.1)
body, headers = open("/opt/ml/rows.csv", "rb").read(), {"Content-Type": "text/csv"}
answer = urllib.request.urlopen(urllib.request.Request(f"{place}/invocations", body, headers)).read()
open("/opt/ml/answers.csv", "wb").write(answer)
"""


def served(container: Container, folder: Path, model: Path, rows: Path) -> list[float]:
    """What `serve` on the image's PATH answers for a part's rows."""
    place(folder, {"model": model, "ask.py": ASK})
    pyarrow.csv.write_csv(pq.read_table(rows), folder / "rows.csv")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = "serve & python3 /opt/ml/ask.py; code=$?; kill $!; wait; exit $code"
    ran = container.run("sh", "-c", both, opt_ml=folder, SAGEMAKER_BIND_TO_PORT=str(port))
    assert ran.code == 0, ran.said
    return [float(line) for line in (folder / "answers.csv").read_text().split()]


def test_a_model_of_autogluon_is_served_in_its_image(result: Path, autogluon: Container, tmp_path: Path) -> None:
    top = result.parents[2]
    predicted = pq.read_table(top / "predict/processing/output")["prediction"].to_pylist()
    rows = top / "predict/processing/input/rows"
    assert served(autogluon, tmp_path / "ml", top / "train/model", rows) == pytest.approx(predicted)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_four_jobs_in_their_images_fill_a_models_gaps_in_the_demo(result: Path) -> None:
    came = [row for path in sorted((HOUSE / "demo").glob("*.csv")) for row in table(path)]
    found = table(result / "predictions.csv")
    assert list(found[0])[: len(came[0])] == list(came[0])
    assert [row["bird"] for row in found] == [row["bird"] for row in came]
    gaps = [row for row in found if not row["body_mass_g"] and row["species"] == SPECIES]
    assert len(gaps) >= 20
    assert all(2000 < float(row["prediction"]) < 7000 and row["model"] == MODEL for row in gaps)
    assert sum(bool(row["prediction"]) for row in found) == len(gaps)


def test_the_model_trained_in_the_image_is_good_enough(result: Path) -> None:
    summary = json.loads((result / "summary.json").read_text())
    (model,) = summary["models"]
    assert model["name"] == MODEL and 150 < model["mae"] < 350
    assert (result / "_SUCCESS").exists()


def test_a_model_of_xgboost_is_scored_and_predicts_in_its_image(
    data: Container, xgboost: Container, tmp_path: Path
) -> None:
    import xgboost as library

    inputs = "processing/input"
    config = json.loads(config_json())
    known = {"name": "xgboost", "version": "3.0-5", "image": "i", "channels": ["train"], "encoded": True}
    config["models"][0]["algorithm"] = {**known, "set": {"num_round": 20}}
    raw = {f"{inputs}/raw/{path.name}": path for path in (HOUSE / "demo").glob("*.csv")}
    files = {f"{inputs}/config/config.json": json.dumps(config), **raw, f"{inputs}/raw/go.run": ""}
    prepared = job(data, "prepare", place(tmp_path / "prepare", files))
    rows = np.genfromtxt(prepared / f"models/{MODEL}/channels/train/part-00000.csv", delimiter=",")
    booster = library.train({"nthread": 1}, library.DMatrix(rows[:, 1:], rows[:, 0]), 20)
    (tmp_path / "model").mkdir()
    booster.save_model(tmp_path / "model/xgboost-model.ubj")
    (tmp_path / "model/xgboost-model.ubj").rename(tmp_path / "model/xgboost-model")
    archive = shutil.make_archive(str(tmp_path / "model"), "gztar", tmp_path / "model")
    files = {f"{inputs}/data": prepared / "models" / MODEL, f"{inputs}/archive/model.tar.gz": Path(archive)}
    model = job(xgboost, "score", place(tmp_path / "score", files), STEPGLUON_MODEL=MODEL)
    score = json.loads((model / "metrics.json").read_text())
    assert 100 < score["mae"] < score["mae_of_median"]
    files = {f"{inputs}/rows": prepared / "predict" / MODEL, f"{inputs}/model": model}
    variables = {"STEPGLUON_MODEL": MODEL, "STEPGLUON_MANIFEST": score["manifest"]}
    answers = pq.read_table(job(xgboost, "predict", place(tmp_path / "predict", files), **variables))["prediction"]
    assert served(xgboost, tmp_path / "serve", model, prepared / "predict" / MODEL) == answers.to_pylist()
    assert len(answers) >= 20 and 2000 < pc.min(answers).as_py() < pc.max(answers).as_py() < 7000


def test_a_failing_job_leaves_its_sentence_where_sagemaker_looks(data: Container, tmp_path: Path) -> None:
    files = {"processing/input/config/config.json": config_json(), "processing/input/raw/go.run": ""}
    ran = data.run("python3", "/opt/program/prepare.py", opt_ml=place(tmp_path / "ml", files))
    assert ran.code == 1, ran.said
    assert (tmp_path / "ml/output/message").read_text().endswith(".")


def test_the_jobs_run_as_a_user_who_may_write_to_opt_ml_alone(each: Container, tmp_path: Path) -> None:
    for folder, code in {"/opt/ml": 0, "/opt/program": 1, "/opt/venv": 1, "/root": 1, "/": 1}.items():
        ran = each.run("python3", "-c", f"open('{folder}/x', 'w')", opt_ml=tmp_path)
        assert ran.code == code, f"{folder}: {ran.said}"


# What is in the images


@pytest.mark.parametrize(("kind", "lacks"), [("data", "autogluon"), ("xgboost", "autogluon"), ("xgboost", "pandas")])
def test_an_image_has_only_what_its_jobs_need(kind: str, lacks: str, request: pytest.FixtureRequest) -> None:
    ran = request.getfixturevalue(kind).run("python3", "-c", f"import pyarrow, numpy; import {lacks}")
    assert ran.code == 1
    assert f"No module named '{lacks}'" in ran.said


def test_an_image_has_no_build_tools(each: Container) -> None:
    assert not [file for file in each.files() if COMPILERS.search(file) and "bin/" in file]
    assert each.run("python3", "-m", "pip", "--version").code == 1


def test_an_image_keeps_no_caches_and_no_tests(each: Container) -> None:
    files = each.files()
    leftovers = re.compile(
        r"\.whl$|^root/\.(cache|config|local)|^(home|tmp|var/cache/apt|var/lib/apt/lists)/.|^opt/venv/.*(/tests/|\.pyc$)"
    )
    assert [file for file in files if leftovers.search(file)] == []


def test_an_image_keeps_nothing_of_the_machine_that_built_it(each: Container) -> None:
    assert not {"etc/pip.conf", "etc/pip.pem", "root/.pip", "root/.config"} & each.files()
    said = json.dumps(json.loads(call("buildah", "inspect", "--type", "image", each.image)))
    assert str(HOUSE) not in said
    assert not re.search(r"index-url|PIP_|https?://", said)


def test_an_image_has_the_code_of_its_jobs_and_nothing_else_of_the_house(each: Container) -> None:
    kind = re.findall(r"stepgluon-(\w+):", each.image)[0]
    dockerfile = (HOUSE / f"docker/{kind}/Dockerfile").read_text(encoding="utf-8")
    program = each.root / "opt/program"
    assert {path.name for path in program.iterdir()} == set(
        re.findall(r"^    code/(\w+\.py) ", dockerfile, re.MULTILINE)
    )
    for path in program.iterdir():
        assert path.read_bytes() == (HOUSE / "code" / path.name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o644
    assert {path.name for path in (each.root / "opt").iterdir()} - {"ml"} == {"program", "venv"}


def test_an_image_tells_version_and_content_and_starts_without_a_shell(each: Container) -> None:
    config = each.config()
    tag = each.image.split(":")[1]
    assert (config.get("Entrypoint") or []) == (["python3"] if "-data:" in each.image else [])
    assert config["Labels"]["stepgluon.content"].startswith(tag)
    assert re.fullmatch(r"\d+\.\d+\.\d+", config["Labels"]["org.opencontainers.image.version"])
    assert "PYTHONUNBUFFERED=1" in config["Env"]


def test_what_was_built_is_not_built_again(each: Container) -> None:
    line = each.image.removeprefix("localhost/")
    done = subprocess.run(
        [HOUSE / "docker/build.sh", line.split(":")[0]],
        capture_output=True,
        text=True,
        env=environ() | {"BASE": BASE},
        cwd="/",
    )
    assert (done.stdout, done.stderr) == (line + "\n", "")
