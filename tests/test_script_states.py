"""A model that an AWS image trains with a script of the user's keeps that script, wherever it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from interpreter import Run, Throws, run

from pipeline import workflow
from stepgluon import scripts
from stepgluon.config import file_models
from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.workflow.compile import compile_definition

CONFIG = """
name: shop
notify: [ml-team@example.com]
models:
  - {name: price, label: price, register: {}, algorithm: {sklearn: 1.4-2, script: mine/train.py}}
fallback: {threshold: 350}
"""
OTHERS = CONFIG.replace(
    "{sklearn: 1.4-2, script: mine/train.py}", "{image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/m:1}"
)
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
WORK = "s3://shop-work-123456789012-us-east-1"
PROMOTED = {
    **{"uses": "default", "model_uri": f"{WORK}/promoted/may/price/job/", "run": "may", "image": "of may"},
    **{"columns": "c", "program": "container"},
}
SERVING = {"SAGEMAKER_PROGRAM": "old.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://of/may.tar.gz", "SAGEMAKER_REGION": "r"}


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train.py").write_text("first = True\n")
    monkeypatch.setattr(scripts, "REPOSITORY", tmp_path)
    assert file_models.of_the_user is scripts
    return tmp_path


def source(config: str = CONFIG) -> str:
    return Names(loads(config, "config.yml", None, {}).config).source_uri


def result(config: str = CONFIG, **changed: Any) -> Run:
    """A run of the config as it is now."""
    prints = [{"name": "price", "train": "t", "predict": "p", "files": ["0.parquet"], "rows": 2, "columns": "c"}]
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 2, "models": prints})}, "Post-process": {}}
    good |= {"Look up price": NO_FILE, "Look up price result": NO_FILE, "Train price": {"TrainingJobName": "job"}}
    good |= {"Read score of price": {"Body": json.dumps({"mae": 200, "mae_of_median": 612, "manifest": "5" * 64})}}
    good |= {f"{name} price": {} for name in ("Score", "Predict", "Test", "Remember")}
    good |= {name: {} for name in ("Remember price result", "Check answers of price", "Remember version of price")}
    good |= {f"Create {name} of price": {"ModelArn": "arn"} for name in ("model", "chosen model")}
    good |= {f"Delete {name} of price": {} for name in ("model", "chosen model")}
    good["Register price"] = {"ModelPackageArn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/g/3"}
    definition = compile_definition(loads(config, "config.yml", None, {}), workflow).text
    return run(definition, good | {state.replace("_", " "): answer for state, answer in changed.items()})


def environment(ended: Run, state: str) -> Any:
    return ended.call(state)["PrimaryContainer"].get("Environment")


def test_the_marker_the_verdict_and_the_registered_version_name_the_script() -> None:
    ended = result()
    (judged,) = ended.output["models"]
    serving = judged["serving"]
    assert serving == {
        "SAGEMAKER_PROGRAM": "train.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": source(),
        "SAGEMAKER_REGION": "us-east-1",
    }
    assert ended.call("Remember price")["Body"]["serving"] == serving
    for state in ("Create model of price", "Create chosen model of price"):
        assert environment(ended, state) == serving
    (container,) = ended.call("Register price")["InferenceSpecification"]["Containers"]
    assert container["Environment"] == serving


def test_a_script_has_one_address_whatever_else_changes_in_the_config(repository: Path) -> None:
    before = source()
    assert source(CONFIG.replace("350", "300")) == before
    (repository / "mine/helper.py").write_text("changed = True\n")
    assert source() != before


def test_a_cached_model_predicts_with_the_script_that_trained_it() -> None:
    marker = {"job": "may-train", "mae": 200, "manifest": "5" * 64, "run": "may", "image": "of may"}
    ended = result(Look_up_price={"Body": json.dumps({**marker, "serving": SERVING})})
    assert environment(ended, "Create chosen model of price") == SERVING
    (container,) = ended.call("Register price")["InferenceSpecification"]["Containers"]
    assert container["Environment"] == SERVING
    ended = result(Look_up_price={"Body": json.dumps(marker)})
    assert environment(ended, "Create chosen model of price")["SAGEMAKER_SUBMIT_DIRECTORY"] == source()


@pytest.mark.parametrize("config", [CONFIG, OTHERS], ids=["the script changed", "the algorithm changed"])
def test_a_promoted_model_predicts_with_its_own_script(config: str) -> None:
    bad = {"Body": json.dumps({"mae": 900, "mae_of_median": 612, "manifest": "5" * 64})}

    def used(**more: Any) -> Any:
        chosen = {"Body": json.dumps({"m_price": {**PROMOTED, **more}})}
        return result(config, Read_score_of_price=bad, Choose_models=chosen)

    ended = used(serving=SERVING)
    assert environment(ended, "Create chosen model of price") == SERVING
    assert not environment(used(), "Create chosen model of price"), "its own container needs none"
    other = used(serving={**SERVING, "SAGEMAKER_SUBMIT_DIRECTORY": "s3://of/june.tar.gz"})
    keys = [one.call("Remember price result")["Key"] for one in (ended, other)]
    assert keys[0] != keys[1], "predictions of another script are not reused"
