"""An upload that was answered has its run, also when the server is killed before the Lambda heard of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import forks
from botocore.config import Config
from local_aws import MINUTES, until
from test_run import User, faults, shared, user

__all__ = ["faults", "shared", "user"]


def served(user: User) -> Any:
    """`local up` as a process, and a client of its S3."""
    from botocore.session import Session

    process = user.process("local", "up", start=forks.plain)  # `ps` shows its functions
    until(lambda: process.poll() is not None or (user.work / "server.json").exists())
    assert process.poll() is None, process.communicate()
    endpoint = json.loads((user.work / "server.json").read_text())["endpoint"]
    client = Session().create_client(
        "s3",
        region_name="eu-west-1",
        endpoint_url=endpoint,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(proxies={}),
    )
    return process, client


def test_uploads_that_were_answered_have_their_runs_after_kill_9(user: User) -> None:
    folders = [f"folder-{n}" for n in range(4)]
    process, s3 = served(user)
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"] if "raw" in one["Name"]]
    for folder in folders:
        s3.put_object(Bucket=bucket, Key=f"{folder}/orders.json", Body=json.dumps({"prepare": "exit 1"}).encode())
    for folder in folders[:2]:
        s3.put_object(Bucket=bucket, Key=f"{folder}/go.run", Body=b"")
    until(lambda: user.kinds().count("failed") == 2)  # their ends are events, too
    until(lambda: pending(user) == 0)
    os.kill(until(lambda: lambda_of(process.pid)), signal.SIGSTOP)  # it hears of none of the others
    for folder in folders[2:]:
        s3.put_object(Bucket=bucket, Key=f"{folder}/go.run", Body=b"")
    process.kill()
    process.communicate()
    (user.work / "server.json").unlink()
    assert pending(user) == 2
    process, s3 = served(user)
    until(lambda: pending(user) == 0)
    until(lambda: len(ended(user)) == len(folders))
    assert sorted(run["data"] for run in ended(user)) == [f"s3://{bucket}/{folder}/" for folder in folders]
    mails = sorted(["started", "failed"] * len(folders))
    until(lambda: len(user.kinds()) >= len(mails))  # a failure is mailed after its run's end
    assert sorted(user.kinds()) == mails
    process.terminate()
    process.communicate(timeout=MINUTES)
    assert len(json.loads(user.calls("runs", "--json")[1])) == len(folders), "none twice"


def test_a_run_whose_end_a_killed_server_did_not_write_down_is_written_by_the_next(user: User) -> None:
    told = user.good()
    file = Path(told["folder"]) / "run.json"
    file.write_text(json.dumps({**told, "status": "RUNNING"}))
    process, _ = served(user)
    until(lambda: json.loads(file.read_text())["status"] == "SUCCEEDED")
    process.terminate()
    said = "".join(process.communicate(timeout=MINUTES))
    assert f"Run {told['run']}: SUCCEEDED after" in said and "has started" not in said


def pending(user: User) -> int:
    """How many events no function has handled."""
    with closing(sqlite3.connect(user.work / "buckets" / "index.sqlite")) as index:
        (count,) = index.execute("select count(*) from documents where kind = 'event'").fetchone()
    return int(count)


def lambda_of(server: int) -> int | None:
    """The process of the server's trigger, the first one that a server starts."""
    words = ["ps", "-A", "-ww", "--sort=start_time", "-o", "pid=,ppid=,args="]
    for line in subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines():
        pid, parent, command = line.split(None, 2)
        if int(parent) == server and "lambda_/runtime.py" in command:
            return int(pid)
    return None


def ended(user: User) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(user.calls("runs", "--json")[1])
    return [run for run in runs if run["status"] == "FAILED"]
