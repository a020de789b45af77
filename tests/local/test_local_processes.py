"""A container's commands as processes, where the config has them and the computer has no buildah."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from test_own_container import HEAD, HOUSE, ran, result, verdicts
from whole import OfOneStage, Whole

from localaws.sagemaker import bubblewrap, images
from localaws.sagemaker.job_process import JobFailed, Script, Surroundings
from localaws.server.aws import Settings
from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.errors import SurroundingsError
from stepgluon.local.deployed import deployed, processes
from stepgluon.workflow.compile import compile_definition

TRAIN = """
import csv, json, os, pathlib
root = pathlib.Path(os.environ["STEPGLUON_ROOT"])
by = json.loads((root / "input/config/hyperparameters.json").read_text())["by"]
found = {}
for file in (root / "input/data/train").glob("*.csv"):
    for row in csv.DictReader(file.open()):
        found.setdefault(row[by], []).append(float(row["body_mass_g"]))
means = {key: sum(values) / len(values) for key, values in found.items()}
(root / "model/means.json").write_text(json.dumps(means))
"""
SERVE = """
import csv, http.server, io, json, os, pathlib
means = json.loads((pathlib.Path(os.environ["STEPGLUON_ROOT"]) / "model/means.json").read_text())
usual = sum(means.values()) / len(means)

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer("")

    def do_POST(self):
        rows = csv.reader(io.StringIO(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.answer("".join(f"{next((means[cell] for cell in row if cell in means), usual)}\\n" for row in rows))

http.server.HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def no_buildah(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "missing", lambda: "buildah (apt-get install buildah)")


def config(folder: Path, algorithm: str) -> str:
    (folder / "train.py").write_text(TRAIN)
    (folder / "serve.py").write_text(SERVE)
    local = {verb: shlex.join([sys.executable, f"{folder / verb}.py"]) for verb in ("train", "serve")}
    more = f"drop: [bird], algorithm: {{{algorithm}, set: {{by: sex}}, local: {json.dumps(local)}}}"
    return f"{HEAD}  - {{name: gentoo, label: body_mass_g, where: {{species: Gentoo}}, {more}}}\n"


@pytest.mark.usefixtures("no_buildah")
def test_a_folder_is_trained_and_served_by_processes_and_the_output_says_so(tmp_path: Path) -> None:
    loaded = loads(config(tmp_path, "build: tests/local/line-model"), "config.yml", None, {})
    account, region = loaded.config.account, loaded.config.region
    own, code = processes(loaded.config), HOUSE / "code"
    settings = Settings(tmp_path / "work", account, region, code=code, processes=own, cores=2, waiting=0.00001)
    with deployed(loaded, compile_definition(loaded, workflow).text, settings) as place:
        whole = Whole(place, OfOneStage())
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told
        gentoo = verdicts(ended)["gentoo"]
        assert 0 < gentoo["mae"] < gentoo["mae_of_median"]
        assert "gentoo" in result(whole, ended, "report.html")
    known = images.program(f"{next(iter(own))}@sha256:0", [], [], "train", code, own)
    assert known.note == (
        "penguins-line-model is a container; locally its train runs as a process: "
        f"{shlex.join([sys.executable, f'{tmp_path}/train.py'])}"
    )


@pytest.mark.usefixtures("no_buildah")
def test_without_commands_containers_are_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="running it locally needs buildah"):
        images.program("r/other:1", [], [], "train", None, {"r/mine": {"train": ["true"]}})
    text = config(tmp_path, "build: tests/local/line-model").partition(", local:")[0] + "}}\n"
    loaded = loads(text, "config.yml", None, {})
    settings = Settings(tmp_path / "work", loaded.config.account, loaded.config.region, code=HOUSE / "code")
    with (
        pytest.raises(
            SurroundingsError, match=r"needs buildah .* \(or commands that run as processes, in algorithm.local"
        ),
        deployed(loaded, compile_definition(loaded, workflow).text, settings),
    ):
        pass


@pytest.mark.parametrize(
    ("program", "why"),
    [("pyhton", "No such file or directory"), ("/my models/python", "No such file"), ("/", "denied")],
)
def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, program: str, why: str) -> None:
    with pytest.raises(JobFailed, match=f"^ClientError: cannot start {shlex.quote(program)}: .*{why}"):
        Script((program, "train.py"), None).start(Surroundings(tmp_path, {}, {}, 1), print, lambda: None)
