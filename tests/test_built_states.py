"""The first states of a run that builds an image, in an interpreter, and what is deployed for them."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any

from golden import GOLDEN
from interpreter import Run, Throws, run

from pipeline import workflow
from stepgluon.config.load import load
from stepgluon.deploy.release import Release, release
from stepgluon.runs.history import sentence
from stepgluon.workflow.compile import compile_definition

CONFIG = GOLDEN / "built" / "config.yml"
ABSENT = Throws("Ecr.ImageNotFoundException", "The image with imageId {imageTag:'0'} does not exist.")
STOP = Throws("SageMaker.AmazonSageMakerException", "enough")  # of the state after the builds


def released() -> Release:
    loaded = load(CONFIG, None, {})
    return release(loaded, compile_definition(loaded, workflow).text)


def ran(**answers: Any) -> Run:
    made = released()
    known = {"Look for image my-model": {"ImageDetails": []}, "Prepare data": [STOP] * 99}
    text = made.filled({image.parameter: image.tag for image in made.images})
    return run(text, {**known, **{name.replace("_", " "): answer for name, answer in answers.items()}}, {})


def test_an_image_that_is_in_ecr_is_not_built() -> None:
    ended = ran()
    assert ended.states[:4] == ["Begin", "Announce start", "Look for image my-model", "Prepare data"]


def test_a_missing_image_is_built_from_the_zip_that_was_deployed() -> None:
    made = released()
    (image,) = [image for image in made.images if image.in_runs]
    (source,) = [stored for stored in made.objects if stored.key.startswith("builds/")]
    assert source.key == f"builds/my-model/{image.tag}.zip"
    with zipfile.ZipFile(BytesIO(source.body)) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert modes == {"Dockerfile": 0o644, "train": 0o755}

    ended = ran(**{"Look for image my-model": ABSENT, "Build image my-model": {"Build": {}}})
    assert ended.states[2:5] == ["Look for image my-model", "Build image my-model", "Prepare data"]
    request = ended.call("Build image my-model")
    assert request["SourceLocationOverride"] == f"built-work-123456789012-eu-west-1/{source.key}"
    address = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/built-my-model:{image.tag}"
    assert request["EnvironmentVariablesOverride"] == [{"Name": "IMAGE", "Value": address}]
    assert address in made.filled({image.parameter: image.tag})


def test_a_failed_build_ends_the_run_with_its_message() -> None:
    phases = [{"PhaseType": "BUILD", "Contexts": [{"StatusCode": "X", "Message": 'docker build failed: no "train"'}]}]
    cause = json.dumps({"Build": {"BuildStatus": "FAILED", "Phases": phases}})
    failed = Throws("States.TaskFailed", cause)
    ended = ran(**{"Look for image my-model": ABSENT, "Build image my-model": failed})
    assert (ended.status, ended.states[-1]) == ("FAILED", "Build image my-model")
    assert sentence(ended.error, ended.cause) == 'docker build failed: no "train"'
