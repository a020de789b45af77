"""Endpoints: real servers behind the API of SageMaker, their statuses, updates and ends."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, REGION, ROLE, until
from served import ENDS, Served, canary, refused, served

from localaws.sagemaker import serving

__all__ = ["served"]  # a fixture
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
LOADING = "import time, pathlib\nwhile not pathlib.Path({gate!r}).exists(): time.sleep(0.02)\n"


def test_an_endpoint_is_creating_until_its_server_answers_ping(served: Served, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    config = served.config(served.model(LOADING.format(gate=str(gate)) + "def respond(body): return 200, body"))
    name = served.jobs.name()
    made = served.api.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert made["EndpointArn"] == f"{ARN}:endpoint/{name}"
    until(lambda: [thread for thread in threading.enumerate() if thread.name == f"endpoint {name}"])
    assert served.described(name)["EndpointStatus"] == "Creating"
    assert "not found" in refused(served.runtime.invoke_endpoint, EndpointName=name, Body=b"1")
    for change in (served.api.delete_endpoint, served.api.update_endpoint):
        more = {} if change == served.api.delete_endpoint else {"EndpointConfigName": config}
        expected = f'ValidationException: Cannot update in-progress endpoint "{ARN}:endpoint/{name}".'
        assert refused(change, EndpointName=name, **more) == expected
    gate.touch()
    described = served.settled(name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", config)
    variant = described["ProductionVariants"][0]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == ("a", 1, 1)
    assert served.ask(name, b"hello") == b"hello"
    assert refused(served.api.create_endpoint, EndpointName=name, EndpointConfigName=config) == (
        f'ValidationException: Cannot create already existing endpoint "{ARN}:endpoint/{name}".'
    )
    served.api.delete_endpoint(EndpointName=name)
    until(lambda: name not in served.aws.sagemaker.endpoints.endpoints)
    assert refused(served.api.describe_endpoint, EndpointName=name) == (
        f'ValidationException: Could not find endpoint "{ARN}:endpoint/{name}".'
    )
    assert refused(served.runtime.invoke_endpoint, EndpointName=name, Body=b"1") == (
        f"ValidationError: Endpoint {name} of account {ACCOUNT} not found."
    )


def test_a_model_that_never_answers_ping_fails_and_can_only_be_deleted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PING_SECONDS", 0.2)
    bad = served.config(served.model(whole="print('no weights'); raise SystemExit(3)"))
    name = served.endpoint(bad, "Failed")
    assert served.described(name)["FailureReason"] == (
        "The primary container for production variant a did not pass the ping health check. Please check CloudWatch "
        "logs for this endpoint."
    )
    assert "no weights" in served.log(name)
    assert any("exit code 3" in line for line in served.log(name))
    assert "Cannot update failed endpoint" in refused(
        served.api.update_endpoint, EndpointName=name, EndpointConfigName=bad
    )


def test_a_missing_archive_fails_the_endpoint(served: Served) -> None:
    model = served.saying("x")
    config = served.config(model)
    served.jobs.s3.delete_object(Bucket="data", Key=f"archives/{model}.tar.gz")
    name = served.endpoint(config, "Failed")
    assert served.described(name)["FailureReason"].startswith(
        f'Failed to download model data for container "container_1" from URL: "s3://data/archives/{model}.tar.gz".'
    )


def test_the_server_has_the_model_of_an_archive_or_of_a_prefix(served: Served) -> None:
    do = "def respond(body): return 200, (root / 'model' / body.decode()).read_bytes()"
    assert served.ask(served.endpoint(served.config(served.model(do))), b"weights") == b"7"
    prefix = f"folders/{served.jobs.name()}/"
    served.jobs.s3.put_object(Bucket="data", Key=f"{prefix}deep/weights", Body=b"8")
    source = {"S3Uri": f"s3://data/{prefix}", "S3DataType": "S3Prefix", "CompressionType": "None"}
    name = served.model(do)
    given = {"Image": name, "ModelDataSource": {"S3DataSource": source}}
    served.api.create_model(ModelName=f"{name}-2", ExecutionRoleArn=ROLE, PrimaryContainer=given)
    assert served.ask(served.endpoint(served.config(f"{name}-2")), b"deep/weights") == b"8"


def test_an_update_starts_the_new_server_before_it_stops_the_old_one(served: Served, tmp_path: Path) -> None:
    name = served.endpoint(served.config(served.saying("old")))
    gate = tmp_path / "gate"
    slow = LOADING.format(gate=str(gate)) + "def respond(body): return 200, b'new:' + body"
    new = served.config(served.model(slow))
    served.api.update_endpoint(EndpointName=name, EndpointConfigName=new)
    described = served.described(name)
    assert described["EndpointStatus"] == "Updating"
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == new
    assert served.ask(name) == b"old:1"
    assert "Cannot update in-progress endpoint" in refused(
        served.api.update_endpoint, EndpointName=name, EndpointConfigName=new
    )
    gate.touch()
    described = served.settled(name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", new)
    assert "PendingDeploymentSummary" not in described
    assert served.ask(name) == b"new:1"


def test_an_update_whose_server_does_not_start_is_rolled_back(served: Served) -> None:
    old = served.config(served.saying("old"))
    name = served.endpoint(old)
    described = served.updated(name, served.config(served.model(whole="raise SystemExit(1)")))
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", old)
    assert "did not pass the ping health check" in described["FailureReason"]
    assert served.ask(name) == b"old:1"


def test_an_update_under_load_loses_no_request(served: Served) -> None:
    name = served.endpoint(served.config(served.saying("old")))
    new = served.config(served.saying("new"))
    answers: list[bytes] = []
    ended = threading.Event()

    def client(number: int) -> None:
        count = 0
        while not ended.is_set() or count < 500:
            count += 1
            body = b"%d-%d" % (number, count)
            word, _, rest = served.ask(name, body).partition(b":")
            answers.append(word if rest == body else b"wrong")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 200)
    assert served.updated(name, new, **canary(20))["EndpointConfigName"] == new
    ended.set()
    for thread in threads:
        thread.join()
    assert len(answers) >= 2000
    assert set(answers) == {b"old", b"new"}
    assert answers[-1] == b"new"


def test_a_server_that_ends_after_each_answer_is_started_again(served: Served) -> None:
    name = served.endpoint(served.config(served.model("def respond(body): return 200, body" + ENDS)))

    def answer() -> bytes:
        try:
            return served.ask(name, b"again")
        except ClientError as problem:
            assert problem.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError")
            return b""

    assert served.ask(name, b"first") == b"first"
    until(lambda: any("is started again" in line for line in served.log(name)))
    assert until(answer) == b"again"
    assert served.described(name)["EndpointStatus"] == "InService"


def test_no_process_is_left_after_a_delete(served: Served) -> None:
    name = served.endpoint(served.config(served.model("def respond(body): return 200, str(os.getpid()).encode()")))
    pid = int(served.ask(name))
    os.kill(pid, 0)
    served.api.delete_endpoint(EndpointName=name)
    until(lambda: name not in served.aws.sagemaker.endpoints.endpoints)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_configurations_are_made_listed_tagged_and_deleted(served: Served) -> None:
    model = served.saying("x")
    name = served.config(model, Tags=[{"Key": "team", "Value": "ml"}])
    arn = f"{ARN}:endpoint-config/{name}"
    variant = {"VariantName": "a", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    described = served.api.describe_endpoint_config(EndpointConfigName=name)
    assert (described["EndpointConfigArn"], described["ProductionVariants"]) == (arn, [variant])
    listed = served.api.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
    assert [one["EndpointConfigName"] for one in listed] == [name]
    served.api.add_tags(ResourceArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    assert [tag["Key"] for tag in served.api.list_tags(ResourceArn=arn)["Tags"]] == ["team", "more"]
    again = {"EndpointConfigName": name, "ProductionVariants": [variant]}
    assert refused(served.api.create_endpoint_config, **again) == (
        f'ValidationException: Cannot create already existing endpoint configuration "{arn}".'
    )
    missing = {"EndpointConfigName": "other", "ProductionVariants": [{**variant, "ModelName": "none"}]}
    assert refused(served.api.create_endpoint_config, **missing) == (
        f'ValidationException: Could not find model "{ARN}:model/none".'
    )
    both = {**variant, "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}
    wrong = {"EndpointConfigName": "other", "ProductionVariants": [both]}
    assert "either InstanceType" in refused(served.api.create_endpoint_config, **wrong)
    served.api.delete_endpoint_config(EndpointConfigName=name)
    expected = f'ValidationException: Could not find endpoint configuration "{arn}".'
    assert refused(served.api.describe_endpoint_config, EndpointConfigName=name) == expected
    assert refused(served.api.create_endpoint, EndpointName="e", EndpointConfigName=name) == expected


def test_endpoints_are_listed_by_status(served: Served) -> None:
    name = served.endpoint(served.config(served.saying("x")))
    listed = served.api.list_endpoints(StatusEquals="InService", NameContains=name)["Endpoints"]
    assert [one["EndpointName"] for one in listed] == [name]
    assert not served.api.list_endpoints(StatusEquals="Failed", NameContains=name)["Endpoints"]
