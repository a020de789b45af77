"""show, advise and cost of a run with groups of models, in an account that a local AWS stands for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from account import Account, Picky, deployed_for, until
from botocore.exceptions import ClientError
from test_run import CONFIG

from stepgluon.live.account import AccountRuns
from stepgluon.runs import child_jobs
from stepgluon.runs.child_jobs import in_account
from stepgluon.runs.executions import one, read_json
from stepgluon.runs.watch import story_of

MODELS = 12
GROUPS = (
    CONFIG.partition("models:")[0]
    + """
models: {partition_by: store_id, label: sales_kg, threshold: 350}
fan_out: {models_per_job: 4, jobs_at_once: 1}
retries: {job: 0}
"""
)


@pytest.fixture(name="account")
def _account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Account]:
    monkeypatch.chdir(tmp_path)
    with deployed_for(tmp_path / "account", Picky(), GROUPS) as place:
        account = Account(place, tmp_path, capsys, GROUPS)
        account.orders(partitions=MODELS)
        yield account


class Client:
    """Refuses some requests for the histories of children."""

    def __init__(self, client: Any, code: str, refused: int) -> None:
        self._client, self._code, self._left, self.asked = client, code, refused, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_execution_history(self, **given: Any) -> Any:
        self.asked += 1
        if self.asked <= self._left:
            raise ClientError({"Error": {"Code": self._code, "Message": "No."}}, "GetExecutionHistory")
        return self._client.get_execution_history(**given)


def test_a_run_has_the_jobs_of_its_groups(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    run = account.starts()
    assert account.ended(run) == "SUCCEEDED"
    groups = sorted({key.split("/")[5] for key in _keys(account, f"runs/{run}/prepared/groups/")})
    wanted = {f"{what} group {group}" for what in ("Train", "Predict") for group in groups}
    record = account.told("show", run)
    states = Counter(job["state"] for job in record["jobs"])
    assert len(groups) > 1 and states == Counter({*wanted, "Prepare data", "Post-process"})
    assert {job["status"] for job in record["jobs"]} == {"Completed"} and "unread" not in record
    assert [job["started"] for job in record["jobs"]] == sorted(job["started"] for job in record["jobs"])
    code, out, err = account.calls("advise", run, "--aws")
    assert code == 0 and "  train.instance " in out, err
    sources = {line["state"]: line["source"] for line in account.told("cost", "--aws")["lines"]}
    assert sources["Train group"].startswith(run) and sources["Predict group"].startswith(run)
    # What may not or cannot be read.
    monkeypatch.setattr(child_jobs, "READERS", 1)
    story, client = story_of(account.place.aws, one(account.place.aws, account.names, run).arn), account.machines
    denied = Client(client, "AccessDeniedException", 99)
    found, unread = in_account(denied, story)
    assert (found, denied.asked) == ([], 1)
    assert unread.startswith(f"The jobs of {len(groups)} groups are missing: ") and "policy/deployer.json" in unread
    found, unread = in_account(Client(client, "ThrottlingException", 1), story)
    assert len(found) == len(groups) - 1
    assert unread.startswith("The jobs of 1 group are missing: AWS is too busy for GetExecutionHistory")
    found, unread = in_account(client, story, 1)
    assert (len(found), unread) == (1, "Only the jobs of the latest 1 groups are listed.")


def test_a_run_in_progress_says_how_many_groups_and_models_are_done(account: Account) -> None:
    account.orders(partitions=MODELS, predict_g0002=f"wait for {account.folder}/opened, then ")
    run = account.starts()

    def two_done() -> Any:
        record = account.told("show", run)
        done = [job for job in record["jobs"] if job["state"].startswith("Predict") and job["status"] == "Completed"]
        running = [job["state"] for job in record["jobs"] if job["status"] == "InProgress"]
        return record if len(done) == 2 and running == ["Predict group g0002"] and "2 of 3" in str(record) else None

    record = until(two_done)
    groups = read_json(account.s3, account.names.work_bucket, f"runs/{run}/prepared/groups.json")
    page = AccountRuns(account.place.aws, account.names).run(run)
    assert page and [job["name"] for job in page["jobs"]] == [job["name"] for job in record["jobs"]]
    (waiting,) = (one["models"] for one in groups if one["group"] == "g0002")
    line = f"  Train and predict groups: 2 of 3 groups, {MODELS - waiting} of {MODELS} models\n"
    assert line in account.calls("show", run)[1]
    (account.folder / "opened").touch()
    assert account.ended(run) == "SUCCEEDED"
    assert "progress" not in account.told("show", run)
    models = read_json(account.s3, account.names.work_bucket, f"runs/{run}/result/summary.json")["models"]
    (model, *_) = (one["name"] for one in models if one["group"] == "g0002")
    for words in (["g0002"], ["g0002", "--follow"], [model]):
        _, out, err = account.calls("logs", run, *words)
        assert re.fullmatch(r"Predict group g0002 \(penguins-\S+\):\nwaiting\n", out), err


def _keys(account: Account, folder: str) -> list[str]:
    return [f"/{entry.key}" for entry in account.place.aws.objects.below(account.names.work_bucket, folder)]
