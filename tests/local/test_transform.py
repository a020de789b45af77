"""Batch transform jobs: real servers, and their answers in the bucket."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, REGION, ROLE, Jobs, until
from test_moto_fixes import Interpreter, task

from localaws.iam.required_rights import rights
from localaws.sagemaker import images, serving
from localaws.sagemaker.job_process import Script
from localaws.sagemaker.transform_data import MEGABYTE, TooLong, requests_of

SERVER = """
import http.server, json, os, pathlib, sys
root = pathlib.Path(os.environ['STEPGLUON_ROOT'])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.answer(200 if self.path == '/ping' else 404, b'')
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        print('asked', body, self.headers.get('Content-Type'), self.headers.get('Accept'), flush=True)
        self.answer(*respond(body))
    def answer(self, status, body):
        self.send_response(status); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *given): pass
def respond(body):
    return 200, b''.join(b'<' + line + b'>\\n' for line in body.split())
DO
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['SAGEMAKER_BIND_TO_PORT'])), Handler).serve_forever()
"""
Serves = Callable[[str], str]


@pytest.fixture
def serves(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serves:
    """Makes a model whose container is a server that does what a text of Python says."""

    def make(do: str = "", whole: str = "") -> str:
        script = tmp_path / "serve.py"
        script.write_text(whole or SERVER.replace("DO", do))
        program = Script((sys.executable, str(script)), script.read_text())
        monkeypatch.setattr(images, "program", lambda *given: program)
        return model(jobs, pack({"weights": b"7"}))

    return make


def pack(files: dict[str, bytes], link: str = "") -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo("link")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            tar.addfile(entry)
    return whole.getvalue()


def model(jobs: Jobs, archive: bytes, image: str = "image", **more: Any) -> str:
    name = jobs.name()
    jobs.s3.put_object(Bucket="data", Key=f"archives/{name}.tar.gz", Body=archive)
    container = {"Image": image, "ModelDataUrl": f"s3://data/archives/{name}.tar.gz", **more}
    jobs.api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return name


def request(jobs: Jobs, model: str, rows: dict[str, bytes], **changed: Any) -> dict[str, Any]:
    name = jobs.name()
    for key, body in rows.items():
        jobs.s3.put_object(Bucket="data", Key=f"rows/{name}/{key}", Body=body)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/rows/{name}/"}}
    lines = {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {**lines, **changed.pop("TransformInput", {})},
        "TransformOutput": {"S3OutputPath": f"s3://data/out/{name}", "Accept": "text/csv", "AssembleWith": "Line"},
        "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"},
        **changed,
    }


def transformed(jobs: Jobs, model: str, rows: dict[str, bytes], **changed: Any) -> tuple[str, dict[str, Any]]:
    given = request(jobs, model, rows, **changed)
    name = given["TransformJobName"]
    jobs.api.create_transform_job(**given)
    assert jobs.aws.sagemaker.job("transform", name).done.wait(300), "the job never ends"
    return name, jobs.api.describe_transform_job(TransformJobName=name)


def log(jobs: Jobs, name: str) -> list[str]:
    return jobs.aws.logs.lines("transform", name)


def test_each_object_s_answers_are_in_a_file_of_its_name(jobs: Jobs, serves: Serves) -> None:
    name, described = transformed(jobs, serves(), {"a.csv": b"1\n2\n", "deep/b.csv": b"3"})
    assert described["TransformJobStatus"] == "Completed", (described, log(jobs, name))
    assert jobs.keys(f"out/{name}/") == [f"out/{name}/a.csv.out", f"out/{name}/deep/b.csv.out"]
    assert jobs.text(f"out/{name}/a.csv.out") == "<1>\n<2>\n"
    assert jobs.text(f"out/{name}/deep/b.csv.out") == "<3>\n"
    assert "asked b'1\\n2\\n' text/csv text/csv" in log(jobs, name)
    assert any(
        line.endswith("[sagemaker logs]: MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD")
        for line in log(jobs, name)
    )


def test_records_are_sent_one_by_one_and_come_back_in_order(jobs: Jobs, serves: Serves) -> None:
    slow = "import time\nold = respond\ndef respond(body):\n    time.sleep(0.3 if body == b'0\\n' else 0)\n"
    changed = {"BatchStrategy": "SingleRecord", "MaxConcurrentTransforms": 4}
    name, _ = transformed(
        jobs, serves(slow + "    return old(body)"), {"a": b"".join(b"%d\n" % n for n in range(20))}, **changed
    )
    assert jobs.text(f"out/{name}/a.out") == "".join(f"<{n}>\n" for n in range(20))
    assert "".join(log(jobs, name)).count("asked") == 20


def test_without_a_split_an_object_is_one_request(jobs: Jobs, serves: Serves) -> None:
    do = "def respond(body): return 200, str(len(body)).encode()"
    name, _ = transformed(jobs, serves(do), {"a": b"1\n2\n3\n"}, TransformInput={"SplitType": "None"})
    assert jobs.text(f"out/{name}/a.out") == "6\n"


def test_the_container_knows_the_job_s_settings_and_has_the_model(jobs: Jobs, serves: Serves) -> None:
    do = (
        "def respond(body):\n"
        "    known = {name: value for name, value in os.environ.items() if name.startswith(('SAGEMAKER_', 'MINE'))}\n"
        "    del known['SAGEMAKER_BIND_TO_PORT']\n"
        "    return 200, json.dumps([known, (root / 'model' / 'weights').read_text()]).encode()"
    )
    changed = {"BatchStrategy": "MultiRecord", "MaxPayloadInMB": 2, "Environment": {"MINE": "1"}}
    name, _ = transformed(jobs, serves(do), {"a": b"1\n"}, **changed)
    assert json.loads(jobs.text(f"out/{name}/a.out")) == [
        {
            "MINE": "1",
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "2",
        },
        "7",
    ]


def test_the_same_transform_again_is_taken_from_the_cache(jobs: Jobs, serves: Serves) -> None:
    name = serves("# cached")
    transformed(jobs, name, {"a": b"1\n"})
    again, _ = transformed(jobs, name, {"a": b"1\n"})
    assert jobs.aws.sagemaker.job("transform", again).state.cached
    assert jobs.text(f"out/{again}/a.out") == "<1>\n"
    other, _ = transformed(jobs, name, {"a": b"2\n"})
    assert not jobs.aws.sagemaker.job("transform", other).state.cached


# Failures


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (400, "ClientError", "ClientError: 400"),
        (500, "AlgorithmError", "Bad HTTP status received from algorithm: 500"),
    ],
)
def test_an_object_that_is_refused_fails_the_job_and_the_others_are_kept(
    jobs: Jobs, serves: Serves, status: int, reason: str, said: str
) -> None:
    do = f"old = respond\ndef respond(body): return old(body) if b'1' in body else ({status}, b'column 2 is odd')"
    name, described = transformed(jobs, serves(do), {"a": b"1\n", "b": b"2\n"})
    assert described["FailureReason"] == f"{reason}: See job logs for more information"
    assert jobs.keys(f"out/{name}/") == [f"out/{name}/a.out"]
    lines = [line.partition("[sagemaker logs]: ")[2] for line in log(jobs, name)]
    assert f"data/rows/{name}/b: {said}" in lines and f"data/rows/{name}/b: column 2 is odd" in lines


def test_a_server_that_dies_on_a_request_fails_the_job(jobs: Jobs, serves: Serves) -> None:
    name, described = transformed(jobs, serves("def respond(body): os._exit(3)"), {"a": b"1\n"})
    assert described["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert any("Unable to get response from algorithm" in line for line in log(jobs, name))


def test_a_container_that_never_answers_ping_fails_the_job(
    jobs: Jobs, serves: Serves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEALTHY_SECONDS", 0.5)
    _, described = transformed(jobs, serves(whole="import time\nwhile True: time.sleep(1)"), {"a": b"1\n"})
    assert described["FailureReason"].startswith(
        "AlgorithmError: The container was not healthy within 0 s: /ping: it did not answer."
    )


def test_a_container_that_ends_at_once_fails_the_job(jobs: Jobs, serves: Serves) -> None:
    _, described = transformed(jobs, serves(whole="import sys; sys.exit(5)"), {"a": b"1\n"})
    assert "The container ended with exit code 5 before it answered /ping." in described["FailureReason"]


def test_a_stopped_transform_ends_its_server(jobs: Jobs, serves: Serves) -> None:
    given = request(jobs, serves("def respond(body): import time; time.sleep(600)"), {"a": b"1\n"})
    name = given["TransformJobName"]
    jobs.api.create_transform_job(**given)
    until(lambda: any("asked" in line for line in log(jobs, name)))
    jobs.api.stop_transform_job(TransformJobName=name)
    assert jobs.aws.sagemaker.job("transform", name).done.wait(300)
    assert jobs.api.describe_transform_job(TransformJobName=name)["TransformJobStatus"] == "Stopped"
    assert (
        jobs.api.list_transform_jobs(NameContains=name)["TransformJobSummaries"][0]["TransformJobStatus"] == "Stopped"
    )


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (b"not an archive", "it is not a tar.gz archive"),
        (pack({"../outside": b""}), "'../outside' is outside of it"),
        (pack({}, link="/etc/passwd"), "'link' is a link or a device"),
        (pack({"a": b"1" * 100000})[:-50], "it is not a tar.gz archive"),
    ],
)
def test_an_archive_that_cannot_be_unpacked_fails_the_job(jobs: Jobs, serves: Serves, archive: bytes, why: str) -> None:
    serves()
    _, described = transformed(jobs, model(jobs, archive), {"a": b"1\n"})
    assert described["TransformJobStatus"] == "Failed" and why in described["FailureReason"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"ModelName": "nobody"}, 'Could not find model "arn:aws:sagemaker:ap-northeast-1:123456789012:model/nobody".'),
        ({"MaxPayloadInMB": 50, "MaxConcurrentTransforms": 3}, "must not exceed 100 MB"),
        ({"TransformInput": {"SplitType": "RecordIO"}}, "SplitType RecordIO is not available locally"),
        ({"TransformInput": {"SplitType": "None"}, "BatchStrategy": "MultiRecord"}, "BatchStrategy needs a SplitType."),
        ({"DataProcessing": {"JoinSource": "Input"}}, "DataProcessing .* is not available locally"),
        ({"DataProcessing": {"InputFilter": "$[1:]"}}, "DataProcessing .* is not available locally"),
        ({"MaxConcurrentTransforms": "many"}, "Invalid type for parameter MaxConcurrentTransforms"),
    ],
)
def test_a_request_is_checked(jobs: Jobs, serves: Serves, changed: dict[str, Any], why: str) -> None:
    given = request(jobs, serves(), {"a": b"1\n"}, **changed)
    with pytest.raises(ClientError, match=why):
        jobs.api.create_transform_job(**given)


# Models


def test_a_model_is_described_and_deleted(jobs: Jobs) -> None:
    name = model(jobs, b"1", Environment={"A": "1"})
    described = jobs.api.describe_model(ModelName=name)
    assert described["PrimaryContainer"]["Environment"] == {"A": "1"}
    assert described["ModelArn"] == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/{name}"
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        jobs.api.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "image"})
    jobs.api.delete_model(ModelName=name)
    with pytest.raises(ClientError, match="Could not find model"):
        jobs.api.describe_model(ModelName=name)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"ModelName": "under_score"}, "ModelName"),
        ({"ExecutionRoleArn": ROLE + "x"}, "Could not assume role"),
        (
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://data/nothing"}},
            "Could not find model data at s3://",
        ),
        ({"PrimaryContainer": {"ModelPackageName": "p"}}, "must have an Image"),
        ({"Containers": [{"Image": "a"}, {"Image": "b"}], "PrimaryContainer": None}, "Inference pipelines"),
    ],
)
def test_a_model_that_cannot_work_is_refused(jobs: Jobs, changed: dict[str, Any], why: str) -> None:
    given = {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "image"}, **changed}
    with pytest.raises(ClientError, match=why):
        jobs.api.create_model(**{name: value for name, value in given.items() if value is not None})


# Without a container


@pytest.mark.parametrize("size", [1, 100, MEGABYTE - 1, MEGABYTE])
def test_lines_are_packed_into_requests_and_none_is_cut(tmp_path: Path, size: int) -> None:
    content = b"".join(b"%0*d\n" % (max(1, size - 1), number) for number in range(max(5, 3 * MEGABYTE // size)))
    file = tmp_path / "rows"
    file.write_bytes(content)
    found = list(requests_of(file, "Line", "MultiRecord", MEGABYTE))
    assert b"".join(found) == content
    assert all(len(body) <= MEGABYTE and body.endswith(b"\n") for body in found)
    assert len(found) <= 2 + 2 * len(content) // MEGABYTE


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_a_line_that_is_too_long_is_named(tmp_path: Path, strategy: str) -> None:
    file = tmp_path / "rows"
    file.write_bytes(b"1\n" + b"2" * MEGABYTE + b"\n3\n")
    with pytest.raises(TooLong, match="a record is larger than 1 MB, the MaxPayloadInMB"):
        list(requests_of(file, "Line", strategy, MEGABYTE))


# In a state machine


@pytest.fixture(scope="module")
def asl(all_jobs: Jobs) -> Interpreter:
    return Interpreter(all_jobs.aws)


def test_a_machine_makes_a_model_and_waits_for_the_transform(asl: Interpreter, jobs: Jobs, serves: Serves) -> None:
    serves()
    given = request(jobs, "of-the-machine", {"a": b"1\n"})
    jobs.s3.put_object(Bucket="data", Key="archives/machine.tar.gz", Body=pack({"weights": b"7"}))
    container = {"Image": "image", "ModelDataUrl": "s3://data/archives/machine.tar.gz"}
    create = {"ModelName": "of-the-machine", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    states = {
        "Model": {**task("sagemaker:createModel", Arguments=create), "Next": "Transform"},
        "Transform": task("sagemaker:createTransformJob.sync", Arguments=given),
    }
    del states["Model"]["End"]
    output = asl.output(states)
    assert (output["TransformJobStatus"], output["ModelName"]) == ("Completed", "of-the-machine")
    assert isinstance(output["TransformEndTime"], int)
    assert jobs.text(f"out/{given['TransformJobName']}/a.out") == "<1>\n"


def test_a_failed_transform_fails_its_task_with_its_reason(asl: Interpreter, jobs: Jobs, serves: Serves) -> None:
    given = request(jobs, serves("def respond(body): return 400, b'odd'"), {"a": b"1\n"})
    told = asl.run({"T": task("sagemaker:createTransformJob.sync", Arguments=given)})
    assert told["error"] == "States.TaskFailed"
    assert json.loads(told["cause"])["FailureReason"] == "ClientError: See job logs for more information"


def test_a_model_cannot_be_waited_for(asl: Interpreter) -> None:
    with pytest.raises(ClientError, match="createModel"):
        asl.machine({"M": task("sagemaker:createModel.sync", Arguments={})})


class Account:
    def arn(self, service: str, resource: str, region: str | None = None, account: str | None = None) -> str:
        return f"{service}:{resource}"


def test_the_calls_need_their_rights() -> None:
    tags = [{"Key": "k", "Value": "v"}]
    made = list(rights(Account(), "sagemaker:CreateModel", {"ModelName": "M", "ExecutionRoleArn": "r", "Tags": tags}))
    assert [(right.action, right.resource) for right in made] == [
        ("sagemaker:CreateModel", "sagemaker:model/m"),
        ("sagemaker:AddTags", "sagemaker:model/m"),
        ("iam:PassRole", "r"),
    ]
    made = list(rights(Account(), "sagemaker:CreateTransformJob", {"TransformJobName": "T"}))
    assert [(right.action, right.resource) for right in made] == [
        ("sagemaker:CreateTransformJob", "sagemaker:transform-job/t")
    ]
    for verb in ("Describe", "Delete"):
        (right,) = rights(Account(), f"sagemaker:{verb}Model", {"ModelName": "M"})
        assert (right.resource, right.context) == ("sagemaker:model/m", {})
    (right,) = rights(
        Account(), "sagemaker:DeleteModel", {"ModelName": "M"}, lambda kind, name: {"by": f"{kind} {name}"}
    )
    assert right.context == {"aws:ResourceTag/by": "model M"}


def test_a_role_without_the_right_cannot_start_a_transform(jobs: Jobs, serves: Serves) -> None:
    given = request(jobs, serves(), {"a": b"1\n"})
    iam, document = jobs.aws.client("iam"), {"Effect": "Allow", "NotAction": "sagemaker:CreateT*", "Resource": "*"}
    iam.create_role(RoleName="narrow", AssumeRolePolicyDocument="{}")
    text = json.dumps({"Version": "2012-10-17", "Statement": [document]})
    iam.put_role_policy(RoleName="narrow", PolicyName="most", PolicyDocument=text)
    permissions = jobs.aws.permissions
    user = permissions.user(f"arn:aws:iam::{ACCOUNT}:role/narrow")
    assert "is not authorized to perform: sagemaker:CreateTransformJob" in permissions.why_not(
        user, "sagemaker:CreateTransformJob", given
    )
    assert permissions.why_not(user, "sagemaker:DescribeTransformJob", given) == ""
