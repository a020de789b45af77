"""Files in whole runs: the demo's container is really built, trained, measured and asked; and hostile ones."""

from __future__ import annotations

import csv
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from images.containers import BASE, CACHE, alone, call, make_base, missing
from test_own_container import HOUSE, pipeline, result, verdicts
from whole import Ended, Whole

from localaws.sagemaker import bubblewrap

LACKING = missing() or bubblewrap.missing()
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"containers need {LACKING}")

DEMO = HOUSE / "demo/mnist"
EMPTY = "stepgluon-test-empty"
SCRIPTS = "tests/local/files_scripts"
HEAD = f"""name: mnist
retries: {{throttling: 0, quota: 0, job: 0}}
data: {{files: true, prepare: {SCRIPTS}/preprocess.py}}
models:
"""


@pytest.fixture(scope="module")
def store() -> Iterator[None]:
    """The images of the tests; one is the demo's with a `train` that leaves nothing."""
    with alone(), pytest.MonkeyPatch.context() as patch:
        make_base()
        patch.setenv("CONTAINERS_STORAGE_CONF", os.fspath(CACHE / "storage.conf"))
        patch.setenv("BASE", BASE)
        built = call(HOUSE / "docker/build.sh", "mnist-digits=demo/mnist/digits", BASE=BASE).strip()
        container = call("buildah", "from", f"localhost/{built}").strip()
        root = Path(call("buildah", "mount", container).strip())
        (root / "usr/local/bin/train").write_text("#!/bin/sh\nexit 0\n")
        call("buildah", "commit", "--quiet", "--rm", container, f"localhost/{EMPTY}:1")
        yield
        call("buildah", "rmi", f"localhost/{EMPTY}:1")


def ran(whole: Whole, folder: str = "june", **more: bytes) -> Ended:
    files = {"digits.tar.gz": (DEMO / "digits.tar.gz").read_bytes(), **more, "go.run": b""}
    for name, content in files.items():
        whole.s3.put_object(Bucket=whole.raw, Key=f"{folder}/{name}", Body=content)
    return whole.ended(folder, holds=False)


def model(name: str, score: str, algorithm: str = "{build: demo/mnist/digits}") -> str:
    return f"  - {{name: {name}, metric: accuracy, at_least: 0.8, score: {score}, algorithm: {algorithm}}}\n"


def test_the_demo_trains_measures_and_predicts_and_a_second_run_does_nothing_twice(store: None, tmp_path: Path) -> None:
    # A release that does not wait ends before the container has started.
    with pipeline((DEMO / "pipeline-config.yml").read_text(), tmp_path, waiting=0.01) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told["failure"]
        digits = verdicts(ended)["digits"]
        assert digits["verdict"] == "accepted" and 0.9 < digits["score"] <= 1
        rows = list(csv.DictReader(result(whole, ended, "predictions.csv").splitlines()))
        assert len(rows) == 200 and {row["prediction"] for row in rows} <= set("0123456789")
        assert "Predicted 200 files." in result(whole, ended, "report.html")
        assert "predicted 200 files." in next(text for kind, text in ended.mails if kind == "finished")
        assert endpoint_answers(whole) == {row["file"]: row["prediction"] for row in rows[:20]}
        again = ran(whole, "july")
        steps = [step["name"] for step in again.told["jobs"]]
        assert steps and all("-prepare-" in name or "-post-" in name for name in steps)


def endpoint_answers(whole: Whole) -> dict[str, str]:
    """What the demo's endpoint says to the first images that are to be predicted."""
    runtime, found = whole.place.aws.client("sagemaker-runtime"), {}
    with tarfile.open(DEMO / "digits.tar.gz") as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            name = PurePosixPath(member.name).name
            if name.endswith(".pgm") and "-" not in name and len(found) < 20:
                image = tar.extractfile(member)
                assert image
                body = image.read()
                answer = runtime.invoke_endpoint(
                    EndpointName="mnist-digits", Body=body, ContentType="image/x-portable-graymap"
                )
                found[name] = answer["Body"].read().decode()
    return found


def test_what_a_training_and_a_script_may_do_wrong_rejects_their_model_alone(store: None, tmp_path: Path) -> None:
    address = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{EMPTY}:1"
    config = HEAD + model("logged", "{log: 'validation accuracy: ([0-9.]+)'}")
    config += model("nan", f"{{with: {SCRIPTS}/evaluate_nan.py}}")
    config += model("wrong", f"{{with: {SCRIPTS}/evaluate.py}}", "{build: demo/mnist/digits, set: {C: -1}}")
    config += model("empty", f"{{with: {SCRIPTS}/evaluate.py}}", f"{{image: '{address}'}}")
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        found = {name: verdict["reason"] for name, verdict in verdicts(ended).items()}
    assert found["logged"].startswith("accepted.") and "Its own training measured it." in found["logged"]
    assert found["nan"] == "rejected. evaluate_nan.py: accuracy is nan, which is not a finite number."
    assert "C" in found["wrong"] and "InvalidParameterError" in found["wrong"]
    assert found["empty"] == "rejected. The training saved nothing in /opt/ml/model, so there is no model."
    assert ended.kinds[-1] == "failed" and "No model can predict for" in ended.mails[-1][1]


def test_the_best_training_of_a_tuning_is_measured_and_predicts(store: None, tmp_path: Path) -> None:
    tune = "{C: ['0.0001', '10'], jobs: 2, objective: {metric: accuracy, regex: 'validation accuracy: ([0-9.]+)'}}"
    algorithm = f"{{build: demo/mnist/digits, set: {{gamma: 0.001}}}}, tune: {tune}"
    config = HEAD + model("digits", f"{{with: {SCRIPTS}/evaluate.py}}", algorithm)
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole)
        assert ended.told["status"] == "SUCCEEDED", ended.told["failure"]
        assert verdicts(ended)["digits"]["score"] > 0.9, "of the training with the larger C"
        (file,) = [key for key in whole.keys(whole.bucket, "models/") if key.endswith("/trials.json")]
        trials = json.loads(whole.text(whole.bucket, file))
        scores = {one["set"]["C"]: (one["score"], one["job"]) for one in trials["trials"]}
        assert scores["10"] > scores["0.0001"] and trials["chosen"] == scores["10"][1]
        assert "Tuning: 2 trainings with other hyperparameters, best first" in result(whole, ended, "report.html")


def test_a_file_that_the_container_refuses_fails_its_model_s_prediction(store: None, tmp_path: Path) -> None:
    config = HEAD + model("digits", f"{{with: {SCRIPTS}/evaluate.py}}")
    with pipeline(config, tmp_path) as whole:
        ended = ran(whole, damaged=b"yes")
        assert ended.told["status"] == "FAILED", ended.told
        assert "digits" in ended.mails[-1][1] and "failed" in ended.mails[-1][1]
        rows = list(csv.DictReader(result(whole, ended, "predictions.csv").splitlines()))
    assert len(rows) > 5 and not any(row["prediction"] for row in rows)
