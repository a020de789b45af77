"""An account for each test, and credentials that are none."""

from __future__ import annotations

import pytest
from aws_account import Account

from stepgluon.local.surroundings import UNREACHABLE


@pytest.fixture(autouse=True)
def no_real_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**UNREACHABLE, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def account(no_real_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *any: 0)
    return Account()
