"""What is shown of a Distributed Map while it runs."""

from __future__ import annotations

from typing import Any

import pytest
from local_aws import until
from test_distributed_map import asl, distributed, reader  # noqa: F401 - the first is a fixture
from test_moto_fixes import ROLE, Interpreter, task

from localaws.sagemaker.scheduler import Scheduler
from stepgluon.local import child_jobs
from stepgluon.local.child_jobs import ChildJobs
from stepgluon.runs.history import no_remark, read
from stepgluon.runs.map_runs import map_words


def test_a_running_map_says_how_far_it_is_and_which_jobs_it_has(
    asl: Interpreter,  # noqa: F811 - as above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Otherwise the job that hangs takes all cores if the others come more than 20 ms later.
    monkeypatch.setattr(asl.aws.sagemaker.workshop, "scheduler", Scheduler(3, 1))
    monkeypatch.setattr(child_jobs, "_SHARE", 0)  # the pause after a look that was slow is twenty times as long
    s3 = asl.aws.client("s3")
    s3.put_object(Bucket="data", Key="do.py", Body=b"import time; time.sleep(600 if 'g0002' in str(root) else 0)")
    place = {"LocalPath": "/opt/ml/processing/input/do", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    arguments = {
        "ProcessingJobName": "{% 'job-' & $states.input.group %}",
        "RoleArn": ROLE,
        "ProcessingInputs": [{"InputName": "do", "S3Input": {"S3Uri": "s3://data/do.py", **place}}],
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "AppSpecification": {"ImageUri": "i", "ContainerEntrypoint": ["python3", "/opt/program/act.py"]},
        "Environment": {"group": "{% $states.input.group %}"},  # so that no job is cached
    }
    states = {"Predict group": task("sagemaker:createProcessingJob.sync", Arguments=arguments)}
    arn = asl.start(distributed(states, ItemReader=reader()))
    jobs = ChildJobs()

    def two_done() -> Any:
        story = read(asl.aws.history(arn))
        found = {job.state: job.status for job in jobs.of(asl.aws, story, no_remark)}
        ended = sorted(found.values()) == ["Completed", "Completed", "InProgress"]
        # A group ends a moment after its job.
        return found if ended and map_words(asl.api, story) == ["Groups: 2 of 3 groups"] else None

    found = until(two_done)
    assert found == {
        "Predict group g0000": "Completed",
        "Predict group g0001": "Completed",
        "Predict group g0002": "InProgress",
    }
    asl.api.stop_execution(executionArn=arn)
    asl.ended(arn)
    story = read(asl.aws.history(arn))
    assert map_words(asl.api, story) == [] and {
        job.state: job.status for job in jobs.of(asl.aws, story, no_remark)
    } == {
        **found,
        "Predict group g0002": "Stopped",
    }
