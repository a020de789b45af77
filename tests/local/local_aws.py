"""Words with which the tests talk to a local AWS, and the stand-in for code/ that it runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import moto_shared
from faults import Faults
from stand_in import MINUTES

from localaws.server.aws import LocalAws, Settings

ACCOUNT, REGION = "123456789012", "ap-northeast-1"
SCRIPTS = Path(__file__).parent / "scripts"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"


moto_shared.share()

# What a job does that must not be done twice: the time tells whether it was.
NOTES_THE_TIME = (
    "out = root / 'processing' / 'output'; out.mkdir(exist_ok=True)\n"
    "(out / 'when').write_text(str(__import__('time').time_ns()))"
)


class Scripted(Faults):
    """Faults as a test orders them; each list is used up, `for_ever` is not."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.refusals: list[tuple[str, str]] = []
        self.for_ever: tuple[str, str] | None = None
        self.lost: list[str] = []
        self.disk_full_for = ""
        self.refused: list[str] = []

    def refuse(self, kind: str, name: str) -> tuple[str, str] | None:
        found = self.for_ever or (self.refusals.pop(0) if self.refusals else None)
        if found:
            self.refused.append(name)
        return found

    def capacity(self, kind: str, name: str) -> str | None:
        return self.lost.pop(0) if self.lost else None

    def upload(self, kind: str, name: str) -> None:
        if self.disk_full_for and self.disk_full_for in name:
            raise OSError(28, "No space left on device")


def settings(work: Path, **changed: Any) -> Settings:
    usual = {"account": ACCOUNT, "region": REGION, "code": SCRIPTS, "waiting": 0.00001, "grace_seconds": 0.3}
    return Settings(work=work, **{**usual, **changed})


def may_do_everything(aws: LocalAws, role: str = "job") -> None:
    """Makes a role with all rights, for a test of something else."""
    iam, right = aws.client("iam"), {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    iam.put_role_policy(
        RoleName=role, PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [right]})
    )


def make_bucket(aws: LocalAws, name: str = "data") -> None:
    if not aws.buckets.exists(name):
        place = {"LocationConstraint": aws.settings.region}
        aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)


def stop_jobs(aws: LocalAws) -> None:
    for job in aws.sagemaker.jobs():
        job.stop()
        job.join(MINUTES)


def until(true: Any, seconds: float = MINUTES) -> Any:
    """What `true` gives, as soon as it is something. It polls at growing intervals: each poll costs processor time."""
    end, pause = time.monotonic() + seconds, 0.005
    while not (found := true()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.1)
    return found


def alive(pid: int) -> bool:
    """Whether the process is running; in a container without init, an orphan that has ended stays a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Jobs:
    """SageMaker as a client of the web API sees it; a job does what a text of Python says."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.api = aws.client("sagemaker")
        self.s3 = aws.client("s3")
        self._count = 0

    def name(self) -> str:
        self._count += 1
        return f"job-{time.time_ns()}-{self._count}"

    def processing(self, do: str, **changed: Any) -> str:
        name = changed.pop("ProcessingJobName", None) or self.name()
        self.s3.put_object(Bucket="data", Key=f"do/{name}/do.py", Body=do.encode())
        inputs = [_input("do", f"s3://data/do/{name}/do.py"), *changed.pop("inputs", [])]
        output = {
            "S3Uri": f"s3://data/out/{name}",
            "LocalPath": "/opt/ml/processing/output",
            "S3UploadMode": "EndOfJob",
        }
        cluster = {"InstanceCount": changed.pop("count", 1), "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
        request = {
            "ProcessingJobName": name,
            "RoleArn": ROLE,
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "output", "S3Output": output}]},
            "ProcessingResources": {"ClusterConfig": cluster},
            "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "/opt/program/act.py"]},
            **changed,
        }
        self.api.create_processing_job(**request)
        return name

    def training(self, do: str, **changed: Any) -> str:
        name = self.name()
        self.s3.put_object(Bucket="data", Key=f"do/{name}/do.py", Body=do.encode())
        source = {"S3Uri": f"s3://data/do/{name}/", "S3DataType": "S3Prefix"}
        request = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "HyperParameters": {"model": "adelie"},
            "AlgorithmSpecification": {
                "TrainingImage": "image",
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "/opt/program/act.py"],
            },
            "InputDataConfig": [{"ChannelName": "do", "DataSource": {"S3DataSource": source}}],
            "OutputDataConfig": {"S3OutputPath": "s3://data/models", "CompressionType": "NONE"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changed,
        }
        self.api.create_training_job(**request)
        return name

    def ended(self, name: str) -> dict[str, Any]:
        """The description of a job when it has ended."""
        kind = "training" if ("training", name) in self.aws.sagemaker._jobs else "processing"
        assert self.aws.sagemaker.job(kind, name).done.wait(MINUTES), "the job never ends"
        return self.told(name)

    def told(self, name: str) -> dict[str, Any]:
        if ("training", name) in self.aws.sagemaker._jobs:
            described = self.api.describe_training_job(TrainingJobName=name)
            return {**described, "status": described["TrainingJobStatus"]}
        described = self.api.describe_processing_job(ProcessingJobName=name)
        return {**described, "status": described["ProcessingJobStatus"]}

    def running(self, name: str) -> None:
        """Returns when the job has said something."""
        kind = "training" if ("training", name) in self.aws.sagemaker._jobs else "processing"
        until(lambda: self.aws.logs.lines(kind, name))

    def stop_all(self) -> None:
        """A test that failed must not keep the cores of the next one."""
        stop_jobs(self.aws)

    def keys(self, prefix: str) -> list[str]:
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket="data", Prefix=prefix).get("Contents", [])]

    def text(self, key: str) -> str:
        return str(self.s3.get_object(Bucket="data", Key=key)["Body"].read().decode())


def _input(name: str, uri: str, **more: str) -> dict[str, Any]:
    place = {"LocalPath": f"/opt/ml/processing/input/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": {"S3Uri": uri, **place, **more}}


input_of = _input
