"""The local AWS as a whole: where it lives, what it keeps, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forks
import pytest
from botocore.exceptions import ClientError
from local_aws import (
    ACCOUNT,
    NOTES_THE_TIME,
    REGION,
    ROLE,
    Jobs,
    alive,
    make_bucket,
    may_do_everything,
    settings,
    until,
)

from localaws.base.patches import Patches
from localaws.errors import ComputerError
from localaws.server.aws import LocalAws

HOSTILE = {
    "AWS_PROFILE": "real",
    "AWS_ACCESS_KEY_ID": "AKIAREALREALREALREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_REGION": "us-gov-west-1",
    "AWS_DEFAULT_REGION": "us-gov-west-1",
    "AWS_ENDPOINT_URL": "http://192.0.2.1",
    "AWS_ENDPOINT_URL_S3": "http://192.0.2.1",
    "AWS_CA_BUNDLE": "/nowhere",
    "MOTO_ACCOUNT_ID": "999999999999",
    "HTTP_PROXY": "http://192.0.2.1:3128",
    "https_proxy": "http://192.0.2.1:3128",
    "ALL_PROXY": "http://192.0.2.1:3128",
}
PASS = {"P": {"Type": "Pass", "End": True}}


def machine(aws: LocalAws, states: Any = PASS, name: str = "m") -> str:
    definition = json.dumps({"StartAt": next(iter(states)), "States": states})
    made = aws.client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=ROLE)
    return str(made["stateMachineArn"])


def finished(aws: LocalAws, arn: str) -> dict[str, Any]:
    states = aws.client("stepfunctions")
    return dict(until(lambda: (t := states.describe_execution(executionArn=arn))["status"] != "RUNNING" and t))


def put(aws: LocalAws, key: str, body: bytes) -> None:
    aws.client("s3").put_object(Bucket="data", Key=key, Body=body)


def get(aws: LocalAws, key: str) -> bytes:
    return bytes(aws.client("s3").get_object(Bucket="data", Key=key)["Body"].read())


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found.update(task.read_text().split())
    return found


def test_it_listens_on_this_computer_alone(tmp_path: Path) -> None:
    with LocalAws(settings(tmp_path)) as aws:
        assert aws.endpoint == f"http://127.0.0.1:{aws.port}"
        listening = "".join(file.read_text() for file in Path("/proc/net").glob("tcp*"))  # tcp6 may be missing
        assert f"0100007F:{aws.port:04X} 00000000:0000 0A" in listening
        assert f"00000000:{aws.port:04X}" not in listening


def test_a_port_in_use_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ComputerError) as caught:
            LocalAws(settings(tmp_path, port=port)).__enter__()
    assert str(caught.value) == (f"port {port} of this computer is used by another program (name another with --port)")
    with LocalAws(settings(tmp_path, port=port)) as aws:  # and nothing of the first try is in the way
        assert aws.port == port


def test_a_folder_is_used_by_one_server_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ComputerError, match="is in use by another local AWS"):
            LocalAws(settings(tmp_path)).__enter__()


def test_a_folder_that_cannot_be_one_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComputerError, match=r"file/work cannot be used: not a directory"):
        LocalAws(settings(tmp_path / "file" / "work")).__enter__()
    (tmp_path / "bad" / "buckets").mkdir(parents=True)
    (tmp_path / "bad" / "buckets" / "index.sqlite").write_text("this is no database" * 100)
    with pytest.raises(ComputerError, match="file is not a database"):
        LocalAws(settings(tmp_path / "bad")).__enter__()


@pytest.mark.parametrize("name", ["with space", "Größe-日本", "a" * 200, "100%_{}", "-dash"])
def test_an_odd_folder_is_a_folder_like_others(tmp_path: Path, name: str) -> None:
    with LocalAws(settings(tmp_path / name)) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        jobs = Jobs(aws)
        done = jobs.processing("(root / 'processing' / 'output').mkdir(exist_ok=True)")
        assert jobs.ended(done)["status"] == "Completed"


def test_what_the_shell_says_about_aws_never_gets_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    read = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "End": True}
    with LocalAws(settings(tmp_path)) as aws:
        assert not {name for name, value in HOSTILE.items() if os.environ.get(name) == value}
        make_bucket(aws)
        may_do_everything(aws)
        put(aws, "k", b"text")
        arn = machine(aws, {"R": {**read, "Parameters": {"Bucket": "data", "Key": "k"}}})
        assert f":{REGION}:{ACCOUNT}:" in arn
        started = aws.client("stepfunctions").start_execution(stateMachineArn=arn)
        assert finished(aws, started["executionArn"])["status"] == "SUCCEEDED"
    assert {name: os.environ[name] for name in HOSTILE} == HOSTILE


def test_nothing_is_left_when_it_stops(tmp_path: Path) -> None:
    before, threads = children(), set(threading.enumerate())
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        jobs = Jobs(aws)
        jobs.running(jobs.processing("print('x', flush=True); import time; time.sleep(600)"))
        wait = {"W": {"Type": "Wait", "Seconds": 99999999, "End": True}}
        aws.client("stepfunctions").start_execution(stateMachineArn=machine(aws, wait), name="waits")
        assert len(children() - before) == 2  # the job and the guard
        assert list(tmp_path.glob(".jobs-*"))
        port = aws.port
    assert children() == before
    assert not list(tmp_path.glob(".jobs-*"))
    assert set(threading.enumerate()) - threads == set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_an_execution_that_runs_to_the_last_starts_no_job_beside_the_end(tmp_path: Path) -> None:
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        aws.sagemaker.close(0)
        with pytest.raises(ClientError, match="The local AWS has ended"):
            Jobs(aws).processing("pass")
        assert aws.sagemaker.jobs() == []


def test_there_is_one_in_a_process(tmp_path: Path) -> None:
    with LocalAws(settings(tmp_path / "a")), pytest.raises(RuntimeError, match="already"):
        LocalAws(settings(tmp_path / "b")).__enter__()


def test_buckets_are_there_the_next_time(tmp_path: Path) -> None:
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        put(aws, "a/ü b+c.txt", b"first")
        put(aws, "a/ü b+c.txt", b"second")
        aws.client("s3").put_object(
            Bucket="data", Key="typed", Body=b"{}", ContentType="application/json", Metadata={"a": "1"}
        )
        put(aws, "gone", b"x")
        aws.client("s3").delete_object(Bucket="data", Key="gone")
        etag = aws.client("s3").head_object(Bucket="data", Key="typed")["ETag"]
    with LocalAws(settings(tmp_path)) as aws:
        assert get(aws, "a/ü b+c.txt") == b"second"
        head = aws.client("s3").head_object(Bucket="data", Key="typed")
        assert (head["ETag"], head["ContentType"], head["Metadata"]) == (etag, "application/json", {"a": "1"})
        keys = [found["Key"] for found in aws.client("s3").list_objects_v2(Bucket="data")["Contents"]]
        assert keys == ["a/ü b+c.txt", "typed"]
        aws.client("s3").delete_objects(Bucket="data", Delete={"Objects": [{"Key": key} for key in keys]})
        aws.client("s3").delete_bucket(Bucket="data")
    with LocalAws(settings(tmp_path)) as aws:
        assert aws.client("s3").list_buckets()["Buckets"] == []
    assert [file for file in (tmp_path / "buckets" / "contents").rglob("*") if file.is_file()] == []


def test_an_upload_in_parts_is_one_object(tmp_path: Path) -> None:
    parts = [os.urandom(5 << 20), os.urandom(5 << 20), b"end"]
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        s3 = aws.client("s3")
        upload = s3.create_multipart_upload(Bucket="data", Key="big")["UploadId"]
        place = {"Bucket": "data", "Key": "big", "UploadId": upload}
        etags = [s3.upload_part(**place, PartNumber=n, Body=part)["ETag"] for n, part in enumerate(parts, 1)]
        told = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        wrong = [{**told[0], "ETag": told[1]["ETag"]}, *told[1:]]
        with pytest.raises(ClientError, match="InvalidPart"):
            s3.complete_multipart_upload(**place, MultipartUpload={"Parts": wrong})
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": told})
        etag = s3.head_object(Bucket="data", Key="big")["ETag"]
        assert etag.endswith('-3"')
    with LocalAws(settings(tmp_path)) as aws:
        assert get(aws, "big") == b"".join(parts)
        assert aws.client("s3").head_object(Bucket="data", Key="big")["ETag"] == etag


def test_past_executions_are_there_the_next_time_and_their_names_are_taken(tmp_path: Path) -> None:
    with LocalAws(settings(tmp_path)) as aws:
        states = aws.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=machine(aws), name="june", input='{"a": 1}')["executionArn"]
        told = finished(aws, arn)
        events = states.get_execution_history(executionArn=arn)["events"]
    with LocalAws(settings(tmp_path)) as aws:
        states = aws.client("stepfunctions")
        made = machine(aws)
        again = states.describe_execution(executionArn=arn)
        for key in ("status", "input", "output", "startDate", "stopDate", "name"):
            assert again[key] == told[key]
        assert states.get_execution_history(executionArn=arn)["events"] == events
        assert [one["name"] for one in states.list_executions(stateMachineArn=made)["executions"]] == ["june"]
        with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
            states.start_execution(stateMachineArn=made, name="june", input='{"a": 2}')


def test_an_execution_that_was_left_can_be_started_again(tmp_path: Path) -> None:
    wait = {"W": {"Type": "Wait", "Seconds": 99999999, "End": True}}
    with LocalAws(settings(tmp_path)) as aws:
        aws.client("stepfunctions").start_execution(stateMachineArn=machine(aws, wait), name="june")
    with LocalAws(settings(tmp_path)) as aws:
        arn = aws.client("stepfunctions").start_execution(stateMachineArn=machine(aws), name="june")["executionArn"]
        assert finished(aws, arn)["status"] == "SUCCEEDED"


SERVER = f"""
import sys, time
sys.path[:0] = {[os.fspath(place) for place in Path(__file__).parents[:3]]!r}
from pathlib import Path
from local_aws import NOTES_THE_TIME, Jobs, REGION, may_do_everything, settings, make_bucket
from localaws.server.aws import LocalAws
with LocalAws(settings(Path(sys.argv[1]))) as aws:
    make_bucket(aws)
    may_do_everything(aws)
    jobs = Jobs(aws)
    jobs.ended(jobs.processing(NOTES_THE_TIME))
    name = jobs.processing("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    jobs.running(name)
    aws.client("s3").put_object(Bucket="data", Key="last", Body=b"kept")
    print(aws.logs.lines("processing", name)[0], aws.endpoint, flush=True)
    time.sleep(600)
"""


# Ends between a job's start and its report to the guard.
EARLY = SERVER.replace("    name =", "    aws.guard.began = lambda *_: time.sleep(600)\n    name =")


@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGKILL, SERVER), (signal.SIGTERM, SERVER), (signal.SIGKILL, EARLY)]
)
def test_after_a_kill_nothing_runs_and_nothing_is_lost(tmp_path: Path, ending: int, code: str) -> None:
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        job = int(server.stdout.readline().split()[0])
        server.send_signal(ending)
    until(lambda: not alive(job))
    until(lambda: not list(tmp_path.glob(".jobs-*")))
    with LocalAws(settings(tmp_path)) as aws:
        assert get(aws, "last") == b"kept"
        may_do_everything(aws)
        jobs = Jobs(aws)
        name = jobs.processing(NOTES_THE_TIME)
        jobs.ended(name)
        assert aws.sagemaker.job("processing", name).state.cached


def test_fresh_runs_what_is_remembered(tmp_path: Path) -> None:
    for fresh in (False, True):
        with LocalAws(settings(tmp_path, fresh=fresh)) as aws:
            make_bucket(aws)
            may_do_everything(aws)
            jobs = Jobs(aws)
            for _ in range(2):
                name = jobs.processing("pass")
                jobs.ended(name)
            assert aws.sagemaker.job("processing", name).state.cached is not fresh


def test_runs_leave_no_threads_and_no_open_files(tmp_path: Path) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]
    read = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Retry": retry, "End": True}
    states = {"R": {**read, "Parameters": {"Bucket": "data", "Key": "nothing"}}}
    others = set(threading.enumerate())
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        arn = machine(aws, states)

        def ten_runs() -> None:
            api = aws.client("stepfunctions")
            for one in [api.start_execution(stateMachineArn=arn)["executionArn"] for _ in range(10)]:
                finished(aws, one)

        ten_runs()
        until(lambda: not [t for t in set(threading.enumerate()) - others if "_execution_logic" in t.name])
        before = len(threading.enumerate()), len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            ten_runs()
        until(lambda: (len(threading.enumerate()), len(os.listdir("/proc/self/fd"))) <= before)


def test_the_ordinary_command_line_sees_the_truth(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        program = os.fspath(Path(sys.executable).parent / "aws")
        done = forks.run(
            [sys.executable, program, "--endpoint-url", aws.endpoint, *words], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "big").write_bytes(os.urandom(17 << 20))
    with LocalAws(settings(tmp_path / "work")) as aws:
        make_bucket(aws)
        may_do_everything(aws)
        jobs = Jobs(aws)
        name = jobs.processing("")
        jobs.ended(name)
        run("s3", "cp", os.fspath(tmp_path / "big"), "s3://data/f/big")
        run("s3", "cp", "s3://data/f/big", os.fspath(tmp_path / "back"))
        listed = json.loads(run("sagemaker", "list-processing-jobs", "--output", "json"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()
    assert [one["ProcessingJobName"] for one in listed["ProcessingJobSummaries"]] == [name]


def test_a_part_that_others_patched_too_is_reported() -> None:
    owner = SimpleNamespace(__name__="module", part=1)
    patches = Patches()
    patches.attribute(owner, "part", 2)
    owner.part = 3
    with pytest.raises(RuntimeError, match=r"also patched by others: module\.part"):
        patches.undo()
    assert owner.part == 1


def test_files_of_the_work_folder_are_for_its_user_alone(tmp_path: Path) -> None:
    work = tmp_path / "work"
    before = os.umask(0o022)
    try:
        (work / "runs" / "old").mkdir(parents=True)
        with LocalAws(settings(work)) as aws:
            make_bucket(aws)
            may_do_everything(aws)
            jobs = Jobs(aws)
            do = "print(oct(os.umask(0o77)), flush=True); (root / 'processing' / 'output' / 'made').write_text('x')"
            name = jobs.processing(do)
            jobs.ended(name)
            assert aws.logs.lines("processing", name) == ["0o77"]
            open_to_others = [path for path in work.rglob("*") if path.stat().st_mode & 0o077]
            assert open_to_others == [work / "runs" / "old"]  # in a folder that is closed now
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied"])
def test_a_folder_whose_contents_are_damaged_is_one_sentence(tmp_path: Path, damage: str) -> None:
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        put(aws, "a", b"first")
        put(aws, "b", b"second")
    contents = tmp_path / "buckets" / "contents"
    file = next(file for file in contents.rglob("*") if file.is_file() and file.read_bytes() == b"second")
    if damage == "cut":
        file.write_bytes(b"sec")
    elif damage == "emptied":
        file.unlink()
    else:
        shutil.rmtree(contents)
    count = 2 if damage == "removed" else 1
    with pytest.raises(ComputerError, match=f"is damaged: of 2 contents {count} are missing or have another length"):
        LocalAws(settings(tmp_path)).__enter__()
