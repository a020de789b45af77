"""Calls of S3 without HTTP answer as those with it, or leave the call to HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from local_aws import ROLE, make_bucket, may_do_everything, settings

from localaws.server.aws import LocalAws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    work: Path = tmp_path_factory.mktemp("work")
    with LocalAws(settings(work)) as running:
        may_do_everything(running)
        running.client("iam").create_role(RoleName="poor", AssumeRolePolicyDocument="{}")
        for name in ("data", "versioned"):
            make_bucket(running, name)
        kept = {"Status": "Enabled"}
        running.client("s3").put_bucket_versioning(Bucket="versioned", VersioningConfiguration=kept)
        yield running


def direct(aws: LocalAws, operation: str, role: str = ROLE, **given: Any) -> Any:
    return aws._direct_s3.call(operation, role, given)


@pytest.mark.parametrize("bucket", ["data", "versioned"])
@pytest.mark.parametrize("kind", [{}, {"ContentType": "text/x", "Metadata": {"a": "b"}}])
def test_objects_are_described_as_over_http(aws: LocalAws, bucket: str, kind: Any) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="k/ü", Body="{}", **kind)
    over_http = s3.get_object(Bucket=bucket, Key="k/ü")
    del over_http["ResponseMetadata"]
    assert direct(aws, "GetObject", Bucket=bucket, Key="k/ü") == {**over_http, "Body": over_http["Body"].read()}


@pytest.mark.parametrize("bucket", ["data", "versioned"])
def test_what_is_put_is_there_and_announced(aws: LocalAws, bucket: str) -> None:
    s3 = aws.client("s3")
    with mock.patch("moto.s3.notifications.send_event") as event:
        answer = direct(aws, "PutObject", Bucket=bucket, Key="put", Body="text")
    assert [call.args[1].value for call in event.call_args_list] == ["s3:ObjectCreated:Put"]
    found = s3.get_object(Bucket=bucket, Key="put")
    assert (found["Body"].read(), found["ETag"], found.get("VersionId")) == (
        b"text",
        answer["ETag"],
        answer.get("VersionId"),
    )
    over_http = s3.put_object(Bucket=bucket, Key="put", Body="text")
    assert over_http.keys() - {"ResponseMetadata"} == answer.keys()


def test_everything_else_goes_over_http(aws: LocalAws) -> None:
    aws.client("s3").put_object(Bucket="data", Key="there", Body=b"")
    assert direct(aws, "GetObject", Bucket="data", Key="there")
    assert direct(aws, "GetObject", Bucket="data", Key="missing") is None
    assert direct(aws, "GetObject", ROLE.replace("job", "poor"), Bucket="data", Key="there") is None
    assert direct(aws, "GetObject", Bucket="data", Key="there", VersionId="null") is None
    assert direct(aws, "PutObject", Bucket="nowhere", Key="there", Body="") is None
    assert direct(aws, "PutObject", Bucket="data", Key="there", Body="", IfNoneMatch="*") is None
    assert direct(aws, "HeadObject", Bucket="data", Key="there") is None
