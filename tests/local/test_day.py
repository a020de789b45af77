"""A user's whole day with the real `aws` command line and a pipeline that is up on this computer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import forks
import pytest
from local_aws import MINUTES, until
from stand_in import HERE, SCRIPTS
from test_run import CONFIG

from localaws.sagemaker.serving import free_port

ACCOUNT, REGION = "123456789012", "eu-west-1"
RAW, WORK = (f"penguins-{part}-{ACCOUNT}-{REGION}" for part in ("raw", "work"))
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:penguins"
SHELL = {
    **{name: value for name, value in os.environ.items() if not name.upper().startswith("AWS")},
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "NO_PROXY": "*",
}


class Day:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pipeline-config.yml").write_text(CONFIG)
        self.port = free_port()
        self.server = self.started("local", "up", "--port", str(self.port), start=forks.plain)
        assert self.server.stdout
        first = self.server.stdout.readline()
        assert f"http://127.0.0.1:{self.port}" in first, self.server.communicate()

    def started(self, *words: str, start: Any = forks.Popen) -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "stand_in.py"), str(self.folder / "compiled"), str(SCRIPTS), *words]
        process: subprocess.Popen[str] = start(
            command, cwd=self.folder, env=SHELL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return process

    def pipeline(self, *words: str) -> str:
        process = self.started(*words)
        out, err = process.communicate(timeout=MINUTES)
        assert process.returncode == 0, err
        return out

    def aws(self, *words: str, given: str | None = None) -> Any:
        """One call of the real command line; its answer, as JSON where it is."""
        endpoint = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, str(Path(sys.executable).with_name("aws")), "--endpoint-url", endpoint, *words]
        ends = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with forks.Popen(command, cwd=self.folder, env=SHELL, stdin=subprocess.PIPE, **ends) as process:
            out, err = process.communicate(given, timeout=MINUTES)
        assert process.returncode == 0, f"{words}: {err}"
        return json.loads(out) if out.startswith(("{", "[")) else out

    def client(self, service: str) -> Any:
        """For polling: each call of the command line is a process."""
        secrets = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION, **secrets)

    def executions(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.aws("stepfunctions", "list-executions", "--state-machine-arn", MACHINE)[
            "executions"
        ]
        return listed

    def ended(self, status: str, count: int) -> dict[str, Any]:
        """The latest of so many executions, as soon as all have ended."""
        client = self.client("stepfunctions")

        def over() -> bool:
            listed = client.list_executions(stateMachineArn=MACHINE)["executions"]
            return len(listed) == count and not any(execution["status"] == "RUNNING" for execution in listed)

        until(over)
        found = self.executions()
        latest: dict[str, Any] = max(found, key=lambda execution: execution["startDate"])
        assert latest["status"] == status
        return latest


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    day = Day(tmp_path_factory.mktemp("day"))
    yield day
    if day.server.poll() is None:
        day.server.kill()
    day.server.communicate()


@pytest.fixture(scope="module")
def morning(day: Day) -> str:
    """Data and a .run file are uploaded; the run that this starts."""
    (day.folder / "orders.json").write_text("{}")
    day.aws("s3", "cp", "orders.json", f"s3://{RAW}/june/")
    day.aws("s3", "cp", "-", f"s3://{RAW}/june/go.run", given="note: in the morning\n")
    return str(day.ended("SUCCEEDED", 1)["name"])


def test_an_upload_of_a_run_file_starts_a_run_that_can_be_described(day: Day, morning: str) -> None:
    arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{morning}"
    described = day.aws("stepfunctions", "describe-execution", "--execution-arn", arn)
    assert json.loads(described["input"])["note"] == "in the morning"
    events = day.aws("stepfunctions", "get-execution-history", "--execution-arn", arn)["events"]
    assert events[-1]["type"] == "ExecutionSucceeded"


def test_its_jobs_are_listed_and_described_and_their_logs_can_be_read(day: Day, morning: str) -> None:
    listed = day.aws("sagemaker", "list-training-jobs")["TrainingJobSummaries"]
    assert len(listed) == 2
    name = next(job["TrainingJobName"] for job in listed if "adelie" in job["TrainingJobName"])
    described = day.aws("sagemaker", "describe-training-job", "--training-job-name", name)
    assert described["TrainingJobStatus"] == "Completed"
    group = "/aws/sagemaker/TrainingJobs"
    words = ("logs", "filter-log-events", "--log-group-name", group, "--log-stream-name-prefix", name)
    assert day.aws(*words)["events"][0]["message"].startswith("training adelie")


def test_the_results_can_be_fetched(day: Day, morning: str) -> None:
    day.aws("s3", "cp", "--recursive", f"s3://{WORK}/runs/{morning}/result/", "results/")
    assert (day.folder / "results" / "predictions.csv").read_text() == "adelie\ngentoo"
    assert len(list((day.folder / ".local" / "outbox").glob("*.eml"))) == 3


def test_a_promoted_model_predicts_in_the_next_run(day: Day, morning: str) -> None:
    until(lambda: "finished" in day.pipeline("runs"))
    assert "adelie (MAE 200)" in day.pipeline("promote", morning)
    day.aws("s3", "cp", "-", f"s3://{RAW}/june/go.run", given='{"threshold": 100, "note": "stricter"}')
    second = day.ended("SUCCEEDED", 2)["name"]
    verdicts = day.aws("s3", "cp", f"s3://{WORK}/runs/{second}/verdicts.json", "-")
    verdicts = json.loads(verdicts) if isinstance(verdicts, str) else verdicts
    assert [(v["verdict"], v["uses"], v["run"]) for v in verdicts] == [("rejected", "default", morning)] * 2
    until(lambda: "stricter" in day.pipeline("runs"))
    assert f"the model promoted from {morning}" in day.pipeline("show", second)


def test_an_execution_can_be_stopped_and_its_jobs_stop(day: Day, morning: str) -> None:
    (day.folder / "orders.json").write_text('{"train-adelie": "hang"}')
    day.aws("s3", "cp", "orders.json", f"s3://{RAW}/july/")
    day.aws("s3", "cp", "-", f"s3://{RAW}/july/go.run", given="")
    client = day.client("sagemaker")
    hangs = {"StatusEquals": "InProgress", "NameContains": "adelie"}
    until(lambda: client.list_training_jobs(**hangs)["TrainingJobSummaries"])
    words = ("--status-equals", "InProgress", "--name-contains", "adelie")
    listed = day.aws("sagemaker", "list-training-jobs", *words)
    hanging = listed["TrainingJobSummaries"][0]["TrainingJobName"]
    running = next(e["executionArn"] for e in day.executions() if e["status"] == "RUNNING")
    day.aws("stepfunctions", "stop-execution", "--execution-arn", running, "--cause", "too long")
    until(lambda: client.describe_training_job(TrainingJobName=hanging)["TrainingJobStatus"] == "Stopped")
    until(lambda: "stopped" in day.pipeline("runs"))
    outbox = day.folder / ".local" / "outbox"
    (mail,) = until(lambda: [text for file in outbox.glob("*.eml") if ": stopped" in (text := file.read_text())])
    assert "too long" in mail


def test_ctrl_c_ends_it_all(day: Day, morning: str) -> None:
    day.server.send_signal(signal.SIGINT)
    _, err = day.server.communicate(timeout=MINUTES)
    assert day.server.returncode == 130, err
    assert "Traceback" not in err
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{day.port}", timeout=2)
    assert not list((day.folder / ".local").glob(".jobs-*"))
    assert not (day.folder / ".local" / "server.json").exists()
