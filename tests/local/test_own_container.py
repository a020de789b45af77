"""Containers of the user's own in whole runs: beside AutoGluon and XGBoost, and hostile ones at each stage.

Their programs are Perl, in a container that buildah makes and bubblewrap runs (perl_models.py).
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from images.containers import missing
from local_aws import until
from perl_models import image as made
from test_boxes import left, running
from whole import Ended, OfOneStage, Whole

from localaws.sagemaker import bubblewrap, serving
from localaws.server.aws import Settings
from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.local.deployed import deployed
from stepgluon.workflow.compile import compile_definition

LACKING = missing() or bubblewrap.missing()
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"containers need {LACKING}")

HOUSE = Path(__file__).resolve().parents[2]
HEAD = "name: penguins\nretries: {throttling: 0, quota: 0, job: 0}\nmodels:\n"


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with made("stepgluon-test-line") as name:
        yield name


def model(
    name: str, image: str, train: str = "", serve: str = "", column: str = "flipper_length_mm", **where: Any
) -> str:
    settings = json.dumps({"column": column, "train": train, "serve": serve})
    rows = json.dumps({"species": "Gentoo", **where})
    algorithm = f"{{image: '{image}', set: {settings}}}"
    return f"  - {{name: {name}, label: body_mass_g, where: {rows}, drop: [bird], algorithm: {algorithm}}}\n"


@contextmanager
def pipeline(config: str, work: Path, code: Path = HOUSE / "code", waiting: float = 0.00001) -> Iterator[Whole]:
    loaded = loads(config, "config.yml", None, {})
    account, region = loaded.config.account, loaded.config.region
    settings = Settings(work=work, account=account, region=region, code=code, cores=2, waiting=waiting)
    with deployed(loaded, compile_definition(loaded, workflow).text, settings) as place:
        yield Whole(place, OfOneStage())


def ran(whole: Whole, folder: str = "june") -> Ended:
    for table in sorted((HOUSE / "demo").glob("penguins-*.csv")):
        whole.s3.put_object(Bucket=whole.raw, Key=f"{folder}/{table.name}", Body=table.read_bytes())
    whole.s3.put_object(Bucket=whole.raw, Key=f"{folder}/go.run", Body=b"")
    return whole.ended(folder, holds=False)


def result(whole: Whole, ended: Ended, file: str) -> str:
    return whole.text(whole.bucket, f"runs/{ended.name}/result/{file}")


def verdicts(ended: Ended) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in ended.told["models"]}


def test_three_programs_side_by_side_and_a_second_run_takes_everything_from_the_first(
    image: str, tmp_path: Path
) -> None:
    config = f"""{HEAD}  - {{name: adelie, label: body_mass_g, where: {{species: Adelie}}, train: {{time_limit: 10s}}}}
  - name: chinstrap
    label: body_mass_g
    where: {{species: Chinstrap}}
    algorithm: {{xgboost: 3.0-5, set: {{num_round: 20}}}}
    threshold: 1
{model("gentoo", image)}fallback: {{threshold: 500}}
"""
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told
        found = verdicts(ended)
        assert [found[name]["verdict"] for name in ("adelie", "chinstrap", "gentoo")] == [
            *("accepted", "rejected", "accepted"),
        ]
        gentoo = found["gentoo"]
        assert gentoo["mae"] < gentoo["mae_of_median"] and gentoo["learner"] == "stepgluon-test-line:1"
        rows = list(csv.DictReader(result(whole, ended, "predictions.csv").splitlines()))
        for species in ("Adelie", "Chinstrap", "Gentoo"):
            filled = [row for row in rows if row["species"] == species and not row["body_mass_g"]]
            assert filled and all(3000 < float(row["prediction"]) < 7000 for row in filled)
        assert "stepgluon-test-line:1 trained the model" in result(whole, ended, "report.html")
        text = next(text for kind, text in ended.mails if kind == "models")
        assert "gentoo" in text and "rejected" in text
        again = ran(whole, "july")
        assert again.told["status"] == "SUCCEEDED"
        steps = {step["name"] for step in again.told["jobs"]}
        assert not {name for name in steps if "-prepare-" not in name and "-post-" not in name}, "all was done before"
    assert left() == []


def test_a_folder_is_built_trained_and_served_and_built_once(image: str, tmp_path: Path) -> None:
    algorithm = "{build: tests/local/line-model, set: {column: flipper_length_mm}}"
    config = f"{HEAD}  - {{name: gentoo, label: body_mass_g, where: {{species: Gentoo}}, algorithm: {algorithm}}}\n"
    digests = []
    for work in ("one", "two"):
        with pipeline(config, tmp_path / work) as whole:
            ended = ran(whole) if work == "one" else None
            ecr = whole.place.aws.client("ecr")
            (found,) = ecr.describe_images(repositoryName="penguins-line-model")["imageDetails"]
            digests.append(found["imageDigest"])
            if ended:
                assert ended.told["status"] == "SUCCEEDED", ended.told
                assert verdicts(ended)["gentoo"]["learner"] == "penguins-line-model"
    assert digests[0] == digests[1]


def test_a_folder_is_tuned_and_its_best_training_answers(image: str, tmp_path: Path) -> None:
    columns = ["year", "flipper_length_mm", "bill_depth_mm"]
    tune = f"{{column: {columns}, jobs: 3, objective: {{metric: distance, regex: 'error ([0-9.]+)', goal: minimize}}}}"
    algorithm = "{build: tests/local/line-model}"
    where = "where: {species: Gentoo}, drop: [bird]"
    config = f"{HEAD}  - {{name: gentoo, label: body_mass_g, {where}, algorithm: {algorithm}, tune: {tune}}}\n"
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told
        gentoo = verdicts(ended)["gentoo"]
        assert gentoo["mae"] < gentoo["mae_of_median"]
        (file,) = [key for key in whole.keys(whole.bucket, "models/") if key.endswith("/trials.json")]
        trials = json.loads(whole.text(whole.bucket, file))
        scores = {one["set"]["column"]: one["score"] for one in trials["trials"]}
        assert set(scores) == set(columns), "each column was tried"
        best = min(scores, key=lambda column: scores[column])
        assert best != "year" and trials["chosen"] == next(
            one["job"] for one in trials["trials"] if one["set"]["column"] == best
        )
        page = result(whole, ended, "report.html")
        assert "Tuning: 3 trainings with other hyperparameters, best first" in page
        assert "Check answers" not in page and list(
            csv.DictReader(result(whole, ended, "predictions.csv").splitlines())
        )
    assert left() == []


def test_models_of_ours_predict_in_transform_jobs_as_in_processing_jobs(tmp_path: Path) -> None:
    """It needs no container: `serve` of our images runs as a process where buildah does not have them."""
    config = (
        HEAD
        + """  - {name: adelie, label: body_mass_g, where: {species: Adelie}, train: {time_limit: 10s}}
  - {name: sex, label: sex, metric: accuracy, where: {species: Chinstrap}, train: {time_limit: 10s}}
  - {name: gentoo, label: body_mass_g, where: {species: Gentoo}, algorithm: {xgboost: 3.0-5, set: {num_round: 20}}}
fallback: {threshold: 500}
"""
    )
    tables = []
    for way in ("job", "transform"):
        with pipeline(f"{config}predict: {{with: {way}}}\n", tmp_path / way) as whole:
            ended = ran(whole)
            assert ended.told["status"] == "SUCCEEDED", ended.told
            tables.append(list(csv.DictReader(result(whole, ended, "predictions.csv").splitlines())))
            kinds = {job["kind"] for job in ended.told["jobs"] if "-predict-" in job["name"]}
            assert kinds == {"transform" if way == "transform" else "processing"}
    compared = 0
    for one, other in zip(*tables, strict=True):
        assert {key: bool(value) for key, value in one.items()} == {key: bool(value) for key, value in other.items()}
        if one["species"] == "Gentoo" and one["body_mass_g_prediction"]:
            assert one["body_mass_g_prediction"] == other["body_mass_g_prediction"]
            compared += 1
    assert compared > 10


CHILDREN = f"for (1 .. 50) {{ if (!fork) {{ exec('sleep', '86{os.getpid()}2') }} }} exit 0"
TRAINING = {
    "idle": ("exit 0", "", "rejected. The training saved nothing in /opt/ml/model, so there is no model."),
    "failing": ("open(F, '>/opt/ml/output/failure'); print F 'no luck'; close F; exit 3", "", "no luck"),
    "empty": ("open(F, '>/opt/ml/model/x'); close F; exit 0", "", "exit code 2 before it answered /ping"),
    "forking": (CHILDREN, "", "rejected. The training saved nothing in /opt/ml/model, so there is no model."),
    "silent": ("", "sleep 100", "was not healthy within 5 s: /ping: it did not answer."),
    "few": ("", "my $r = $reply; $reply = sub { $r->(@_[1 .. $#_]) }", "its container returned"),
    "words": ("", "$answer = sub { 'heavy' }", "which is not a number."),
    "dying": ("", "$reply = sub { exit 1 }", "The container failed during prediction; see the job's log"),
}
PLACES = [{"sex": sex, "year": year} for sex in ("male", "female") for year in (2024, 2025)]


def test_a_hostile_container_is_rejected_with_a_sentence_and_the_others_are_not(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEALTHY_SECONDS", 5.0)  # also for those that answer
    rows = [{"species": species, **place} for species in ("Gentoo", "Adelie") for place in PLACES]
    config = HEAD + "".join(
        model(name, image, train, serve, **where)
        for (name, (train, serve, _)), where in zip(TRAINING.items(), rows, strict=True)
    )
    config += model("good", image, species="Chinstrap") + "fallback: {threshold: 900}\n"
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        found = verdicts(ended)
        wrong = {
            name: found[name]["reason"] for name, (*_, said) in TRAINING.items() if said not in found[name]["reason"]
        }
        assert not wrong, wrong
        assert {found[name]["verdict"] for name in TRAINING} == {"rejected"}
        assert found["good"]["verdict"] == "accepted", found["good"]
        assert ended.kinds[-1] == "failed" and "No model can predict for" in ended.mails[-1][1]
    until(lambda: f"sleep\086{os.getpid()}2" not in running())
    assert left() == []


PREDICTING = {
    "few": ("if (@_ < 11) { pop @_ }", "its container returned"),
    "words": ("if (@_ < 11) { return join('', map { 'heavy' . chr(10) } @_) }", "which is not a number."),
    "infinite": (
        "if (@_ < 11) { return join('', map { 'inf' . chr(10) } @_) }",
        "predicts inf for row 1 of part-00000.csv",
    ),
    "dying": ("if (@_ < 11) { exit 1 }", "The container failed during prediction; see the job's log"),
}


def test_wrong_answers_to_the_rows_leave_their_cells_empty_and_the_run_incomplete(image: str, tmp_path: Path) -> None:
    """At least 16 rows are held out for each model and at most 10 are to be predicted, so a container can know."""
    config = HEAD.replace("job: 0", "job: 1")
    for (name, (code, _)), where in zip(PREDICTING.items(), PLACES, strict=True):
        serve = f"my $r = $reply; $reply = sub {{ {code} $r->(@_) }}"
        config += model(name, image, serve=serve, **where)
    config += model("good", image, species="Chinstrap") + "fallback: {threshold: 900}\n"
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "FAILED" and ended.kinds[-1] != "failed", ended.kinds
        summary = json.loads(result(whole, ended, "summary.json"))
        missing = {one["name"]: one["reason"] for one in summary["missing"]}
        assert missing.keys() == PREDICTING.keys(), missing
        tries = [name for name in PREDICTING for job in ended.told["jobs"] if f"-predict-{name}-" in job["name"]]
        assert tries == [*PREDICTING, "dying"], "wrong answers would be wrong again"
        for name, (_, said) in PREDICTING.items():
            assert said in missing[name], missing[name]
            assert missing[name] in ended.mails[-1][1]
        rows = list(csv.DictReader(result(whole, ended, "predictions.csv").splitlines()))
        empty = {row["species"] for row in rows if not row["body_mass_g"] and not row["prediction"]}
        assert "Gentoo" in empty and "Chinstrap" not in empty


def test_a_flood_of_log_fails_nothing(image: str, tmp_path: Path) -> None:
    flood = "my $l = 'x' x 1048575; for (1 .. 256) { print $l, chr(10) }"
    config = HEAD + model("flood", image, flood, flood) + "fallback: {threshold: 900}\n"
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told
        used = (
            sum(file.stat().st_size for file in (tmp_path / "logs").rglob("*")) if (tmp_path / "logs").exists() else 0
        )
        assert used < 64 * 1024 * 1024
        assert sys.getsizeof(ended.mails) < 100_000
