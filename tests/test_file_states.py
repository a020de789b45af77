"""The state machine of a pipeline whose data are files, and what is deployed with it."""

from __future__ import annotations

import ast
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from interpreter import Throws, failed_job, run

from pipeline import workflow
from stepgluon import scripts
from stepgluon.config.load import load, loads
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.release import release
from stepgluon.errors import ConfigError
from stepgluon.names import Names
from stepgluon.workflow.compile import compile_definition

NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
HOUSE = Path(__file__).parents[1]
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine"
CONFIG = f"""
name: shop
data: {{files: true, prepare: demo/mnist/preprocess.py}}
models:
  - name: digits
    metric: accuracy
    at_least: 0.9
    score: {{with: demo/mnist/evaluate.py}}
    algorithm: {{image: "{IMAGE}:1"}}
    train: {{instance: {{type: ml.g5.xlarge}}}}
  - name: masks
    metric: mAP
    score: {{log: "mAP=([0-9.]+)"}}
    algorithm: {{image: "{IMAGE}:2", set: {{epochs: 3}}}}
"""


def read(text: str = CONFIG) -> LoadedConfig:
    return loads(text, "config.yml", None, {})


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    return compile_definition(read(), workflow).asl


def test_the_user_s_container_prepares_the_files(machine: dict[str, Any]) -> None:
    request = machine["States"]["Prepare data"]["Arguments"]
    assert request["AppSpecification"] == {
        "ImageUri": f"{IMAGE}:1",
        "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/stepgluon/prepare_files.py"],
    }
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in request["ProcessingInputs"]}
    assert set(inputs) == {"raw", "config", "code"}
    assert inputs["code"] == inputs["config"].replace("config.json", "code/")


def test_a_branch_trains_measures_and_asks_the_container(machine: dict[str, Any]) -> None:
    branches = [set(branch["States"]) for branch in machine["States"]["Train models"]["Branches"]]
    assert {"Train digits", "Score digits"} <= branches[0] and "Test digits" not in branches[0]
    asked = machine["States"]["Predict"]["Branches"][0]["States"]
    assert {"Create chosen model of digits", "Predict digits"} <= set(asked) and "Check answers of digits" not in asked


def answers(names: list[str], **changed: Any) -> dict[str, Any]:
    prints = [{"name": m, "train": m, "predict": m, "channels": ["train"], "rows": 100_000} for m in names]
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"models": prints})}, "Post-process": {}}
    for model in names:
        good |= {f"Look up {model}": NO_FILE, f"Look up {model} result": NO_FILE}
        metric = [{"MetricName": "mAP", "Value": 0.5}]
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}", "FinalMetricDataList": metric}
        good[f"Read score of {model}"] = {"Body": json.dumps({"score": 0.95, "manifest": "5" * 64})}
        good |= {f"{verb} {model}": {} for verb in ("Score", "Predict", "Remember")}
        good |= {f"{verb} chosen model of {model}": {} for verb in ("Create", "Delete")}
        good[f"Remember {model} result"] = {}
    return good | {state.replace("_", " "): answer for state, answer in changed.items()}


def test_post_process_reads_a_folder_of_answers_of_each_model_that_predicted() -> None:
    text = compile_definition(read(), workflow).text

    def inputs(**changed: Any) -> dict[str, Any]:
        ended = run(text, answers(["digits", "masks"], **changed))
        assert len(json.dumps(ended.call("List predictions")["Body"])) < 1000, "no answer is listed one by one"
        found = ended.call("Post-process")["ProcessingInputs"]
        return {one["S3Input"]["LocalPath"].removeprefix("/opt/ml/processing/input/"): one["S3Input"] for one in found}

    found = inputs()
    assert set(found) == {"predictions", "verdicts", "profile", "config", "answers/digits", "answers/masks"}
    asked = run(text, answers(["digits", "masks"])).call("Predict digits")["TransformOutput"]["S3OutputPath"]
    place, _, folder = found["answers/digits"]["S3Uri"].removesuffix("/").rpartition("/")
    assert (place, len(folder)) == (asked.rpartition("/")[0], 10)
    assert found["answers/digits"]["S3DataType"] == "S3Prefix"
    lost = failed_job("Not retried: lost", "Transform")
    assert "answers/masks" not in inputs(Predict_masks=lost), "a prefix without objects ends the job"


def test_the_models_answers_are_inputs_of_one_job() -> None:
    models = "".join(
        f"  - {{name: m{n}, metric: mAP, score: {{log: 'm=([0-9.]+)'}}, algorithm: {{image: '{IMAGE}:1'}}}}\n"
        for n in range(7)
    )
    config = f"name: shop\ndata: {{files: true, prepare: demo/mnist/preprocess.py}}\nmodels:\n{models}"
    with pytest.raises(ConfigError, match=r"models: 7 models are too many with data.files \(at most 6: their answers"):
        read(config)


def test_an_image_of_aws_gets_the_script_with_its_training_and_when_it_serves() -> None:
    algorithm = "{sklearn: 1.4-2, script: demo/mnist/make_data.py, set: {depth: 3}}"
    loaded = read(f"name: shop\nmodels:\n  - {{name: price, label: price, algorithm: {algorithm}}}\n")
    definition = compile_definition(loaded, workflow)
    states = definition.asl["States"]
    (price,) = states["Begin"]["Assign"]["models"]
    source = Names(loaded.config).source_uri
    assert price["image"] == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
    own = {"sagemaker_program": "make_data.py", "sagemaker_submit_directory": source, "sagemaker_region": "us-east-1"}
    assert price["train"]["HyperParameters"] == {"depth": "3", **own}
    assert price["serving"] == {name.upper(): value for name, value in own.items()}
    request = states["Train models"]["Branches"][0]["States"]["Create model of price"]["Arguments"]
    assert "'Environment': $merge([{}, $own.serving])" in request
    (stored,) = (one for one in release(loaded, definition.text).objects if source.endswith(one.key))
    with tarfile.open(fileobj=io.BytesIO(stored.body)) as tar:
        assert {"make_data.py", "preprocess.py"} <= set(tar.getnames())
    script = json.loads(Names(loaded.config).config_json)["models"][0]["algorithm"]["script"]
    assert len(script) == 64, "a changed script trains again"


def test_a_training_s_own_metric_is_defined_and_passed_on(machine: dict[str, Any]) -> None:
    digits, masks = machine["States"]["Begin"]["Assign"]["models"]
    defined = masks["train"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert defined == [{"Name": "mAP", "Regex": "mAP=([0-9.]+)"}]
    assert "AlgorithmSpecification" not in digits["train"]
    branch = machine["States"]["Train models"]["Branches"][1]["States"]
    kept = branch["Train masks"]["Assign"]["own"]
    assert "$states.result.FinalMetricDataList[MetricName = 'mAP'].Value" in kept
    assert branch["Judge masks"]["Choices"][0]["Condition"] == "{% $type($own.score) = 'number' ? true : false %}"
    assert "Its own training measured it." in json.dumps(machine["States"]["Train models"]["Output"])


def test_the_scripts_are_deployed_next_to_the_config_that_depends_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = read()
    names = Names(loaded.config)
    place = names.code_uri.removeprefix(f"s3://{names.work_bucket}/")
    stored = {one.key.removeprefix(place): one.body for one in release(loaded, "{}").objects if place in one.key}
    assert {"preprocess.py", "evaluate.py", "stepgluon/prepare_files.py", "stepgluon/job_io.py"} <= set(stored)
    assert stored["evaluate.py"] == (HOUSE / "demo/mnist/evaluate.py").read_bytes()
    monkeypatch.setattr(scripts, "REPOSITORY", tmp_path)
    for name, content in stored.items():
        folder = "code" if name.startswith("stepgluon/") else "demo/mnist"
        path = tmp_path / folder / name.rpartition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert Names(loaded.config).config_uri == names.config_uri
    (tmp_path / "demo/mnist/helper.py").write_text("changed = True\n")
    assert Names(loaded.config).config_uri != names.config_uri


@pytest.mark.parametrize("demo", ["mnist", "china", "mask-rcnn"])
def test_each_demo_of_files_compiles_and_its_scripts_and_container_are_whole(demo: str) -> None:
    """Those on GPUs are not run in the tests: AWS's PyTorch containers are needed to build them."""
    folder = HOUSE / "demo" / demo
    loaded = load(folder / "pipeline-config.yml", None, {})
    definition = compile_definition(loaded, workflow)
    (model,) = loaded.config.models
    assert model.algorithm and model.algorithm.build
    image = release(loaded, definition.text).images[-1]
    assert image.folder == model.algorithm.build
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", (HOUSE / image.folder / "Dockerfile").read_text(), re.MULTILINE)
    files = {file for line in copied for file in line.split()}
    assert files == {path.name for path in (HOUSE / image.folder).iterdir() if path.is_file()} - {"Dockerfile"}
    for path in [*folder.glob("*.py"), *(HOUSE / image.folder).iterdir()]:
        if path.suffix == ".py" or path.name == "train":
            ast.parse(path.read_text(), feature_version=(3, 9))
        if path.name in ("train", "serve"):
            assert path.stat().st_mode & 0o111
