"""Training jobs as SageMaker's defaults make them: packed models, channels, metrics."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import Jobs

PACKED = {"S3OutputPath": "s3://data/packed"}
MODEL = "m = root / 'model'; (m / 'deep').mkdir(); (m / 'deep' / 'b').write_text('2'); (m / 'a').write_text('1')\n"


def archive(jobs: Jobs, key: str) -> dict[str, bytes]:
    body = jobs.s3.get_object(Bucket="data", Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr] # only files


def test_by_default_the_model_is_packed_and_the_description_says_where(jobs: Jobs) -> None:
    name = jobs.training(MODEL, OutputDataConfig=PACKED)
    described = jobs.ended(name)
    assert described["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://data/packed/{name}/output/model.tar.gz"
    assert jobs.keys(f"packed/{name}/") == [f"packed/{name}/output/model.tar.gz"]
    assert archive(jobs, f"packed/{name}/output/model.tar.gz") == {"a": b"1", "deep/b": b"2"}


def test_files_of_output_data_are_packed_too(jobs: Jobs) -> None:
    name = jobs.training("(root / 'output' / 'data' / 'curve.csv').write_text('1')", OutputDataConfig=PACKED)
    assert jobs.ended(name)["status"] == "Completed"
    assert jobs.keys(f"packed/{name}/") == [f"packed/{name}/output/output.tar.gz"]
    assert archive(jobs, f"packed/{name}/output/output.tar.gz") == {"curve.csv": b"1"}


def test_the_same_model_gives_the_same_archive(jobs: Jobs) -> None:
    bodies = set()
    for number in range(2):
        name = jobs.training(MODEL + f"__import__('os').utime(m / 'a', ({number}, {number}))", OutputDataConfig=PACKED)
        assert jobs.ended(name)["status"] == "Completed"
        bodies.add(jobs.s3.get_object(Bucket="data", Key=f"packed/{name}/output/model.tar.gz")["Body"].read())
    assert len(bodies) == 1


def test_a_link_is_not_packed(jobs: Jobs) -> None:
    name = jobs.training(MODEL + "(m / 'passwd').symlink_to('/etc/passwd')", OutputDataConfig=PACKED)
    jobs.ended(name)
    assert set(archive(jobs, f"packed/{name}/output/model.tar.gz")) == {"a", "deep/b"}


def test_a_packed_job_and_an_unpacked_one_are_different_jobs_to_the_cache(jobs: Jobs) -> None:
    do = MODEL + "# both forms"
    jobs.ended(jobs.training(do))
    name = jobs.training(do, OutputDataConfig=PACKED)
    jobs.ended(name)
    assert not jobs.aws.sagemaker.job("training", name).state.cached
    assert jobs.keys(f"packed/{name}/") == [f"packed/{name}/output/model.tar.gz"]


def channel(**more: Any) -> dict[str, Any]:
    source = {"S3Uri": "s3://data/rows/", "S3DataType": "S3Prefix", "S3DataDistributionType": "ShardedByS3Key"}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}, **more}


def test_another_content_type_is_another_job_to_the_cache(jobs: Jobs) -> None:
    jobs.s3.put_object(Bucket="data", Key="rows/1.csv", Body=b"1,2\n")
    name = jobs.name()
    jobs.s3.put_object(Bucket="data", Key=f"do/{name}/do.py", Body=b"")
    source = {"S3Uri": f"s3://data/do/{name}/", "S3DataType": "S3Prefix"}
    do = {"ChannelName": "do", "DataSource": {"S3DataSource": source}}
    for kind in ("text/csv", "text/plain"):
        job = jobs.training("", InputDataConfig=[do, channel(ContentType=kind)])
        jobs.ended(job)
        assert not jobs.aws.sagemaker.job("training", job).state.cached


def test_a_channel_has_its_content_type(jobs: Jobs) -> None:
    jobs.s3.put_object(Bucket="data", Key="rows/1.csv", Body=b"1,2\n")
    do = "print((root / 'input' / 'config' / 'inputdataconfig.json').read_text())"
    name = jobs.name()
    jobs.s3.put_object(Bucket="data", Key=f"do/{name}/do.py", Body=do.encode())
    source = {"S3Uri": f"s3://data/do/{name}/", "S3DataType": "S3Prefix"}
    given = [{"ChannelName": "do", "DataSource": {"S3DataSource": source}}, channel(ContentType="text/csv")]
    job = jobs.training("", InputDataConfig=given)
    jobs.ended(job)
    seen = json.loads(jobs.aws.logs.lines("training", job)[0])
    usual = {"TrainingInputMode": "File", "RecordWrapperType": "None"}
    assert seen == {
        "do": {**usual, "S3DistributionType": "FullyReplicated"},
        "train": {**usual, "S3DistributionType": "ShardedByS3Key", "ContentType": "text/csv"},
    }


@pytest.mark.parametrize("value", [3, 0.5, True, None, "x" * 2501])
def test_a_hyperparameter_is_a_text(jobs: Jobs, value: Any) -> None:
    with pytest.raises(ClientError) as caught:
        jobs.training("", HyperParameters={"depth": value})
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "HyperParameters" in caught.value.response["Error"]["Message"]


# Metrics

LOSS = {"Name": "loss", "Regex": r"loss=(\S+)"}


def with_metrics(*definitions: dict[str, str]) -> dict[str, Any]:
    entrypoint = ["python3", "/opt/program/act.py"]
    given = {"TrainingImage": "image", "TrainingInputMode": "File", "ContainerEntrypoint": entrypoint}
    return {"AlgorithmSpecification": {**given, "MetricDefinitions": list(definitions)}}


def test_the_last_value_of_each_metric_is_in_the_description(jobs: Jobs) -> None:
    do = "print('epoch 1: loss=3.5'); print('loss=none'); print('epoch 2: loss=2.25'); print('lost')"
    name = jobs.training(do, **with_metrics(LOSS, {"Name": "never", "Regex": "never=(.*)"}))
    (found,) = jobs.ended(name)["FinalMetricDataList"]
    assert (found["MetricName"], found["Value"]) == ("loss", 2.25)


def test_a_cached_job_has_the_metrics_of_the_job_that_ran(jobs: Jobs) -> None:
    do = "print('loss=7')  # cached"
    jobs.ended(jobs.training(do, **with_metrics(LOSS)))
    name = jobs.training(do, **with_metrics(LOSS))
    (found,) = jobs.ended(name)["FinalMetricDataList"]
    assert jobs.aws.sagemaker.job("training", name).state.cached
    assert found["Value"] == 7


def test_a_regular_expression_that_cannot_be_read_is_refused(jobs: Jobs) -> None:
    with pytest.raises(ClientError, match=r"The regular expression '\(' of the metric 'loss' is invalid"):
        jobs.training("", **with_metrics({"Name": "loss", "Regex": "("}))
