"""SageMaker's jobs as a client of the web API meets them: real processes, real buckets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import Jobs, Scripted, alive, input_of, until

from localaws.sagemaker import bubblewrap
from localaws.sagemaker.scheduler import Scheduler

OUT = "out = root / 'processing' / 'output'; out.mkdir(parents=True, exist_ok=True)\n"
SAY = "print('hello', flush=True); import time; "


def refused(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


def cluster(**changed: Any) -> Any:
    return {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30, **changed}}


def output(uri: str, path: str) -> Any:
    place = {"S3Uri": uri, "LocalPath": path, "S3UploadMode": "EndOfJob"}
    return {"Outputs": [{"OutputName": "o", "S3Output": place}]}


def test_a_processing_job_reads_its_inputs_and_its_output_is_uploaded_when_it_ends(jobs: Jobs) -> None:
    jobs.s3.put_object(Bucket="data", Key="rows/a/1.csv", Body=b"one")
    jobs.s3.put_object(Bucket="data", Key="rows/b.csv", Body=b"two")
    do = (
        OUT
        + "i = root / 'processing/input/rows/a/1.csv'; (out / 'deep').mkdir()\n"
        + "(out / 'deep' / 'x').write_text(i.read_text())"
    )
    name = jobs.processing(do, inputs=[input_of("rows", "s3://data/rows")])
    told = jobs.ended(name)
    assert told["status"] == "Completed"
    assert told["ProcessingEndTime"] >= told["ProcessingStartTime"] >= told["CreationTime"]
    assert jobs.keys(f"out/{name}/") == [f"out/{name}/deep/x"]
    assert jobs.text(f"out/{name}/deep/x") == "one"


def test_a_training_job_has_its_hyperparameters_and_channels_and_leaves_a_model(jobs: Jobs) -> None:
    do = "print((root / 'input/config/hyperparameters.json').read_text()); (root / 'model' / 'm.bin').write_text('m')"
    name = jobs.training(do)
    told = jobs.ended(name)
    assert (told["status"], told["SecondaryStatus"]) == ("Completed", "Completed")
    assert told["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://data/models/{name}/output/model/"
    assert jobs.keys(f"models/{name}/") == [f"models/{name}/output/model/m.bin"]
    assert json.loads(jobs.aws.logs.lines("training", name)[0]) == {"model": "adelie"}


def test_what_a_job_prints_stands_in_cloudwatch(jobs: Jobs) -> None:
    name = jobs.processing(
        "import sys; print('to stdout'); print('to stderr', file=sys.stderr); print('no line end', end='')"
    )
    jobs.ended(name)
    logs = jobs.aws.client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    assert stream["logStreamName"].startswith(f"{name}/algo-1-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert {event["message"] for event in events} == {"to stdout", "to stderr", "no line end"}


def test_a_job_sees_the_variables_it_declared_and_nothing_of_the_shell(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "real")
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    do = OUT + "import os, json; (out / 'env').write_text(json.dumps(dict(os.environ)))"
    name = jobs.processing(do, Environment={"MINE": "yes"})
    jobs.ended(name)
    env = json.loads(jobs.text(f"out/{name}/env"))
    assert env["MINE"] == "yes"
    assert "SECRET_OF_THE_SHELL" not in env and "AWS_PROFILE" not in env and "AWS_ACCESS_KEY_ID" not in env
    assert env["AWS_CONFIG_FILE"] == "/dev/null" and env["AWS_EC2_METADATA_DISABLED"] == "true"


def test_only_declared_inputs_are_there(jobs: Jobs) -> None:
    do = (
        OUT
        + "(out / 'seen').write_text(repr(sorted(str(p.relative_to(root)) for p in root.rglob('*') if p.is_file())))"
    )
    name = jobs.processing(do)
    jobs.ended(name)
    assert eval(jobs.text(f"out/{name}/seen")) == [
        "config/processingjobconfig.json",
        "config/resourceconfig.json",
        "processing/input/do/do.py",
    ]


@pytest.mark.parametrize(
    ("prefix", "names"),
    [("p/a/", ["1.csv", "x/2.csv"]), ("p/a", ["1.csv", "x/2.csv", "ab.csv"]), ("p/ab.csv", ["ab.csv"]), ("p", None)],
)
def test_a_prefix_means_what_it_means_on_aws(jobs: Jobs, prefix: str, names: list[str] | None) -> None:
    for key in ("p/a/1.csv", "p/a/x/2.csv", "p/ab.csv", "p/a/folder/"):
        jobs.s3.put_object(Bucket="data", Key=key, Body=b"x")
    do = (
        OUT
        + "i = root / 'processing/input/in'; found = sorted(p for p in i.rglob('*') if p.is_file())\n"
        + "(out / 's').write_text(repr(sorted(str(p.relative_to(i)) for p in found)))"
    )
    name = jobs.processing(do, inputs=[input_of("in", f"s3://data/{prefix}")])
    assert jobs.ended(name)["status"] == "Completed"
    assert eval(jobs.text(f"out/{name}/s")) == sorted(names or ["a/1.csv", "a/x/2.csv", "ab.csv"])


def test_a_prefix_without_objects_fails_the_job(jobs: Jobs) -> None:
    name = jobs.processing("", inputs=[input_of("rows", "s3://data/nothing/here/")])
    told = jobs.ended(name)
    assert told["status"] == "Failed"
    assert told["FailureReason"].startswith('ClientError: No S3 objects found under S3 URL "s3://data/nothing/here/"')


def test_instances_share_the_objects_and_all_their_outputs_are_uploaded(jobs: Jobs) -> None:
    for number in range(5):
        jobs.s3.put_object(Bucket="data", Key=f"shard/{number}.csv", Body=b"x")
    do = OUT + (
        "import json; me = json.loads((root / 'config/resourceconfig.json').read_text())['current_host']\n"
        "(out / me).write_text(repr(sorted(p.name for p in (root / 'processing/input/rows').iterdir())))"
    )
    name = jobs.processing(
        do, count=2, inputs=[input_of("rows", "s3://data/shard/", S3DataDistributionType="ShardedByS3Key")]
    )
    assert jobs.ended(name)["status"] == "Completed"
    assert eval(jobs.text(f"out/{name}/algo-1")) == ["0.csv", "2.csv", "4.csv"]
    assert eval(jobs.text(f"out/{name}/algo-2")) == ["1.csv", "3.csv"]


# Endings


def test_a_failed_training_tells_its_sentence_and_exit_code(jobs: Jobs) -> None:
    do = "(root / 'output' / 'failure').write_text('column sex is empty'); import sys; sys.exit(1)"
    told = jobs.ended(jobs.training(do))
    assert (told["status"], told["FailureReason"]) == ("Failed", "AlgorithmError: column sex is empty, exit code: 1")


def test_a_failed_processing_tells_its_sentence_as_exit_message_and_uploads_nothing(jobs: Jobs) -> None:
    name = jobs.processing(
        OUT
        + "(out / 'half').write_text('1'); (root / 'output' / 'message').write_text('bad data')\n"
        + "import sys; sys.exit(1)"
    )
    told = jobs.ended(name)
    assert (told["status"], told["ExitMessage"]) == ("Failed", "bad data")
    assert told["FailureReason"].startswith("AlgorithmError")
    assert jobs.keys(f"out/{name}/") == []


@pytest.mark.parametrize(
    ("signal", "reason"),
    [("SIGKILL", "ClientError: Please use an instance type with more memory"), ("SIGSEGV", "AlgorithmError")],
)
def test_a_job_that_dies_of_a_signal_has_failed(jobs: Jobs, signal: str, reason: str) -> None:
    told = jobs.ended(jobs.training(f"import os, signal; os.kill(os.getpid(), signal.{signal})"))
    assert told["status"] == "Failed"
    assert told["FailureReason"].startswith(reason)


@pytest.mark.parametrize("ignores", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_a_job_is_ended_when_its_time_is_over_even_if_it_ignores_that(jobs: Jobs, ignores: str) -> None:
    told = jobs.ended(jobs.training(f"{ignores}{SAY}time.sleep(600)", StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert (told["status"], told["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_stopped_job_is_stopping_and_then_stopped_and_its_children_are_gone(jobs: Jobs) -> None:
    name = jobs.processing(
        SAY + "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
    )
    until(lambda: len(jobs.aws.logs.lines("processing", name)) == 2)
    jobs.api.stop_processing_job(ProcessingJobName=name)
    assert jobs.told(name)["status"] in ("Stopping", "Stopped")
    assert jobs.ended(name)["status"] == "Stopped"
    child = int(jobs.aws.logs.lines("processing", name)[1])
    until(lambda: not alive(child))
    assert (
        refused(lambda: jobs.api.stop_processing_job(ProcessingJobName=name)).response["Error"]["Code"]
        == "ValidationException"
    )


def test_a_child_that_leaves_its_session_and_keeps_the_log_open_does_not_keep_the_job(jobs: Jobs) -> None:
    name = jobs.processing(
        "import subprocess; subprocess.Popen(['sleep', '3'], start_new_session=True); print('done', flush=True)"
    )
    assert jobs.ended(name)["status"] == "Completed"


def test_a_full_disk_fails_the_job_and_leaves_no_half_output(jobs: Jobs, faults: Scripted) -> None:
    faults.disk_full_for = "job-"
    name = jobs.processing(OUT + "(out / 'a').write_text('1')")
    told = jobs.ended(name)
    assert (told["status"], told["FailureReason"]) == ("Failed", "InternalServerError: No space left on device")
    assert jobs.keys(f"out/{name}/") == []


def test_lost_capacity_fails_the_job(jobs: Jobs, faults: Scripted) -> None:
    faults.lost = ["CapacityError: Unable to provision requested ML compute capacity."]
    assert jobs.ended(jobs.training(""))["FailureReason"].startswith("CapacityError")


def test_an_image_that_is_not_here_is_named(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "missing", lambda: "")
    monkeypatch.setattr(bubblewrap, "_inspected", lambda name: None)
    name = jobs.processing("", AppSpecification={"ImageUri": "image", "ContainerEntrypoint": ["/bin/sh", "-c", "true"]})
    assert jobs.ended(name)["FailureReason"] == (
        "ClientError: the image image is not on this computer; build it with buildah, or pull it."
    )


def test_what_containers_need_is_named(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda tool: None)
    name = jobs.processing("", AppSpecification={"ImageUri": "mine:1"})
    assert jobs.ended(name)["FailureReason"] == (
        "ClientError: the image mine:1 is a container, and running it locally needs buildah and bubblewrap "
        "(apt-get install buildah bubblewrap)."
    )


@pytest.mark.parametrize("key", ["a\0b", "a" * 256, "é" * 128 + "/x", "a//b", "../x"])
def test_a_key_that_cannot_be_a_file_fails_the_job_with_the_key(jobs: Jobs, key: str) -> None:
    jobs.s3.put_object(Bucket="data", Key=f"odd/{key}", Body=b"")
    try:
        reason = jobs.ended(jobs.processing("", inputs=[input_of("odd", "s3://data/odd/")]))["FailureReason"]
    finally:
        jobs.s3.delete_object(Bucket="data", Key=f"odd/{key}")
    assert reason == f"ClientError: The key {f'odd/{key}'!r} of the bucket data cannot be a file's path."


# The API


def test_a_name_is_used_once_whatever_its_case(jobs: Jobs) -> None:
    name = jobs.processing("")
    jobs.ended(name)
    error = refused(lambda: jobs.processing("", ProcessingJobName=name.upper()))
    assert error.response["Error"]["Code"] == "ResourceInUse"


@pytest.mark.parametrize("name", ["under_score", "a" * 64, "-a", "a b", "ü"])
def test_a_name_that_aws_refuses_is_refused(jobs: Jobs, name: str) -> None:
    error = refused(lambda: jobs.processing("", ProcessingJobName=name))
    assert error.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    "changed",
    [
        {"RoleArn": "arn:aws:iam::123456789012:role/nobody"},
        {"Environment": {"A": "x" * 257}},
        {"ProcessingResources": cluster(InstanceCount=0)},
        {"ProcessingResources": cluster(InstanceType="toaster")},
        {"ProcessingOutputConfig": output("s3://nowhere/x", "/opt/ml/processing/o")},
        {"ProcessingOutputConfig": output("s3://data/x", "/opt/ml/processing/../../etc")},
        {"ProcessingOutputConfig": output("s3://data/x", "/opt/ml/processing-else")},
    ],
)
def test_a_request_that_aws_refuses_is_refused(jobs: Jobs, changed: dict[str, Any]) -> None:
    assert refused(lambda: jobs.processing("", **changed)).response["Error"]["Code"] == "ValidationException"


def test_jobs_are_listed_the_newest_first_in_pages(jobs: Jobs) -> None:
    names = [jobs.training("") for _ in range(3)]
    for name in names:
        jobs.ended(name)
    first = jobs.api.list_training_jobs(MaxResults=2, NameContains="job-")
    rest = jobs.api.list_training_jobs(MaxResults=1, NameContains="job-", NextToken=first["NextToken"])
    listed = [*first["TrainingJobSummaries"], *rest["TrainingJobSummaries"]]
    assert [one["TrainingJobName"] for one in listed] == names[::-1]
    assert {one["TrainingJobStatus"] for one in listed} == {"Completed"}


def test_tags_are_kept_and_added(jobs: Jobs) -> None:
    name = jobs.processing("", Tags=[{"Key": "project", "Value": "penguins"}])
    arn = jobs.ended(name)["ProcessingJobArn"]
    jobs.api.add_tags(ResourceArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    assert {tag["Key"] for tag in jobs.api.list_tags(ResourceArn=arn)["Tags"]} == {"project", "more"}


def test_the_rest_of_sagemaker_is_still_answered(jobs: Jobs) -> None:
    assert jobs.api.list_models()["Models"] == []


# The cores


def tells_its_cores(until_there: Path) -> str:
    """A job that goes on until a file is there."""
    told = "print(*map(os.environ.get, ('STEPGLUON_CORES', 'OMP_NUM_THREADS', 'GOMP_SPINCOUNT')), flush=True)"
    return f"import os, time\n{told}\nwhile not os.path.exists({str(until_there)!r}): time.sleep(0.01)"


def test_a_job_has_all_cores_and_those_that_wait_side_by_side_share_them(jobs: Jobs, tmp_path: Path) -> None:
    first, then = tmp_path / "first", tmp_path / "then"
    alone = jobs.processing(tells_its_cores(first))
    jobs.running(alone)
    both = [jobs.processing(tells_its_cores(then)) for _ in range(2)]
    until(lambda: len(jobs.aws.sagemaker.workshop.scheduler._queue) == 2)
    first.touch()
    for name in both:
        jobs.running(name)
    then.touch()
    assert [jobs.ended(name)["status"] for name in (alone, *both)] == ["Completed"] * 3
    said = [jobs.aws.logs.lines("processing", name) for name in (alone, *both)]
    assert said == [["2 2 10000"], ["1 1 10000"], ["1 1 10000"]]


def test_a_job_gets_no_more_cores_than_a_job_may_have() -> None:
    with Scheduler(4, 1).turn(lambda: False) as cores:
        assert cores == 1


def test_a_job_that_waits_for_its_turn_can_be_stopped(jobs: Jobs) -> None:
    busy = jobs.processing(SAY + "time.sleep(600)")
    jobs.running(busy)
    waiting = jobs.processing("pass # waits for its turn")
    jobs.api.stop_processing_job(ProcessingJobName=waiting)
    assert jobs.ended(waiting)["status"] == "Stopped"
    jobs.api.stop_processing_job(ProcessingJobName=busy)
    assert jobs.ended(busy)["status"] == "Stopped"


# Memory


def test_the_same_job_again_is_taken_from_memory(jobs: Jobs) -> None:
    do = OUT + "(out / 'when').write_text(str(__import__('time').time_ns()))"
    first, second = jobs.processing(do), ""
    jobs.ended(first)
    second = jobs.processing(do)
    jobs.ended(second)
    assert jobs.text(f"out/{first}/when") == jobs.text(f"out/{second}/when")
    assert jobs.aws.sagemaker.job("processing", second).state.cached


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_memory_is_not_used(jobs: Jobs, damage: str) -> None:
    do = OUT + f"(out / 'when').write_text(str(__import__('time').time_ns())) # {damage}"
    first = jobs.processing(do)
    jobs.ended(first)
    (stored,) = jobs.aws.objects.below("data", f"out/{first}/")
    file = jobs.aws.objects.file(stored.content)
    before = file.read_text()
    {
        "cut": lambda: file.write_text(before[:-3]),
        "changed": lambda: file.write_text("0" * len(before)),
        "gone": file.unlink,
    }[damage]()
    second = jobs.processing(do)
    jobs.ended(second)
    assert not jobs.aws.sagemaker.job("processing", second).state.cached
    assert len(jobs.text(f"out/{second}/when")) == len(before)


def test_a_failed_job_is_not_remembered(jobs: Jobs) -> None:
    do = "import sys; sys.exit(1)"
    for _ in range(2):
        assert jobs.ended(jobs.processing(do))["status"] == "Failed"


def test_another_variable_is_another_job(jobs: Jobs) -> None:
    do = OUT + "(out / 'a').write_text('1') # variables"
    jobs.ended(jobs.processing(do, Environment={"A": "1"}))
    other = jobs.processing(do, Environment={"A": "2"})
    jobs.ended(other)
    assert not jobs.aws.sagemaker.job("processing", other).state.cached
