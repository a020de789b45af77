"""Keeps the shell's AWS, proxy and certificate settings out: a stray profile or proxy could send a laptop's test run to
a real account.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_FOREIGN = re.compile(
    r"(AWS|BOTO|MOTO|AMAZON|ECS|EKS|SAGEMAKER|SM|STEPGLUON)_.*|.*_PROXY|.*_CA_BUNDLE|SSL_CERT_(FILE|DIR)"
    r"|SF_EXECUTION_HISTORY_TYPE|S3_IGNORE_SUBDOMAIN_BUCKETNAME|TEST_(SERVER|PROXY)_.*",
    re.IGNORECASE,
)


def harmless(account: str, region: str, endpoint: str) -> dict[str, str]:
    """Variables that make any AWS SDK or command line use the local AWS, and nothing else."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCOUNT_ID": account,
        "AWS_ENDPOINT_URL": endpoint,
        **UNREACHABLE,
    }


# Places where an SDK without credentials would look for them.
UNREACHABLE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "*",
    "no_proxy": "*",
}


def scrubbed(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not _FOREIGN.fullmatch(name)}


@contextmanager
def clean_environment(extra: Mapping[str, str]) -> Iterator[None]:
    """Scrub this process's environment; moto and botocore read it at any time."""
    before = dict(os.environ)
    _replace({**scrubbed(before), **extra})
    try:
        yield
    finally:
        _replace(before)


@contextmanager
def private_files() -> Iterator[None]:
    """In the block, files written by this process and its children are readable only by the user."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _replace(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
