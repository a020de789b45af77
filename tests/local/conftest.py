"""A local AWS for each file of tests, with stand-in scripts in place of code/."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from local_aws import Jobs, Scripted, make_bucket, may_do_everything, settings

from localaws.server.aws import LocalAws


@pytest.fixture(scope="module")
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, scripted: Scripted) -> Iterator[LocalAws]:
    with scripted.active(), LocalAws(settings(tmp_path_factory.mktemp("work"), cores=2)) as running:
        make_bucket(running)
        may_do_everything(running)
        yield running


@pytest.fixture
def faults(scripted: Scripted) -> Iterator[Scripted]:
    scripted.clear()
    yield scripted
    scripted.clear()


@pytest.fixture(scope="module")
def all_jobs(aws: LocalAws) -> Jobs:
    return Jobs(aws)


@pytest.fixture
def jobs(all_jobs: Jobs) -> Iterator[Jobs]:
    yield all_jobs
    all_jobs.stop_all()
