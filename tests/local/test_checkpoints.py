"""CheckpointConfig of training jobs: what one job leaves, the next one finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from local_aws import SCRIPTS, Jobs, until

from localaws.s3.store import Objects

HANGS = "__import__('time').sleep(600)"
WRITES = "c = root / 'checkpoints'; (c / 'deep').mkdir(exist_ok=True); (c / 'deep' / '{0}').write_text('{0}')\n"
READS = "(root / 'model' / 'seen').write_text(' '.join(sorted(f.name for f in (root / 'checkpoints').rglob('?'))))\n"


def config(name: str) -> dict[str, str]:
    return {"S3Uri": f"s3://data/checkpoints/{name}/"}


def test_a_stopped_job_leaves_them_and_the_next_finds_them(jobs: Jobs) -> None:
    first = jobs.training(WRITES.format("a") + HANGS, CheckpointConfig=config("stopped"))
    until(lambda: jobs.keys("checkpoints/stopped/"))
    assert jobs.told(first)["status"] == "InProgress", "uploaded while it runs"
    jobs.api.stop_training_job(TrainingJobName=first)
    assert jobs.ended(first)["status"] == "Stopped"
    failing = jobs.training(WRITES.format("b") + "raise SystemExit(1)", CheckpointConfig=config("stopped"))
    assert jobs.ended(failing)["status"] == "Failed"
    assert jobs.keys("checkpoints/stopped/") == [f"checkpoints/stopped/deep/{name}" for name in "ab"]
    last = jobs.training(
        READS + WRITES.format("a") + "(c / 'deep' / 'a').write_text('new')", CheckpointConfig=config("stopped")
    )
    assert jobs.ended(last)["status"] == "Completed"
    assert jobs.text(f"models/{last}/output/model/seen") == "a b"
    assert jobs.text("checkpoints/stopped/deep/a") == "new" and jobs.text("checkpoints/stopped/deep/b") == "b"


def test_the_folder_can_be_another_one_below_opt_ml(jobs: Jobs) -> None:
    place = {**config("elsewhere"), "LocalPath": "/opt/ml/mine"}
    jobs.ended(jobs.training("(root / 'mine' / 'a').write_text('1')", CheckpointConfig=place))
    assert jobs.keys("checkpoints/elsewhere/") == ["checkpoints/elsewhere/a"]
    with pytest.raises(ClientError, match="must be a path below /opt/ml"):
        jobs.training("", CheckpointConfig={**place, "LocalPath": "/root"})
    with pytest.raises(ClientError, match="bucket nowhere"):
        jobs.training("", CheckpointConfig={"S3Uri": "s3://nowhere/x"})


SERVER = """
import sys, pathlib
sys.path[:0] = {path!r}
from local_aws import Jobs, make_bucket, may_do_everything, settings
from localaws.server.aws import LocalAws
with LocalAws(settings(pathlib.Path({work!r}))) as aws:
    make_bucket(aws)
    may_do_everything(aws)
    jobs = Jobs(aws)
    name = jobs.training({do!r}, CheckpointConfig={config!r})
    from local_aws import until
    until(lambda: jobs.keys("checkpoints/killed/"))
    print("uploaded", flush=True)
    aws.sagemaker.job("training", name).done.wait()
"""


def test_what_was_uploaded_outlives_a_killed_server(tmp_path: Path) -> None:
    text = SERVER.format(
        path=sys.path, work=os.fspath(tmp_path), do=WRITES.format("a") + HANGS, config=config("killed")
    )
    server = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, cwd=SCRIPTS)
    assert server.stdout and server.stdout.readline() == b"uploaded\n"
    server.send_signal(signal.SIGKILL)
    server.wait()
    server.stdout.close()
    objects = Objects(tmp_path / "buckets")
    kept = objects.one("data", "checkpoints/killed/deep/a")
    assert kept and objects.file(kept.content).read_bytes() == b"a"
    objects.close()


def test_a_file_that_the_job_removes_meanwhile_is_left_out(tmp_path: Path) -> None:
    objects = Objects(tmp_path / "buckets")
    files = [tmp_path / f"{number}" for number in range(40)]
    for number, file in enumerate(files):
        file.write_text(str(number % 20))
    files[7].unlink()
    found = objects.copy_all(files)
    objects.close()
    assert [content and objects.file(content).read_text() for content in found] == [
        None if number == 7 else str(number % 20) for number in range(40)
    ]
    assert sum(1 for file in (tmp_path / "buckets" / "contents").rglob("*") if file.is_file()) == 20
    assert objects.copy_all([]) == []
