"""From a table to an endpoint that answers: `run`, the aws command line, `run` again and `local down`, as processes."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from local_aws import until

from localaws.base.clients import Clients
from stepgluon.config.load import load
from stepgluon.names import Names

HOUSE = Path(__file__).resolve().parents[2]
TABLE = HOUSE / "demo" / "houses-xgboost" / "houses.csv"
CONFIG = """
name: shop
models:
  - {name: price, label: price_eur, drop: [house], serve: {}, algorithm: {xgboost: 3.0-5, set: {num_round: 20}}}
"""
PARTITIONS = """
name: shop
models: {partition_by: store, label: y, better_than_median: 1%, serve: {shared: true}}
train: {presets: fast}
"""


AWS = (sys.executable, os.fspath(Path(sys.executable).with_name("aws")))


def called(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command's end; without any credentials."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment["HOME"] = str(folder)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def pipeline(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return called(folder, sys.executable, str(HOUSE / "pipeline.py"), *words)


def processes(folder: Path) -> list[str]:
    """What works in the folder: the local AWS, its jobs, and the servers of models."""

    def works_in(process: Path) -> bool:
        try:
            return os.readlink(process / "cwd").startswith(str(folder))
        except OSError:  # it has ended
            return False

    return [process.name for process in Path("/proc").glob("[0-9]*") if works_in(process)]


def address_in(said: str) -> str:
    found = re.search(r"^shop-price answers at (http://127\.0\.0\.1:\d+)$", said, re.MULTILINE)
    assert found, said
    return found[1]


def test_a_table_becomes_an_endpoint_that_answers_until_local_down(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(CONFIG)
    try:
        first = pipeline(tmp_path, "run", "--local", "--data", str(TABLE))
        assert "price: shop-price serves it now." in first.stderr
        assert "local up" not in first.stdout, "it is up already"
        address = address_in(first.stderr)

        (predicted,) = tmp_path.glob(".local/runs/*/predictions.csv")
        page = predicted.with_name("report.html").read_text()
        assert "<td>shop-price</td><td>shop-price serves it now.</td>" in page
        with predicted.open(newline="") as file:
            filled = [row for row in csv.DictReader(file) if row["prediction"]]
        columns = ["house", "district", "area_m2", "rooms", "built", "garden", "offered"]
        with (tmp_path / "rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(filled)
        expected = [float(row["prediction"]) for row in filled]
        assert len(set(expected)) > 50

        aws, curl = re.findall(r"^  (aws .*|curl .*)$", first.stderr, re.MULTILINE)
        called(tmp_path, *AWS, *shlex.split(aws)[1:])
        answers = (tmp_path / "answers.csv").read_text().split()
        assert [float(answer) for answer in answers] == pytest.approx(expected, rel=5e-6), "the file has six digits"
        assert called(tmp_path, *shlex.split(curl), "--silent", "--noproxy", "*").stdout.split() == answers

        again = pipeline(tmp_path, "run", "--local", "--data", str(TABLE), "--note", "again")
        assert "price: shop-price already serves it." in again.stderr
        assert address_in(again.stderr) == address, "clients keep the address"
        called(tmp_path, *AWS, *shlex.split(aws)[1:])
        assert (tmp_path / "answers.csv").read_text().split() == answers
        assert f"--endpoint-url {address} " in pipeline(tmp_path, "show", "latest").stdout
        with pytest.raises(AssertionError, match=r"the model price of .* is the one that serves"):
            pipeline(tmp_path, "rehearse", "latest", "price")
    finally:
        ended = pipeline(tmp_path, "local", "down").stdout
    assert re.fullmatch(r"Ended the local AWS of \.local \(process \d+\)\. Start it again: .* local up\n", ended)
    until(lambda: not processes(tmp_path))
    assert pipeline(tmp_path, "local", "down").stdout == "No local AWS is running in .local.\n"


def test_partitions_get_models_that_answer_behind_one_endpoint(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(PARTITIONS)
    rows = [{"store": f"store-{n % 2}", "n": n, "y": (3 if n % 2 else 7) * n + 10.0625} for n in range(200)]
    written(tmp_path / "sales.csv", [{**row, "y": row["y"] if row["n"] % 10 > 1 else ""} for row in rows])
    try:
        said = pipeline(tmp_path, "run", "--local", "--data", "sales.csv").stderr
        (printed,) = re.findall(r"^  (aws .*--target-model .*)$", said, re.MULTILINE)
        names, address = Names(load(tmp_path / "pipeline-config.yml", None, {}).config), shlex.split(printed)
        with closing(Clients(address[address.index("--endpoint-url") + 1])) as clients:
            s3 = clients.get("s3", names.config.region)

            def content(key: str) -> dict[str, Any]:
                found: dict[str, Any] = json.load(s3.get_object(Bucket=names.work_bucket, Key=key)["Body"])
                return found

            targets = content("endpoints/store.json")["targets"]
            models = content(targets.removeprefix(f"s3://{names.work_bucket}/"))["models"]
        assert models.keys() == {"store-0", "store-1"}

        (predicted,) = tmp_path.glob(".local/runs/*/predictions.csv")
        with predicted.open(newline="") as file:
            filled = [row for row in csv.DictReader(file) if row["prediction"]]
        (example,) = (key for key in models.values() if key in printed)
        for store, key in models.items():
            own = [row for row in filled if row["store"] == store]
            written(tmp_path / "rows.csv", [{"n": row["n"]} for row in own])
            called(tmp_path, *AWS, *shlex.split(printed.replace(example, key))[1:])
            answers = [float(answer) for answer in (tmp_path / "answers.csv").read_text().split()]
            assert answers == pytest.approx([float(row["prediction"]) for row in own], abs=1e-4) and len(own) == 20
    finally:
        pipeline(tmp_path, "local", "down")
    until(lambda: not processes(tmp_path))


def written(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_an_approval_starts_the_release_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(
        CONFIG.replace("serve: {}", "serve: {}, register: {approval: manual}")
    )
    try:
        first = pipeline(tmp_path, "run", "--local", "--data", str(TABLE)).stderr
        found = re.search(
            r"^A local AWS at (\S+) releases the models once they are approved: .* promote RUN$", first, re.M
        )
        assert found and "shop-price answers" not in first, first
        (run,) = (tmp_path / ".local/runs").iterdir()
        assert "Promoted from run" in pipeline(tmp_path, "promote", run.name).stdout
        until(lambda: list(tmp_path.glob(".local/outbox/*released*.eml")))
        (mail,) = tmp_path.glob(".local/outbox/*released*.eml")
        assert "shop-price serves it now" in mail.read_text()
        curl = ["curl", "--silent", "--noproxy", "*", "--data-binary", f"@{TABLE}", "-H", "Content-Type:text/csv"]
        answers = called(tmp_path, *curl, f"{found[1]}/endpoints/shop-price/invocations").stdout.split()
        assert len(answers) == len(TABLE.read_text().splitlines()) - 1
        assert all(float(answer) > 0 for answer in answers)
    finally:
        pipeline(tmp_path, "local", "down")
    until(lambda: not processes(tmp_path))


def test_drift_of_captured_rows_is_found_mailed_and_starts_one_run(tmp_path: Path) -> None:
    config = tmp_path / "pipeline-config.yml"
    config.write_text(CONFIG.replace("serve: {}", "serve: {capture: 100%}, monitor: {then: retrain}"))
    names = Names(load(config, None, {}).config)
    with TABLE.open(newline="") as file, (tmp_path / "large.csv").open("w", newline="") as large:
        rows = list(csv.DictReader(file))
        writer = csv.DictWriter(large, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "area_m2": float(row["area_m2"]) * 3} for row in rows)
    try:
        address = address_in(pipeline(tmp_path, "run", "--local", "--data", str(TABLE)).stderr)
        curl = ["curl", "--silent", "--noproxy", "*", "--data-binary", "@large.csv", "-H", "Content-Type:text/csv"]
        called(tmp_path, *curl, f"{address}/endpoints/shop-price/invocations")
        with closing(Clients(address)) as clients:
            machines, s3 = (clients.get(service, names.config.region) for service in ("stepfunctions", "s3"))
            captured = {"Bucket": names.work_bucket, "Prefix": "captured/price/"}
            until(lambda: s3.list_objects_v2(**captured)["KeyCount"])
            monitor = names.arn("states", f"stateMachine:{names.monitor_machine}")
            started = machines.start_execution(stateMachineArn=monitor)["executionArn"]
            until(lambda: machines.describe_execution(executionArn=started)["status"] != "RUNNING")
            ended = machines.describe_execution(executionArn=started)
            assert ended["status"] == "SUCCEEDED", ended["cause"]
            (checked,) = json.loads(ended["output"])["models"]
            assert checked["outcome"] == "drift" and "area_m2" in checked["sentence"], checked
            runs = machines.list_executions(stateMachineArn=names.machine_arn)["executions"]
            (again,) = [run for run in runs if run["name"].startswith("drift-price-")]
            until(lambda: machines.describe_execution(executionArn=again["executionArn"])["status"] == "SUCCEEDED")
        texts = [mail.read_text() for mail in tmp_path.glob(".local/outbox/*.eml")]
        said = f"Run {again['name']} was started with the tables of the last run"
        assert len([text for text in texts if said in text]) == 1, texts
    finally:
        pipeline(tmp_path, "local", "down")


# A run that waits forever for the endpoints of the local AWS that it has started.
STARTER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {house!r})
from stepgluon.config.load import load
from stepgluon.local import left_serving
from stepgluon.names import Names
left_serving._answering = lambda *given: time.sleep(10_000)
left_serving._serve(Path(".local"), Names(load(Path("pipeline-config.yml"), None, {{}}).config), ["shop-price"], 0)
"""


def test_a_killed_run_leaves_no_local_aws_that_it_was_starting(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(CONFIG)
    (tmp_path / ".local").mkdir()
    starter = subprocess.Popen([sys.executable, "-c", STARTER.format(house=str(HOUSE))], cwd=tmp_path)
    try:
        until(lambda: (tmp_path / ".local/server.json").exists() or starter.poll() is not None)
        assert starter.poll() is None and len(processes(tmp_path)) > 1
    finally:
        starter.kill()
        starter.wait()
    until(lambda: not processes(tmp_path))
