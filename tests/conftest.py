"""No test sees the credentials, profiles and regions of whoever runs it: there is no account to reach by mistake."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

gc.set_threshold(100_000, 20, 100)

for variable in [name for name in os.environ if name.upper().startswith("AWS_")]:
    del os.environ[variable]
os.environ |= {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True, scope="module")
def environment_of_before() -> Iterator[None]:
    """A variable that a test has set while a local AWS ran would come back as the local AWS had it."""
    before = dict(os.environ)
    yield
    for variable in os.environ.keys() - before.keys():
        del os.environ[variable]
    os.environ.update(before)
