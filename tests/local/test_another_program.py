"""A fifth program: a row in each of the two tables, a key of the config, and its scripts; nothing else knows it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from test_own_container import HEAD, HOUSE, pipeline, ran, result, verdicts

from stepgluon import programs
from stepgluon.config import container_rules
from stepgluon.config.algorithm_schema import Algorithm
from stepgluon.config.kinds import TEXT
from stepgluon.config.sections import entry
from stepgluon.programs import PROGRAMS, Program

# In an image that has numpy and pyarrow, so that the test needs no other.
MEAN = Program(
    "mean",
    ("mean",),
    "Mean",
    container_rules,
    training_image="xgboost",
    training_script="train_mean",
    channels=("train",),
    encoded=True,
    scoring_image="xgboost",
    predicting_image="xgboost",
)
ROW = '\nPROGRAMS["mean"] = Program("Mean", ("numpy",), header=True)\n'
TRAINER = '''"""Learns the mean of each value of the hyperparameter `by`."""
import csv, json, sys, job_io

def main():
    rows = [row for file in sorted(job_io.channel("train").glob("*.csv")) for row in csv.DictReader(file.open())]
    label, by = next(iter(rows[0])), job_io.read_json(job_io.root() / "input/config/hyperparameters.json")["by"]
    found = {}
    for row in rows:
        found.setdefault(row[by], []).append(float(row[label]))
    with job_io.complete_or_absent(job_io.model_output()) as out:
        job_io.write_json(out / "means.json", {"by": by, "of": {key: sum(of) / len(of) for key, of in found.items()}})

sys.exit(job_io.run("training", main))
'''
MODEL = '''"""A model of means: see programs.py."""
import encoding, job_io, numpy as np
from job_io import JobError

class Predictor:
    def __init__(self, folder, model, manifest, in_memory=False):
        self.encoding = encoding.load(folder / encoding.FILE)
        self.features = self.encoding.names()
        self._known = job_io.read_json(folder / "program/means.json")

    def inputs(self, batch):
        return self.encoding.matrix(batch)[:, self.features.index(self._known["by"])]

    def answers(self, inputs):
        usual = np.mean(list(self._known["of"].values()))
        return np.array([self._known["of"].get(f"{one:.0f}", usual) for one in inputs], float)

    def importance(self):
        return []

    def facts(self):
        return {}

def check_readable(program, model):
    if not (program / "means.json").is_file():
        raise JobError(f"Model {model}: its training left no means.")
'''


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The jobs' scripts with the new program's; the generator has its row."""
    monkeypatch.setattr(programs, "PROGRAMS", (*PROGRAMS[:1], MEAN, *PROGRAMS[1:]))
    monkeypatch.setattr(Algorithm, "entries", Algorithm.entries | {"mean": entry("version of the means", TEXT, None)})
    folder = Path(shutil.copytree(HOUSE / "code", tmp_path / "code"))
    with (folder / "programs.py").open("a") as file:
        file.write(ROW)
    (folder / "train_mean.py").write_text(TRAINER)
    (folder / "mean_model.py").write_text(MODEL)
    return folder


def test_a_row_and_a_module_are_a_program_that_trains_and_predicts(code: Path, tmp_path: Path) -> None:
    means = "drop: [bird], algorithm: {mean: '1', set: {by: sex}}"
    trees = "drop: [bird], algorithm: {xgboost: 3.0-5, set: {num_round: 20}}"
    config = f"""{HEAD}  - {{name: gentoo, label: body_mass_g, where: {{species: Gentoo}}, {means}}}
  - {{name: adelie, label: body_mass_g, where: {{species: Adelie}}, {trees}}}
"""
    with pipeline(config, tmp_path / "work", code) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told
        gentoo = verdicts(ended)["gentoo"]
        assert gentoo["learner"] == "Mean" and 0 < gentoo["mae"] < gentoo["mae_of_median"]
        rows = list(csv.DictReader(result(whole, ended, "predictions.csv").splitlines()))
        filled = [row for row in rows if row["species"] == "Gentoo" and not row["body_mass_g"]]
        assert filled and len({row["prediction"] for row in filled}) in (2, 3), "one for each sex, and for none"
        assert "Mean trained the model." in result(whole, ended, "report.html")
        again = ran(whole, "july")
        steps = {step["name"] for step in again.told["jobs"]}
        assert not {name for name in steps if "-prepare-" not in name and "-post-" not in name}, "all is cached"
