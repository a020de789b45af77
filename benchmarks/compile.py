"""How long compiling takes, as ratios measured side by side in one run. Run by `make bench`.

The SDK as shipped builds the steps that a user of it would write for the same models: TrainingStep, ProcessingStep and
SnsPublishStep in Parallel states, and its own JSON. It does less: no choices, no retries, no checks.
"""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from pipeline import workflow  # noqa: E402
from stepgluon.config.load import loads  # noqa: E402
from stepgluon.config.source import LoadedConfig  # noqa: E402
from stepgluon.selfcheck import findings  # noqa: E402
from stepgluon.workflow.compile import build, compile_definition, most_models  # noqa: E402

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1"
ROLE = "arn:aws:iam::123456789012:role/job"


def text_of(models: int) -> str:
    names = ", ".join(f"m{number}" for number in range(models))
    return f"""
name: many
account: "123456789012"
region: us-east-1
notify: [ml-team@example.com]
models: {{partition_by: kind, values: [{names}], label: y}}
fallback: {{threshold: 350}}
"""


def config(models: int) -> LoadedConfig:
    return loads(text_of(models), "pipeline-config.yml", None, {})


def seconds(work: Callable[[], Any], runs: int = 5) -> float:
    """The quickest of some runs: what else the machine does only adds to it."""
    taken = []
    for _ in range(runs):
        gc.collect()
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def as_shipped(models: int) -> str:
    import boto3
    import sagemaker
    from sagemaker.estimator import Estimator
    from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor
    from stepfunctions.steps import Chain, Graph, Parallel, ProcessingStep, SnsPublishStep, TrainingStep

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    session = sagemaker.Session(boto3.Session(**keys), default_bucket="bucket")
    machine = {"role": ROLE, "image_uri": IMAGE, "instance_count": 1, "instance_type": "ml.m5.xlarge"}
    estimator = Estimator(**machine, sagemaker_session=session, output_path="s3://bucket/models")
    processor = Processor(**machine, sagemaker_session=session)
    inputs = [ProcessingInput(source="s3://bucket/in", destination="/opt/ml/processing/input", input_name="in")]
    outputs = [ProcessingOutput(source="/opt/ml/processing/output", destination="s3://bucket/out", output_name="out")]

    def processing(name: str) -> Any:
        return ProcessingStep(name, processor=processor, job_name=name, inputs=inputs, outputs=outputs)

    def mail(name: str) -> Any:
        return SnsPublishStep(name, parameters={"TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": name})

    train, predict = Parallel("Train"), Parallel("Predict")
    for number in range(models):
        train.add_branch(
            TrainingStep(f"Train {number}", estimator=estimator, job_name=f"t{number}", data="s3://bucket/x")
        )
        predict.add_branch(processing(f"p{number}"))
    chain = [mail("start"), processing("prepare"), train, mail("models"), predict, processing("post"), mail("end")]
    return str(Graph(Chain(chain)).to_json())


def process(*words: str, code: int = 0) -> float:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}

    def run() -> None:
        ended = subprocess.run([sys.executable, *words], check=False, capture_output=True, env=environment, cwd=ROOT)
        assert ended.returncode == code, ended.stderr

    return seconds(run)


def validated(models: int, code: int = 0) -> float:
    file = ROOT / "build" / f"{models}-models.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text_of(models), encoding="utf-8")
    return process("pipeline.py", "validate", "--config", str(file), code=code)


def main() -> None:
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    logging.getLogger("sagemaker").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    as_shipped(1)  # imports take seconds and are not what is measured; the first compile below is not either
    before = seconds(lambda: compile_definition(config(100), workflow))
    theirs = seconds(lambda: as_shipped(100), runs=1)
    ours = min(before, seconds(lambda: compile_definition(config(100), workflow)))
    print(f"100 models, from the text to the checked definition: {ours:.2f} s")
    print(f"100 models, the SDK as shipped:                      {theirs:.2f} s")
    print(f"ratio, at least 300:                                 {theirs / ours:.0f}")

    most = most_models(config(400).config, workflow)
    limit = seconds(lambda: compile_definition(config(150), workflow))
    print(f"150 models, from the text (of at most {most}), at most 1:  {limit:.2f} s")

    def in_memory(loaded: LoadedConfig) -> None:
        definition = build(loaded.config, workflow)
        findings(definition.asl, definition.text)

    thousand, part = (seconds(partial(in_memory, config(models)), runs=3) for models in (1000, 250))
    print(f"1,000 models in memory, built and checked, at most 2: {thousand:.2f} s")
    print(f"1,000 models over 250 models, linear is 4:           {thousand / part:.1f}")

    python = process("-c", "pass")
    for name, most_seconds, taken in (
        ("validate of 50 models", 0.25, validated(50)),
        ("validate of 300 models, too many", 2.0, validated(300, code=2)),
        ("--help", 0.2, process("pipeline.py", "--help")),
    ):
        print(f"{name}, whole process, at most {most_seconds}: {taken:.2f} s ({taken / python:.0f} bare Pythons)")


if __name__ == "__main__":
    main()
