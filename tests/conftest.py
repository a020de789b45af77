"""No test sees the credentials, profiles and regions of whoever runs it: there is no account to reach by mistake."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import botocore_models
import forks
import pytest
import self_checks

gc.set_threshold(100_000, 20, 100)  # most objects are the SDKs' and moto's, and live on: they need no second look

# Where it is set, each of many hundred processes would compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

for variable in [name for name in os.environ if name.upper().startswith("AWS_")]:
    del os.environ[variable]
os.environ |= {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}

# Tests reach the servers they start directly, whatever proxy the shell has.
proxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{proxied},127.0.0.1,localhost".lstrip(",")

forks.start()


botocore_models.share()
self_checks.share()

# These take half a minute and more. They begin first, so that at the end no core waits for the last of them.
LONG = (
    "tests/local/test_run.py",
    "tests/operate/test_redrive_here.py",
    "tests/test_buildspec.py",
    "tests/local/test_many_runs.py",
    "tests/local/test_faults_of_jobs.py",
    "tests/images/test_images.py",
    "tests/operate/test_account.py",
    "tests/local/test_demo.py",
    "tests/local/test_other_demos.py",
    "tests/jobs/",
    "tests/deploy/",
    "tests/policies/",
    "tests/test_damaged_configs.py",
    "tests/test_limits.py",
)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Packed bytes are not part of a test's name: gzip writes the time, and xdist's workers compare the names."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((place for place, part in enumerate(LONG) if item.nodeid.startswith(part)), len(LONG))
    )


@pytest.fixture(autouse=True, scope="module")
def environment_of_before() -> Iterator[None]:
    """A variable that a test has set while a local AWS ran would come back as the local AWS had it."""
    before = dict(os.environ)
    yield
    for variable in os.environ.keys() - before.keys():
        del os.environ[variable]
    os.environ.update(before)
