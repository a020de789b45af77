"""How the local AWS and the pipeline behave with many models: one per partition, in groups.

    python benchmarks/scale.py engine [--groups 40 200]
    python benchmarks/scale.py nothing [--models 2000 10000]
    python benchmarks/scale.py real [--partitions 500] [--rows 2000] [--changed 5]

real: the whole command with the jobs of code/, which train a model for each partition with `presets: fast`;
then the same command again, after the rows of some partitions have changed.
nothing: the whole command, from its start to its exit, with groups of 50 models and jobs that do nothing; then the same
command again, after one model's rows have changed. No model may be missing or predict twice.
engine: a Distributed Map whose children have 14 states, eight of them calls of S3, and no jobs. Each size runs in a
process of its own, one after the other; memory is the highest resident size of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, os.fspath(ROOT))
MODELS = 50  # of a group
ACCOUNT, BUCKET = "123456789012", "work"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/machine"


def measured(command: list[str]) -> dict[str, float]:
    """What the command prints as JSON in its last line, with its processor time and highest memory."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    found: dict[str, float] = json.loads(printed.decode().splitlines()[-1])
    return {**found, "megabytes": peak}


# engine


def engine(given: argparse.Namespace) -> None:
    print("groups  models  seconds  children/s  processor ms/state  memory MB")
    for groups in given.groups:
        found = measured([sys.executable, __file__, "engine-once", str(groups)])
        states = found["states"]
        print(
            f"{groups:6}  {groups * MODELS:6}  {found['seconds']:7.1f}  {groups / found['seconds']:10.1f}  "
            f"{1000 * found['cpu'] / states:18.2f}  {found['megabytes']:9.0f}"
        )


def engine_once(groups: int) -> None:
    """Runs in a process of its own."""
    from localaws.server.aws import LocalAws, Settings

    with tempfile.TemporaryDirectory() as work, LocalAws(Settings(Path(work), ACCOUNT, "eu-west-1")) as aws:
        _prepare(aws, groups)
        steps = aws.client("stepfunctions")
        machine = steps.create_state_machine(name="many", definition=json.dumps(_machine()), roleArn=ROLE)
        began, cpu = time.monotonic(), time.process_time()
        arn = steps.start_execution(stateMachineArn=machine["stateMachineArn"], name="run")["executionArn"]
        while (execution := steps.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.05)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        assert execution["status"] == "SUCCEEDED" and len(json.loads(execution["output"])) == groups, execution
    print(json.dumps({"seconds": seconds, "cpu": cpu, "states": groups * len(_child()["States"])}))


def _prepare(aws: Any, groups: int) -> None:
    rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    aws.client("iam").create_role(RoleName="machine", AssumeRolePolicyDocument="{}")
    aws.client("iam").put_role_policy(RoleName="machine", PolicyName="all", PolicyDocument=json.dumps(rights))
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    items = [{"group": f"g{number:04}", "models": MODELS} for number in range(groups)]
    s3.put_object(Bucket=BUCKET, Key="groups.json", Body=json.dumps(items).encode())
    for item in items:
        models = [
            {"name": f"{item['group']}-{n}", "train": f"{n:064x}", "predict": f"{n + 1:064x}", "rows": n}
            for n in range(MODELS)
        ]
        content = json.dumps({"group": item["group"], "models": models}).encode()
        s3.put_object(Bucket=BUCKET, Key=f"groups/{item['group']}.json", Body=content)


def _machine() -> dict[str, Any]:
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Arguments": {"Bucket": BUCKET, "Key": "groups.json"},
    }
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    groups = {
        "Type": "Map",
        "Label": "Groups",
        "ItemReader": reader,
        "ItemSelector": {"group": "{% $states.context.Map.Item.Value.group %}", "run": "run"},
        "MaxConcurrency": 20,
        "ToleratedFailurePercentage": 100,
        "ItemProcessor": {"ProcessorConfig": config, **_child()},
        "End": True,
    }
    return {"QueryLanguage": "JSONata", "StartAt": "Groups", "States": {"Groups": groups}}


def _child() -> dict[str, Any]:
    """Like a group of the pipeline: it reads what there is, looks up what is known, and writes what it decides."""
    states: dict[str, Any] = {}
    key, named = "{% 'groups/' & $group & '.json' %}", "{% 'made/' & $group & '/{0}.json' %}"

    def add(name: str, **fields: Any) -> None:
        states[name] = {**fields, "Next": None}

    def task(name: str, call: str, arguments: dict[str, Any], **fields: Any) -> None:
        resource = f"arn:aws:states:::aws-sdk:s3:{call}"
        retry = [{"ErrorEquals": ["S3.SdkClientException"], "IntervalSeconds": 1, "MaxAttempts": 3}]
        given = {"Bucket": BUCKET, **arguments}
        add(name, Type="Task", Resource=resource, Arguments=given, Retry=retry, TimeoutSeconds=60, **fields)

    add("Begin", Type="Pass", Assign={"group": "{% $states.input.group %}"})
    read = {"models": "{% $parse($states.result.Body).models %}"}
    task("Read group", "getObject", {"Key": key}, Assign=read, Output="{% {} %}")
    for number in range(3):
        chosen = "{% $models[rows % 2 = 0].{'name': name, 'fingerprint': train} %}"
        task(f"Write {number}", "putObject", {"Key": named.replace("{0}", f"w{number}"), "Body": {"models": chosen}})
        add(f"Is there {number}", Type="Choice", Choices=[{"Condition": "{% $count($models) > 0 %}"}], Default=None)
        judged = "{% [$models.{'name': name, 'verdict': rows < 25 ? 'accepted' : 'rejected'}] %}"
        given = {"Key": named.replace("{0}", f"w{number}")}
        task(f"Read {number}", "getObject", given, Assign={"judged": judged}, Output="{% {} %}")
    task("Remember", "putObject", {"Key": named.replace("{0}", "last"), "Body": {"models": "{% $judged %}"}})
    add("Count", Type="Pass", Assign={"accepted": "{% $count($judged[verdict = 'accepted']) %}"})
    add("Report", Type="Pass", Output={"group": "{% $group %}", "accepted": "{% $accepted %}"})
    names = list(states)
    for name, following in zip(names, [*names[1:], None], strict=True):
        state = states[name]
        del state["Next"]
        if state["Type"] == "Choice":
            state["Choices"][0]["Next"] = state["Default"] = following
        else:
            state.update({"Next": following} if following else {"End": True})
    return {"StartAt": "Begin", "States": states}


# nothing

CONFIG = """
name: shop
models: {partition_by: store_id, label: sales_kg, threshold: 350}
fan_out: {models_per_job: 50, jobs_at_once: 20}
"""


def nothing(given: argparse.Namespace) -> None:
    print("models  seconds  memory MB  trained  one changed, again: seconds  trained")
    for models in given.models:
        with tempfile.TemporaryDirectory() as folder:
            work, orders = Path(folder) / "work", Path(folder) / "orders.json"
            config = Path(folder) / "config.yml"
            config.write_text(CONFIG)
            words = [sys.executable, os.fspath(ROOT / "tests" / "local" / "stand_in.py"), f"{folder}/compiled"]
            words += [os.fspath(ROOT / "tests" / "local" / "scripts"), "run", "--local", "--config", os.fspath(config)]
            words += ["--work", os.fspath(work), "--data", os.fspath(orders)]
            figures = []
            for changed in ({}, {"store-7": 1}):
                orders.write_text(json.dumps({"partitions": models, "rows": changed}))
                figures.append((_cost(words), _trained(work, models)))
            (first, trained), (again, both) = figures
            print(
                f"{models:6}  {first.seconds:7.1f}  {first.megabytes:9.0f}  {trained:7}  {again.seconds:26.1f}  "
                f"{both - trained:7}"
            )


@dataclass(frozen=True)
class Cost:
    seconds: float
    cpu: float  # of the command and its jobs
    megabytes: float  # the command's highest resident memory: its server is in the same process


def _cost(words: list[str]) -> Cost:
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    assert process.stdout
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed:\n{said.decode()}")
    peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, peak)


def _trained(work: Path, models: int) -> int:
    """How many models all runs have trained; the newest run's result must have each model once."""
    run = max((work / "runs").glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    summary = json.loads(run.read_text())
    predicted = summary.get("predicted") or [one["name"] for one in summary["models"] if one["outcome"] == "predicted"]
    if len(predicted) != models or len(set(predicted)) != models:
        raise SystemExit(f"{len(set(predicted))} of {models} models predicted")
    with closing(sqlite3.connect(work / "buckets" / "index.sqlite")) as index:
        trained = "SELECT count(*) FROM objects WHERE key LIKE 'models/groups/%/output/model/%.tar.gz'"
        return int(index.execute(trained).fetchone()[0])


# real

REAL = """
name: shop
models: {partition_by: store, label: y, better_than_median: 1%}
train: {presets: fast, time_limit: 10m, max_runtime: 10h}
fan_out: {models_per_job: 50}
"""


def real(given: argparse.Namespace) -> None:
    print("                     seconds  processor s  server MB  models trained")
    with tempfile.TemporaryDirectory() as folder:
        work, data, config = (Path(folder) / name for name in ("work", "sales.csv", "config.yml"))
        config.write_text(REAL)
        words = [sys.executable, os.fspath(ROOT / "pipeline.py"), "run", "--local", "--config", os.fspath(config)]
        words += ["--work", os.fspath(work), "--data", os.fspath(data)]
        costs, trained = [], 0
        for title, changed in (("all partitions", ()), (f"{given.changed} changed, again", range(given.changed))):
            _sales(data, given.partitions, given.rows, changed)
            costs.append(cost := _cost(words))
            before, trained = trained, _trained(work, given.partitions)
            figures = f"{cost.seconds:7.1f}  {cost.cpu:11.1f}  {cost.megabytes:9.0f}  {trained - before:14}"
            print(f"{title:19}  {figures}", flush=True)
        first, again = costs
        print(f"{'ratio':19}  {again.seconds / first.seconds:7.3f}  {again.cpu / first.cpu:11.3f}")


def _sales(path: Path, partitions: int, rows: int, changed: Collection[int]) -> None:
    """Each partition has a rule of its own, and a tenth of its labels is missing."""
    generator = np.random.default_rng(0)
    store = generator.permutation(np.repeat(np.arange(partitions), rows))
    columns = {f"n{number}": np.round(generator.normal(100, 20, len(store)), 2) for number in range(4)}
    word, day = generator.integers(0, 3, len(store)), generator.integers(0, 7, len(store))
    y = columns["n0"] * (2 + store % 7) + columns["n1"] / 3 + 10 * (word == 1) + np.isin(store, list(changed))
    y = pa.array(np.round(y + generator.normal(0, 3, len(store)), 2), mask=generator.random(len(store)) < 0.1)
    names = pa.array([f"store-{number}" for number in range(partitions)]).take(pa.array(store))
    words = pa.array(["alpha", "beta", "gamma"]).take(pa.array(word))
    pyarrow.csv.write_csv(pa.table({"store": names, **columns, "word": words, "day": day, "y": y}), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    of_engine = commands.add_parser("engine", help="the local Step Functions alone")
    of_engine.add_argument("--groups", type=int, nargs="+", default=[40, 200])
    of_engine.set_defaults(run=engine)
    once = commands.add_parser("engine-once")
    once.add_argument("groups", type=int)
    once.set_defaults(run=lambda given: engine_once(given.groups))
    of_nothing = commands.add_parser("nothing", help="a whole run with jobs that do nothing")
    of_nothing.add_argument("--models", type=int, nargs="+", default=[2000, 10000])
    of_nothing.set_defaults(run=nothing)
    of_real = commands.add_parser("real", help="two whole runs with real models")
    of_real.add_argument("--partitions", type=int, default=500)
    of_real.add_argument("--rows", type=int, default=2000, help="of each partition")
    of_real.add_argument("--changed", type=int, default=5, help="partitions with other rows in the second run")
    of_real.set_defaults(run=real)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
