"""Containers of the user's own: images that buildah has, in bubblewrap. Their programs are shell and Python scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images.containers import BASE, CACHE, alone, call, make_base, missing
from local_aws import MINUTES, ROLE, Jobs, until

from localaws.sagemaker import bubblewrap

LACKING = missing() or bubblewrap.missing()
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"containers need {LACKING}")

NAME = "stepgluon-test-box"
FILES = {
    # Both do what a hyperparameter or a variable says.
    "train": """#!/bin/sh
exec sh -c "$(sed 's/.*"do": "\\(.*\\)"}$/\\1/' /opt/ml/input/config/hyperparameters.json)"
""",
    "serve": """#!/bin/sh
exec perl /usr/local/bin/serve.pl
""",
    # The base has Perl, but no Python.
    "serve.pl": r"""use strict; use IO::Socket::INET; use Socket;
$SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{SAGEMAKER_BIND_TO_PORT}, Listen => 16,
    ReuseAddr => 1) or die "no port: $!";
while (my $client = $server->accept()) {
    while (defined(my $line = <$client>)) {
        my $size = 0;
        while (defined(my $header = <$client>)) {
            last if $header =~ /^\r?\n$/;
            $size = $1 if $header =~ /^Content-Length: (\d+)/i;
        }
        my $body = ''; read($client, $body, $size) if $size;
        my $answer = $line =~ /^GET \/ping/ ? '' : join('', map { "<$_>\n" } split(/\n/, $body));
        my $status = $line =~ /parameters/ ? '404 No' : '200 OK';
        print $client "HTTP/1.1 $status\r\nContent-Length: " . length($answer) . "\r\n\r\n$answer";
        $client->flush();
    }
}
""",
}


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with alone():
        make_base()
        container = call("buildah", "from", BASE).strip()
        root = Path(call("buildah", "mount", container).strip())
        for name, text in FILES.items():
            (root / "usr/local/bin" / name).write_text(text)
            (root / "usr/local/bin" / name).chmod(0o755)
        call("buildah", "config", "--env", "MINE=of the image", container)
        call("buildah", "commit", "--quiet", "--rm", container, f"localhost/{NAME}:1")
        before = os.environ.get("CONTAINERS_STORAGE_CONF")
        os.environ["CONTAINERS_STORAGE_CONF"] = os.fspath(CACHE / "storage.conf")
        yield f"123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/{NAME}:1"
        os.environ.pop("CONTAINERS_STORAGE_CONF")
        if before:
            os.environ["CONTAINERS_STORAGE_CONF"] = before
        call("buildah", "rmi", f"localhost/{NAME}:1")


def left() -> list[str]:
    """The working containers of jobs that are still there."""
    listed = json.loads(call("buildah", "containers", "--json") or "null") or []
    return [one["containername"] for one in listed if one["containername"].startswith("stepgluon-job-")]


def trained(jobs: Jobs, image: str, do: str, **changed: Any) -> tuple[str, dict[str, Any]]:
    name = start(jobs, image, do, **changed)
    return name, jobs.ended(name)


def start(jobs: Jobs, image: str, do: str, **changed: Any) -> str:
    given = {"TrainingImage": image, "TrainingInputMode": "File"}
    place = {"S3OutputPath": "s3://data/boxes"}
    return jobs.training(
        "", HyperParameters={"do": do}, AlgorithmSpecification=given, OutputDataConfig=place, **changed
    )


def test_an_image_trains_and_its_model_is_packed(jobs: Jobs, image: str) -> None:
    name, described = trained(jobs, image, "echo $MINE $TRAINING_JOB_NAME; ls /opt/ml; echo 7 > /opt/ml/model/weights")
    assert described["status"] == "Completed", (described, jobs.aws.logs.lines("training", name))
    assert jobs.keys(f"boxes/{name}/") == [f"boxes/{name}/output/model.tar.gz"]
    lines = jobs.aws.logs.lines("training", name)
    assert lines[0] == f"of the image {name}" and {"input", "model", "output"} <= set(lines)
    assert left() == []


def test_a_local_build_takes_the_place_of_no_digest(jobs: Jobs, image: str) -> None:
    _, described = trained(jobs, f"{image}@sha256:{'0' * 64}", "true")
    assert described["status"] == "Failed" and "buildah" in described["FailureReason"], described


def test_it_may_write_to_its_files_and_the_next_job_sees_nothing_of_it(jobs: Jobs, image: str) -> None:
    name, described = trained(jobs, image, "echo 1 > /etc/mark && cat /etc/mark")
    assert (described["status"], jobs.aws.logs.lines("training", name)) == ("Completed", ["1"])
    name, described = trained(jobs, image, "test ! -e /etc/mark")
    assert described["status"] == "Completed"


def test_it_has_no_network_no_other_processes_and_no_files_of_this_computer(jobs: Jobs, image: str) -> None:
    do = f"cat /proc/net/dev | grep -c :; ls /proc | grep -c '^[0-9]'; ls {Path(__file__).parent} 2>&1; true"
    name, _ = trained(jobs, image, do)
    interfaces, processes, *files = jobs.aws.logs.lines("training", name)
    assert interfaces == "1"  # lo
    assert int(processes) < 6
    assert "No such file or directory" in files[0]


def test_an_instance_with_gpus_is_this_computer_and_the_log_says_so(jobs: Jobs, image: str) -> None:
    machine = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    name, described = trained(jobs, image, "echo trained", ResourceConfig=machine)
    assert described["status"] == "Completed"
    note = "[local] ml.g5.xlarge has GPUs; locally this runs on processors alone."
    assert jobs.aws.logs.lines("training", name) == [note, "trained"]


def test_a_failure_has_its_sentence_and_code(jobs: Jobs, image: str) -> None:
    _, described = trained(jobs, image, "echo the data is odd > /opt/ml/output/failure; exit 3")
    assert described["FailureReason"] == "AlgorithmError: the data is odd, exit code: 3"


def test_a_container_that_exits_without_work_leaves_no_model_and_none_can_be_made(jobs: Jobs, image: str) -> None:
    name, described = trained(jobs, image, "exit 0")
    assert (described["status"], jobs.keys(f"boxes/{name}/")) == ("Completed", [])
    archive = described["ModelArtifacts"]["S3ModelArtifacts"]
    with pytest.raises(Exception, match=f"Could not find model data at {archive}"):
        jobs.api.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "ModelDataUrl": archive}
        )


def test_children_that_leave_their_session_end_with_the_job(jobs: Jobs, image: str) -> None:
    mark = f"sleep 86{os.getpid()}"
    _, described = trained(jobs, image, f"setsid {mark} & sleep 0.2; exit 0")
    assert described["status"] == "Completed"
    until(lambda: mark.replace(" ", "\0") not in running())


def running() -> str:
    texts = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts.append(place.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(texts)


def test_a_flood_of_lines_is_cut(jobs: Jobs, image: str) -> None:
    name, described = trained(jobs, image, "yes the log is long | head -n 30000; echo last")
    lines = jobs.aws.logs.lines("training", name)
    assert (described["status"], lines[-1]) == ("Completed", "last")
    assert len(lines) <= 10_000


def test_a_stopped_container_gets_sigterm(jobs: Jobs, image: str) -> None:
    do = "trap 'echo stopping; exit 0' TERM; echo ready; while true; do sleep 0.1; done"
    name = start(jobs, image, do)
    jobs.running(name)
    jobs.api.stop_training_job(TrainingJobName=name)
    assert jobs.ended(name)["status"] == "Stopped"
    assert jobs.aws.logs.lines("training", name) == ["ready", "stopping"]
    assert left() == []


def test_an_image_processes(jobs: Jobs, image: str) -> None:
    do = ["sh", "-c", "mkdir -p /opt/ml/processing/output; echo done > /opt/ml/processing/output/a"]
    name = jobs.processing("", AppSpecification={"ImageUri": image, "ContainerEntrypoint": do})
    assert jobs.ended(name)["status"] == "Completed", jobs.aws.logs.lines("processing", name)
    assert jobs.text(f"out/{name}/a") == "done\n"


def test_an_image_serves_a_transform(jobs: Jobs, image: str) -> None:
    name = jobs.name()
    jobs.api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
    jobs.s3.put_object(Bucket="data", Key=f"rows/{name}/a", Body=b"1\n2\n")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/rows/{name}/"}}
    jobs.api.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={"DataSource": source, "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://data/out/{name}"},
        TransformResources={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"},
    )
    job = jobs.aws.sagemaker.job("transform", name)
    assert job.done.wait(MINUTES)
    assert job.state.status == "Completed", (job.state, jobs.aws.logs.lines("transform", name))
    assert jobs.text(f"out/{name}/a.out") == "<1>\n<2>\n"
    assert left() == []


def test_an_image_serves_an_endpoint_by_one_container(jobs: Jobs, image: str) -> None:
    name, runtime = jobs.name(), jobs.aws.client("sagemaker-runtime")
    jobs.api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image})
    variant = {"VariantName": "a", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    jobs.api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    jobs.api.create_endpoint(EndpointName=name, EndpointConfigName=name)
    until(lambda: jobs.api.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Creating")
    endpoint = jobs.aws.sagemaker.endpoints.endpoints[name]
    (member,) = endpoint.traffic
    container = member.server._instance
    for thread in endpoint._threads:
        thread.join()  # a container must not end with the thread that created its endpoint
    for body in (b"1", b"2"):
        answer = runtime.invoke_endpoint(EndpointName=name, Body=body)["Body"].read()
        assert answer == b"<%s>\n" % body
    assert container is not None and member.server._instance is container
    jobs.api.delete_endpoint(EndpointName=name)
    until(lambda: name not in jobs.aws.sagemaker.endpoints.endpoints)
    assert left() == []


def test_after_a_kill_the_guard_removes_the_container(image: str, tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from localaws.base.guard import Guard
from localaws.sagemaker import bubblewrap
from localaws.sagemaker.job_process import Surroundings
root = Path({os.fspath(tmp_path)!r}) / 'jobs' / 'algo-1'
root.mkdir(parents=True)
guard = Guard(root.parent)
box = bubblewrap.image({image!r}, ['sleep', '86{os.getpid()}1'], [], '').start(
    Surroundings(root, {{}}, {{}}, 1), print, lambda: None)
guard.began(box.group, box.cleaning)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    until(lambda: not left() and not (tmp_path / "jobs").exists())
    until(lambda: f"sleep\08{'6'}{os.getpid()}1" not in running())
