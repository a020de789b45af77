"""An upload that was answered has its run, also when the server is killed before the Lambda heard of it."""

from __future__ import annotations

import json
from typing import Any

from botocore.config import Config
from local_aws import until
from test_run import User, faults, shared, user

__all__ = ["faults", "shared", "user"]


def served(user: User) -> Any:
    """`local up` as a process, and a client of its S3."""
    from botocore.session import Session

    process = user.process("local", "up")
    until(lambda: process.poll() is not None or (user.work / "server.json").exists(), 60)
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
    folders = [f"folder-{n}" for n in range(8)]
    process, s3 = served(user)
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"] if "raw" in one["Name"]]
    for folder in folders:
        s3.put_object(Bucket=bucket, Key=f"{folder}/orders.json", Body=json.dumps({"prepare": "exit 1"}).encode())
    for folder in folders:
        s3.put_object(Bucket=bucket, Key=f"{folder}/go.run", Body=b"")
    process.kill()
    process.communicate()
    (user.work / "server.json").unlink()
    left = list((user.work / "functions" / "pending").glob("*.json"))
    assert left, "the Lambda was slower than the kill"
    process, s3 = served(user)
    until(lambda: not list((user.work / "functions" / "pending").iterdir()), 60)
    until(lambda: len(ended(user)) == len(folders), 60)
    assert sorted(run["data"] for run in ended(user)) == [f"s3://{bucket}/{folder}/" for folder in folders]
    assert sorted(user.kinds()) == sorted(["started", "failed"] * len(folders))
    process.terminate()
    process.communicate(timeout=20)
    assert len(json.loads(user.calls("runs", "--json")[1])) == len(folders), "none twice"


def ended(user: User) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(user.calls("runs", "--json")[1])
    return [run for run in runs if run["status"] == "FAILED"]
