from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from moto.moto_api._internal.models import moto_api_backend
from tell_failure.function import BUCKET, VARIABLES, Cloud, fresh
from tell_failure.histories import REGION


@pytest.fixture(scope="session")
def moto() -> Iterator[None]:
    """Once for all tests, because a session of boto3 takes longer to make than a test to run."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture
def cloud(moto: None, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    moto_api_backend.reset()
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    boto3.client("sns").create_topic(Name="penguins-mail")
    return Cloud(fresh())
