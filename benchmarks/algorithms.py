"""How long jobs of other algorithms take on this computer, as ratios measured side by side in turns.

    python benchmarks/algorithms.py xgboost [--rows 1000000]    a training in the local AWS: XGBoost called by hand
    python benchmarks/algorithms.py run [--rows 1000000]        a whole local run with XGBoost: one script by hand
    python benchmarks/algorithms.py transform [--rows 1000000]  a transform job: the model's own predict
    python benchmarks/algorithms.py start                       a container in bubblewrap: the same program as a process

By hand means one script that reads the same CSV files, calls the library and writes the same result. Times are the
quickest of the turns; seconds of processor time, which a busy computer changes least, are beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "code")]

from localaws.sagemaker import bubblewrap  # noqa: E402  # the checkout is not installed
from localaws.sagemaker.job_process import Surroundings  # noqa: E402  # the same
from localaws.server.aws import LocalAws, Settings  # noqa: E402  # the same

ACCOUNT, REGION, MINUTES = "123456789012", "eu-west-1", 1800
IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"
OURS = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/bench-xgboost:1"
SET = {"num_round": "100", "max_depth": "6", "eta": "0.1", "objective": "reg:squarederror"}
COLUMNS = 10
BY_HAND = """
    import sys, pyarrow.csv, xgboost, numpy
    data, model = sys.argv[1:]
    rows = pyarrow.csv.read_csv(data, pyarrow.csv.ReadOptions(autogenerate_column_names=True))
    table = numpy.column_stack([column.to_numpy().astype("f4") for column in rows.columns])
    matrix = xgboost.DMatrix(table[:, 1:], label=table[:, 0])
    settings = {"max_depth": 6, "eta": 0.1, "objective": "reg:squarederror"}
    xgboost.train(settings, matrix, 100, evals=[(matrix, "train")], verbose_eval=True).save_model(model)
"""
PREDICT = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    import pyarrow as pa, pyarrow.csv
    from predict import load, rows_at_once
    from model_folder import verified
    folder, rows, out = map(Path, sys.argv[2:])
    manifest = verified(folder, "all", "")
    predictor = load(folder, "all", manifest)
    names = list(manifest["features"])
    read = pa.csv.read_csv(rows, pa.csv.ReadOptions(column_names=names))
    answers = [predictor.answers(predictor.inputs(one)) for one in read.to_batches(rows_at_once(len(names)))]
    pa.csv.write_csv(pa.table({"prediction": pa.concat_arrays([pa.array(one) for one in answers])}), out)
"""
CONFIG = """
name: bench
models:
  - name: price
    label: y
    algorithm: {xgboost: 3.0-5, set: {objective: "reg:squarederror", num_round: 100, max_depth: 6, eta: 0.1}}
"""
WHOLE_BY_HAND = """
    import sys, numpy as np, pyarrow as pa, pyarrow.csv, xgboost
    data, result = sys.argv[1:]
    rows = pa.csv.read_csv(data)
    def numbers(column):
        if pa.types.is_string(column.type):
            column = column.combine_chunks().dictionary_encode().indices
        return (column.cast(pa.int32()) if pa.types.is_date(column.type) else column).to_numpy().astype("f4")
    matrix = np.column_stack([numbers(rows[name]) for name in rows.column_names if name != "y"])
    label, known = rows["y"].to_numpy(), rows["y"].is_valid().to_numpy()
    place = np.random.default_rng(1).random(len(label))
    train, test = known & (place >= 0.2), known & (place < 0.2)
    fit, settings = xgboost.DMatrix(matrix[train], label=label[train]), {"max_depth": 6, "eta": 0.1}
    model = xgboost.train(settings, fit, 100, evals=[(fit, "train")], verbose_eval=True)
    print("MAE", np.abs(model.predict(xgboost.DMatrix(matrix[test])) - label[test]).mean())
    found = np.full(len(label), np.nan)
    found[~known] = model.predict(xgboost.DMatrix(matrix[~known]))
    pa.csv.write_csv(rows.append_column("prediction", pa.array(found, from_pandas=True)), result)
"""
Side = Callable[[], object]


def turns(first: tuple[str, Side], second: tuple[str, Side], count: int, budget: str) -> None:
    """Run both in turns; print the quickest of each, and their ratio."""
    found: dict[str, list[tuple[float, float]]] = {first[0]: [], second[0]: []}
    for _ in range(count):
        for name, side in (first, second):
            before, started = spent(), time.monotonic()
            side()
            found[name].append((time.monotonic() - started, spent() - before))
    best = {name: [min(one) for one in zip(*costs, strict=True)] for name, costs in found.items()}
    for name, (wall, cpu) in best.items():
        print(f"  {name:<20} {wall:7.2f} s  {cpu:7.2f} s of processor time")
    (wall, cpu), (own_wall, own_cpu) = best[first[0]], best[second[0]]
    print(f"  {wall / own_wall:.2f} times, {wall - own_wall:+.2f} s; processor {cpu / own_cpu:.2f} times ({budget})")


def spent() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def script(text: str, *words: Path) -> Side:
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, words)]
    variables = {**os.environ, "GOMP_SPINCOUNT": "10000"}  # as jobs have it; it matters on a busy computer
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables)


def table(rows: int) -> pa.Table:
    """A label that follows from some columns, like prices with two decimals."""
    rng = np.random.default_rng(1)
    columns = [rng.normal(100, 30, rows).round(2) for _ in range(COLUMNS)]
    label = (3 * columns[0] + np.where(columns[1] > 100, columns[2], 0) + rng.normal(0, 5, rows)).round(2)
    return pa.table([label, *columns], ["y", *(f"c{place}" for place in range(COLUMNS))])


def written(rows: pa.Table, header: bool = False) -> bytes:
    into = pa.BufferOutputStream()
    pa.csv.write_csv(rows, into, pa.csv.WriteOptions(include_header=header))
    return bytes(into.getvalue())


def ended(aws: LocalAws, kind: str, name: str) -> None:
    job = aws.sagemaker.job(kind, name)
    if not job.done.wait(MINUTES) or job.state.status != "Completed":
        raise SystemExit(f"{name}: {job.state.status} {job.state.failure}")


def xgboost(aws: LocalAws, folder: Path, rows: int, count: int) -> None:
    content, numbers = written(table(rows)), iter(range(count))
    (folder / "rows.csv").write_bytes(content)
    aws.client("s3").put_object(Bucket="bench", Key="train/rows.csv", Body=content)

    def job() -> None:
        name, source = f"train-{next(numbers)}", {"S3DataType": "S3Prefix", "S3Uri": "s3://bench/train/"}
        channel = {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
        aws.client("sagemaker").create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/job",
            InputDataConfig=[channel],
            OutputDataConfig={"S3OutputPath": "s3://bench/models"},
            ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": MINUTES},
            HyperParameters=SET,
        )
        ended(aws, "training", name)

    by_hand = script(BY_HAND, folder / "rows.csv", folder / "model.ubj")
    turns(("training job", job), ("by hand", by_hand), count, "at most 1.2")


def run(folder: Path, rows: int, count: int) -> None:
    """From the command to its exit; a tenth of the labels are gaps, and a column is text, another one dates."""
    rng, plain = np.random.default_rng(2), table(rows)
    label = pa.array(plain["y"].to_numpy(), mask=rng.random(rows) < 0.1)
    texts = pa.array(["Old Town", "Harbour", "Hill"]).take(pa.array(rng.integers(0, 3, rows)))
    days = pa.array(rng.integers(19_000, 20_000, rows).astype("i4")).cast(pa.date32())
    known = plain.set_column(0, "y", label).append_column("district", texts).append_column("offered", days)
    (folder / "rows.csv").write_bytes(written(known, header=True))
    (folder / "config.yml").write_text(CONFIG)
    command = [sys.executable, str(ROOT / "pipeline.py"), "run", "--fresh", "--config", str(folder / "config.yml")]
    command += ["--work", str(folder / "work"), "--data", str(folder / "rows.csv")]

    def whole() -> None:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")

    by_hand = script(WHOLE_BY_HAND, folder / "rows.csv", folder / "result.csv")
    turns(("whole run", whole), ("by hand", by_hand), count, "no budget")


def transform(aws: LocalAws, folder: Path, rows: int, count: int) -> None:
    """The model is one of XGBoost with 100 trees, packed as score packs it; its server is that of our image."""
    model, numbers = model_folder_of(folder / "model"), iter(range(count))
    content = written(table(rows).drop_columns(["y"]))
    (folder / "ask.csv").write_bytes(content)
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.put_object(Bucket="bench", Key="ask/rows.csv", Body=content)
    s3.put_object(Bucket="bench", Key="model.tar.gz", Body=(model / "model.tar.gz").read_bytes())
    container = {"Image": OURS, "ModelDataUrl": "s3://bench/model.tar.gz"}
    role = f"arn:aws:iam::{ACCOUNT}:role/job"
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=role, PrimaryContainer=container)

    def job() -> None:
        name, source = f"transform-{next(numbers)}", {"S3DataType": "S3Prefix", "S3Uri": "s3://bench/ask/"}
        sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName="bench",
            TransformInput={
                "DataSource": {"S3DataSource": source},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": "s3://bench/said", "Accept": "text/csv", "AssembleWith": "Line"},
            TransformResources={"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"},
        )
        ended(aws, "transform", name)

    own = script(PREDICT, ROOT / "code", model, folder / "ask.csv", folder / "said.csv")
    turns(("transform job", job), ("its own predict", own), count, "at most 1.3")


def model_folder_of(folder: Path) -> Path:
    import encoding
    import model_folder
    import xgboost
    from encoding import Encoding, Feature

    rows = table(20_000)
    names = rows.column_names[1:]
    matrix = np.column_stack([rows[name].to_numpy() for name in names]).astype(np.float32)
    settings = {"max_depth": 6, "eta": 0.1, "verbosity": 0}
    booster = xgboost.train(settings, xgboost.DMatrix(matrix, label=rows["y"].to_numpy()), 100)
    (folder / "program").mkdir(parents=True)
    (folder / "program" / "xgboost-model").write_bytes(booster.save_raw("ubj"))
    Encoding([Feature(name, "double") for name in names]).save(folder / encoding.FILE)
    model_folder.write_manifest(folder, "y", dict.fromkeys(names, "double"), "xgboost")
    (folder / "metrics.json").write_text('{"model": "all"}')
    model_folder.pack(folder)
    return folder


def start(count: int) -> None:
    """`true` in an image of this computer."""
    if lacking := bubblewrap.missing():
        raise SystemExit(f"containers need {lacking}")
    names = json.loads(subprocess.run(["buildah", "images", "--json"], capture_output=True, check=True).stdout)
    image = bubblewrap.image(next(one["names"][0] for one in names if one.get("names")), ["true"], [], "")
    with tempfile.TemporaryDirectory() as work:
        surroundings = Surroundings(Path(work), {}, {}, 1)

        def boxed() -> None:
            done = threading.Event()
            instance = image.start(surroundings, lambda line: None, done.set)
            done.wait(MINUTES)
            instance.close()

        turns(
            ("in bubblewrap", boxed),
            ("a process", lambda: subprocess.run(["true"])),
            count,
            "under 0.5 s more",
        )


def allow_all(aws: LocalAws) -> None:
    right = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = aws.client("iam")
    iam.create_role(
        RoleName="job", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    policy = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    iam.put_role_policy(RoleName="job", PolicyName="all", PolicyDocument=policy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("xgboost", "run", "transform", "start"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    print(f"{given.what}, {given.rows:,} rows:" if given.what != "start" else "start of a job:")
    if given.what == "start":
        return start(given.turns)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "files"
        folder.mkdir()
        if given.what == "run":
            return run(folder, given.rows, given.turns)
        with LocalAws(Settings(Path(work) / "aws", ACCOUNT, REGION, code=ROOT / "code", fresh=True)) as aws:
            allow_all(aws)
            aws.client("s3").create_bucket(Bucket="bench", CreateBucketConfiguration={"LocationConstraint": REGION})
            {"xgboost": xgboost, "transform": transform}[given.what](aws, folder, given.rows, given.turns)


if __name__ == "__main__":
    main()
