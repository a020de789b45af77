"""An account for each test, a local AWS for each module, and credentials that are none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aws_account import Account
from local_account import Door

from localaws.base.environment import UNREACHABLE
from localaws.server.aws import LocalAws, Settings
from localaws.stepfunctions import parse_cache


@pytest.fixture(autouse=True)
def no_real_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**UNREACHABLE, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def account(no_real_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Its clients wait neither before they try again nor because they were told to be slower."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *any: 0)
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *any, **named: True)
    return Account()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The account of the config that the tests deploy."""
    with LocalAws(Settings(tmp_path_factory.mktemp("work"), "123456789012", "eu-central-1")) as running:
        parsed_once = parse_cache.install(tmp_path_factory.mktemp("compiled"))
        yield running
        parsed_once.undo()


@pytest.fixture
def door(aws: LocalAws) -> Iterator[Door]:
    door = Door(aws)
    yield door
    door.close()
